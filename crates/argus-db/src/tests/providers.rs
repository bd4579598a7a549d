//! Providers.

use argus_core::provider::{Prices, ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{ProviderId, Secret};

use super::{at, on_both};
use crate::DbError;

fn provider(name: &str, priority: u16) -> StoredProvider {
    StoredProvider {
        id: ProviderId::new(at(i64::from(priority))),
        created_at: at(1),
        updated_at: at(1),
        config: ProviderConfig {
            kind: ProviderKind::OpenAi,
            name: name.into(),
            model: "tiny-1".into(),
            base_url: Some("http://127.0.0.1:9/v1".into()),
            api_key: Some(Secret::new("sk-very-secret")),
            enabled: true,
            priority,
            timeout_s: 30,
            max_output_tokens: 400,
            prices: Some(Prices { input_per_million: Some(0.15), output_per_million: None }),
            max_concurrent: 4,
            requests_per_minute: Some(60),
        },
    }
}

on_both! {
    async fn a_new_installation_has_the_built_in_one_which_stays(t) {
        let all = t.db.ai_provider_all().await.unwrap();
        assert_eq!(all.len(), 1);
        let config = &all[0].config;
        assert_eq!((config.kind, config.name.as_str(), config.priority, config.enabled),
            (ProviderKind::Builtin, "builtin", 1000, true));
        assert!(config.api_key.is_none() && config.prices.is_none());
        assert!(!t.db.ai_provider_delete(all[0].id).await.unwrap());
        assert_eq!(t.db.ai_provider_all().await.unwrap(), all);
        let mut second = provider("Another", 5);
        second.config.kind = ProviderKind::Builtin;
        assert!(matches!(t.db.ai_provider_insert(second).await, Err(DbError::Conflict { .. })));
    }

    async fn every_change_shows_in_the_stamps(t) {
        let other = t.again().await;
        let mut seen = vec![other.ai_provider_stamps().await.unwrap()];
        let a = provider("A", 10);
        t.db.ai_provider_insert(a.clone()).await.unwrap();
        seen.push(other.ai_provider_stamps().await.unwrap());
        let config = ProviderConfig { enabled: false, ..a.config.clone() };
        t.db.ai_provider_edit(a.id, at(9), move |_| Ok::<_, ()>(config)).await.unwrap().unwrap();
        seen.push(other.ai_provider_stamps().await.unwrap());
        let mut different = seen.clone();
        different.dedup();
        assert_eq!(different.len(), 3, "{seen:?}");
        assert!(t.db.ai_provider_delete(a.id).await.unwrap());
        assert_eq!(other.ai_provider_stamps().await.unwrap(), seen[0]);
    }

    async fn providers_are_kept_as_they_are_in_order_of_priority(t) {
        let (b, a) = (provider("B", 20), provider("A", 10));
        for one in [&b, &a] {
            t.db.ai_provider_insert(one.clone()).await.unwrap();
        }
        let all = t.db.ai_provider_all().await.unwrap();
        assert_eq!(&all[..2], [a.clone(), b.clone()]);
        assert_eq!(t.db.ai_provider_get(a.id).await.unwrap(), a);

        let renamed = ProviderConfig { name: "C".into(), api_key: None, prices: None, ..b.config.clone() };
        let edited = t.db.ai_provider_edit(b.id, at(9), move |_| Ok::<_, ()>(renamed)).await.unwrap().unwrap();
        assert_eq!((edited.created_at, edited.updated_at, edited.config.name.as_str()), (at(1), at(9), "C"));
        assert_eq!(t.db.ai_provider_get(b.id).await.unwrap(), edited);
        assert_eq!(t.db.ai_provider_edit(b.id, at(10), |_| Err("no")).await.unwrap(), Err("no"));
        assert_eq!(t.db.ai_provider_get(b.id).await.unwrap(), edited);

        assert!(t.db.ai_provider_delete(b.id).await.unwrap());
        let gone = |r: Result<_, DbError>| matches!(r, Err(DbError::NotFound { what: "provider" }));
        assert!(gone(t.db.ai_provider_delete(b.id).await));
        assert!(gone(t.db.ai_provider_get(b.id).await.map(|_| true)));
        assert!(gone(t.db.ai_provider_edit(b.id, at(9), |_| Err(())).await.map(|_| true)));
    }

    async fn names_are_taken_ignoring_case(t) {
        t.db.ai_provider_insert(provider("Große Küche", 10)).await.unwrap();
        let other = t.db.ai_provider_insert(provider("Other", 11)).await.unwrap();
        let taken = |r: Result<(), DbError>| matches!(r, Err(DbError::Conflict { what: "provider", field: "name" }));
        assert!(taken(t.db.ai_provider_insert(provider("GROSSE KÜCHE", 12)).await.map(drop)));
        assert!(taken(t.db.ai_provider_insert(provider("Builtin", 12)).await.map(drop)));
        let config = ProviderConfig { name: "große küche".into(), ..other.config.clone() };
        assert!(taken(t.db.ai_provider_edit(other.id, at(9), |_| Ok::<_, ()>(config)).await.map(drop)));
    }

    async fn a_key_is_sealed_where_it_lies(t) {
        let stored = t.db.ai_provider_insert(provider("A", 10)).await.unwrap();
        assert_eq!(t.db.reseal().await.unwrap(), 1);
        let id = stored.id.to_string();
        let raw: Option<String> = t.db.read(move |c| {
            use diesel::prelude::*;
            use crate::schema::ai_provider;
            Ok(ai_provider::table.find(id).select(ai_provider::api_key).first(c)?)
        }).await.unwrap();
        let raw = raw.unwrap();
        assert!(raw.starts_with("v1.") && !raw.contains("secret"), "{raw}");
        assert_eq!(t.db.ai_provider_get(stored.id).await.unwrap(), stored);
        assert!(!format!("{stored:?}").contains("sk-very"), "{stored:?}");
    }
}
