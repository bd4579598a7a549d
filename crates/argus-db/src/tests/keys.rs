//! API keys and settings.

use std::time::Duration;

use argus_core::api_key::{NewApiKey, Scope};
use argus_core::{ApiKeyId, UserId};

use super::{at, on_both};
use crate::{ApiKeyUse, Database, DbError};

async fn add(db: &Database, name: &str, hash: u8, seconds: i64) -> argus_core::api_key::ApiKey {
    let expires = (name == "short").then(|| at(100));
    let new = NewApiKey::check(name, &[Scope::ReadEvents, Scope::Admin], expires, 100, at(0)).unwrap();
    let id = ApiKeyId::new(at(seconds));
    db.api_key_insert(new, id, "argus_ab".into(), [hash; 32], Some(UserId::new(at(0))), at(seconds)).await.unwrap()
}

on_both! {
    async fn a_key_is_found_by_its_hash_until_it_ends(t) {
        let key = add(&t.db, "short", 1, 0).await;
        assert_eq!(t.db.api_key_by_hash(&[1; 32], at(99)).await.unwrap().unwrap(), key);
        assert!(key.is_active && key.scopes == [Scope::ReadEvents, Scope::Admin]);
        assert!(!t.db.api_key_by_hash(&[1; 32], at(100)).await.unwrap().unwrap().is_active);
        assert_eq!(t.db.api_key_by_hash(&[2; 32], at(0)).await.unwrap(), None);
        let before = t.db.api_key_revocations();
        let revoked = t.db.api_key_revoke(key.id, at(5)).await.unwrap();
        assert_ne!(t.db.clone().api_key_revocations(), before);
        assert_eq!((revoked.is_active, revoked.revoked_at), (false, Some(at(5))));
        let again = t.db.api_key_revoke(key.id, at(9)).await.unwrap();
        assert_eq!(again.revoked_at, Some(at(5)));
        assert!(!t.db.api_key_by_hash(&[1; 32], at(6)).await.unwrap().unwrap().is_active);
        let none = ApiKeyId::new(at(77));
        assert!(matches!(t.db.api_key_get(none, at(0)).await, Err(DbError::NotFound { .. })));
        assert!(matches!(t.db.api_key_revoke(none, at(0)).await, Err(DbError::NotFound { .. })));
        let same = NewApiKey::check("x", &[Scope::Admin], None, 1, at(0)).unwrap();
        let taken = t.db.api_key_insert(same, none, "argus_ab".into(), [1; 32], None, at(0)).await;
        assert!(matches!(taken, Err(DbError::Conflict { .. })));
    }

    async fn keys_are_listed_oldest_first(t) {
        for (i, name) in ["c", "short", "a"].into_iter().enumerate() {
            let n = u8::try_from(i).unwrap();
            add(&t.db, name, n, i64::from(n)).await;
        }
        let all = t.db.api_key_list(false, 1, 10, at(500)).await.unwrap();
        let names: Vec<_> = all.items.iter().map(|k| (k.name.as_str(), k.is_active)).collect();
        assert_eq!(names, [("c", true), ("short", false), ("a", true)]);
        t.db.api_key_revoke(all.items[0].id, at(5)).await.unwrap();
        let page = t.db.api_key_list(false, 2, 1, at(0)).await.unwrap();
        assert_eq!((page.items[0].name.as_str(), page.total), ("a", 2));
        assert_eq!(t.db.api_key_list(true, 1, 10, at(0)).await.unwrap().total, 3);
    }

    async fn use_adds_up(t) {
        let key = add(&t.db, "a", 1, 0).await;
        let other = add(&t.db, "b", 2, 1).await;
        let used = |id, count, s, ip: &str| ApiKeyUse { id, count, last_used_at: at(s), ip: Some(ip.into()) };
        let batch = vec![used(other.id, 1, 2, "::1"), used(key.id, 3, 20, "10.0.0.1"), used(ApiKeyId::new(at(9)), 1, 1, "x")];
        t.db.api_key_used(batch).await.unwrap();
        t.db.api_key_used(vec![used(key.id, 2, 10, "10.0.0.2")]).await.unwrap();
        let now = t.db.api_key_get(key.id, at(30)).await.unwrap();
        assert_eq!((now.usage_count, now.last_used_at, now.last_used_ip.as_deref()), (5, Some(at(20)), Some("10.0.0.1")));
        assert_eq!(t.db.api_key_get(other.id, at(30)).await.unwrap().usage_count, 1);
        let many: Vec<_> = (0..6).map(|i| {
            let db = t.db.clone();
            let mut batch = vec![used(key.id, 1, 40, "a"), used(other.id, 1, 40, "b")];
            if i % 2 == 0 {
                batch.reverse();
            }
            tokio::spawn(async move { db.api_key_used(batch).await })
        }).collect();
        for one in many {
            tokio::time::timeout(Duration::from_secs(30), one).await.unwrap().unwrap().unwrap();
        }
        assert_eq!(t.db.api_key_get(key.id, at(30)).await.unwrap().usage_count, 11);
    }

    async fn settings_are_put_and_read(t) {
        assert_eq!(t.db.setting_updated_at().await.unwrap(), None);
        t.put(&[("ai", r#"{"enabled":true}"#)], at(1)).await.unwrap();
        t.put(&[("general", "{}")], at(2)).await.unwrap();
        t.put(&[("ai", "null")], at(3)).await.unwrap();
        let all = t.db.setting_get_all().await.unwrap();
        assert_eq!(all, [("ai".to_owned(), "null".to_owned()), ("general".into(), "{}".into())].into());
        assert_eq!(t.db.setting_updated_at().await.unwrap(), Some(at(3)));
    }
    async fn of_many_changes_at_once_each_sees_the_ones_before(t) {
        let other = t.again().await;
        let edits: Vec<_> = (0..20).map(|i| {
            let db = if i % 2 == 0 { t.db.clone() } else { other.clone() };
            tokio::spawn(async move {
                let edit = |stored: &std::collections::BTreeMap<String, String>| {
                    let before: u32 = stored.get("ai.count").map_or(0, |n| n.parse().unwrap());
                    Ok::<_, ()>(([("ai.count".to_owned(), (before + 1).to_string())].into(), before))
                };
                db.setting_edit(at(i), edit).await.unwrap().unwrap()
            })
        }).collect();
        let mut seen = Vec::new();
        for edit in edits {
            let (names, before) = edit.await.unwrap();
            assert_eq!(names, ["ai.count"]);
            seen.push(before);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<u32>>());
        let refused = t.db.setting_edit(at(99), |_| Err::<(std::collections::BTreeMap<String, String>, ()), _>("no")).await;
        assert_eq!(refused.unwrap(), Err("no"));
        assert_eq!(t.db.setting_get_all().await.unwrap()["ai.count"], "20");
    }
}
