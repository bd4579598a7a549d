//! How the interface meets the network: proxies, origins, encryption.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use argus_core::Invalid;
use ipnet::IpNet;
use url::Url;

/// How the interface meets the network. The default trusts nobody and speaks plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Networks whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call this interface.
    pub cors_origins: Vec<Origin>,
    /// Networks that may read `/metrics` without credentials.
    pub metrics_allow: Vec<IpNet>,
    /// Encryption; without it plain HTTP is spoken.
    pub tls: Option<TlsFiles>,
}

/// Where certificate and key lie, and who is sent to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the server's certificate first, then those that lead to its root.
    pub cert: PathBuf,
    /// PEM, its private key.
    pub key: PathBuf,
    /// Address at which plain HTTP is answered with the way to HTTPS.
    pub redirect_listen: Option<SocketAddr>,
}

impl HttpConfig {
    /// Whether what this address says about its own callers is believed.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        holds(&self.trusted_proxies, ip)
    }

    /// Whether this address may read `/metrics` without credentials.
    #[must_use]
    pub fn may_read_metrics(&self, ip: IpAddr) -> bool {
        holds(&self.metrics_allow, ip)
    }

    /// Whether the value of an `Origin` header is one of the allowed origins.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.cors_origins.iter().any(|o| o.0 == origin)
    }
}

/// Whether one of the networks holds the address. IPv4 addresses in IPv6 form count as what they are.
fn holds(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|net| net.contains(&ip))
}

/// A network, or a single address as a network of one.
///
/// # Errors
/// `Invalid` when it is neither.
pub fn network(text: &str) -> Result<IpNet, Invalid> {
    let text = text.trim();
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| net.trunc())
        .ok_or_else(|| Invalid::new("", format!("{text:?} is no network or address, such as 10.0.0.0/8 or 127.0.0.1")))
}

/// Scheme, host and port of a web page, as browsers write them into `Origin` (RFC 6454, 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("", format!("{text:?} is no origin, such as https://home.example:8123"));
        let url = Url::parse(text.trim()).map_err(|_no_url| bad())?;
        let is_bare = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && !text.trim().ends_with('/')
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if is_bare { Ok(Self(url.origin().ascii_serialization())) } else { Err(bad()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_single_addresses() {
        let check = |text: &str, inside: &str, expected: bool| {
            let config = HttpConfig { trusted_proxies: vec![network(text).unwrap()], ..HttpConfig::default() };
            assert_eq!(config.trusts(inside.parse().unwrap()), expected, "{text} {inside}");
        };
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("fd00::/8", "fd12::1", true);
        check("::1", "127.0.0.1", false);
        for bad in ["", "x", "10.0.0.0/33", "10.0.0", "example.com"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_exact() {
        let check = |text: &str, expected: Option<&str>| {
            let got = text.parse::<Origin>().ok().map(|o| o.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("https://home.example", Some("https://home.example"));
        check("HTTPS://Home.Example:443", Some("https://home.example"));
        check("http://127.0.0.1:8123", Some("http://127.0.0.1:8123"));
        for bad in ["*", "null", "home.example", "https://a/", "https://a/x", "https://u@a", "https://a?b", "ftp://a", "file:///x"] {
            check(bad, None);
        }
    }
}
