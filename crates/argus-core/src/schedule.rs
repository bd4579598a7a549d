//! When a camera makes events: weekly windows of wall-clock time.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::names::names;
use crate::{Faults, Invalid, Timestamp};

names! {
    /// A day of the week.
    Day {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
        /// Saturday.
        Sat = "sat",
        /// Sunday.
        Sun = "sun",
    }
}

impl Day {
    fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// A time of day in whole minutes, `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// Minutes of a whole day.
const DAY_MIN: u16 = 24 * 60;

impl FromStr for TimeOfDay {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("", "is not a time of day as HH:MM");
        let (h, m) = text.split_once(':').ok_or_else(bad)?;
        let number = |t: &str| -> Option<u16> {
            if t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()) { t.parse().ok() } else { None }
        };
        let (h, m) = (number(h).ok_or_else(bad)?, number(m).ok_or_else(bad)?);
        let at = h * 60 + m;
        if m < 60 && at <= DAY_MIN { Ok(Self(at)) } else { Err(bad()) }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(|e: Invalid| de::Error::custom(e.reason))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for TimeOfDay {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"))
            .examples([serde_json::json!("22:30")])
            .build()
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for TimeOfDay {}

/// A span of the day on some days of the week. An `end` at or before `start` runs past midnight and belongs to the day
/// on which it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Window {
    /// The days on which it starts; at least one.
    pub days: Vec<Day>,
    /// First minute in it, before `24:00`.
    pub start: TimeOfDay,
    /// First minute after it; may be `24:00`.
    pub end: TimeOfDay,
}

/// When events are made. Without windows' effect (`enabled` false) always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Whether it has any effect.
    pub enabled: bool,
    /// IANA name; null means the server's `general.timezone`.
    pub timezone: Option<String>,
    /// 1 to 50 windows.
    pub windows: Vec<Window>,
}

impl Schedule {
    /// Whether events are made at `now`; `site` is the server's time zone. An unknown zone counts as UTC.
    #[must_use]
    pub fn is_active(&self, now: Timestamp, site: &str) -> bool {
        if !self.enabled {
            return true;
        }
        let name = self.timezone.as_deref().unwrap_or(site);
        let zone = TimeZone::get(name).unwrap_or(TimeZone::UTC);
        let local = zone.to_datetime(now.to_jiff());
        let hour = u16::from(local.hour().unsigned_abs());
        let minute = hour * 60 + u16::from(local.minute().unsigned_abs());
        let today = Day::of(local.weekday());
        let yesterday = Day::of(local.weekday().previous());
        self.windows.iter().any(|w| {
            let overnight = w.end <= w.start;
            let from_today = w.days.contains(&today) && minute >= w.start.0 && (overnight || minute < w.end.0);
            from_today || (overnight && w.days.contains(&yesterday) && minute < w.end.0)
        })
    }

    /// Adds what breaks a rule to `faults`.
    pub(crate) fn check(&self, at: &str, faults: &mut Faults) {
        if self.timezone.as_deref().is_some_and(|zone| !is_time_zone(zone)) {
            faults.add(format!("{at}.timezone"), "is no IANA time zone such as Europe/Berlin");
        }
        if !(1..=50).contains(&self.windows.len()) {
            faults.add(format!("{at}.windows"), "needs 1 to 50 windows");
        }
        for (i, w) in self.windows.iter().enumerate() {
            if w.days.is_empty() {
                faults.add(format!("{at}.windows[{i}].days"), "needs at least one day");
            }
            if w.start.0 >= DAY_MIN {
                faults.add(format!("{at}.windows[{i}].start"), "must be before 24:00");
            }
        }
    }
}

/// Whether `name` is in the time zone database.
#[must_use]
pub fn is_time_zone(name: &str) -> bool {
    name.len() <= 64 && TimeZone::get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(zone: &str) -> Schedule {
        Schedule {
            enabled: true,
            timezone: Some(zone.into()),
            windows: vec![Window {
                days: vec![Day::Fri],
                start: "22:00".parse().unwrap(),
                end: "06:00".parse().unwrap(),
            }],
        }
    }

    fn check(schedule: &Schedule, at: &str, expected: bool) {
        assert_eq!(schedule.is_active(at.parse().unwrap(), "UTC"), expected, "{at}");
    }

    #[test]
    fn a_window_past_midnight_belongs_to_its_first_day() {
        let s = night("UTC"); // 2025-12-26 is a Friday
        check(&s, "2025-12-26T21:59:59Z", false);
        check(&s, "2025-12-26T22:00:00Z", true);
        check(&s, "2025-12-27T05:59:59Z", true);
        check(&s, "2025-12-27T06:00:00Z", false);
        check(&s, "2025-12-26T03:00:00Z", false);
        check(&s, "2025-12-27T23:00:00Z", false);
    }

    #[test]
    fn wall_clock_time_decides_on_days_of_clock_change() {
        // In Berlin on 2025-10-26 (a Sunday) the hour from 2 to 3 comes twice.
        let s = Schedule {
            enabled: true,
            timezone: Some("Europe/Berlin".into()),
            windows: vec![Window {
                days: vec![Day::Sun],
                start: "02:00".parse().unwrap(),
                end: "03:00".parse().unwrap(),
            }],
        };
        check(&s, "2025-10-26T00:30:00Z", true); // 02:30 summer time
        check(&s, "2025-10-26T01:30:00Z", true); // 02:30 winter time
        check(&s, "2025-10-26T02:00:00Z", false);
        // and on 2025-03-30 it does not come at all
        check(&s, "2025-03-30T00:59:59Z", false);
        check(&s, "2025-03-30T01:00:00Z", false);
    }

    #[test]
    fn the_whole_day_ends_at_24() {
        let s = Schedule {
            enabled: true,
            timezone: None,
            windows: vec![Window {
                days: vec![Day::Fri],
                start: "00:00".parse().unwrap(),
                end: "24:00".parse().unwrap(),
            }],
        };
        check(&s, "2025-12-26T00:00:00Z", true);
        check(&s, "2025-12-26T23:59:59Z", true);
        check(&s, "2025-12-27T00:00:00Z", false);
        check(&Schedule { enabled: false, ..s }, "2025-12-27T00:00:00Z", true);
    }

    #[test]
    fn times_of_day_have_one_form() {
        for good in ["00:00", "09:05", "23:59", "24:00"] {
            assert_eq!(good.parse::<TimeOfDay>().unwrap().to_string(), good);
        }
        for bad in ["24:01", "9:05", "12:60", "ab:cd", "", "12", "+1:00"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn zones_are_known_or_refused() {
        assert!(is_time_zone("America/New_York") && !is_time_zone("Mars/Olympus"));
        let mut faults = Faults::default();
        Schedule { enabled: true, timezone: Some("Mars/Olympus".into()), windows: vec![] }.check("s", &mut faults);
        let fields: Vec<_> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["s.timezone", "s.windows"]);
    }
}
