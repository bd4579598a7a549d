//! What must be known of an endpoint.

use std::time::Duration;

use argus_core::{Invalid, ProviderId, Secret};
use async_openai::config::OpenAIConfig;
use reqwest::header::HeaderValue;
use url::Url;

use crate::prices::Prices;

/// OpenAI's own endpoint.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Whose endpoint it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenAiKind {
    /// OpenAI's own.
    OpenAi,
    /// One that speaks the same language.
    Compatible,
}

impl OpenAiKind {
    /// The kind as the API names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Compatible => "openai_compatible",
        }
    }
}

/// An endpoint and its model.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The provider's row, where there is one.
    pub id: Option<ProviderId>,
    /// Its name, as people gave it.
    pub name: String,
    /// Whose endpoint it is.
    pub kind: OpenAiKind,
    /// Where `/chat/completions` hangs, such as [`OPENAI_BASE_URL`]; http or https, without user, password, query or
    /// fragment.
    pub base_url: String,
    /// The model to ask.
    pub model: String,
    /// Sent as bearer token; local servers often need none.
    pub api_key: Option<Secret>,
    /// Limit for one call, all ways of asking together; more than zero.
    pub timeout: Duration,
    /// Limit for the answer; models that think before they answer spend it on that, too.
    pub max_output_tokens: u32,
    /// What the model costs, as far as it is known.
    pub prices: Prices,
}

impl OpenAiConfig {
    /// A configuration named after its kind, without key and prices, with 30 s and 400 tokens.
    #[must_use]
    pub fn new(kind: OpenAiKind, base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            id: None,
            name: kind.as_str().to_owned(),
            kind,
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            timeout: Duration::from_secs(30),
            max_output_tokens: 400,
            prices: Prices::default(),
        }
    }

    /// Checks everything and makes the endpoint.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Invalid> {
        if self.model.trim().is_empty() {
            return Err(Invalid::new("model", "must not be empty"));
        }
        if self.timeout.is_zero() {
            return Err(Invalid::new("timeout_s", "must be more than zero"));
        }
        self.prices.check()?;
        Ok(Endpoint { base: base_url(&self.base_url)?, authorization: authorization(self.api_key.as_ref())? })
    }
}

/// The reasons never quote the address: it may hold a password.
fn base_url(text: &str) -> Result<Url, Invalid> {
    let bad = |reason: &str| Invalid::new("base_url", reason);
    let url = Url::parse(text.trim()).map_err(|_parse: url::ParseError| bad("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("must begin with http:// or https:// and have a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not hold a user or password; the key has its own field"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must not have a query or fragment"));
    }
    Ok(url)
}

fn authorization(key: Option<&Secret>) -> Result<Option<HeaderValue>, Invalid> {
    let Some(key) = key.filter(|k| !k.expose().is_empty()) else { return Ok(None) };
    let bad = |_invalid| Invalid::new("api_key", "holds characters that cannot be sent");
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(bad)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Where to ask and how to show who asks.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) base: Url,
    /// Marked as sensitive, so that it is not shown by `Debug`.
    pub(super) authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// The endpoint for async-openai. Every field is set, because those left out would come from the environment, which
    /// must not decide what is sent where. The key is not among them: the transport sets the header, so that without a
    /// key there is none.
    pub(super) fn for_client(&self) -> OpenAIConfig {
        OpenAIConfig::new()
            .with_api_base(self.base.as_str().trim_end_matches('/'))
            .with_api_key("")
            .with_org_id("")
            .with_project_id("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OpenAiConfig {
        OpenAiConfig::new(OpenAiKind::OpenAi, OPENAI_BASE_URL, "m")
    }

    #[test]
    fn bad_values_are_refused_by_name_and_never_quoted() {
        let check = |config: OpenAiConfig, field: &str| {
            let fault = config.endpoint().unwrap_err();
            assert_eq!(fault.field, field);
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        };
        for bad in [
            "",
            "api.openai.com/v1",
            "ftp://hunter2.example/v1",
            "https://user:hunter2@example.org/v1",
            "https://hunter2@example.org/v1",
            "https://example.org/v1?key=hunter2",
            "https://example.org/v1#hunter2",
            "file:///hunter2",
            "http://",
        ] {
            check(OpenAiConfig { base_url: bad.into(), ..config() }, "base_url");
        }
        check(OpenAiConfig { api_key: Some(Secret::new("hunter2\n")), ..config() }, "api_key");
        check(OpenAiConfig { model: " ".into(), ..config() }, "model");
        check(OpenAiConfig { timeout: Duration::ZERO, ..config() }, "timeout_s");
        let prices = Prices { input_per_million: Some(-1.0), output_per_million: None };
        check(OpenAiConfig { prices, ..config() }, "prices.input_per_million");
    }

    #[test]
    fn a_key_is_not_shown() {
        let config = OpenAiConfig { api_key: Some(Secret::new("hunter2")), ..config() };
        let endpoint = config.endpoint().unwrap();
        assert_eq!(endpoint.authorization.as_ref().map(HeaderValue::as_bytes), Some(&b"Bearer hunter2"[..]));
        assert!(!format!("{config:?} {endpoint:?}").contains("hunter2"));
        let empty = OpenAiConfig { api_key: Some(Secret::new("")), ..config };
        assert_eq!(empty.endpoint().unwrap().authorization, None);
    }
}
