//! What a call costs, as far as it is known: the table `prices.json` of this crate, and what a provider was given by hand.

use std::sync::LazyLock;

use argus_core::Invalid;
use argus_core::provider::{Prices, ProviderConfig, ProviderKind};
use serde::Deserialize;

/// The table; a test reads it whole.
const TABLE: &str = include_str!("../prices.json");
/// The version of prices that were set by hand.
const CUSTOM: &str = "custom";
/// What costs nothing.
const FREE: Prices = Prices { input_per_million: Some(0.0), output_per_million: Some(0.0) };

#[derive(Deserialize)]
struct Table {
    version: String,
    kinds: Vec<Kind>,
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Kind {
    kind: ProviderKind,
    picture_tokens: PictureTokens,
}

#[derive(Deserialize)]
struct Model {
    kind: ProviderKind,
    model: String,
    input_per_million: Option<f64>,
    output_per_million: Option<f64>,
    picture_tokens: Option<PictureTokens>,
}

/// The most that a picture counts, tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
struct PictureTokens {
    base: u32,
    cell_px: u32,
    per_cell: f64,
    cap: u32,
}

static PRICES: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(TABLE).unwrap_or_else(|_broken| Table {
        version: String::new(),
        kinds: Vec::new(),
        models: Vec::new(),
    })
});

fn listed(kind: ProviderKind, model: &str) -> Option<&'static Model> {
    PRICES.models.iter().find(|entry| entry.kind == kind && names(model, &entry.model))
}

/// Whether a model's name is that of an entry, or one of its dated or moving forms (`gpt-5.4-2026-03-05`,
/// `claude-haiku-4-5-20251001`, `…-latest`, `…-preview`). A longer name is another model at another price.
fn names(model: &str, entry: &str) -> bool {
    let Some(rest) = model.strip_prefix(entry) else { return false };
    let Some(form) = rest.strip_prefix('-') else { return rest.is_empty() };
    let date = |form: &str| form.len() >= 4 && form.chars().all(|c| c.is_ascii_digit() || c == '-');
    form == "latest" || form.strip_prefix("preview").map_or_else(|| date(form), |d| d.is_empty() || date(d))
}

/// The prices that count for a provider: those set by hand, else those of the table. What runs on the own machine is
/// free: Ollama and the built-in describer. A compatible endpoint may be anybody's, so that its price is unknown.
pub(crate) fn of(config: &ProviderConfig) -> Prices {
    config.prices.unwrap_or_else(|| match config.kind {
        ProviderKind::Ollama | ProviderKind::Builtin => FREE,
        kind => listed(kind, &config.model).map_or_else(Prices::default, |entry| Prices {
            input_per_million: entry.input_per_million,
            output_per_million: entry.output_per_million,
        }),
    })
}

/// Version of the table, which is its date.
pub(crate) fn table_version() -> &'static str {
    &PRICES.version
}

/// Where [`of`] has them from; `None` when nothing is known.
pub(crate) fn version(config: &ProviderConfig) -> Option<String> {
    if config.prices.is_some() {
        return Some(CUSTOM.to_owned());
    }
    let known = matches!(config.kind, ProviderKind::Ollama | ProviderKind::Builtin)
        || listed(config.kind, &config.model).is_some();
    known.then(|| table_version().to_owned())
}

/// US dollars for so many tokens; `None` when a price or a count is unknown, because a part of a sum is no sum. What is
/// free costs nothing however much it is.
pub(crate) fn cost(prices: Prices, tokens_input: Option<u32>, tokens_output: Option<u32>) -> Option<f64> {
    if is_free(prices) {
        return Some(0.0);
    }
    let part = |tokens: Option<u32>, price: Option<f64>| Some(f64::from(tokens?) * price? / 1_000_000.0);
    Some(part(tokens_input, prices.input_per_million)? + part(tokens_output, prices.output_per_million)?)
}

/// Whether nothing is paid, as far as it is known: an unknown price may be any.
pub(crate) fn is_free(prices: Prices) -> bool {
    prices == FREE
}

/// Refuses what is no price.
pub(crate) fn check(prices: Prices) -> Vec<Invalid> {
    [("input_per_million", prices.input_per_million), ("output_per_million", prices.output_per_million)]
        .into_iter()
        .filter(|(_, price)| price.is_some_and(|p| !p.is_finite() || p < 0.0))
        .map(|(name, _)| Invalid::new(format!("prices.{name}"), "is not a number of dollars from 0"))
        .collect()
}

/// The most that a picture of this size counts for this model, tokens.
pub(crate) fn picture_tokens(kind: ProviderKind, model: &str, width: u32, height: u32) -> u32 {
    let of_kind = || PRICES.kinds.iter().find(|entry| entry.kind == kind).map(|entry| entry.picture_tokens);
    let Some(rule) = listed(kind, model).and_then(|entry| entry.picture_tokens).or_else(of_kind) else { return 0 };
    let cells = f64::from(width.div_ceil(rule.cell_px.max(1))) * f64::from(height.div_ceil(rule.cell_px.max(1)));
    let tokens = (f64::from(rule.base) + cells * rule.per_cell).ceil().min(f64::from(rule.cap));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and a u32")]
    let tokens = tokens.max(0.0) as u32;
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::config;

    fn priced(kind: ProviderKind, model: &str) -> Prices {
        of(&ProviderConfig { model: model.into(), ..config(kind) })
    }

    fn dollars(input: f64, output: f64) -> Prices {
        Prices { input_per_million: Some(input), output_per_million: Some(output) }
    }

    #[test]
    fn the_table_is_whole() {
        let table: Table = serde_json::from_str(TABLE).unwrap();
        assert!(PRICES.version.parse::<jiff::civil::Date>().is_ok());
        for kind in ProviderKind::ALL {
            assert_eq!(table.kinds.iter().filter(|e| e.kind == *kind).count(), 1, "{kind}");
        }
        for (at, entry) in table.models.iter().enumerate() {
            let prices =
                Prices { input_per_million: entry.input_per_million, output_per_million: entry.output_per_million };
            assert!(check(prices).is_empty() && !is_free(prices), "{}", entry.model);
            // Every name finds its own entry, so that none hides another.
            let found = table.models.iter().position(|e| e.kind == entry.kind && names(&entry.model, &e.model));
            assert_eq!(found, Some(at), "{}", entry.model);
        }
    }

    #[test]
    fn a_price_is_that_of_the_model_or_none() {
        let openai = |model| priced(ProviderKind::OpenAi, model);
        assert_eq!(openai("gpt-5.4"), dollars(2.5, 15.0));
        assert_eq!(openai("gpt-5.4-2026-03-05"), dollars(2.5, 15.0));
        assert_eq!(openai("gpt-5.4-mini"), dollars(0.75, 4.5));
        assert_eq!(priced(ProviderKind::Anthropic, "claude-haiku-4-5-20251001"), dollars(1.0, 5.0));
        assert_eq!(priced(ProviderKind::Gemini, "gemini-3.1-pro-preview"), dollars(2.0, 12.0));
        assert_eq!(priced(ProviderKind::Gemini, "gemini-2.5-flash-preview-09-2025"), dollars(0.3, 2.5));
        // A name that only begins alike is another model; one of another kind, too.
        for unknown in ["gpt-5.4-huge", "gpt-5.45", "gpt-5", "claude-opus-5", "gpt-5.4-5"] {
            assert_eq!(openai(unknown), Prices::default(), "{unknown}");
        }
        assert_eq!(priced(ProviderKind::Ollama, "qwen2.5vl"), FREE);
        assert_eq!(priced(ProviderKind::OpenAiCompatible, "gpt-5.4"), Prices::default());
    }

    #[test]
    fn a_price_has_a_version() {
        let known = config(ProviderKind::OpenAi);
        let known = ProviderConfig { model: "gpt-5.4".into(), ..known };
        assert_eq!(version(&known).as_deref(), Some(PRICES.version.as_str()));
        assert_eq!(version(&ProviderConfig { model: "x".into(), ..known.clone() }), None);
        let by_hand = ProviderConfig { prices: Some(dollars(1.0, 1.0)), ..known };
        assert_eq!((version(&by_hand).as_deref(), of(&by_hand)), (Some("custom"), dollars(1.0, 1.0)));
        assert!(version(&config(ProviderKind::Builtin)).is_some());
    }

    #[test]
    fn a_cost_needs_every_price_and_every_count() {
        let prices = dollars(2.0, 8.0);
        assert_eq!(cost(prices, Some(1_000_000), Some(500_000)), Some(6.0));
        assert_eq!(cost(prices, Some(1), None), None);
        assert_eq!(cost(Prices { output_per_million: None, ..prices }, Some(1), Some(1)), None);
        assert_eq!(cost(Prices::default(), Some(1), Some(1)), None);
        assert_eq!(cost(FREE, Some(7), None), Some(0.0));
        assert!(is_free(FREE) && !is_free(prices) && !is_free(Prices::default()));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -0.01] {
            let faults = check(Prices { input_per_million: Some(bad), output_per_million: None });
            assert_eq!(faults.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["prices.input_per_million"]);
        }
        assert!(check(FREE).is_empty() && check(Prices::default()).is_empty());
    }

    #[test]
    fn a_picture_counts_at_most_what_the_vendor_says() {
        let check = |kind, model, (width, height), expected| {
            assert_eq!(picture_tokens(kind, model, width, height), expected, "{model} {width}x{height}");
        };
        // Anthropic's page: 28 px patches.
        check(ProviderKind::Anthropic, "claude-haiku-4-5", (1092, 1092), 1521);
        check(ProviderKind::Anthropic, "claude-opus-5", (8000, 8000), 4784);
        // OpenAI's page: a picture of 1024 x 1024 is 1024 patches, times 2.46 for the dearest model.
        check(ProviderKind::OpenAi, "gpt-4.1-nano", (1024, 1024), 2520);
        check(ProviderKind::OpenAi, "gpt-4o-2024-08-06", (2048, 4096), 1445);
        check(ProviderKind::Gemini, "gemini-2.5-flash", (1920, 1080), 2322);
        check(ProviderKind::Builtin, "builtin-1", (1920, 1080), 0);
        check(ProviderKind::OpenAi, "new", (u32::MAX, u32::MAX), 6150);
    }
}
