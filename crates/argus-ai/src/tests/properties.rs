//! Whatever vendors do: in time, in order, on the account, and nobody twice.

use std::sync::Arc;
use std::time::Duration;

use argus_core::describe::{DescribeFailure, DescribeRequest};
use argus_core::ports::Describer;
use argus_core::provider::{BreakerState, StoredProvider};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::fake::{Does, FakeVendor, GOOD, Rig, VAGUE, builtin, request, stored};

/// What is let pass beyond a deadline: a vendor that ignores its limit is cut off half a second later.
const GRACE: Duration = Duration::from_millis(500);

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        3 => (0_u64..40_000).prop_map(|ms| Does::Says(GOOD, ms)),
        1 => (0_u64..40_000).prop_map(|ms| Does::Says(VAGUE, ms)),
        1 => Just(Does::Says("", 0)),
        1 => Just(Does::Says("{\"description\": 5}", 100)),
        3 => (prop::sample::select(DescribeFailure::ALL), 0_u64..40_000).prop_map(|(kind, ms)| Does::Fails(kind, ms)),
        1 => (1_u64..100).prop_map(Does::Limits),
        1 => Just(Does::TakesItsTime),
        1 => Just(Does::Hangs),
    ]
}

/// What the failures that are counted came to, as docs/ai.md says it.
#[derive(Default)]
struct Model {
    in_a_row: u32,
}

struct Case {
    scripts: Vec<Vec<Does>>,
    within: Duration,
    rounds: usize,
    with_builtin: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let scripts = prop::collection::vec(prop::collection::vec(does(), 1..6), 1..5);
    (scripts, 1_u64..120, 1_usize..8, any::<bool>()).prop_map(|(scripts, within, rounds, with_builtin)| Case {
        scripts,
        within: Duration::from_secs(within),
        rounds,
        with_builtin,
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} within {:?}, {} rounds, builtin {}", self.scripts, self.within, self.rounds, self.with_builtin)
    }
}

async fn check(case: Case) -> Result<(), TestCaseError> {
    let stored: Vec<StoredProvider> =
        (0..case.scripts.len()).map(|n| stored(&format!("p{n}"), u16::try_from(n + 1).unwrap())).collect();
    let vendors: Vec<Arc<FakeVendor>> = case.scripts.iter().map(|script| FakeVendor::new(script.clone())).collect();
    let pairs: Vec<(&StoredProvider, &Arc<FakeVendor>)> = stored.iter().zip(&vendors).collect();
    let rig = Rig::new(&pairs);
    let mut all = stored.clone();
    if case.with_builtin {
        all.push(builtin());
    }
    rig.providers.configure(&all);
    let mut models: Vec<Model> = stored.iter().map(|_| Model::default()).collect();
    for _ in 0..case.rounds {
        let before: Vec<usize> = vendors.iter().map(|v| v.calls()).collect();
        let booked_before = rig.book.names().len();
        let begun = Instant::now();
        let asked = DescribeRequest { within: case.within, ..request(1) };
        let outcome = rig.providers.describe(&asked, &rig.book).await;
        // In time.
        prop_assert!(begun.elapsed() <= case.within + GRACE, "{:?}", begun.elapsed());
        // Settled, all of it.
        prop_assert!(rig.book.is_closed());
        // In order, and nobody twice but for an answer that said nothing.
        let names = rig.book.names().split_off(booked_before);
        let mut sorted = names.clone();
        sorted.sort_by_key(|name| if name == "builtin" { "~".to_owned() } else { name.clone() });
        prop_assert_eq!(&names, &sorted);
        for (n, vendor) in vendors.iter().enumerate() {
            let calls = vendor.calls() - before[n];
            let again =
                outcome.record.fallback_path.iter().filter(|s| s.provider_name == stored[n].config.name).count();
            prop_assert!(calls <= 1 || (calls == 2 && again >= 1), "{} was asked {calls} times", stored[n].config.name);
        }
        // Everybody who did not answer has a reason, unless somebody before had the word.
        let told = |name: &str| outcome.record.fallback_path.iter().any(|s| s.provider_name == name);
        let last = outcome.record.provider_name.clone().unwrap();
        for provider in all.iter().take_while(|p| outcome.result.is_err() || p.config.name != last) {
            prop_assert!(
                told(&provider.config.name) || provider.config.name == last,
                "no word of {}",
                provider.config.name
            );
        }
        prop_assert!(!case.with_builtin || outcome.result.is_ok());
        // Costs are the sum of the calls.
        let settled = rig.book.settled.lock().unwrap();
        let sum: f64 = settled[booked_before..].iter().filter_map(|(_, call)| call.cost).sum();
        prop_assert!((outcome.record.cost.unwrap_or_default() - sum).abs() < 1e-9);
        // An estimate is the most that a call costs.
        for ((_, call), (_, planned)) in settled.iter().zip(rig.book.booked.lock().unwrap().iter()) {
            prop_assert!(call.cost <= planned.estimate);
        }
        drop(settled);
        for (n, model) in models.iter_mut().enumerate() {
            let health = rig.providers.health(stored[n].id);
            let called = vendors[n].calls() > before[n];
            if called {
                let answered = outcome.result.is_ok() && last == stored[n].config.name;
                model.in_a_row = if answered { 0 } else { model.in_a_row + 1 };
                if answered {
                    prop_assert_eq!(health.breaker, BreakerState::Closed);
                }
            }
            if health.breaker == BreakerState::Open {
                // Five in a row, or one that does not mend itself, or a wish.
                let error = health.last_error.clone().unwrap();
                let at_once = ["unauthorized", "quota", "model_not_found", "rate_limited"];
                prop_assert!(model.in_a_row >= 5 || at_once.iter().any(|kind| error.starts_with(kind)), "{error}");
            }
        }
        rig.clock.advance(begun.elapsed());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_vendors_do(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check(case))?;
    }
}
