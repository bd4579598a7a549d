//! Users: unique names, the first one, the last admin.

use argus_core::user::{NewUser, Role, User, UserChange};
use argus_core::{Secret, UserId};

use super::{at, on_both};
use crate::{Database, DbError, NewPassword, UserFilter};

pub(super) fn password(hash: &str) -> NewPassword {
    NewPassword { hash: Secret::new(hash), expires_at: None }
}

pub(super) fn new(name: &str, role: Role) -> NewUser {
    NewUser::check(name, None, Some(&format!("{name}@Example.org")), role).unwrap()
}

pub(super) async fn add(db: &Database, name: &str, role: Role, seconds: i64) -> User {
    db.user_insert(new(name, role), UserId::new(at(seconds)), password("hash"), at(seconds)).await.unwrap()
}

fn change(role: Option<Role>, is_active: Option<bool>) -> UserChange {
    UserChange { email: None, role, is_active }
}

on_both! {
    async fn names_and_addresses_are_unique(t) {
        let ada = add(&t.db, "Ada", Role::Admin, 0).await;
        assert_eq!((ada.username.as_str(), ada.email.as_deref(), ada.is_active), ("ada", Some("Ada@Example.org"), true));
        let put = |name: &str, email: Option<&str>| {
            let new = NewUser::check(name, None, email, Role::Viewer).unwrap();
            t.db.user_insert(new, UserId::new(at(1)), password("x"), at(1))
        };
        let taken = |r: Result<User, DbError>| match r.unwrap_err() {
            DbError::Conflict { what: "user", field } => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(taken(put("ADA", None).await), "username");
        assert_eq!(taken(put("bob", Some("aDA@exampLE.org")).await), "email");
        // Without an address there is nothing to be taken.
        let bob = put("bob", None).await.unwrap();
        put("eve", None).await.unwrap();
        let to = |email: &str| UserChange { email: Some(Some(email.parse().unwrap())), ..UserChange::default() };
        assert_eq!(taken(t.db.user_change(bob.id, to("ADA@example.org"), at(2)).await), "email");
        let changed = t.db.user_change(ada.id, to("ADA@example.org"), at(2)).await.unwrap();
        assert_eq!((changed.email.as_deref(), changed.updated_at), (Some("ADA@example.org"), at(2)));
        let none = UserChange { email: Some(None), ..UserChange::default() };
        assert_eq!(t.db.user_change(ada.id, none, at(3)).await.unwrap().email, None);
        assert_eq!(t.db.user_change(ada.id, UserChange::default(), at(9)).await.unwrap().updated_at, at(3));
        assert_eq!(t.db.user_change(bob.id, to("ADA@example.org"), at(2)).await.unwrap().email.unwrap(), "ADA@example.org");
        assert_eq!(t.db.user_get(ada.id).await.unwrap().email, None);
        let nobody = UserId::new(at(99));
        assert!(matches!(t.db.user_get(nobody).await, Err(DbError::NotFound { .. })));
        assert!(matches!(t.db.user_change(nobody, UserChange::default(), at(0)).await, Err(DbError::NotFound { .. })));
        assert!(matches!(t.db.user_delete(nobody).await, Err(DbError::NotFound { .. })));
        assert!(matches!(t.db.user_password(nobody, password("x"), at(0)).await, Err(DbError::NotFound { .. })));
    }

    async fn of_many_first_users_at_once_one_is_the_first(t) {
        assert!(!t.db.user_exists().await.unwrap());
        let other = t.again().await;
        let many: Vec<_> = (0..8_i64).map(|i| {
            let db = if i % 2 == 0 { t.db.clone() } else { other.clone() };
            let new = new(&format!("admin{i}"), Role::Admin);
            tokio::spawn(async move { db.user_insert_first(new, UserId::new(at(i)), password("x"), at(i)).await })
        }).collect();
        let mut first = 0;
        for one in many {
            first += usize::from(one.await.unwrap().unwrap().is_some());
        }
        assert_eq!((first, t.db.user_exists().await.unwrap()), (1, true));
        assert_eq!(t.db.user_list(UserFilter::default(), 1, 10).await.unwrap().total, 1);
    }

    async fn the_last_admin_stays(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let last = |r: Result<User, DbError>| assert!(matches!(r, Err(DbError::LastAdmin)), "{r:?}");
        last(t.db.user_change(ada.id, change(Some(Role::Operator), None), at(1)).await);
        last(t.db.user_change(ada.id, change(None, Some(false)), at(1)).await);
        assert!(matches!(t.db.user_delete(ada.id).await, Err(DbError::LastAdmin)));
        t.db.user_change(ada.id, change(Some(Role::Admin), Some(true)), at(1)).await.unwrap();
        // An admin who may not sign in is no other admin, and may go.
        let bob = add(&t.db, "bob", Role::Admin, 1).await;
        t.db.user_change(bob.id, change(None, Some(false)), at(2)).await.unwrap();
        last(t.db.user_change(ada.id, change(Some(Role::Viewer), None), at(3)).await);
        t.db.user_change(bob.id, change(None, Some(true)), at(4)).await.unwrap();
        t.db.user_change(ada.id, change(Some(Role::Viewer), None), at(5)).await.unwrap();
        assert!(matches!(t.db.user_delete(bob.id).await, Err(DbError::LastAdmin)));
        t.db.user_delete(ada.id).await.unwrap();
    }

    async fn two_admins_at_once_cannot_remove_each_other(t) {
        let other = t.again().await;
        for round in 0..6_i64 {
            let ada = add(&t.db, &format!("ada{round}"), Role::Admin, round).await;
            let bob = add(&t.db, &format!("bob{round}"), Role::Admin, round).await;
            let (a, b) = (t.db.clone(), other.clone());
            let (one, two) = tokio::join!(
                tokio::spawn(async move { a.user_delete(ada.id).await }),
                tokio::spawn(async move { b.user_change(bob.id, change(None, Some(false)), at(50)).await.map(drop) }),
            );
            let ended = [one.unwrap(), two.unwrap()];
            let refused = ended.iter().filter(|r| matches!(r, Err(DbError::LastAdmin))).count();
            assert_eq!((refused, ended.iter().filter(|r| r.is_ok()).count()), (1, 1), "{ended:?}");
            // The next round begins without an admin.
            t.raw("DELETE FROM \"user\"");
        }
    }

    async fn users_are_listed_oldest_first(t) {
        for (i, (name, role)) in [("eve", Role::Viewer), ("ada", Role::Admin), ("bob", Role::Operator)].into_iter().enumerate() {
            add(&t.db, name, role, i64::try_from(i).unwrap()).await;
        }
        let names = |filter, page, limit| {
            let db = t.db.clone();
            async move {
                let page = db.user_list(filter, page, limit).await.unwrap();
                (page.items.into_iter().map(|u| u.username).collect::<Vec<_>>().join(" "), page.total)
            }
        };
        let f = UserFilter::default;
        assert_eq!(names(f(), 1, 10).await, ("eve ada bob".into(), 3));
        assert_eq!(names(f(), 2, 2).await, ("bob".into(), 3));
        let roles = UserFilter { roles: vec![Role::Admin, Role::Operator], ..f() };
        assert_eq!(names(roles, 1, 10).await, ("ada bob".into(), 2));
        let eve = t.db.user_credentials("eve".into()).await.unwrap().unwrap().user;
        t.db.user_change(eve.id, change(None, Some(false)), at(9)).await.unwrap();
        assert_eq!(names(UserFilter { is_active: Some(false), ..f() }, 1, 10).await, ("eve".into(), 1));
        assert_eq!(names(UserFilter { is_active: Some(true), ..f() }, 1, 10).await, ("ada bob".into(), 2));
    }

    async fn a_temporary_password_has_an_end_and_a_duty(t) {
        let ada = add(&t.db, "ada", Role::Admin, 0).await;
        let temporary = NewPassword { hash: Secret::new("t"), expires_at: Some(at(100)) };
        let reset = t.db.user_password(ada.id, temporary, at(5)).await.unwrap();
        assert!(reset.must_change_password && reset.updated_at == at(5));
        let stored = t.db.user_credentials("ada".into()).await.unwrap().unwrap();
        assert_eq!(stored.hash.expose(), "t");
        assert!(stored.are_valid(at(99)) && !stored.are_valid(at(100)));
        assert!(!format!("{stored:?}").contains("\"t\""));
        let settled = t.db.user_password(ada.id, password("own"), at(6)).await.unwrap();
        assert!(!settled.must_change_password);
        assert!(t.db.user_credentials("ada".into()).await.unwrap().unwrap().are_valid(at(1_000_000)));
        for nobody in ["", "ADA", "bob", "a\0"] {
            assert!(t.db.user_credentials(nobody.into()).await.unwrap().is_none(), "{nobody:?}");
        }
    }
}
