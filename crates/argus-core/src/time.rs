//! Moments and durations. Nothing here reads a clock: time is an argument, or comes from a [`Clock`].

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// A moment in UTC with microseconds, between the years -9999 and 9999.
///
/// As text it is RFC 3339 with milliseconds and `Z`; read, it may have any offset and any fraction (cut to milliseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Microseconds of -9999-01-02 and 9999-12-30, the first and last moment that every time zone can show.
const MIN_US: i64 = -377_705_023_201_000_000;
const MAX_US: i64 = 253_402_207_200_000_000;

impl Timestamp {
    /// The moment that many microseconds after 1970 in UTC; what lies outside the calendar is moved to its edge.
    #[must_use]
    pub fn from_micros(us: i64) -> Self {
        Self(us.clamp(MIN_US, MAX_US))
    }

    /// The moment that many milliseconds after 1970 in UTC.
    #[must_use]
    pub fn from_millis(ms: i64) -> Self {
        Self::from_micros(ms.saturating_mul(1000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `d` later.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(d)))
    }

    /// The moment `d` earlier.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(micros(d)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds from `earlier` to this; negative when this is before it.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1000)
    }

    /// The same moment for calendar arithmetic.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        // `from_micros` keeps the value inside what jiff can hold.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default()
    }
}

/// Whole microseconds of a duration, at most `i64::MAX`.
fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(t: jiff::Timestamp) -> Self {
        Self::from_micros(t.as_microsecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = jiff::Timestamp::from_millisecond(self.as_millis()).unwrap_or_default();
        write!(f, "{cut:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    /// Reads RFC 3339 with an offset; a fraction is cut to milliseconds.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("time", "is not an RFC 3339 time with an offset, such as 2025-12-23T10:30:00Z");
        // jiff reads more than RFC 3339 (a zone in brackets, a comma for the point): those stay out.
        if !text.is_ascii() || text.contains(['[', ',']) || !text.contains(['T', 't']) {
            return Err(bad());
        }
        let t: jiff::Timestamp = match text.parse() {
            Ok(t) => t,
            // The calendar ends a day before the year 9999 does, whose end people write for "never".
            Err(_) if text.starts_with("9999-12-3") && is_last_days(text) => jiff::Timestamp::MAX,
            Err(_) => return Err(bad()),
        };
        Ok(Self::from_millis(t.as_millisecond()))
    }
}

/// Whether this is a well written time of the last days that can be written: as it would be one a year earlier.
fn is_last_days(text: &str) -> bool {
    text.strip_prefix("9999").is_some_and(|rest| format!("9998{rest}").parse::<jiff::Timestamp>().is_ok())
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .examples([serde_json::json!("2025-12-23T10:30:00.000Z")])
            .build()
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {}

/// Tells what time it is. The real one lives in argus-engine; tests turn a [`ManualClock`] by hand.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, d: Duration) {
        self.0.fetch_add(micros(d), Ordering::SeqCst);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<&str>) {
        let got = input.parse::<Timestamp>().ok().map(|t| t.to_string());
        assert_eq!(got.as_deref(), expected, "{input:?}");
    }

    #[test]
    fn reads_rfc_3339_only() {
        check("2025-12-23T10:30:00Z", Some("2025-12-23T10:30:00.000Z"));
        check("2025-12-23T11:30:00.12399+01:00", Some("2025-12-23T10:30:00.123Z"));
        check("2025-12-23t10:30:00z", Some("2025-12-23T10:30:00.000Z"));
        check("9999-12-31T23:59:59Z", Some("9999-12-30T22:00:00.000Z"));
        check("9999-12-31T23:59:59", None);
        check("9999-12-32T23:59:59Z", None);
        check("2025-12-23T10:30:00", None);
        check("2025-12-23 10:30:00Z", None);
        check("2025-12-23", None);
        check("2025-12-23T10:30:00+01:00[Europe/Berlin]", None);
        check("1766485800", None);
        check("", None);
    }

    #[test]
    fn the_edges_of_the_calendar_hold() {
        for us in [i64::MIN, i64::MAX, 0, -1] {
            let t = Timestamp::from_micros(us);
            assert!(!t.to_string().is_empty());
            assert_eq!(t.to_jiff().as_microsecond(), t.as_micros());
        }
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(9)), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(0).millis_since(Timestamp::from_micros(1)), -1);
    }

    #[test]
    fn a_manual_clock_moves_by_hand() {
        let clock = ManualClock::new(Timestamp::from_millis(10));
        clock.advance(Duration::from_millis(5));
        assert_eq!(clock.now(), Timestamp::from_millis(15));
    }
}
