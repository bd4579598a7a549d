//! The way to a description that the budgets leave open: reuse, the cheapest, only who is free, nobody.

use crate::budget::{percent, spent};
use crate::describe::ProviderOrder;
use crate::event::StatusReason;
use crate::settings::{Budgets, Routing};

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

#[cfg(test)]
mod tests {
    use super::*;

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
