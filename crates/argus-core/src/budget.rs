//! Whether descriptions may still cost money: sums of a day and of a month against their limits.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::Timestamp;
use crate::event::StatusReason;
use crate::settings::Budgets;

/// A span of time: its first moment, and the first after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First moment in it.
    pub start: Timestamp,
    /// First moment after it.
    pub end: Timestamp,
}

impl Period {
    /// The calendar day of a time zone in which `now` lies; an unknown zone counts as UTC.
    #[must_use]
    pub fn day(now: Timestamp, zone: &str) -> Self {
        let local = local(now, zone);
        Self::of(now, local.start_of_day(), local.tomorrow().and_then(|z| z.start_of_day()))
    }

    /// The calendar month of a time zone in which `now` lies.
    #[must_use]
    pub fn month(now: Timestamp, zone: &str) -> Self {
        let local = local(now, zone);
        let last = local.last_of_month();
        Self::of(
            now,
            local.first_of_month().and_then(|z| z.start_of_day()),
            last.and_then(|z| z.tomorrow()).and_then(|z| z.start_of_day()),
        )
    }

    /// At the ends of what a calendar can hold a period is the moment itself.
    fn of(now: Timestamp, start: Result<ZonedDateTime, jiff::Error>, end: Result<ZonedDateTime, jiff::Error>) -> Self {
        let moment = |at: Result<ZonedDateTime, jiff::Error>| {
            at.map_or(now, |z| Timestamp::from_micros(z.timestamp().as_microsecond()))
        };
        Self { start: moment(start), end: moment(end) }
    }
}

fn local(now: Timestamp, zone: &str) -> ZonedDateTime {
    now.to_jiff().to_zoned_datetime(TimeZone::get(zone).unwrap_or(TimeZone::UTC))
}

/// Which limit is used up by what was spent in the present day and month, US dollars. A limit of 0 always is.
#[must_use]
pub fn spent(limits: &Budgets, day_usd: f64, month_usd: f64) -> Option<StatusReason> {
    let over = |limit: Option<f64>, sum: f64| limit.is_some_and(|limit| sum >= limit);
    if over(limits.daily_usd, day_usd) {
        Some(StatusReason::BudgetDaily)
    } else if over(limits.monthly_usd, month_usd) {
        Some(StatusReason::BudgetMonthly)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(period: Period, start: &str, end: &str) {
        assert_eq!(period, Period { start: start.parse().unwrap(), end: end.parse().unwrap() });
    }

    #[test]
    fn days_and_months_are_those_of_the_zone() {
        let late: Timestamp = "2025-12-31T23:30:00Z".parse().unwrap();
        check(Period::day(late, "UTC"), "2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z");
        check(Period::day(late, "Europe/Berlin"), "2025-12-31T23:00:00Z", "2026-01-01T23:00:00Z");
        check(Period::month(late, "UTC"), "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z");
        check(Period::month(late, "Europe/Berlin"), "2025-12-31T23:00:00Z", "2026-01-31T23:00:00Z");
        check(Period::day(late, "Asia/Kathmandu"), "2025-12-31T18:15:00Z", "2026-01-01T18:15:00Z");
        check(Period::day(late, "Nowhere/Land"), "2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_day_of_a_clock_change_has_its_own_length() {
        let short: Timestamp = "2025-03-30T12:00:00Z".parse().unwrap();
        check(Period::day(short, "Europe/Berlin"), "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z");
    }

    #[test]
    fn a_limit_is_used_up_when_it_is_reached() {
        let limits = |daily, monthly| Budgets { daily_usd: daily, monthly_usd: monthly };
        assert_eq!(spent(&limits(None, None), 1e9, 1e9), None);
        assert_eq!(spent(&limits(Some(1.0), None), 0.99, 50.0), None);
        assert_eq!(spent(&limits(Some(1.0), None), 1.0, 1.0), Some(StatusReason::BudgetDaily));
        assert_eq!(spent(&limits(Some(1.0), Some(5.0)), 0.5, 5.1), Some(StatusReason::BudgetMonthly));
        assert_eq!(spent(&limits(Some(0.0), None), 0.0, 0.0), Some(StatusReason::BudgetDaily));
        assert_eq!(spent(&limits(None, Some(0.0)), 0.0, 0.0), Some(StatusReason::BudgetMonthly));
    }
}
