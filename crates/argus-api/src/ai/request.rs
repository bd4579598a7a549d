//! What requests say about providers.

use argus_core::provider::{KindInfo, Prices, ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{Faults, Secret};
use deserr::Deserr;
use serde_json::Value as Json;
use url::Url;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Faulty, Given, Patch, text_fields};

text_fields!(ProviderKind);

/// Fields that answers have and requests cannot set; a PUT may repeat them.
pub(crate) const READ_ONLY: [&str; 6] = ["id", "created_at", "updated_at", "has_key", "capabilities", "health"];

/// Leaves out what cannot be set.
pub(crate) fn without_read_only(mut body: Json) -> Json {
    if let Json::Object(fields) = &mut body {
        fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    body
}

/// Prices of a model; what is absent stays as it is, null is unknown.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct PricesBody {
    /// US dollars for a million tokens of what is sent.
    #[deserr(default)]
    #[schema(value_type = Option<f64>, minimum = 0)]
    input_per_million: Patch<f64>,
    /// US dollars for a million tokens of what is answered.
    #[deserr(default)]
    #[schema(value_type = Option<f64>, minimum = 0)]
    output_per_million: Patch<f64>,
}

/// Fields of a provider; absent ones stay as they are, null clears.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct ProviderUpdate {
    /// What it speaks. Fixed: a PUT may only repeat it.
    #[deserr(default)]
    #[schema(value_type = ProviderKind, required = false)]
    kind: Given<ProviderKind>,
    /// What people call it; the kind when absent in POST.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 100, required = false)]
    name: Given<String>,
    /// The model that is asked; the default of the kind when absent in POST, and required where there is none.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 200, required = false)]
    model: Given<String>,
    /// Where it is, http or https; null: at the address of the kind. Required for `openai_compatible`.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 500)]
    base_url: Patch<String>,
    /// Its key, never shown again. Kinds that need one need it while they are enabled. A stored key stays with its host
    /// and port: who changes these sends it again, or null.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 512)]
    api_key: Patch<Secret>,
    /// Whether it is asked; true when absent in POST.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Given<bool>,
    /// Lower comes first; 10 more than the last except the built-in one when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    priority: Given<i64>,
    /// Of one call, seconds; 30 when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 300, required = false)]
    timeout_s: Given<i64>,
    /// Longest answer, tokens; 400 when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 16, maximum = 4096, required = false)]
    max_output_tokens: Given<i64>,
    /// Calls at the same time; 4 when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 64, required = false)]
    max_concurrent: Given<i64>,
    /// Calls begun in a minute; null means no limit.
    #[deserr(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    requests_per_minute: Patch<i64>,
    /// Prices set by hand; null: as the table of known models says.
    #[deserr(default)]
    #[schema(value_type = Option<PricesBody>)]
    prices: Patch<PricesBody>,
}

/// What a provider is checked against.
pub(crate) struct Rules<'a> {
    /// What is known of every kind.
    pub(crate) kinds: &'a [KindInfo],
    /// The prices that count for the provider now.
    pub(crate) prices: Prices,
}

impl Rules<'_> {
    fn of(&self, kind: ProviderKind) -> Option<&KindInfo> {
        self.kinds.iter().find(|k| k.kind == kind)
    }

    /// The host and port that a configuration leads to; `None` when nothing can be reached by it.
    fn endpoint(&self, config: &ProviderConfig) -> Option<(String, u16)> {
        let default = || self.of(config.kind).and_then(|k| k.default_base_url.clone());
        let url = Url::parse(&config.base_url.clone().or_else(default)?).ok()?;
        Some((url.host_str()?.to_ascii_lowercase(), url.port_or_known_default()?))
    }
}

impl ProviderUpdate {
    /// A new provider with these fields, which comes after `last`.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn create(self, last: u16, rules: &Rules<'_>) -> Result<ProviderConfig, Faults> {
        let mut missing = Faults::default();
        let Some(kind) = self.kind.0 else {
            missing.add("kind", "is required");
            missing.0.extend(self.check_common().0);
            return Err(missing);
        };
        let model = rules.of(kind).and_then(|k| k.default_model.clone());
        if model.is_none() && self.model.0.is_none() && kind != ProviderKind::Builtin {
            missing.add("model", "is required: this kind has no default");
        }
        let mut config = blank(kind);
        // Where none is known and none was sent, that is told already.
        config.model = model.unwrap_or_else(|| kind.to_string());
        config.priority = last.saturating_add(10).min(1000);
        let sends_prices = matches!(self.prices, Patch::Value(_));
        missing.0.extend(self.put(&mut config, rules).0);
        if sends_prices {
            // Prices that are said to be unknown are not those of the table.
            config.prices.get_or_insert_default();
        }
        missing.0.extend(needs(&config, rules).0);
        missing.or(config)
    }

    /// The provider with these changes.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn apply(self, stored: &StoredProvider, rules: &Rules<'_>) -> Result<ProviderConfig, Faults> {
        let before = &stored.config;
        let mut faults = Faults::default();
        if let Some(kind) = self.kind.0.filter(|&kind| kind != before.kind) {
            faults.add("kind", format!("is fixed, this provider is of kind {}, not {kind}", before.kind));
        }
        let sends_key = self.api_key != Patch::Absent;
        let mut config = before.clone();
        faults.0.extend(self.put(&mut config, rules).0);
        if before.kind == ProviderKind::Builtin {
            faults.0.extend(fixed(before, &config).0);
            return faults.or(config);
        }
        faults.0.extend(needs(&config, rules).0);
        let moved = rules.endpoint(before) != rules.endpoint(&config);
        if moved && before.api_key.is_some() && !sends_key && !faults.0.iter().any(|f| f.field == "base_url") {
            faults.add("api_key", "must be sent again, because host or port of the address changed");
        }
        faults.or(config)
    }

    /// The faults of what can be judged without knowing the provider.
    pub(crate) fn check_common(&self) -> Faults {
        let rules = Rules { kinds: &[], prices: Prices::default() };
        self.clone().put(&mut blank(self.kind.0.unwrap_or(ProviderKind::OpenAi)), &rules)
    }

    /// Puts the fields that keep their rules, and tells of the others.
    fn put(self, config: &mut ProviderConfig, rules: &Rules<'_>) -> Faults {
        let mut faults = Faults::default();
        if let Some(name) = self.name.0 {
            config.name = text(&mut faults, "name", name.trim(), 100);
        }
        if let Some(model) = self.model.0 {
            config.model = text(&mut faults, "model", model.trim(), 200);
        }
        if let Patch::Value(url) = &self.base_url {
            address(&mut faults, url.trim());
        }
        self.base_url.map(|url| url.trim().to_owned()).put(&mut config.base_url);
        if let Patch::Value(key) = &self.api_key {
            secret(&mut faults, key);
        }
        self.api_key.put(&mut config.api_key);
        self.enabled.put(&mut config.enabled);
        number(&mut faults, "priority", self.priority.0, 1, 1000, &mut config.priority);
        number(&mut faults, "timeout_s", self.timeout_s.0, 1, 300, &mut config.timeout_s);
        number(&mut faults, "max_output_tokens", self.max_output_tokens.0, 16, 4096, &mut config.max_output_tokens);
        number(&mut faults, "max_concurrent", self.max_concurrent.0, 1, 64, &mut config.max_concurrent);
        match self.requests_per_minute {
            Patch::Absent => {}
            Patch::Null => config.requests_per_minute = None,
            Patch::Value(wanted) => {
                let mut limit = 1;
                number(&mut faults, "requests_per_minute", Some(wanted), 1, 10_000, &mut limit);
                config.requests_per_minute = Some(limit);
            }
        }
        match self.prices {
            Patch::Absent => {}
            Patch::Null => config.prices = None,
            Patch::Value(body) => {
                let prices = body.over(rules.prices, &mut faults);
                // What GET gave can be sent back: prices of the table stay those of the table.
                if config.prices.is_some() || prices != rules.prices {
                    config.prices = Some(prices);
                }
            }
        }
        faults
    }
}

impl PricesBody {
    fn over(self, mut prices: Prices, faults: &mut Faults) -> Prices {
        for (field, given, price) in [
            ("prices.input_per_million", self.input_per_million, &mut prices.input_per_million),
            ("prices.output_per_million", self.output_per_million, &mut prices.output_per_million),
        ] {
            if let Patch::Value(value) = given
                && !(value.is_finite() && value >= 0.0)
            {
                faults.add(field, "must not be negative");
            } else {
                given.put(price);
            }
        }
        prices
    }
}

/// A provider with every default that holds for any kind.
fn blank(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        kind,
        name: kind.to_string(),
        model: kind.to_string(),
        base_url: None,
        api_key: None,
        enabled: true,
        priority: 10,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 4,
        requests_per_minute: None,
    }
}

/// What a kind cannot do without.
fn needs(config: &ProviderConfig, rules: &Rules<'_>) -> Faults {
    let mut faults = Faults::default();
    let Some(kind) = rules.of(config.kind) else { return faults };
    if kind.needs_base_url && config.base_url.is_none() {
        faults.add("base_url", format!("is required for {}", config.kind));
    }
    if kind.needs_key && config.enabled && config.api_key.is_none() {
        faults.add("api_key", format!("is required for {} while it is enabled", config.kind));
    }
    faults
}

/// What cannot be changed of the built-in provider: who reaches nobody has no address and no key. Time, length and prices
/// can be, to no effect.
fn fixed(before: &ProviderConfig, after: &ProviderConfig) -> Faults {
    let mut faults = Faults::default();
    for (field, same) in [
        ("model", before.model == after.model),
        ("base_url", before.base_url == after.base_url),
        ("api_key", before.api_key == after.api_key),
        ("max_concurrent", before.max_concurrent == after.max_concurrent),
        ("requests_per_minute", before.requests_per_minute == after.requests_per_minute),
    ] {
        if !same {
            faults.add(field, "is fixed for the built-in provider");
        }
    }
    faults
}

/// A text of a name's rules.
fn text(faults: &mut Faults, field: &str, text: &str, most: usize) -> String {
    if text.contains('\0') {
        faults.add(field, "contains the character U+0000");
    } else if text.is_empty() {
        faults.add(field, "must not be empty");
    } else if text.chars().count() > most {
        faults.add(field, format!("has more than {most} characters"));
    }
    text.to_owned()
}

/// Where a provider is. The fault does not quote it: what should not be in it may be a password.
fn address(faults: &mut Faults, text: &str) {
    const FIELD: &str = "base_url";
    if text.chars().count() > 500 {
        return faults.add(FIELD, "has more than 500 characters");
    }
    // Parsing leaves some of these out.
    if text.chars().any(char::is_control) {
        return faults.add(FIELD, "contains a control character");
    }
    let Ok(url) = Url::parse(text) else {
        return faults.add(FIELD, "is no address, such as http://127.0.0.1:11434");
    };
    if !matches!(url.scheme(), "http" | "https") {
        faults.add(FIELD, "must begin with http:// or https://");
    } else if !url.username().is_empty() || url.password().is_some() {
        faults.add(FIELD, "must not contain a user or password: a key has its own field");
    } else if url.query().is_some() || url.fragment().is_some() {
        faults.add(FIELD, "must end with the path");
    }
}

/// A key: what a header can carry.
fn secret(faults: &mut Faults, key: &Secret) {
    let key = key.expose();
    if key.is_empty() {
        faults.add("api_key", "must not be empty; null removes it");
    } else if key.chars().count() > 512 {
        faults.add("api_key", "has more than 512 characters");
    } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
        faults.add("api_key", "contains blanks, line ends or other characters that no key has");
    }
}

fn number<T: TryFrom<i64>>(faults: &mut Faults, field: &str, given: Option<i64>, least: i64, most: i64, into: &mut T) {
    let Some(given) = given else { return };
    match T::try_from(given) {
        Ok(value) if (least..=most).contains(&given) => *into = value,
        _ => faults.add(field, format!("is no whole number from {least} to {most}")),
    }
}

/// Fields of a new provider: those of a change, with `kind` required.
pub(crate) struct ProviderCreate;

impl PartialSchema for ProviderCreate {
    fn schema() -> RefOr<Schema> {
        let mut schema = ProviderUpdate::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required = vec!["kind".to_owned()];
            object.description = Some("Fields of a new provider.".to_owned());
        }
        schema
    }
}

impl ToSchema for ProviderCreate {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ProviderUpdate::schemas(schemas);
    }
}
