//! Whether a configuration can be asked at all: every fault by its field.

use argus_core::provider::{ProviderConfig, ProviderKind};
use argus_core::{Faults, Invalid, Secret};
use reqwest::header::HeaderValue;
use url::{Host, Url};

use super::kinds::kind_info;
use super::reach::is_local;

/// Longest name of a model, characters.
const MAX_MODEL: usize = 200;

/// Where to ask and how to show who asks.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Without user, password, query and fragment, and without a slash at the end.
    pub(super) base: Url,
    /// The key, where there is one.
    pub(super) key: Option<Secret>,
}

impl Endpoint {
    /// The address of a path below the base. `version` is put between unless the base ends with it already: half of the
    /// world writes it into the base, half does not.
    pub(super) fn at(&self, version: &str, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        let given = self.base.path_segments().and_then(|mut s| s.rfind(|part| !part.is_empty()));
        let has_version = version.is_empty() || given == Some(version);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            if !has_version {
                segments.push(version);
            }
            segments.extend(path);
        }
        url
    }
}

/// The endpoint and the model of a configuration.
///
/// # Errors
/// Every field that breaks a rule. No reason quotes an address or a key: the address may hold a password.
pub(super) fn check(config: &ProviderConfig) -> Result<(Endpoint, String), Faults> {
    let mut faults = Faults::default();
    let info = kind_info(config.kind);
    let key = config.api_key.clone().filter(|key| !key.expose().is_empty());
    if key.is_none() && info.needs_key && config.enabled {
        faults.add("api_key", format!("is needed for {}", config.kind));
    }
    if key.as_ref().is_some_and(|key| HeaderValue::from_str(key.expose()).is_err()) {
        faults.add("api_key", "holds characters that cannot be sent");
    }
    let model = config.model.trim();
    if model.is_empty() {
        faults.add("model", "must not be empty");
    } else if model.chars().count() > MAX_MODEL || model.chars().any(char::is_control) {
        faults.add("model", format!("must have at most {MAX_MODEL} characters, none of them a control character"));
    }
    let given = config.base_url.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let base = match given.or(info.default_base_url.as_deref()) {
        None => Err(Invalid::new("base_url", format!("is needed for {}", config.kind))),
        Some(text) => base_url(text, key.is_some()),
    };
    match base {
        Ok(base) => faults.or((Endpoint { base, key }, model.to_owned())),
        // The built-in describer has no address; its fault is its kind.
        Err(_) if config.kind == ProviderKind::Builtin => Err(Faults(vec![Invalid::new("kind", "asks nobody")])),
        Err(fault) => {
            faults.0.push(fault);
            Err(faults)
        }
    }
}

fn base_url(text: &str, has_key: bool) -> Result<Url, Invalid> {
    let bad = |reason: &str| Invalid::new("base_url", reason);
    let url = Url::parse(text).map_err(|_parse: url::ParseError| bad("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("must begin with http:// or https:// and have a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not hold a user or password; the key has its own field"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must not have a query or fragment"));
    }
    let outside = match url.host() {
        Some(Host::Ipv4(ip)) => !is_local(ip.into()),
        Some(Host::Ipv6(ip)) => !is_local(ip.into()),
        // What a name means is found when it is asked; the transport refuses then.
        _ => false,
    };
    if url.scheme() == "http" && outside && has_key {
        return Err(bad("must begin with https://: the key would cross the Internet in the clear"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: ProviderKind) -> ProviderConfig {
        ProviderConfig {
            kind,
            name: "n".into(),
            model: "m".into(),
            base_url: None,
            api_key: Some(Secret::new("sk-hunter2")),
            enabled: true,
            priority: 1,
            timeout_s: 30,
            max_output_tokens: 400,
            prices: None,
            max_concurrent: 1,
            requests_per_minute: None,
        }
    }

    fn faults(config: &ProviderConfig) -> Vec<String> {
        let faults = check(config).unwrap_err();
        assert!(!faults.to_string().contains("hunter2"), "{faults}");
        faults.0.into_iter().map(|f| f.field).collect()
    }

    #[test]
    fn every_fault_is_named_and_nothing_is_quoted() {
        for bad in [
            "api.openai.com/v1",
            "ftp://hunter2.example/v1",
            "https://user:hunter2@example.org/v1",
            "https://hunter2@example.org/v1",
            "https://example.org/v1?key=hunter2",
            "https://example.org/v1#hunter2",
            "file:///hunter2",
            "http://",
            "http://93.184.216.34/v1",
            "http://[2606:2800:220:1::1]/v1",
            "http://100.64.0.1/v1",
        ] {
            let config = ProviderConfig { base_url: Some(bad.into()), ..config(ProviderKind::OpenAi) };
            assert_eq!(faults(&config), ["base_url"], "{bad}");
        }
        let bad = ProviderConfig {
            model: " ".into(),
            api_key: Some(Secret::new("hunter2\n")),
            ..config(ProviderKind::OpenAiCompatible)
        };
        assert_eq!(faults(&bad), ["api_key", "model", "base_url"]);
        let keyless = ProviderConfig { api_key: Some(Secret::new("")), ..config(ProviderKind::Gemini) };
        assert_eq!(faults(&keyless), ["api_key"]);
        assert_eq!(faults(&config(ProviderKind::Builtin)), ["kind"]);
        let long = ProviderConfig { model: "m".repeat(MAX_MODEL + 1), ..config(ProviderKind::Xai) };
        assert_eq!(faults(&long), ["model"]);
    }

    #[test]
    fn what_is_fine_is_taken() {
        for kind in [ProviderKind::OpenAi, ProviderKind::Xai, ProviderKind::Anthropic, ProviderKind::Gemini] {
            let (endpoint, model) = check(&config(kind)).unwrap();
            assert_eq!((endpoint.base.scheme(), model.as_str()), ("https", "m"), "{kind}");
            assert!(!format!("{endpoint:?}").contains("hunter2"));
            let off = ProviderConfig { enabled: false, api_key: None, ..config(kind) };
            assert!(check(&off).is_ok(), "{kind} may wait for its key while it is off");
        }
        for fine in
            ["http://127.0.0.1:1/v1", "http://[::1]:1", "http://10.0.0.7", "http://gpu.lan:8080/v1", "https://8.8.8.8"]
        {
            let config = ProviderConfig { base_url: Some(fine.into()), ..config(ProviderKind::OpenAiCompatible) };
            assert!(check(&config).is_ok(), "{fine}");
        }
        let open = ProviderConfig {
            base_url: Some("http://93.184.216.34/v1".into()),
            api_key: None,
            ..config(ProviderKind::OpenAiCompatible)
        };
        assert!(check(&open).is_ok(), "without a key there is nothing to lose");
    }

    #[test]
    fn paths_are_hung_below_the_base() {
        let at = |base: &str, version: &str, path: &[&str]| {
            Endpoint { base: Url::parse(base).unwrap(), key: None }.at(version, path).to_string()
        };
        assert_eq!(at("https://a.example", "v1", &["messages"]), "https://a.example/v1/messages");
        assert_eq!(at("https://a.example/v1/", "v1", &["messages"]), "https://a.example/v1/messages");
        assert_eq!(at("https://a.example/x", "", &["api", "tags"]), "https://a.example/x/api/tags");
        // A model's name stays one part of the path, whatever it holds.
        assert_eq!(at("https://a.example", "v1", &["../../x?y#z:go"]), "https://a.example/v1/..%2F..%2Fx%3Fy%23z:go");
    }
}
