//! A database with many events that look like real ones, written by SQLite itself from tables of phrases.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, UNIX_EPOCH};

use argus_tests::server::ServerProcess;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The events of four weeks: what a server with the retention it has from the factory may hold.
const SPAN_S: i64 = 28 * 86_400;
/// Cameras among which the events are shared out.
const CAMERAS: usize = 16;
/// API keys: each may ask 10,000 times a minute.
const KEYS: usize = 400;
/// Events that are written at once.
const AT_ONCE: i64 = 50_000;
/// Messages of the past.
const JOURNAL: i64 = 12_000;

/// What the load asks for.
pub(crate) struct Seeded {
    pub(crate) cameras: Vec<String>,
    pub(crate) some_events: Vec<String>,
    pub(crate) keys_file: PathBuf,
    /// When the last event began, µs.
    newest_us: i64,
}

impl Seeded {
    /// So many days before the newest event, as a parameter.
    pub(crate) fn ago(&self, days: i64) -> String {
        text(self.newest_us - days * 86_400_000_000)
    }

    /// The time behind which lies this share of the events.
    pub(crate) fn since_share(&self, share: i64) -> String {
        text(self.newest_us - SPAN_S * 1_000_000 / share)
    }
}

fn text(us: i64) -> String {
    argus_core::Timestamp::from_micros(us).to_string()
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn lines(c: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(query).load(c).expect("rows");
    rows.into_iter().map(|row| row.line).collect()
}

/// Fills a data dir, unless it is full already.
pub(crate) async fn make(data: &Path, events: u32) -> Seeded {
    let keys_file = data.join("bench-keys.txt");
    if !keys_file.exists() {
        fill(data, &keys_file, i64::from(events)).await;
    }
    forget_media(data);
    let mut c = open(data);
    let oldest = "SELECT thumb_stored AS n FROM event ORDER BY started_us LIMIT 1";
    let oldest: Number = diesel::sql_query(oldest).get_result(&mut c).expect("the oldest event");
    assert!(oldest.n == 1, "the events in {} have lost their files: fill it anew", data.display());
    let newest: Number =
        diesel::sql_query("SELECT max(started_us) AS n FROM event").get_result(&mut c).expect("the newest event");
    let every = (i64::from(events) / 500).max(1);
    Seeded {
        cameras: lines(&mut c, "SELECT id AS line FROM camera ORDER BY id"),
        some_events: lines(&mut c, &format!("SELECT id AS line FROM event WHERE seq % {every} = 1 LIMIT 500")),
        keys_file,
        newest_us: newest.n,
    }
}

/// Takes the mark from the media store. With it, a server would find that the files of all events are gone, and spend the
/// next half hour on telling so; without it, it takes the store for a disk that is not mounted, and leaves the events.
fn forget_media(data: &Path) {
    let mark = data.join("events/.argus-store");
    if mark.exists() {
        std::fs::remove_file(mark).expect("the mark goes");
    }
}

fn open(data: &Path) -> SqliteConnection {
    let path = data.join("argus.db");
    let mut c = SqliteConnection::establish(path.to_str().expect("a path in UTF-8")).expect("the database opens");
    c.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .expect("pragmas");
    c
}

async fn fill(data: &Path, keys_file: &Path, events: i64) {
    let begun = Instant::now();
    let mut server = ServerProcess::start(data).await;
    let client = server.client().await;
    for n in 0..CAMERAS {
        let body = json!({"name": format!("Camera {n}"), "type": "test", "is_enabled": false});
        client.post("/cameras", &body).await.expect(201);
    }
    server.kill().await;
    drop(server);
    let mut c = open(data);
    keys(&mut c, keys_file);
    phrases(&mut c);
    let now = UNIX_EPOCH.elapsed().expect("a time after 1970");
    let now = i64::try_from(now.as_micros()).expect("microseconds");
    let base = now - (SPAN_S + 3600) * 1_000_000;
    let step = SPAN_S * 1_000_000 / events;
    let mut from = 0;
    while from < events {
        let until = (from + AT_ONCE).min(events);
        c.batch_execute(&event_rows(base, step, from, until)).expect("events are written");
        from = until;
    }
    c.batch_execute(&format!("{JOURNAL_ROWS} {JOURNAL}")).expect("messages are written");
    c.batch_execute(MEDIA).expect("the account of files is written");
    // The server counts them by its own code when it starts.
    c.batch_execute("UPDATE event_state SET summarised = 0; PRAGMA wal_checkpoint(TRUNCATE);").expect("a checkpoint");
    println!("{events} events written in {:.0} s", begun.elapsed().as_secs_f64());
    forget_media(data);
    let begun = Instant::now();
    let mut server = ServerProcess::start(data).await;
    println!("the first start, which counts them all, took {:.1} s", begun.elapsed().as_secs_f64());
    server.kill().await;
}

fn keys(c: &mut SqliteConnection, file: &Path) {
    let mut all = String::new();
    let mut rows = String::from("BEGIN;");
    for n in 0..KEYS {
        let key = format!("argus_{n:043}");
        let hash = Sha256::digest(key.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = write!(
            rows,
            "INSERT INTO api_key (id, name, prefix, sha256, scopes, rate_limit_per_minute, usage_count, created_us) VALUES \
             ('019b4b1a-ff80-7000-8000-{n:012x}', 'bench', 'argus_00', '{hash}', '[\"admin\"]', 10000, 0, 0);"
        );
        all.push_str(&key);
        all.push('\n');
    }
    rows.push_str("COMMIT;");
    c.batch_execute(&rows).expect("keys are written");
    std::fs::write(file, all).expect("the keys are kept");
}

/// Who, does what, where, and what else.
const PHRASES: [&[&str]; 4] = [
    &[
        "a person",
        "a person",
        "a person",
        "two people",
        "a silver car",
        "a delivery person",
        "a dog",
        "a cat",
        "a white van",
        "a person in a red jacket",
    ],
    &["walks", "walks slowly", "stops briefly", "turns around", "runs", "waits", "looks around"],
    &[
        "at the front door",
        "along the path",
        "beside the garage",
        "near the gate",
        "on the driveway",
        "under the carport",
        "across the lawn",
        "behind the hedge",
        "by the mailbox",
        "in the yard",
        "at the fence",
    ],
    &[
        "the scene is quiet afterwards",
        "a package is left behind",
        "nobody else can be seen",
        "the light is poor and the picture is noisy",
        "rain falls",
        "the porch light is on",
        "leaves move in the wind",
        "a bicycle leans against the wall",
        "the garage stands open",
        "shadows move over the ground",
        "the sun is low",
        "snow covers the lawn",
        "the street lamp flickers",
    ],
];

fn phrases(c: &mut SqliteConnection) {
    let mut rows = String::from(
        "CREATE TEMP TABLE phrase (kind INTEGER, n INTEGER, text TEXT, PRIMARY KEY (kind, n)) WITHOUT ROWID; \
         CREATE TEMP TABLE place (n INTEGER PRIMARY KEY, id TEXT); \
         INSERT INTO place SELECT row_number() OVER (ORDER BY id) - 1, id FROM camera;",
    );
    for (kind, all) in PHRASES.iter().enumerate() {
        for (n, text) in all.iter().enumerate() {
            let _ = write!(rows, "INSERT INTO phrase VALUES ({kind}, {n}, '{text}');");
        }
    }
    c.batch_execute(&rows).expect("phrases are written");
}

/// Events in the order in which they would come: almost that of time.
fn event_rows(base: i64, step: i64, from: i64, until: i64) -> String {
    format!(
        r#"BEGIN;
CREATE TEMP TABLE fresh AS
WITH RECURSIVE number (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {until})
SELECT n, (n * 2654435761 % 4294967296) >> 8 AS r, {base} + n * {step} + (n * 7919) % 4000000 AS at FROM number;
INSERT INTO event
SELECT NULL, printf('%08x-%04x-7%03x-8%03x-%012x', at / 65536000, at / 1000 % 65536, f.n % 4096, f.n / 4096 % 4096, f.n),
    place.id, at + 180000, at + 9000000, at, at + 7000000 + f.n % 30000000, at + 7000000 + f.n % 30000000, at + 80000,
    at + 9000000, CASE WHEN r % 3 = 0 THEN 'protect' ELSE 'rtsp' END,
    CASE WHEN r % 3 <> 0 OR r % 11 < 4 THEN 'motion' WHEN r % 11 < 7 THEN 'person' WHEN r % 11 < 9 THEN 'vehicle'
        WHEN r % 97 = 5 THEN 'ring' ELSE 'animal' END,
    CASE WHEN r % 10 IN (4, 8) THEN '["vehicle"]' WHEN r % 10 IN (6, 7) THEN '["animal"]'
        WHEN r % 13 = 0 THEN '["person","package"]' ELSE '["person"]' END,
    upper(substr(a.text, 1, 1)) || substr(a.text, 2) || ' ' || b.text || ' ' || c.text || '. '
        || CASE WHEN f.n % 20011 = 7 THEN 'A wheelbarrow stands by the gate'
            ELSE upper(substr(d.text, 1, 1)) || substr(d.text, 2) END || '.',
    a.text || ' ' || b.text || ' ' || c.text || ' '
        || CASE WHEN f.n % 20011 = 7 THEN 'a wheelbarrow stands by the gate' ELSE d.text END,
    CASE WHEN r % 50 = 1 THEN 'skipped' WHEN r % 199 = 7 THEN 'failed' ELSE 'described' END,
    CASE WHEN r % 50 = 1 THEN 'no_picture' WHEN r % 199 = 7 THEN 'timeout' END,
    50 + r % 51, 40 + r % 60, r % 23 = 0, '[{{"id":"z1","name":"Yard"}}]',
    '{{"score":0.25,"box":{{"x":0.1,"y":0.2,"width":0.3,"height":0.4}}}}', 0, 'openai', 'gpt-4o-mini', 'multi_frame', 3, NULL,
    0.00021, 900, 1200 + r % 900, 0, NULL, 0, NULL, NULL, NULL, 1,
    CASE WHEN r % 31 = 0 THEN 'none' ELSE 'stored' END, 900000, at - 5000000, at + 9000000, 'stored', 30000, 1200000, '[]'
FROM fresh AS f
JOIN phrase AS a ON a.kind = 0 AND a.n = r % 10
JOIN phrase AS b ON b.kind = 1 AND b.n = r / 10 % 7
JOIN phrase AS c ON c.kind = 2 AND c.n = r / 70 % 11
JOIN phrase AS d ON d.kind = 3 AND d.n = r / 770 % 13
JOIN place ON place.n = r / 7 % {CAMERAS}
ORDER BY f.n;
INSERT INTO event_frame (event_id, idx, offset_ms, sha256, width, height, bytes, stored)
SELECT e.id, k.n, k.n * 1500, printf('%064x', e.seq * 4 + k.n), 1280, 720, 90000, 1
FROM (SELECT id, seq FROM event ORDER BY seq DESC LIMIT {count}) AS e, (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2) AS k
ORDER BY e.id, k.n;
DROP TABLE fresh;
COMMIT;"#,
        count = until - from
    )
}

/// What the files would take up. There are none.
const MEDIA: &str = "INSERT OR REPLACE INTO media_usage SELECT camera_id, count(*) * 30000, count(*) * 270000, \
    count(*) * 900000, count(*) * 3, count(*) FROM event GROUP BY camera_id";

/// What was told of the newest events, as long as such a message is.
const JOURNAL_ROWS: &str = "INSERT INTO journal (type, at_us, camera_id, event_id, data) \
    SELECT 'event.updated', updated_us, camera_id, id, json_object('id', id, 'camera_id', camera_id, 'description', \
    description, 'zones', json(zones), 'motion', json(motion), 'objects_detected', json(objects), 'padding', \
    printf('%.900c', 'x')) FROM event ORDER BY seq DESC LIMIT";
