//! Providers that come, go and change while descriptions are made.

use std::time::Duration;

use argus_core::Secret;
use argus_core::describe::DescribeFailure;
use argus_core::ports::Describer;
use argus_core::provider::{BreakerState, Prices, ProviderConfig, ProviderHealth, ProviderKind, ProviderState};

use crate::fake::{Does, FakeVendor, GOOD, Rig, builtin, config, request, stored};

#[tokio::test(start_paused = true)]
async fn health_outlives_a_change_that_does_not_touch_it() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Fails(DescribeFailure::Unauthorized, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    rig.providers.describe(&request(1), &rig.book).await;
    let health = rig.providers.health(a.id);
    assert_eq!((health.state, health.breaker), (ProviderState::Down, BreakerState::Open));
    let mut changed = a.clone();
    (changed.config.priority, changed.config.timeout_s, changed.config.name) = (9, 5, "a".into());
    rig.providers.configure(std::slice::from_ref(&changed));
    assert_eq!(rig.providers.health(a.id), health);
    // Another key is another chance.
    changed.config.api_key = Some(Secret::new("new"));
    rig.providers.configure(std::slice::from_ref(&changed));
    assert_eq!(rig.providers.health(a.id), ProviderHealth::UNKNOWN);
    rig.providers.configure(&[]);
    assert_eq!(rig.providers.health(a.id), ProviderHealth::UNKNOWN);
    assert!(rig.providers.providers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn limits_outlive_every_change() {
    let mut a = stored("a", 1);
    a.config.requests_per_minute = Some(1);
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    rig.providers.describe(&request(1), &rig.book).await;
    a.config.api_key = Some(Secret::new("new"));
    rig.providers.configure(std::slice::from_ref(&a));
    let error = rig.providers.describe(&request(1), &rig.book).await.result.unwrap_err();
    assert_eq!(error.message, "passed over: the 1 calls that it may have in a minute were made");
}

#[tokio::test(start_paused = true)]
async fn a_description_ends_with_the_providers_that_it_began_with() {
    let (a, b) = (stored("a", 1), stored("b", 2));
    let slow = FakeVendor::new([Does::Fails(DescribeFailure::ServerError, 5_000)]);
    let good = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &slow), (&b, &good)]);
    rig.providers.configure(&[a, b]);
    let asked = request(1);
    let change = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.providers.configure(&[]);
    };
    let (outcome, ()) = tokio::join!(rig.providers.describe(&asked, &rig.book), change);
    assert_eq!(outcome.record.provider_name.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_kinds_and_prices_is_told() {
    let rig = Rig::new(&[]);
    rig.providers.configure(&[builtin()]);
    let kinds = rig.providers.kinds();
    assert_eq!(kinds.len(), ProviderKind::ALL.len());
    let configured: Vec<ProviderKind> = kinds.iter().filter(|k| k.configured).map(|k| k.kind).collect();
    assert_eq!(configured, [ProviderKind::Builtin]);
    assert_eq!(rig.providers.capabilities(&config(ProviderKind::Builtin)).max_images, 0);
    assert!(rig.providers.capabilities(&config(ProviderKind::Anthropic)).max_images >= 20);
    let free = Prices { input_per_million: Some(0.0), output_per_million: Some(0.0) };
    assert_eq!(rig.providers.prices(&config(ProviderKind::Ollama)), free);
    assert!(!rig.providers.providers()[0].costs);
}

#[test]
fn every_fault_of_a_configuration_is_named() {
    let clock = std::sync::Arc::new(argus_core::ManualClock::new(crate::fake::now()));
    let providers = crate::Providers::new(clock);
    let fields = |config: &ProviderConfig| match providers.check(config) {
        Ok(()) => Vec::new(),
        Err(faults) => faults.0.into_iter().map(|fault| fault.field).collect(),
    };
    assert_eq!(fields(&config(ProviderKind::Builtin)), Vec::<String>::new());
    assert_eq!(fields(&config(ProviderKind::Ollama)), Vec::<String>::new());
    assert_eq!(fields(&config(ProviderKind::OpenAiCompatible)), ["base_url"]);
    assert_eq!(fields(&config(ProviderKind::Anthropic)), ["api_key"]);
    // One that is switched off may wait for its key.
    let off = ProviderConfig { enabled: false, ..config(ProviderKind::Anthropic) };
    assert_eq!(fields(&off), Vec::<String>::new());
    let prices = Prices { input_per_million: Some(-1.0), output_per_million: Some(f64::NAN) };
    let priced = ProviderConfig { prices: Some(prices), ..config(ProviderKind::OpenAiCompatible) };
    assert_eq!(fields(&priced), ["prices.input_per_million", "prices.output_per_million", "base_url"]);
}
