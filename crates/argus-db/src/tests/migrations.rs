//! The migrations of both dialects.

use std::collections::BTreeMap;
use std::path::Path;

use diesel::prelude::*;

use super::{at, camera, key, on_both};
use crate::conn::{DbConn, Role};
use crate::schema;
use crate::{Database, DatabaseConfig, DbError, Migrator};

fn folders(dialect: &str) -> BTreeMap<String, (bool, bool)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
    std::fs::read_dir(path)
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            let has = |name: &str| e.path().join(name).is_file();
            (e.file_name().into_string().unwrap(), (has("up.sql"), has("down.sql")))
        })
        .collect()
}

#[test]
fn both_dialects_have_the_same_steps_up_and_down() {
    let sqlite = folders("sqlite");
    assert_eq!(sqlite, folders("postgres"));
    assert!(!sqlite.is_empty() && sqlite.values().all(|&both| both == (true, true)), "{sqlite:?}");
}

on_both! {
    async fn up_down_up(t) {
        let mut m = Migrator::connect(&t.url).unwrap();
        let all = m.status().unwrap();
        assert!(!all.is_empty() && all.iter().all(|(_, applied)| *applied), "{all:?}");
        for _ in &all {
            m.revert().unwrap();
        }
        assert!(m.status().unwrap().iter().all(|(_, applied)| !applied));
        assert!(matches!(m.revert(), Err(DbError::Migration(_))));
        assert_eq!(m.run().unwrap().len(), all.len());
        assert_eq!(m.run().unwrap(), Vec::<String>::new());
        m.redo().unwrap();
        drop(m);
        t.again().await.camera_insert(camera("After all that")).await.unwrap();
    }

    async fn nothing_is_left_after_going_down(t) {
        let mut m = Migrator::connect(&t.url).unwrap();
        for _ in 0..m.status().unwrap().len() {
            m.revert().unwrap();
        }
        let count = if t.is_postgres() {
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'"
        } else {
            "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND tbl_name NOT LIKE '\\_\\_%' ESCAPE '\\'"
        };
        let left: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("({count})")))
            .get_result(m.conn())
            .unwrap();
        assert_eq!(left, 0);
    }

    async fn every_table_has_the_columns_of_the_schema(t) {
        let mut c = DbConn::connect(&t.url, Role::Reader).unwrap();
        macro_rules! load {
            ($($table:ident: ($($type:ty),+ $(,)?)),+ $(,)?) => {$(
                let rows: Vec<($($type),+)> = schema::$table::table.limit(0).load(&mut c).unwrap();
                assert!(rows.is_empty());
            )+};
        }
        type T = String;
        type N = Option<String>;
        type I = Option<i64>;
        type J = Option<i32>;
        load! {
            camera: (T, T, T, i64, i64, T, N, N, N, T, J, N, bool, N, bool, i32, bool, T, i32, i32, i32, i32, T, N, T, N,
                T, i64, N, N, N, N, N, N, bool, N, I),
            protect_controller: (T, T, T, i64, i64, T, i32, N, N, N, bool, N, bool, N, I, I, T),
            event: (T, T, i64, i64, i64, I, i64, i64, I, T, T, T, T, T, T, N, i32, J, bool, T, N, bool, N, N, N, J, N,
                Option<f64>, I, I, i32, I, bool, N, N, N, bool, T, I, I, I, T, I, i64, T),
            event_frame: (T, i32, i64, T, i32, i32, i64, bool, bool),
            event_facts: (T, T),
            event_summary: (i32, T, i64, i64, Vec<u8>, Vec<u8>),
            event_state: (i32, i64, bool),
            analysis: (T, T, i64, I, T, T, N, N, N, N, T, T, T, T, N, J, T, I, I, I, Option<f64>, bool, I, T, N, N,
                I, I, I, I),
            analysis_look: (T, T),
            analysis_job: (T, T, T, i32, i32, i64, i64, i64, N, N, N, i64),
            ai_call: (T, i64, I, T, T, N, N, N, N, T, N, T, T, N, bool, N, T, T, i32, i64, i64, N, N, N, I, I, Option<f64>,
                Option<f64>, bool, N, I, I, I, N, J, N, bool, bool),
            ai_budget_told: (T, i64, f64, i32),
            journal: (i64, T, i64, N, N, T, N),
            coverage: (i64, T, i64, I, T, N, i64, bool),
            api_key: (T, T, T, T, T, I, i32, i64, I, N, i64, N, I),
            ai_spent: (i64, f64),
            ai_provider: (T, T, T, i64, i64, T, T, N, N, bool, i32, i32, i32, bool, Option<f64>, Option<f64>, i32, J),
            setting: (T, T, i64),
            user: (T, T, N, N, T, bool, T, bool, I, i64, i64, I),
            session: (T, T, i64, i64, i64, N, N),
            refresh_token: (T, T, i64, I),
            media_usage: (T, i64, i64, i64, i64, i64),
            media_trash: (T, i64),
        }
    }

    async fn opening_again_changes_nothing(t) {
        t.db.camera_insert(camera("Door")).await.unwrap();
        let again = t.again().await;
        assert_eq!(again.camera_all().await.unwrap().len(), 1);
        assert_eq!(*again.journal_watch().borrow(), 1);
    }

    async fn a_database_of_a_newer_version_is_refused(t) {
        t.raw("INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ('99991231000000', CURRENT_TIMESTAMP)");
        let config = DatabaseConfig::new(t.url.clone(), key());
        let refused = Database::open(config).await;
        assert!(matches!(&refused, Err(DbError::Migration(cause)) if cause.to_string().contains("newer")), "{refused:?}");
    }

    async fn several_open_a_new_database_at_once(t) {
        let mut m = Migrator::connect(&t.url).unwrap();
        for _ in 0..m.status().unwrap().len() {
            m.revert().unwrap();
        }
        drop(m);
        let config = || DatabaseConfig::new(t.url.clone(), key());
        let (a, b, c) = tokio::join!(
            tokio::spawn(Database::open(config())),
            tokio::spawn(Database::open(config())),
            tokio::spawn(Database::open(config())),
        );
        for db in [a, b, c] {
            crate::tests::put(&db.unwrap().unwrap(), &[("k", "1")], at(0)).await.unwrap();
        }
    }
}
