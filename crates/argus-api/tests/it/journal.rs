//! Live messages by long poll.

use argus_core::api_key::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, send};

fn kinds(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|m| m["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_feed_goes_on_where_it_was_left() {
    let server = Server::start().await;
    let start = server.get("/journal").await.expect(200);
    assert_eq!(start, json!({"items": [], "next_after": 0, "last_seq": 0}));
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    let all = server.get("/journal?after=0").await.expect(200);
    assert_eq!(kinds(&all), ["camera.status", "event.created"]);
    assert_eq!(all["items"][1]["data"], serde_json::to_value(&event).unwrap());
    assert_eq!((&all["next_after"], &all["last_seq"]), (&json!(2), &json!(2)));
    let one = server.get("/journal?after=0&limit=1").await.expect(200);
    assert_eq!((kinds(&one), &one["next_after"], &one["last_seq"]), (vec!["camera.status"], &json!(1), &json!(2)));
    let events = server.get("/journal?after=0&types=event.created,event.updated").await.expect(200);
    assert_eq!(kinds(&events), ["event.created"]);
    let none = server.get("/journal?after=0&types=event.deleted").await.expect(200);
    assert_eq!((kinds(&none), &none["next_after"]), (vec![], &json!(2)), "what does not concern is not read again");
}

#[tokio::test]
async fn a_poll_waits_for_something_that_concerns_it() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let poll = tokio::spawn(send(server.request(Method::GET, "/journal?after=1&wait=20&types=event.created")));
    // News that do not concern do not end it; whether it came in before or after them does not matter.
    server.camera("Yard").await;
    server.event(&camera, 0, "Motion").await;
    let answer = poll.await.unwrap().expect(200);
    assert_eq!((kinds(&answer), &answer["next_after"]), (vec!["event.created"], &json!(3)));
    let begun = std::time::Instant::now();
    let empty = server.get("/journal?wait=1").await.expect(200);
    assert_eq!((kinds(&empty), &empty["next_after"]), (vec![], &json!(3)));
    assert!(begun.elapsed().as_millis() >= 950);
}

#[tokio::test]
async fn a_gap_comes_first_whatever_was_asked_for() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    for i in 0..4 {
        server.event(&camera, i * 1000, "Motion").await;
    }
    let unknown = server.get("/journal?after=99&types=event.created").await.expect(200);
    assert_eq!(kinds(&unknown), ["journal.gap"]);
    assert_eq!(unknown["items"][0]["data"], json!({"after": 99, "oldest_seq": 1, "reason": "unknown"}));
    assert_eq!((&unknown["items"][0]["seq"], &unknown["next_after"]), (&json!(5), &json!(5)));
    let removed = server.db.journal_trim("2025-12-23T10:30:02Z".parse().unwrap()).await.unwrap();
    assert_eq!(removed, 3);
    let expired = server.get("/journal?after=1").await.expect(200);
    assert_eq!(kinds(&expired), ["journal.gap", "event.created", "event.created"]);
    assert_eq!(expired["items"][0]["data"], json!({"after": 1, "oldest_seq": 4, "reason": "expired"}));
    assert_eq!(expired["items"][0]["seq"], 3);
    let only = server.get("/journal?after=1&limit=1").await.expect(200);
    assert_eq!((kinds(&only), &only["next_after"]), (vec!["journal.gap"], &json!(3)));
    assert_eq!(kinds(&server.get("/journal?after=3").await.expect(200)), ["event.created", "event.created"]);
}

#[tokio::test]
async fn everybody_gets_what_they_may_see() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    server.event(&camera, 0, "Motion").await;
    for (scope, expected) in [
        (Scope::ReadCameras, &["camera.status"][..]),
        (Scope::ReadEvents, &["event.created"]),
        (Scope::Admin, &["camera.status", "event.created"]),
    ] {
        let key = server.key(&[scope]).await;
        let ask = |query: &str| send(server.bare(Method::GET, &format!("/journal{query}")).header("x-api-key", &key));
        let answer = ask("?after=0").await.expect(200);
        assert_eq!((kinds(&answer), &answer["next_after"]), (expected.to_vec(), &json!(2)), "{scope}");
        let named = ask("?after=0&types=event.created,camera.status").await;
        if scope == Scope::Admin {
            named.expect(200);
        } else {
            let missing = if scope == Scope::ReadEvents { "read:cameras" } else { "read:events" };
            assert_eq!(named.expect(403)["detail"], format!("Missing permission: {missing}"));
        }
        ask("?types=journal.gap").await.expect(200);
    }
}

#[tokio::test]
async fn what_was_said_of_a_removed_event_is_not_said_again() {
    let server = Server::start().await;
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    server.delete(&format!("/events/{}", event.id)).await.expect(204);
    let answer = server.get("/journal?after=0").await.expect(200);
    assert_eq!(kinds(&answer), ["camera.status", "event.deleted"]);
    assert_eq!(answer["items"][1]["data"], json!({"ids": [event.id], "reason": "user"}));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let server = Server::start().await;
    let answer = server.get("/journal?after=-1&limit=501&wait=61&types=walrus&hue=1").await;
    assert_eq!(answer.faults(), ["after", "hue", "limit", "types", "wait"]);
}
