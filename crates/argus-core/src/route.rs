//! The way to a description that the budgets leave open: reuse, the cheapest, only who is free, nobody.

use jiff::tz::TimeZone;

use crate::Timestamp;
use crate::budget::{percent, spent};
use crate::describe::ProviderOrder;
use crate::event::StatusReason;
use crate::settings::{Budgets, Routing};

/// Characters of an event's text.
const LONGEST: usize = 5000;

/// How an event is to be described.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// The description of an event that looks the same may be taken over. Of which budget so much is spent, percent.
    pub reuse: Option<(StatusReason, f64)>,
    /// In which order providers are asked.
    pub order: ProviderOrder,
    /// A budget that is used up: only who is free is asked, and without such a one the event is skipped.
    pub spent: Option<StatusReason>,
}

/// Decides by what is taken of the budgets of the present day and month, US dollars.
#[must_use]
pub fn route(limits: &Budgets, routing: &Routing, day_usd: f64, month_usd: f64) -> Route {
    let of = |budget, limit: Option<f64>, sum| limit.map(|limit| (budget, percent(limit, sum)));
    let day = of(StatusReason::BudgetDaily, limits.daily_usd, day_usd);
    let month = of(StatusReason::BudgetMonthly, limits.monthly_usd, month_usd);
    // The one that is nearer to its end; the day's of equals.
    let tightest = match (day, month) {
        (Some(d), Some(m)) => Some(if m.1 > d.1 { m } else { d }),
        (one, other) => one.or(other),
    };
    let from = |at: u8| tightest.filter(|(_, used)| *used >= f64::from(at));
    Route {
        reuse: from(routing.reuse_from_percent).filter(|_| routing.reuse_within_s > 0),
        order: from(routing.cheapest_from_percent).map_or(ProviderOrder::Priority, |_| ProviderOrder::Cheapest),
        spent: spent(limits, day_usd, month_usd),
    }
}

/// The text of an event that looks the same, taken over: it says so, and from when it is.
#[must_use]
pub fn taken_over(text: &str, at: Timestamp, zone: &str, language: &str) -> String {
    let local = at.to_jiff().to_zoned_datetime(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
    let time = local.strftime("%H:%M");
    let head = match language.split('-').next().unwrap_or_default() {
        "de" => format!("Wie um {time} Uhr: "),
        "fr" => format!("Comme à {time} : "),
        "es" => format!("Como a las {time}: "),
        "it" => format!("Come alle {time}: "),
        "nl" => format!("Net als om {time}: "),
        "pt" => format!("Como às {time}: "),
        _ => format!("As at {time}: "),
    };
    head.chars().chain(text.chars()).take(LONGEST).collect()
}

/// What is normal for a camera at an hour of the day, by the events of so many whole days; `None` when these are too few
/// to say.
#[must_use]
pub fn usual(events_at_hour: u64, days: u64) -> Option<String> {
    if days < 3 {
        return None;
    }
    Some(match (events_at_hour + days / 2) / days {
        0 if events_at_hour == 0 => format!("In the last {days} days there was no event at this hour."),
        0 => "Less than one event at this hour on usual days.".to_owned(),
        1 => "About 1 event at this hour on usual days.".to_owned(),
        n => format!("About {n} events at this hour on usual days."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_taken_over_says_so() {
        let at: Timestamp = "2025-12-23T13:03:59Z".parse().unwrap();
        assert_eq!(taken_over("A cat.", at, "UTC", "en"), "As at 13:03: A cat.");
        assert_eq!(taken_over("Eine Katze.", at, "Europe/Berlin", "de-AT"), "Wie um 14:03 Uhr: Eine Katze.");
        assert_eq!(taken_over("Kot.", at, "Nowhere/Land", "pl"), "As at 13:03: Kot.");
        assert_eq!(taken_over(&"é".repeat(5000), at, "UTC", "en").chars().count(), 5000);
    }

    #[test]
    fn what_is_usual_takes_some_days_to_know() {
        let check = |events, days, expected: Option<&str>| assert_eq!(usual(events, days).as_deref(), expected);
        check(9, 2, None);
        check(0, 14, Some("In the last 14 days there was no event at this hour."));
        check(2, 14, Some("Less than one event at this hour on usual days."));
        check(14, 14, Some("About 1 event at this hour on usual days."));
        check(40, 14, Some("About 3 events at this hour on usual days."));
    }

    #[test]
    fn the_less_is_left_the_less_is_spent() {
        let limits = |daily, monthly| Budgets { daily_usd: daily, monthly_usd: monthly };
        let routing = Routing { reuse_within_s: 300, reuse_from_percent: 50, cheapest_from_percent: 80 };
        let check = |limits: &Budgets, sums: (f64, f64), reuse, order, spent| {
            let route = route(limits, &routing, sums.0, sums.1);
            assert_eq!((route.reuse, route.order, route.spent), (reuse, order, spent), "{limits:?} {sums:?}");
        };
        let (day, month) = (StatusReason::BudgetDaily, StatusReason::BudgetMonthly);
        let (as_set, cheapest) = (ProviderOrder::Priority, ProviderOrder::Cheapest);
        check(&limits(None, None), (99.0, 999.0), None, as_set, None);
        check(&limits(Some(1.0), None), (0.25, 0.25), None, as_set, None);
        check(&limits(Some(1.0), None), (0.5, 9.0), Some((day, 50.0)), as_set, None);
        check(&limits(Some(1.0), Some(10.0)), (0.25, 9.0), Some((month, 90.0)), cheapest, None);
        check(&limits(Some(1.0), Some(1.0)), (0.5, 0.5), Some((day, 50.0)), as_set, None);
        check(&limits(Some(1.0), None), (1.0, 1.0), Some((day, 100.0)), cheapest, Some(day));
        check(&limits(Some(0.0), None), (0.0, 0.0), Some((day, 100.0)), cheapest, Some(day));
    }

    #[test]
    fn nothing_is_reused_for_no_time_at_all() {
        let limits = Budgets { daily_usd: Some(1.0), monthly_usd: None };
        let routing = Routing { reuse_within_s: 0, reuse_from_percent: 0, cheapest_from_percent: 100 };
        assert_eq!(route(&limits, &routing, 0.9, 0.9).reuse, None);
        assert_eq!(route(&limits, &routing, 0.9, 0.9).order, ProviderOrder::Priority);
    }
}
