//! The providers as they are configured now, and the [`Describer`] of the rest of the program.

use std::sync::{Arc, PoisonError, RwLock};

use argus_core::call::Ledger;
use argus_core::describe::{DescribeOutcome, DescribeRequest, ProviderInfo, Resend};
use argus_core::figures::ProviderFigures;
use argus_core::ports::Describer;
use argus_core::provider::{
    KindInfo, Prices, ProviderCapabilities, ProviderConfig, ProviderHealth, ProviderKind, ProviderTest, StoredProvider,
};
use argus_core::{Clock, Faults, ProviderId, Secret};
use async_trait::async_trait;

use crate::chain::Attempt;
use crate::member::{Make, Member, capabilities};
use crate::vendor::{kind_info, kinds_version, vendor};
use crate::{prices, resend, trial};

/// Stands in for the key of a provider that is switched off, so that the rest of it can be checked.
const NO_KEY: &str = "none-yet";

/// Providers in order of preference, each behind a breaker and its limits. Whether the built-in describer has the last
/// word is decided by its priority.
///
/// They can be changed at any time: descriptions that are being made end with the providers that they began with.
pub struct Providers {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) make: Box<Make>,
    members: RwLock<Arc<[Arc<Member>]>>,
}

impl Providers {
    /// Nobody yet; `clock` decides how long a breaker stays open.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_vendors(clock, Box::new(vendor))
    }

    pub(crate) fn with_vendors(clock: Arc<dyn Clock>, make: Box<Make>) -> Self {
        Self { clock, make, members: RwLock::new(Arc::new([])) }
    }

    /// All of them, by priority.
    pub(crate) fn members(&self) -> Arc<[Arc<Member>]> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those that are asked.
    pub(crate) fn enabled(&self) -> Vec<Arc<Member>> {
        self.members().iter().filter(|member| member.config().enabled).map(Arc::clone).collect()
    }

    pub(crate) fn member(&self, id: ProviderId) -> Option<Arc<Member>> {
        self.members().iter().find(|member| member.stored.id == id).map(Arc::clone)
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members = self.members();
        let names: Vec<&str> = members.iter().map(|member| member.config().name.as_str()).collect();
        f.debug_struct("Providers")
            .field("names", &names)
            .field("kinds", &kinds_version())
            .field("prices", &prices::table_version())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Describer for Providers {
    /// Pictures are needed when nobody can do without.
    fn needs_pictures(&self) -> bool {
        self.enabled().iter().all(|member| !member.is_builtin())
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        let info = |member: &Arc<Member>| ProviderInfo {
            id: Some(member.stored.id),
            name: member.config().name.clone(),
            costs: member.costs(),
        };
        self.enabled().iter().map(info).collect()
    }

    async fn describe(&self, request: &DescribeRequest, ledger: &dyn Ledger) -> DescribeOutcome {
        Attempt::new(self, request, ledger).run().await
    }

    fn kinds(&self) -> Vec<KindInfo> {
        let enabled = self.enabled();
        let configured = |kind| enabled.iter().any(|member| member.config().kind == kind);
        ProviderKind::ALL.iter().map(|kind| KindInfo { configured: configured(*kind), ..kind_info(*kind) }).collect()
    }

    fn check(&self, config: &ProviderConfig) -> Result<(), Faults> {
        let mut faults = Faults(config.prices.map(prices::check).unwrap_or_default());
        if config.kind != ProviderKind::Builtin {
            let mut config = config.clone();
            // A provider that is switched off may wait for its key.
            if !config.enabled && config.api_key.is_none() {
                config.api_key = Some(Secret::new(NO_KEY));
            }
            if let Err(found) = (self.make)(&config) {
                faults.0.extend(found.0);
            }
        }
        faults.or(())
    }

    fn configure(&self, providers: &[StoredProvider]) {
        let before = self.members();
        let of_before = |id| before.iter().find(|member| member.stored.id == id).map(AsRef::as_ref);
        let mut members: Vec<Arc<Member>> =
            providers.iter().map(|stored| Arc::new(Member::new(stored, of_before(stored.id), &*self.make))).collect();
        members.sort_by_key(|member| (member.config().priority, member.stored.id));
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members.into();
    }

    fn health(&self, id: ProviderId) -> ProviderHealth {
        let now = self.clock.now();
        self.member(id).map_or(ProviderHealth::UNKNOWN, |member| member.breaker.health(now))
    }

    fn figures(&self) -> Vec<ProviderFigures> {
        let now = self.clock.now();
        let of = |member: &Arc<Member>| {
            let health = member.breaker.health(now);
            ProviderFigures {
                provider: member.config().name.clone(),
                state: health.state,
                breaker: health.breaker,
                passed_over: member.breaker.passed_over_count(),
            }
        };
        self.enabled().iter().map(of).collect()
    }

    fn capabilities(&self, config: &ProviderConfig) -> ProviderCapabilities {
        capabilities(config.kind)
    }

    fn prices(&self, config: &ProviderConfig) -> Prices {
        prices::of(config)
    }

    async fn test(&self, provider: &StoredProvider, ledger: &dyn Ledger) -> ProviderTest {
        trial::run(self, provider, ledger).await
    }

    async fn resend(&self, call: &Resend, ledger: &dyn Ledger) -> DescribeOutcome {
        resend::run(self, call, ledger).await
    }
}
