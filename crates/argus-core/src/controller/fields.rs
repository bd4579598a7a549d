//! The flat fields of a controller, each of the right type but not yet checked, and their rules.

use super::ControllerConfig;
use crate::text::text;
use crate::{Faults, Secret};

/// What a request gives. Defaults are those that `POST /protect/controllers` has.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one field a field of `POST /protect/controllers`; the checked form is documented")]
pub struct ControllerFields {
    pub name: String,
    pub host: String,
    pub port: i64,
    pub api_key: Option<Secret>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub verify_tls: bool,
    pub certificate_sha256: Option<String>,
    pub is_enabled: bool,
}

impl ControllerFields {
    /// A controller of that name and host with everything else at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            port: 443,
            api_key: None,
            username: None,
            password: None,
            verify_tls: true,
            certificate_sha256: None,
            is_enabled: true,
        }
    }

    /// Checks every rule for the fields.
    ///
    /// # Errors
    /// All faults found, each with its field.
    pub fn check(self) -> Result<ControllerConfig, Faults> {
        let mut faults = Faults::default();
        let name = self.name.trim().to_owned();
        if let Err(reason) = text(&name, 1..=100) {
            faults.add("name", reason);
        }
        let host = host(self.host.trim(), &mut faults);
        let port = u16::try_from(self.port).ok().filter(|port| *port > 0);
        if port.is_none() {
            faults.add("port", format!("is {}, allowed are 1 to 65535", self.port));
        }
        let secrets = [
            ("api_key", self.api_key.as_ref().map(Secret::expose), 256),
            ("username", self.username.as_deref(), 100),
            ("password", self.password.as_ref().map(Secret::expose), 100),
        ];
        for (field, value, longest) in secrets {
            if let Some(Err(reason)) = value.map(|v| text(v, 1..=longest)) {
                faults.add(field, reason);
            }
        }
        if let Some(key) = &self.api_key
            && key.expose().chars().any(|c| !c.is_ascii_graphic())
        {
            faults.add("api_key", "contains a character that no key has");
        }
        match (&self.username, &self.password) {
            (Some(_), None) => faults.add("password", "is required with a user name"),
            (None, Some(_)) => faults.add("username", "is required with a password"),
            (None, None) if self.api_key.is_none() => {
                faults.add("api_key", "is required, unless there are a user name and a password");
            }
            _ => {}
        }
        let certificate_sha256 = self.certificate_sha256.map(|pin| pin_of(&pin, &mut faults));
        let config = ControllerConfig {
            name,
            host,
            port: port.unwrap_or(443),
            api_key: self.api_key,
            username: self.username,
            password: self.password,
            verify_tls: self.verify_tls,
            certificate_sha256,
            is_enabled: self.is_enabled,
        };
        faults.or(config)
    }
}

impl From<&ControllerConfig> for ControllerFields {
    /// The fields that give this configuration, for a partial update.
    fn from(c: &ControllerConfig) -> Self {
        Self {
            name: c.name.clone(),
            host: c.host.clone(),
            port: c.port.into(),
            api_key: c.api_key.clone(),
            username: c.username.clone(),
            password: c.password.clone(),
            verify_tls: c.verify_tls,
            certificate_sha256: c.certificate_sha256.clone(),
            is_enabled: c.is_enabled,
        }
    }
}

/// A name or address, in lower case, an IPv6 address without its brackets.
fn host(given: &str, faults: &mut Faults) -> String {
    if let Err(reason) = text(given, 1..=255) {
        faults.add("host", reason);
        return String::new();
    }
    let bare = given.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(given);
    if let Ok(address) = bare.parse::<std::net::Ipv6Addr>() {
        return address.to_string();
    }
    // What the address of a request would make of it must be this host and nothing else.
    let parsed = url::Host::parse(given);
    let plain = given.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match parsed {
        Ok(url::Host::Domain(name)) if plain => name,
        Ok(url::Host::Ipv4(address)) if plain => address.to_string(),
        _ => {
            faults.add("host", "must be a name or an address, without scheme, port or path");
            String::new()
        }
    }
}

/// 64 hex digits in lower case; colons between them are left out.
fn pin_of(given: &str, faults: &mut Faults) -> String {
    let digits: String = given.trim().chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        faults.add("certificate_sha256", "must be 64 hex digits, the SHA-256 of the certificate");
    }
    digits.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(change: impl FnOnce(&mut ControllerFields)) -> Result<ControllerConfig, Vec<String>> {
        let mut fields = ControllerFields::new("Home", "10.0.0.1");
        fields.api_key = Some(Secret::new("key"));
        change(&mut fields);
        fields.check().map_err(|faults| faults.0.into_iter().map(|f| f.field).collect())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for (given, host) in [
            ("10.0.0.1", "10.0.0.1"),
            ("unifi.local", "unifi.local"),
            (" UniFi.Local ", "unifi.local"),
            ("[fe80::1]", "fe80::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("my_console", "my_console"),
        ] {
            assert_eq!(with_key(|f| f.host = given.into()).unwrap().host, host, "{given}");
        }
        for bad in ["", "https://x", "x:443", "x/y", "joe@x", "x y", "x?y", "x#y", "[x]", "a%2fb", "1.2.3.4.5"] {
            assert_eq!(with_key(|f| f.host = bad.into()).unwrap_err(), ["host"], "{bad}");
        }
    }

    #[test]
    fn there_must_be_a_way_to_sign_in() {
        assert_eq!(with_key(|f| f.api_key = None).unwrap_err(), ["api_key"]);
        assert_eq!(with_key(|f| f.username = Some("joe".into())).unwrap_err(), ["password"]);
        assert_eq!(with_key(|f| f.password = Some(Secret::new("x"))).unwrap_err(), ["username"]);
        let local = with_key(|f| {
            f.api_key = None;
            f.username = Some("joe".into());
            f.password = Some(Secret::new("secret"));
        });
        let config = local.unwrap();
        assert_eq!(ControllerFields::from(&config).check().unwrap(), config);
    }

    #[test]
    fn ports_and_pins_keep_their_form() {
        for port in [0, 65_536, -1] {
            assert_eq!(with_key(|f| f.port = port).unwrap_err(), ["port"]);
        }
        let pin = "AB:".repeat(31) + "cd";
        let config = with_key(|f| f.certificate_sha256 = Some(pin)).unwrap();
        assert_eq!(config.certificate_sha256.unwrap(), "ab".repeat(31) + "cd");
        for bad in ["", "ab", &"g".repeat(64)] {
            assert_eq!(with_key(|f| f.certificate_sha256 = Some(bad.into())).unwrap_err(), ["certificate_sha256"]);
        }
    }
}
