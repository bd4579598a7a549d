//! Sessions and the chain of their refresh tokens.

use argus_core::user::{Role, User, UserChange};
use argus_core::{Secret, SessionId, Timestamp, UserId};

use super::list::rows;
use super::users::{add, password};
use super::{TestDb, at, on_both};
use crate::{Database, NewRefresh, NewSession, Presented, Refreshed};

fn refresh(fill: u8, end: i64) -> NewRefresh {
    NewRefresh { sha256: [fill; 32], expires_at: at(end) }
}

fn session(fill: u8, seconds: i64) -> NewSession {
    let id = SessionId::new(at(seconds));
    NewSession {
        id,
        ip_address: Some("::1".into()),
        user_agent: Some("curl\0".into()),
        refresh: refresh(fill, seconds + 1000),
    }
}

async fn open(db: &Database, user: &User, fill: u8, seconds: i64) -> SessionId {
    let new = session(fill, seconds);
    let id = new.id;
    let opened = db.session_open(user.id, Secret::new("hash"), new, at(seconds)).await.unwrap().unwrap();
    assert_eq!((opened.id, opened.last_login), (user.id, Some(at(seconds))));
    id
}

/// A token that is known by its hash alone.
fn plain(fill: u8) -> Presented {
    Presented { sha256: [fill; 32], of: None }
}

/// One of which can be seen whose it is.
fn signed(fill: u8, id: SessionId) -> Presented {
    Presented { sha256: [fill; 32], of: Some(id) }
}

async fn renew(db: &Database, old: u8, new: u8, now: i64) -> Refreshed {
    renew_by(db, plain(old), new, now).await
}

async fn renew_by(db: &Database, old: Presented, new: u8, now: i64) -> Refreshed {
    db.session_refresh(old, refresh(new, now + 1000), Some("10.0.0.1".into()), None, at(now)).await.unwrap()
}

async fn lives(t: &TestDb, id: SessionId, now: Timestamp) -> bool {
    t.db.session_get(id, now).await.unwrap().is_some()
}

on_both! {
    async fn a_session_goes_on_by_its_newest_token_only(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let id = open(&t.db, &ada, 1, 10).await;
        let (stored, owner) = t.db.session_get(id, at(11)).await.unwrap().unwrap();
        assert_eq!((stored.user_id, stored.created_at, stored.expires_at, owner.id), (ada.id, at(10), at(1010), ada.id));
        assert_eq!((stored.ip_address.as_deref(), stored.user_agent.as_deref()), (Some("::1"), Some("curl\u{fffd}")));
        assert!(matches!(renew(&t.db, 1, 2, 20).await, Refreshed::Good(user, of) if user.id == ada.id && of == id));
        assert!(matches!(renew(&t.db, 2, 3, 30).await, Refreshed::Good(..)));
        let (stored, _) = t.db.session_get(id, at(31)).await.unwrap().unwrap();
        assert_eq!((stored.created_at, stored.last_active_at, stored.expires_at), (at(10), at(30), at(1030)));
        assert_eq!(stored.ip_address.as_deref(), Some("10.0.0.1"));
        assert_eq!(t.db.session_of_refresh(plain(1), at(40)).await.unwrap(), Some(id));
        // A replaced one is theft: nothing of the session is left, its newest token neither.
        assert_eq!(renew(&t.db, 1, 9, 40).await, Refreshed::Reused(id));
        assert!(!lives(&t, id, at(40)).await);
        assert_eq!(renew(&t.db, 3, 9, 40).await, Refreshed::Unknown);
        assert_eq!(renew(&t.db, 1, 9, 40).await, Refreshed::Unknown);
        assert_eq!(t.db.session_of_refresh(plain(3), at(40)).await.unwrap(), None);
    }

    async fn signed_tokens_leave_no_rows_and_are_theft_all_the_same(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let (id, other) = (open(&t.db, &ada, 1, 10).await, open(&t.db, &ada, 100, 10).await);
        for n in 1..50_u8 {
            assert!(matches!(renew_by(&t.db, signed(n, id), n + 1, 20).await, Refreshed::Good(_, of) if of == id));
        }
        assert_eq!(rows(&t, "refresh_token").await, 2);
        assert_eq!(t.db.session_of_refresh(signed(1, id), at(30)).await.unwrap(), Some(id));
        // Whoever says it is of another session is nobody: what is stored decides.
        assert!(matches!(renew_by(&t.db, signed(50, other), 51, 30).await, Refreshed::Good(_, of) if of == id));
        assert!(lives(&t, other, at(30)).await);
        assert_eq!(renew_by(&t.db, signed(7, id), 99, 40).await, Refreshed::Reused(id));
        assert!(!lives(&t, id, at(40)).await && lives(&t, other, at(40)).await);
        assert_eq!(renew_by(&t.db, signed(7, id), 99, 40).await, Refreshed::Unknown);
        assert_eq!(renew_by(&t.db, signed(51, id), 99, 40).await, Refreshed::Unknown);
        assert_eq!(t.db.session_of_refresh(signed(7, id), at(40)).await.unwrap(), None);
        // The user may not sign in: nothing is told, and nothing ended by it.
        add(&t.db, "bob", Role::Admin, 40).await;
        let off = UserChange { is_active: Some(false), ..UserChange::default() };
        t.db.user_change(ada.id, off, at(41)).await.unwrap();
        assert_eq!(renew_by(&t.db, signed(100, other), 99, 42).await, Refreshed::Unknown);
    }

    async fn under_a_new_key_a_session_goes_on_and_tokens_from_before_end_nothing(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let id = open(&t.db, &ada, 1, 10).await;
        assert!(matches!(renew_by(&t.db, signed(1, id), 2, 20).await, Refreshed::Good(..)));
        // From here on no earlier signature is recognised. What was replaced under the old key is nobody's.
        assert_eq!(renew_by(&t.db, plain(1), 9, 30).await, Refreshed::Unknown);
        assert!(lives(&t, id, at(30)).await);
        // The newest is known by its hash, and once it is replaced, by that too: its second use is theft.
        assert!(matches!(renew_by(&t.db, plain(2), 3, 40).await, Refreshed::Good(_, of) if of == id));
        assert_eq!(renew_by(&t.db, plain(2), 9, 50).await, Refreshed::Reused(id));
        assert!(!lives(&t, id, at(50)).await);
    }

    async fn of_two_refreshes_at_once_one_is_theft(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let other = t.again().await;
        for round in 0..10_u8 {
            let base = round * 3;
            let id = open(&t.db, &ada, base + 1, 10).await;
            let (a, b) = (t.db.clone(), other.clone());
            let token = if round % 2 == 0 { plain(base + 1) } else { signed(base + 1, id) };
            let (one, two) = tokio::join!(
                tokio::spawn(async move { renew_by(&a, token, base + 2, 20).await }),
                tokio::spawn(async move { renew_by(&b, token, base + 3, 20).await }),
            );
            let both = [one.unwrap(), two.unwrap()];
            assert_eq!(both.iter().filter(|r| matches!(r, Refreshed::Good(..))).count(), 1, "{both:?}");
            assert!(both.contains(&Refreshed::Reused(id)), "{both:?}");
            assert!(!lives(&t, id, at(20)).await);
        }
    }

    async fn tokens_and_sessions_expire(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let id = open(&t.db, &ada, 1, 0).await;
        assert!(lives(&t, id, at(999)).await && !lives(&t, id, at(1000)).await);
        assert_eq!(renew(&t.db, 1, 2, 1000).await, Refreshed::Unknown);
        assert!(matches!(renew(&t.db, 1, 2, 999).await, Refreshed::Good(..)));
        // What is replaced and has expired is forgotten by the next refresh.
        assert!(matches!(renew(&t.db, 2, 3, 1500).await, Refreshed::Good(..)));
        assert_eq!(rows(&t, "refresh_token").await, 2);
        assert_eq!(t.db.session_list(ada.id, 1, 10, at(2500)).await.unwrap().total, 0);
        let bob = add(&t.db, "bob", Role::Admin, 2000).await;
        open(&t.db, &bob, 9, 2000).await;
        assert_eq!((t.db.sessions_expire(at(2500)).await.unwrap(), rows(&t, "session").await), (1, 1));
        assert_eq!(rows(&t, "refresh_token").await, 1);
    }

    async fn the_eleventh_session_ends_the_longest_idle(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let bob = add(&t.db, "bob", Role::Admin, 0).await;
        let of_bob = open(&t.db, &bob, 100, 0).await;
        let mut ids = Vec::new();
        for i in 0..10_u8 {
            ids.push(open(&t.db, &ada, i + 1, i64::from(i)).await);
        }
        t.db.session_used(vec![(ids[0], at(50)), (ids[0], at(40)), (SessionId::new(at(0)), at(1))]).await.unwrap();
        assert_eq!(t.db.session_get(ids[0], at(51)).await.unwrap().unwrap().0.last_active_at, at(50));
        ids.push(open(&t.db, &ada, 11, 60).await);
        let listed = t.db.session_list(ada.id, 1, 100, at(60)).await.unwrap();
        let newest_first: Vec<_> = ids.iter().copied().filter(|id| *id != ids[1]).rev().collect();
        assert_eq!(listed.items.iter().map(|s| s.id).collect::<Vec<_>>(), newest_first);
        assert!(lives(&t, of_bob, at(60)).await);
        let page = t.db.session_list(ada.id, 2, 4, at(60)).await.unwrap();
        assert_eq!((page.items[0].id, page.total), (newest_first[4], 10));
    }

    async fn sign_ins_at_once_make_ten_sessions(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let other = t.again().await;
        let many: Vec<_> = (0..16_u8).map(|i| {
            let db = if i % 2 == 0 { t.db.clone() } else { other.clone() };
            let ada = ada.clone();
            tokio::spawn(async move { db.session_open(ada.id, Secret::new("hash"), session(i, 5), at(5)).await })
        }).collect();
        for one in many {
            assert!(one.await.unwrap().unwrap().is_some());
        }
        assert_eq!(t.db.session_list(ada.id, 1, 100, at(6)).await.unwrap().total, 10);
    }

    async fn what_ends_a_session(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let bob = add(&t.db, "bob", Role::Admin, 0).await;
        let (a, b, c) = (open(&t.db, &ada, 1, 1).await, open(&t.db, &ada, 2, 2).await, open(&t.db, &ada, 3, 3).await);
        let of_bob = open(&t.db, &bob, 4, 4).await;
        assert!(t.db.session_end(ada.id, of_bob).await.is_err() && lives(&t, of_bob, at(5)).await);
        t.db.session_end(ada.id, a).await.unwrap();
        assert!(t.db.session_end(ada.id, a).await.is_err());
        t.db.session_end_others(ada.id, b).await.unwrap();
        assert_eq!((lives(&t, a, at(5)).await, lives(&t, b, at(5)).await, lives(&t, c, at(5)).await), (false, true, false));
        t.db.sessions_end(vec![b, c]).await.unwrap();
        assert!(!lives(&t, b, at(5)).await);
        // Another password, by an admin or by the user.
        let d = open(&t.db, &ada, 5, 5).await;
        t.db.user_password(ada.id, password("second"), at(6)).await.unwrap();
        assert!(!lives(&t, d, at(6)).await);
        let stale = t.db.session_open(ada.id, Secret::new("hash"), session(6, 6), at(6)).await.unwrap();
        assert_eq!(stale, None, "the password was checked against a hash that is gone");
        let e = session(7, 7);
        let (e, opened) = (e.id, t.db.session_open(ada.id, Secret::new("second"), e, at(7)).await.unwrap());
        assert!(opened.is_some());
        let change = |old: &str, new: NewSession| t.db.session_change_password(ada.id, Secret::new(old), password("third"), new, at(8));
        assert_eq!(change("hash", session(8, 8)).await.unwrap(), None);
        assert!(lives(&t, e, at(8)).await);
        let f = session(9, 8);
        let f_id = f.id;
        assert!(change("second", f).await.unwrap().is_some_and(|u| !u.must_change_password && u.updated_at == at(8)));
        assert!(!lives(&t, e, at(8)).await && lives(&t, f_id, at(8)).await);
        // Disabling and deleting.
        let off = UserChange { is_active: Some(false), ..UserChange::default() };
        t.db.user_change(ada.id, off, at(9)).await.unwrap();
        assert!(!lives(&t, f_id, at(9)).await);
        assert_eq!(renew(&t.db, 9, 10, 9).await, Refreshed::Unknown);
        assert_eq!(t.db.session_open(ada.id, Secret::new("third"), session(11, 9), at(9)).await.unwrap(), None);
        let eve = add(&t.db, "eve", Role::Admin, 0).await;
        t.db.user_delete(bob.id).await.unwrap();
        assert!(!lives(&t, of_bob, at(9)).await);
        let nobody = UserId::new(at(0));
        assert_eq!(t.db.session_open(nobody, Secret::new("hash"), session(12, 9), at(9)).await.unwrap(), None);
        assert!(open(&t.db, &eve, 13, 9).await != f_id);
    }
}
