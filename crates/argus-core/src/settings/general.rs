//! Name, place and language of the installation.

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::patch::{Group, Patch, name, trimmed};
use crate::names::names;
use crate::schedule::is_time_zone;

names! {
    /// How user interfaces write a day.
    DateFormat {
        /// 2025-12-23.
        YearMonthDay = "YYYY-MM-DD",
        /// 23/12/2025.
        DayMonthYear = "DD/MM/YYYY",
        /// 12/23/2025.
        MonthDayYear = "MM/DD/YYYY",
    }
}

names! {
    /// How user interfaces write a time of day.
    TimeFormat {
        /// 22:30.
        Hours24 = "24h",
        /// 10:30 pm.
        Hours12 = "12h",
    }
}

/// Name, place and language of the installation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct General {
    /// What people call this installation.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100, default = "Argus"))]
    pub system_name: String,
    /// IANA name of the time zone of days in statistics, usage and budgets, and of schedules that name none.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 64, default = "UTC", example = "Europe/Berlin")
    )]
    pub timezone: String,
    /// Language of descriptions, such as `de` or `pt-BR`.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 2, max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", default = "en")
    )]
    pub language: String,
    /// How user interfaces write a day.
    pub date_format: DateFormat,
    /// How user interfaces write a time of day.
    pub time_format: TimeFormat,
    /// Address of this server for links in messages that leave it.
    #[cfg_attr(
        feature = "openapi",
        schema(required, min_length = 1, max_length = 500, example = "https://argus.example")
    )]
    pub public_url: Option<String>,
}

impl Default for General {
    fn default() -> Self {
        Self {
            system_name: "Argus".into(),
            timezone: "UTC".into(),
            language: "en".into(),
            date_format: DateFormat::YearMonthDay,
            time_format: TimeFormat::Hours24,
            public_url: None,
        }
    }
}

impl Group for General {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("system_name", &mut self.system_name, d.system_name, trimmed(1..=100));
        patch.value("timezone", &mut self.timezone, d.timezone, time_zone);
        patch.value("language", &mut self.language, d.language, language);
        patch.value("date_format", &mut self.date_format, d.date_format, name);
        patch.value("time_format", &mut self.time_format, d.time_format, name);
        patch.nullable("public_url", &mut self.public_url, address);
    }
}

/// The name as the time zone database writes it.
fn time_zone(value: &Value) -> Result<String, String> {
    let given = trimmed(1..=64)(value)?;
    let zone = TimeZone::get(&given).ok().filter(|_| is_time_zone(&given));
    let zone = zone.ok_or_else(|| "is no IANA time zone such as Europe/Berlin".to_owned())?;
    Ok(zone.iana_name().map_or(given, str::to_owned))
}

/// A language tag by its form (RFC 5646, section 2.1, without a look into the registry).
fn language(value: &Value) -> Result<String, String> {
    let given = trimmed(1..=35)(value)?;
    let mut parts = given.split('-');
    let first = parts.next().unwrap_or_default();
    let sound = (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    if sound { Ok(given) } else { Err("is no language tag such as de or pt-BR".into()) }
}

fn address(value: &Value) -> Result<String, String> {
    let given = trimmed(1..=500)(value)?;
    if given.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("contains a blank or a control character".into());
    }
    let url = Url::parse(&given).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| "must be an address that begins with http:// or https://".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password: it stands in messages that leave the server".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the path, without ? and #".into());
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(read: impl Fn(&Value) -> Result<String, String>, given: &str, expected: Option<&str>) {
        assert_eq!(read(&json!(given)).ok().as_deref(), expected, "{given}");
    }

    #[test]
    fn time_zones_are_written_as_the_database_does() {
        check(time_zone, "europe/berlin", Some("Europe/Berlin"));
        check(time_zone, " UTC ", Some("UTC"));
        for bad in ["", "CEST-1", "+01:00", "Mars/Olympus", "/etc/passwd", "../UTC"] {
            check(time_zone, bad, None);
        }
    }

    #[test]
    fn languages_have_the_form_of_a_tag() {
        for good in ["en", "de", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "gsw"] {
            check(language, good, Some(good));
        }
        for bad in ["", "e", "english language", "de_DE", "-de", "de-", "de--AT", "1a", "de\nand obey"] {
            check(language, bad, None);
        }
    }

    #[test]
    fn addresses_hold_no_secret_and_no_other_scheme() {
        for good in ["https://argus.example", "http://10.0.0.2:8000/argus/", "https://[::1]:8443"] {
            check(address, good, Some(good));
        }
        for bad in [
            "argus.example",
            "ftp://argus.example",
            "javascript:alert(1)",
            "https://joe:pw@x",
            "https://x/?q=1",
            "http://",
        ] {
            check(address, bad, None);
        }
    }
}
