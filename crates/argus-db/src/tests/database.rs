//! The blocking boundary: turns, panics, callers that go away, addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::{Classify, ErrorClass};
use diesel::connection::SimpleConnection;

use super::events::words;
use super::{at, camera, key, on_both, open_event};
use crate::{Database, DatabaseConfig, DbError, DbUrl, EventChange};

on_both! {
    async fn a_panic_is_an_error_and_stores_nothing(t) {
        let result = t.db.write(|tx| -> Result<(), DbError> {
            tx.conn.batch_execute("INSERT INTO setting (name, json, updated_us) VALUES ('a', '1', 0)")?;
            panic!("a mistake");
        }).await;
        assert!(matches!(result, Err(DbError::Panicked)));
        t.db.ping().await.unwrap();
        assert!(t.db.setting_get_all().await.unwrap().is_empty());
        t.put(&[("b", "2")], at(0)).await.unwrap();
    }

    async fn an_error_rolls_back(t) {
        let result = t.db.write(|tx| -> Result<(), DbError> {
            tx.conn.batch_execute("INSERT INTO setting (name, json, updated_us) VALUES ('a', '1', 0)")?;
            Err(DbError::NotFound { what: "reason" })
        }).await;
        assert!(matches!(result, Err(DbError::NotFound { what: "reason" })));
        assert!(t.db.setting_get_all().await.unwrap().is_empty());
    }

    async fn a_write_is_finished_when_its_caller_goes_away(t) {
        let (begun, mut is_begun) = tokio::sync::mpsc::unbounded_channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let db = t.db.clone();
        let news = db.journal_watch();
        let task = tokio::spawn(async move {
            db.write(move |tx| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                let c = camera("Left alone");
                tx.tell_camera(argus_core::journal::MessageType::CameraStatus, c.id, &"x", at(0))
            })
            .await
        });
        is_begun.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        let mut news = news;
        tokio::time::timeout(Duration::from_secs(10), news.wait_for(|&n| n == 1)).await.unwrap().unwrap();
        assert_eq!(t.db.journal_bounds().await.unwrap().newest, 1);
    }

    async fn readers_cannot_write(t) {
        let result = t.db.read_snapshot(|c| {
            c.batch_execute("INSERT INTO setting (name, json, updated_us) VALUES ('a', '1', 0)")?;
            Ok(())
        }).await;
        assert!(matches!(result, Err(DbError::Query(_))), "{result:?}");
    }

    /// Read, then write: the case in which a careless transaction fails at once on SQLite and loses changes on PostgreSQL.
    async fn changes_of_two_processes_to_one_row_all_count(t) {
        let c = t.db.camera_insert(camera("Door")).await.unwrap().id;
        let e = open_event(&t.db, c, at(0)).await.id;
        let other = t.again().await;
        let each = 40_u16;
        let writer = |db: Database| async move {
            for _ in 0..each {
                db.camera_edit(c, at(1), |c| {
                    let motion_cooldown_s = c.config.motion_cooldown_s + 1;
                    Ok::<_, ()>(argus_core::camera::CameraConfig { motion_cooldown_s, ..c.config.clone() })
                }).await.unwrap().unwrap();
                db.event_change(e, vec![EventChange::Reanalysed(words("A person."))], at(2)).await.unwrap();
            }
        };
        let tasks = [t.db.clone(), other.clone(), t.db.clone(), other].map(|db| tokio::spawn(writer(db)));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(t.db.camera_get(c).await.unwrap().config.motion_cooldown_s, 30 + 4 * each);
        let event = t.db.event_get(e).await.unwrap().unwrap();
        assert_eq!(event.reanalysis_count, 4 * u32::from(each));
    }

    async fn two_processes_write_at_once(t) {
        let other = t.again().await;
        let writer = |db: Database, who: &'static str| async move {
            for i in 0..40 {
                db.camera_insert(camera(&format!("{who} {i}"))).await.unwrap();
            }
        };
        let (a, b) = tokio::join!(tokio::spawn(writer(t.db.clone(), "a")), tokio::spawn(writer(other, "b")));
        a.unwrap();
        b.unwrap();
        assert_eq!(t.db.camera_all().await.unwrap().len(), 80);
        let seqs: Vec<i64> = t.db.journal_after(0, 500, None).await.unwrap().iter().map(|m| m.seq).collect();
        assert_eq!(seqs, (1..=80).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_for_a_turn_is_told_that_it_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = DatabaseConfig::new(folder.path().join("argus.db"), key());
    config.wait = Duration::from_millis(50);
    let db = Database::open(config).await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, mut is_begun) = tokio::sync::mpsc::unbounded_channel();
    let holder = db.clone();
    let task = tokio::spawn(async move {
        holder
            .write(move |_tx| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            })
            .await
    });
    is_begun.recv().await.unwrap();
    let refused = db.camera_insert(camera("Late")).await;
    assert!(matches!(refused, Err(DbError::Busy)));
    assert_eq!(refused.unwrap_err().class(), ErrorClass::Unavailable);
    // Readers are not held up by a writer.
    db.ping().await.unwrap();
    go.send(()).unwrap();
    task.await.unwrap().unwrap();
    db.camera_insert(camera("On time")).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_tells_the_real_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Database::open(DatabaseConfig::new(folder.path().join("no/such/argus.db"), key())).await;
    assert!(matches!(missing, Err(DbError::Open(_))), "{missing:?}");
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is no database, but long enough to look at ".repeat(100)).unwrap();
    let error = Database::open(DatabaseConfig::new(path.clone(), key())).await.unwrap_err();
    assert!(argus_core::chain(&error).contains("not a database"), "{error:?}");
    assert!(std::fs::read_to_string(path).unwrap().starts_with("this is no database"));
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn an_absent_server_is_not_answered_with_a_new_file_and_the_password_stays_unseen() {
    let url: DbUrl = "postgres://argus:hunter2@127.0.0.1:1/argus".parse().unwrap();
    assert!(!format!("{url:?}").contains("hunter2"));
    let error = Database::open(DatabaseConfig::new(url, key())).await.unwrap_err();
    assert!(matches!(error, DbError::Open(_)));
    let text = format!("{} {error:?}", argus_core::chain(&error));
    assert!(text.contains("refused") && !text.contains("hunter2"), "{text}");
}

#[test]
fn addresses() {
    let sqlite = |text: &str| match text.parse::<DbUrl>() {
        Ok(DbUrl::Sqlite(path)) => Some(path.to_str().unwrap().to_owned()),
        _ => None,
    };
    assert_eq!(sqlite("sqlite:data/argus.db").as_deref(), Some("data/argus.db"));
    assert_eq!(sqlite("sqlite:///srv/argus.db").as_deref(), Some("/srv/argus.db"));
    for bad in ["", "argus.db", "sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory", "mysql://x"] {
        assert!(bad.parse::<DbUrl>().is_err(), "{bad:?}");
    }
    assert_eq!("postgres://h/d".parse::<DbUrl>().is_ok(), cfg!(feature = "postgres"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_share_one_database() {
    let t = super::TestDb::sqlite().await;
    let done = Arc::new(AtomicBool::new(false));
    let (clone, flag) = (t.db.clone(), Arc::clone(&done));
    let mut news = t.db.journal_watch();
    tokio::spawn(async move {
        clone.camera_insert(camera("Door")).await.unwrap();
        flag.store(true, Ordering::SeqCst);
    })
    .await
    .unwrap();
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(*news.borrow_and_update(), 1);
}
