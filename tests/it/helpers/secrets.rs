//! The search for secrets finds what it should.

use argus_tests::secrets::{found_in, remember, remember_json, remember_line, remember_variable};
use serde_json::json;

#[test]
fn secrets_are_found_whatever_way_they_came() {
    remember("plain-1-secret");
    remember("short");
    remember_json(&json!({"name": "Door", "password": "pass-2-word", "list": [{"ticket": "ticket-3-x"}]}));
    remember_json(&json!({"rtsp_url": "rtsp://viewer:url-4-word@camera.example/stream"}));
    remember_json(&json!({"kind": "openai", "api_key": "sk-test-5-key"}));
    remember_json(&json!({"key": "argus_8-key", "groups": [{"key": "no-secret-9", "label": "Door"}]}));
    remember_variable("ARGUS_SOME_KEY", "variable-10-key");
    remember_variable("ARGUS_DATABASE_URL", "postgres://argus:db-6-word@localhost/argus");
    remember_line("setup token: setup-7-token");
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let check = |line: &str, found: bool| {
        std::fs::write(&log, format!("INFO all is well\n{line}\n")).unwrap();
        assert_eq!(found_in(&log).len(), usize::from(found), "{line}");
    };
    for secret in [
        "plain-1-secret",
        "pass-2-word",
        "ticket-3-x",
        "url-4-word",
        "sk-test-5-key",
        "db-6-word",
        "setup-7-token",
        "argus_8-key",
        "variable-10-key",
    ] {
        check(&format!("WARN something with \"{secret}\" in it"), true);
    }
    check("a short word, Door, viewer, camera.example, no-secret-9", false);
}
