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
