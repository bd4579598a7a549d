//! Days and hours as people count them where they live.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::budget::Period;
use crate::{Invalid, Timestamp};

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
}

/// An hour of the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalHour {
    /// The day.
    pub date: Date,
    /// 0..23.
    pub hour: u8,
}

const HOUR_US: i64 = 3_600_000_000;

/// Numbers of the hours of a wall clock: the same for an hour that comes twice, and turned back into the day and the hour
/// by [`LocalHour::numbered`]. Remembers how far the zone is off, and until when.
#[derive(Clone, Debug)]
pub struct Hours {
    zone: TimeZone,
    /// From here on the clock runs evenly…
    from_us: i64,
    /// …up to here.
    until_us: i64,
    offset_us: i64,
}

impl Hours {
    /// The number of the hour at a moment, in microseconds.
    pub fn number(&mut self, us: i64) -> i64 {
        if us < self.from_us || us >= self.until_us {
            let at = Timestamp::from_micros(us).to_jiff();
            self.offset_us = i64::from(self.zone.to_offset(at).seconds()) * 1_000_000;
            let next = self.zone.following(at).next();
            (self.from_us, self.until_us) = (us, next.map_or(i64::MAX, |next| next.timestamp().as_microsecond()));
        }
        us.saturating_add(self.offset_us).div_euclid(HOUR_US)
    }

    /// The number of the one hour in which a stretch lies with all of its moments; `None` when it lies in several.
    pub fn of(&mut self, from_us: i64, until_us: i64) -> Option<i64> {
        let first = self.number(from_us);
        let is_one = until_us <= self.until_us && self.number(until_us.saturating_sub(1)) == first;
        is_one.then_some(first)
    }
}

impl LocalHour {
    /// The hour with this number; `None` for one that no calendar has.
    #[must_use]
    pub fn numbered(number: i64) -> Option<Self> {
        let days = jiff::Span::new().try_days(number.div_euclid(24)).ok()?;
        let date = Date::constant(1970, 1, 1).checked_add(days).ok()?;
        Some(Self { date, hour: u8::try_from(number.rem_euclid(24)).ok()? })
    }
}

impl Calendar {
    /// The calendar of a zone, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn named(name: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("timezone", "is no IANA time zone, such as Europe/Berlin");
        let zone = TimeZone::get(name).map_err(|_unknown| bad())?;
        let name = zone.iana_name().filter(|_| !zone.is_unknown()).ok_or_else(bad)?.to_owned();
        Ok(Self { name, zone })
    }

    /// The zone's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clock on the wall shows at a moment.
    #[must_use]
    pub fn local_hour(&self, at: Timestamp) -> LocalHour {
        let local = self.zone.to_datetime(at.to_jiff());
        LocalHour { date: local.date(), hour: local.hour().cast_unsigned() }
    }

    /// The same for many moments, quickly when they follow one another.
    #[must_use]
    pub fn hours(&self) -> Hours {
        Hours { zone: self.zone.clone(), from_us: i64::MAX, until_us: i64::MIN, offset_us: 0 }
    }

    /// The day of a date in the form `2025-12-23`.
    ///
    /// # Errors
    /// When there is no such date.
    pub fn day(&self, date: &str) -> Result<Period, Invalid> {
        let bad = || Invalid::new("date", "is no date, such as 2025-12-23");
        let first: Date = date.parse().map_err(|_no_date| bad())?;
        // Other spellings are understood too, but one day has one name.
        if first.to_string() != date {
            return Err(bad());
        }
        let start = |day: Date| {
            let zoned = day.to_zoned_datetime(self.zone.clone()).map_err(|_outside| bad())?;
            Ok(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
        };
        let next = first.tomorrow().map_err(|_outside| bad())?;
        Ok(Period { start: start(first)?, end: start(next)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: &str, at: &str, expected: &str) {
        let local = Calendar::named(zone).unwrap().local_hour(at.parse().unwrap());
        assert_eq!(format!("{} {:02}", local.date, local.hour), expected, "{zone} {at}");
    }

    #[test]
    fn hours_are_those_of_the_wall() {
        check("UTC", "2025-12-23T23:59:59.999Z", "2025-12-23 23");
        check("Europe/Berlin", "2025-12-23T23:30:00Z", "2025-12-24 00");
        check("Asia/Kolkata", "2025-12-23T18:29:59Z", "2025-12-23 23");
        check("Asia/Kolkata", "2025-12-23T18:30:00Z", "2025-12-24 00");
        // The hour that comes twice.
        check("Europe/Berlin", "2025-10-26T00:30:00Z", "2025-10-26 02");
        check("Europe/Berlin", "2025-10-26T01:30:00Z", "2025-10-26 02");
    }

    #[test]
    fn numbered_hours_are_the_same() {
        let quarter = HOUR_US / 4;
        for zone in ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Monrovia"] {
            let calendar = Calendar::named(zone).unwrap();
            // Changes of the clock in both directions, by an hour and by half of one, and an offset with seconds.
            for start in
                ["2025-03-29T00:00:00Z", "2025-10-25T00:00:00Z", "2025-04-05T00:00:00Z", "1972-01-06T00:00:00Z"]
            {
                let start = start.parse::<Timestamp>().unwrap().as_micros();
                let mut hours = calendar.hours();
                for us in (0..2 * 96).map(|n| start + n * quarter) {
                    let expected = calendar.local_hour(Timestamp::from_micros(us));
                    assert_eq!(LocalHour::numbered(hours.number(us)), Some(expected), "{zone} {us}");
                    let last = calendar.local_hour(Timestamp::from_micros(us + quarter - 1));
                    if let Some(number) = hours.of(us, us + quarter) {
                        assert_eq!((LocalHour::numbered(number), last), (Some(expected), expected), "{zone} {us}");
                    } else {
                        assert!(last != expected || zone == "Africa/Monrovia", "{zone} {us}");
                    }
                }
                // Backwards as well.
                assert_eq!(
                    LocalHour::numbered(hours.number(start)),
                    Some(calendar.local_hour(Timestamp::from_micros(start)))
                );
            }
        }
        assert_eq!(LocalHour::numbered(i64::MAX), None);
        assert_eq!(LocalHour::numbered(-1).unwrap().date.to_string(), "1969-12-31");
    }

    #[test]
    fn only_zones_of_the_database_are_known() {
        for bad in ["", "Berlin", "+02:00", "EST5EDT4,M3.2.0,M11.1.0", "Etc/Unknown", "../UTC"] {
            assert!(Calendar::named(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Calendar::named("Europe/Berlin").unwrap().name(), "Europe/Berlin");
    }

    #[test]
    fn a_day_begins_and_ends_where_people_live() {
        let day = |zone: &str, date: &str| {
            let day = Calendar::named(zone).unwrap().day(date).ok()?;
            Some((day.start.to_string(), day.end.to_string()))
        };
        let span = |start: &str, end: &str| Some((start.to_owned(), end.to_owned()));
        let check = |zone, date, expected| assert_eq!(day(zone, date), expected, "{zone} {date}");
        check("UTC", "2024-02-29", span("2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z"));
        check("Europe/Berlin", "2025-03-30", span("2025-03-29T23:00:00.000Z", "2025-03-30T22:00:00.000Z"));
        // Clocks went from 0:00 to 1:00.
        check("America/Asuncion", "2023-10-01", span("2023-10-01T04:00:00.000Z", "2023-10-02T03:00:00.000Z"));
        for bad in ["2025-02-29", "2025-1-1", "20250101", "2025-01-01T00:00", " 2025-01-01", "", "9999-12-31"] {
            check("UTC", bad, None);
        }
    }
}
