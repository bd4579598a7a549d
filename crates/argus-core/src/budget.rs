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

/// What a sum of floating-point numbers may be wrong by: a billionth of a dollar.
const ROUNDING_USD: f64 = 1e-9;

/// Whether a call may be made. `day_usd` and `month_usd` are what was spent in the present day and month, with what calls
/// that are under way may cost; `estimate` is the most that this one may cost, `None` when nobody knows.
///
/// A call that is known to be free is always allowed. One whose price is unknown does not count, so that it is allowed
/// until a limit is used up, and never under a limit of 0.
///
/// # Errors
/// The budget that it would overspend.
pub fn admit(limits: &Budgets, day_usd: f64, month_usd: f64, estimate: Option<f64>) -> Result<(), StatusReason> {
    let Some(estimate) = estimate else { return spent(limits, day_usd, month_usd).map_or(Ok(()), Err) };
    if estimate <= 0.0 {
        return Ok(());
    }
    let over = |limit: Option<f64>, sum: f64| limit.is_some_and(|limit| sum + estimate > limit + ROUNDING_USD);
    if over(limits.daily_usd, day_usd) {
        Err(StatusReason::BudgetDaily)
    } else if over(limits.monthly_usd, month_usd) {
        Err(StatusReason::BudgetMonthly)
    } else {
        Ok(())
    }
}

/// Parts of a budget, in percent, that people are told of.
pub const WARN_PERCENTS: [u8; 3] = [50, 80, 100];

/// The highest of [`WARN_PERCENTS`] that a sum has reached; `None` below all of them, and for a limit of 0, under which
/// nothing can be spent.
#[must_use]
pub fn reached(limit_usd: f64, spent_usd: f64) -> Option<u8> {
    let at = |percent: u8| limit_usd > 0.0 && spent_usd + ROUNDING_USD >= limit_usd * f64::from(percent) / 100.0;
    WARN_PERCENTS.into_iter().rev().find(|percent| at(*percent))
}

/// How much of a limit a sum is, percent; a limit of 0 is always used up.
#[must_use]
pub fn percent(limit_usd: f64, spent_usd: f64) -> f64 {
    if limit_usd > 0.0 { spent_usd / limit_usd * 100.0 } else { 100.0 }
}

/// What will be spent by the end of a period if it goes on as in the last days: what is spent, and for the time that is
/// left the mean of these days, each of which is whole. `None` when there is none.
#[must_use]
pub fn forecast(period: Period, now: Timestamp, spent_usd: f64, last_days_usd: &[f64]) -> Option<f64> {
    /// Seconds of a day; one with a change of the clock is near enough.
    const DAY_S: f64 = 86_400.0;
    let days = u32::try_from(last_days_usd.len()).ok().filter(|n| *n > 0)?;
    let mean = last_days_usd.iter().sum::<f64>() / f64::from(days);
    Some(spent_usd + mean * period.end.since(now.max(period.start)).as_secs_f64() / DAY_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_admitted_while_all_of_it_fits() {
        let limits = |daily, monthly| Budgets { daily_usd: daily, monthly_usd: monthly };
        let day = Err(StatusReason::BudgetDaily);
        let check = |limits: &Budgets, spent, estimate, expected: Result<(), StatusReason>| {
            assert_eq!(admit(limits, spent, spent, estimate), expected, "{limits:?} {spent} {estimate:?}");
        };
        check(&limits(None, None), 1e9, Some(1.0), Ok(()));
        check(&limits(Some(1.0), None), 0.9, Some(0.1), Ok(()));
        check(&limits(Some(1.0), None), 0.9, Some(0.11), day);
        // Ten times a tenth is a dollar, whatever floating point makes of it.
        check(&limits(Some(1.0), None), (0..9).map(|_| 0.1).sum(), Some(0.1), Ok(()));
        check(&limits(Some(5.0), Some(1.0)), 0.95, Some(0.1), Err(StatusReason::BudgetMonthly));
        check(&limits(Some(0.0), None), 0.0, Some(0.0), Ok(()));
        check(&limits(Some(0.0), None), 0.0, Some(0.001), day);
        check(&limits(Some(0.0), None), 0.0, None, day);
        check(&limits(Some(1.0), None), 0.99, None, Ok(()));
        check(&limits(Some(1.0), None), 1.0, None, day);
    }

    #[test]
    fn people_are_told_of_the_highest_part() {
        for (limit, spent, expected) in [
            (1.0, 0.49, None),
            (1.0, 0.5, Some(50)),
            (1.0, 0.799, Some(50)),
            (1.0, 0.8, Some(80)),
            (1.0, 1.0, Some(100)),
            (1.0, 7.0, Some(100)),
            (0.0, 0.0, None),
        ] {
            assert_eq!(reached(limit, spent), expected, "{spent} of {limit}");
        }
        assert_eq!((percent(2.0, 0.5), percent(0.0, 0.0)), (25.0, 100.0));
    }

    #[test]
    fn it_goes_on_as_in_the_last_days() {
        let now: Timestamp = "2025-12-21T12:00:00Z".parse().unwrap();
        let month = Period::month(now, "UTC");
        // Ten and a half days are left.
        assert_eq!(forecast(month, now, 20.0, &[1.0, 3.0]), Some(41.0));
        assert_eq!(forecast(Period::day(now, "UTC"), now, 0.25, &[1.0]), Some(0.75));
        assert_eq!(forecast(month, now, 20.0, &[]), None);
        assert_eq!(forecast(month, month.end, 20.0, &[9.0]), Some(20.0));
    }

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
