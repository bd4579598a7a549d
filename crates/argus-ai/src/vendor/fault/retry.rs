//! When to come back, as an endpoint wishes it.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// `retry-after-ms` (`OpenAI`), or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), the latter reckoned from the
/// answer's own `Date`, so that no clock is read and no two clocks are compared.
pub(super) fn after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|t| t.parse::<f64>().ok()) {
        return duration(ms / 1000.0);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if value.parse::<f64>().is_ok() {
        return seconds(value);
    }
    let date = |t: &str| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(t).ok();
    let wait = date(value)?.duration_since(date(text(DATE.as_str())?)?);
    Some(Duration::try_from(wait).ok()?.min(MAX_RETRY_AFTER))
}

/// A number of seconds.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    duration(text.parse().ok()?)
}

fn duration(s: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(s).ok().map(|d| d.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn waits_are_read_in_every_form() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<u64>| {
            let headers: HeaderMap =
                pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect();
            assert_eq!(after(&headers), expected.map(Duration::from_millis), "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "20")], Some(20_000));
        check(&[("retry-after", "0.5")], Some(500));
        check(&[("retry-after", "20"), ("retry-after-ms", "1500")], Some(1_500));
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "NaN")], None);
        check(&[("retry-after", "99999999")], Some(86_400_000));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), date], Some(30_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date], None);
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")], None);
    }
}
