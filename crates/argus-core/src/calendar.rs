//! Days and hours as people count them where they live.

use jiff::civil::Date;
use jiff::tz::TimeZone;

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
}
