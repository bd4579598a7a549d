//! Cameras are added, started, stopped, edited and deleted while others run and notice nothing.

use argus_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::common::{SOON, Site, check_order, files, id_of, is_about, statuses, test_camera, with};

#[tokio::test(flavor = "multi_thread")]
async fn others_run_on_while_one_is_started_stopped_and_deleted() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let steady = site.camera(test_camera("Steady", 5, 2)).await;
    let other = site.camera(with(test_camera("Other", 5, 2), &json!({"is_enabled": false}))).await;
    assert_eq!(site.status(&other).await["status"], "stopped");
    site.reaches(&steady, "online", SOON).await;
    let since = site.status(&steady).await["status_since"].clone();

    for round in 0..3 {
        let answer = site.client.post(&format!("/cameras/{other}/start"), &json!({})).await.expect(202).json;
        assert_eq!(answer["camera_id"], json!(other));
        site.reaches(&other, "online", SOON).await;
        // Starting what runs changes nothing.
        let again = site.client.post(&format!("/cameras/{other}/start"), &json!({})).await.expect(202).json;
        assert_eq!(again["status"], "online");
        if round == 0 {
            let event = live.created(&other).await;
            assert_eq!(site.status(&other).await["event_id"], event["id"]);
            site.client.post(&format!("/cameras/{other}/stop"), &json!({})).await.expect(202);
            let event = live.finished(&id_of(&event)).await;
            assert!(event["duration_ms"].as_i64().unwrap() < 3000, "closed by the stop: {event}");
        } else {
            let answer = site.client.post(&format!("/cameras/{other}/stop"), &json!({})).await.expect(202).json;
            assert_eq!(answer, json!({"camera_id": other, "status": "stopped"}));
        }
        let state = site.reaches(&other, "stopped", SOON).await;
        assert_eq!((&state["is_enabled"], &state["event_id"]), (&json!(false), &Value::Null));
        site.client.post(&format!("/cameras/{other}/stop"), &json!({})).await.expect(202);
    }
    site.client.delete(&format!("/cameras/{other}")).await.expect(204);
    site.client.delete(&format!("/cameras/{other}")).await.expect(404);
    for path in ["", "/status", "/snapshot"] {
        site.client.get(&format!("/cameras/{other}{path}")).await.expect(404);
    }
    site.client.post(&format!("/cameras/{other}/start"), &json!({})).await.expect(404);

    live.created(&steady).await;
    let state = site.status(&steady).await;
    assert_eq!((&state["status"], &state["status_since"], &state["reconnects"]), (&json!("online"), &since, &json!(0)));
    let told = site.journal(0).await;
    check_order(&told);
    assert_eq!(statuses(&told, &steady), ["starting", "online"]);
    let rounds = ["starting", "online", "stopped"];
    let expected: Vec<_> = ["stopped"].iter().chain(rounds.iter().cycle().take(9)).chain(&["deleted"]).collect();
    assert_eq!(statuses(&told, &other).iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_deleted_during_an_event_takes_everything_along() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let steady = site.camera(test_camera("Steady", 6, 2)).await;
    let doomed = site.camera(test_camera("Doomed", 6, 3)).await;
    let first = live.created(&doomed).await;
    live.finished(&id_of(&first)).await;
    assert!(files(&site.stored(&doomed)).len() >= 4);
    let second = live.created(&doomed).await;

    site.client.delete(&format!("/cameras/{doomed}")).await.expect(204);
    let gone = live.until("the end", SOON, |m| is_about(m, "camera.status", &doomed)).await;
    assert_eq!((&gone["data"]["status"], &gone["data"]["previous_status"]), (&json!("deleted"), &json!("online")));
    site.client.get(&format!("/cameras/{doomed}")).await.expect(404);
    for event in [&first, &second] {
        site.client.get(&format!("/events/{}", id_of(event))).await.expect(404);
        site.client.get(&format!("/events/{}/clip", id_of(event))).await.expect(404);
    }
    let left = site.client.get(&format!("/events?camera_id={doomed}")).await.expect(200).json;
    assert_eq!(left["total"], 0);
    wait_until("the media folder to go", SOON, || files(&site.stored(&doomed)).is_empty()).await;
    wait_until("half a clip to go", SOON, || files(&site.dir.path().join("tmp")).len() <= 2).await;

    // The name is free again, and the others go on.
    site.camera(test_camera("Doomed", 6, 2)).await;
    live.created(&steady).await;
    let told = site.journal(0).await;
    assert!(
        told.iter().all(|m| m["type"] != "event.deleted"),
        "events that go with their camera are not told one by one"
    );
    assert!(told.iter().all(|m| !is_about(m, "event.created", &doomed) && !is_about(m, "event.updated", &doomed)));
    assert_eq!(statuses(&told, &steady), ["starting", "online"]);
    assert_eq!(statuses(&told, &doomed).last().unwrap(), "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_acts_at_once_and_restarts_only_for_another_source() {
    let site = Site::start().await;
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Yard", 5, 2)).await;
    let path = format!("/cameras/{camera}");
    let event = live.created(&camera).await;
    assert_eq!(event["camera_name"], "Yard");
    live.finished(&id_of(&event)).await;
    let since = site.status(&camera).await["status_since"].clone();

    // A new name is the name of the old events too; what GET gave can be sent back.
    let mut whole = site.client.put(&path, &json!({"name": " Garden "})).await.expect(200).json;
    assert_eq!(
        (&whole["name"], &whole["motion_cooldown"], &whole["pre_roll_s"]),
        (&json!("Garden"), &json!(0), &json!(2))
    );
    assert_eq!(site.event(&id_of(&event)).await["camera_name"], "Garden");
    whole["prompt_override"] = json!("Only in rhymes.");
    let back = site.client.put(&path, &whole).await.expect(200).json;
    assert_eq!(back["prompt_override"], "Only in rhymes.");
    assert_eq!(
        site.client.put(&path, &json!({"prompt_override": null})).await.expect(200).json["prompt_override"],
        Value::Null
    );

    // An include zone around the way of the object is named in the event, by the name that it had then.
    let zone = |name: &str, kind: &str, top: f64, bottom: f64| {
        let corners = [(0.0, top), (1.0, top), (1.0, bottom), (0.0, bottom)];
        let vertices: Vec<_> = corners.iter().map(|(x, y)| json!({"x": x, "y": y})).collect();
        json!({"name": name, "kind": kind, "vertices": vertices})
    };
    let zones = json!({"detection_zones": [zone("Way", "include", 0.2, 0.8)], "motion_sensitivity": "high"});
    let set = site.client.put(&path, &zones).await.expect(200).json;
    assert!(set["detection_zones"][0]["id"].is_string() && set["detection_zones"][0]["enabled"] == true);
    let event = live.created(&camera).await;
    let event = live.finished(&id_of(&event)).await;
    assert_eq!((&event["zones"][0]["name"], &event["camera_name"]), (&json!("Way"), &json!("Garden")));
    assert!(event["description"].as_str().unwrap().contains("Way"), "{event}");

    // Where nothing counts, nothing begins: two periods pass without an event.
    let zones = json!({"detection_zones": [zone("All", "exclude", 0.0, 1.0)]});
    site.client.put(&path, &zones).await.expect(200);
    let edited = site.client.get("/journal").await.expect(200).json["last_seq"].as_i64().unwrap();
    let begun = std::time::Instant::now();
    wait_until("two periods", SOON, || begun.elapsed().as_secs() >= 11).await;
    let told = site.journal(edited).await;
    assert!(!told.iter().any(|m| m["type"] == "event.created"), "{told:?}");
    assert_eq!(site.status(&camera).await["motion_active"], false);
    site.client.put(&path, &json!({"detection_zones": []})).await.expect(200);
    live.created(&camera).await;
    assert_eq!(site.status(&camera).await["status_since"], since, "capture ran on through all of it");
    assert_eq!(live.statuses(&camera), ["starting", "online"]);

    // Another source restarts capture.
    let pattern = json!({"test_pattern": {"width": 160, "height": 120, "period_s": 5, "active_s": 2}});
    site.client.put(&path, &pattern).await.expect(200);
    wait_for("the new source", SOON, || async {
        let state = site.status(&camera).await;
        (state["status"] == "online" && state["resolution"] == "160x120").then_some(())
    })
    .await;
    live.created(&camera).await;
    assert_eq!(live.statuses(&camera), ["starting", "online", "starting", "online"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_is_refused_and_changes_nothing() {
    let site = Site::start().await;
    let camera = site.camera(with(test_camera("Yard", 5, 2), &json!({"is_enabled": false}))).await;
    site.camera(with(test_camera("Door", 5, 2), &json!({"is_enabled": false}))).await;
    let path = format!("/cameras/{camera}");
    let before = site.client.get(&path).await.expect(200).json;
    site.client.put(&path, &json!({"name": "DOOR"})).await.expect(409);
    site.client.post("/cameras", &test_camera("yard", 5, 2)).await.expect(409);
    for (update, field) in [
        (json!({"nmae": "x"}), "nmae"),
        (json!({"type": "rtsp"}), "type"),
        (json!({"frame_rate": 31}), "frame_rate"),
        (json!({"frame_rate": "5"}), "frame_rate"),
        (json!({"name": null}), "name"),
        (json!({"rtsp_url": "rtsp://h/"}), "rtsp_url"),
        (json!({"test_pattern": {"width": 10}}), "test_pattern.width"),
        (json!({"detection_zones": [{"name": "Z", "vertices": []}]}), "detection_zones[0].vertices"),
    ] {
        let answer = site.client.put(&path, &update).await.expect(422).json;
        let fields: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
        assert!(fields.contains(&&json!(field)), "{update}: {answer}");
    }
    assert_eq!(site.client.get(&path).await.expect(200).json, before);
}
