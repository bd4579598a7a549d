//! Cameras: created, changed, switched, tried, removed.

use argus_core::api_key::Scope;
use argus_core::camera::Source;
use argus_core::status::{CameraState, CameraStatus, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, send};

const NOWHERE: &str = "/cameras/0193f000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_new_camera_has_every_field_and_its_defaults() {
    let server = Server::start().await;
    let answer = server.post("/cameras", json!({"name": "  Front door ", "type": "test"})).await;
    let mut camera = answer.expect(201);
    let id = camera["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/cameras/{id}"));
    assert_eq!(server.get(answer.header("location")).await.expect(200), camera);
    camera.as_object_mut().unwrap().remove("id");
    assert_eq!(
        camera,
        json!({
            "created_at": "2025-12-23T10:30:00.000Z", "updated_at": "2025-12-23T10:30:00.000Z",
            "name": "Front door", "type": "test", "rtsp_url": null, "username": null, "has_password": false,
            "rtsp_transport": "auto", "device_index": null, "file_path": null, "loop": true,
            "test_pattern": {"width": 640, "height": 360, "period_s": 12, "active_s": 4},
            "is_enabled": true, "frame_rate": 5, "motion_enabled": true, "motion_sensitivity": "medium",
            "motion_cooldown": 30, "pre_roll_s": 5, "post_roll_s": 5, "max_event_s": 60,
            "analysis_mode": "multi_frame", "prompt_override": null, "detection_zones": [], "detection_schedule": null,
            "protect_controller_id": null, "protect_camera_id": null, "is_doorbell": false, "smart_detection_types": [],
            "status": "starting", "last_error": null, "last_error_kind": null, "last_frame_at": null, "fps": null,
            "resolution": null, "codec": null, "reconnects": 0,
        })
    );
}

#[tokio::test]
async fn names_are_unique_ignoring_case() {
    let server = Server::start().await;
    server.camera("Door").await;
    server.post("/cameras", json!({"name": "dOOR", "type": "test"})).await.expect(409);
    let other = server.camera("Yard").await;
    server.put(&format!("/cameras/{other}"), json!({"name": "DOOR"})).await.expect(409);
    server.put(&format!("/cameras/{other}"), json!({"name": "YARD"})).await.expect(200);
}

#[tokio::test]
async fn what_get_gave_can_be_put_back() {
    let server = Server::start().await;
    for (i, body) in [
        json!({"type": "test", "detection_schedule": {"windows": [{"days": ["fri", "sat"], "start": "22:00", "end": "24:00"}]}}),
        json!({"type": "rtsp", "rtsp_url": "rtsp://joe:secret@cam/live", "rtsp_transport": "udp"}),
        json!({"type": "usb", "device_index": 3}),
        json!({"type": "file", "file_path": "walk.mp4", "loop": false,
            "detection_zones": [{"name": "Z", "vertices": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 0.5, "y": 1}]}]}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body;
        body["name"] = json!(format!("camera {i}"));
        let camera = server.post("/cameras", body).await.expect(201);
        let path = format!("/cameras/{}", camera["id"].as_str().unwrap());
        server.clock.advance(std::time::Duration::from_secs(1));
        let mut back = server.put(&path, camera.clone()).await.expect(200);
        assert_ne!(back["updated_at"], camera["updated_at"]);
        back["updated_at"] = camera["updated_at"].clone();
        assert_eq!(back, camera);
        assert_eq!(server.put(&path, json!({})).await.expect(200)["name"], camera["name"]);
    }
}

#[tokio::test]
async fn a_put_changes_what_it_names() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let path = format!("/cameras/{id}");
    let put = |body: Value| server.put(&path, body);
    let changed =
        put(json!({"frame_rate": 7, "prompt_override": "look", "type": "test", "test_pattern": {"period_s": 3}})).await;
    let changed = changed.expect(200);
    assert_eq!((&changed["frame_rate"], &changed["prompt_override"]), (&json!(7), &json!("look")));
    assert_eq!(changed["test_pattern"], json!({"width": 640, "height": 360, "period_s": 3, "active_s": 1}));
    put(json!({"prompt_override": ""})).await.expect(200);
    let emptied = server.get(&path).await.expect(200);
    assert_eq!(emptied["prompt_override"], json!(null), "an emptied field of a form clears");
    put(json!({"prompt_override": "look"})).await.expect(200);
    let cleared = put(json!({"prompt_override": null, "test_pattern": null})).await.expect(200);
    assert_eq!((&cleared["frame_rate"], &cleared["prompt_override"]), (&json!(7), &json!(null)));
    assert_eq!(cleared["test_pattern"]["period_s"], 12);
    for (body, field) in [
        (json!({"frame_rate": null}), "frame_rate"),
        (json!({"type": "rtsp"}), "type"),
        (json!({"rtsp_url": "rtsp://x"}), "rtsp_url"),
        (json!({"loop": false}), "loop"),
        (json!({"device_index": 1}), "device_index"),
        (json!({"nonsense": 1}), "nonsense"),
        (json!({"camera_id": null}), "camera_id"),
    ] {
        assert_eq!(put(body.clone()).await.faults(), [field], "{body}");
    }
    assert_eq!(put(json!({"frame_rate": 0, "loop": false, "hue": 1})).await.faults(), ["frame_rate", "hue", "loop"]);
    assert_eq!(server.get(&path).await.expect(200), cleared, "what was refused changed nothing");
    put(json!({"file_path": null, "loop": true, "rtsp_transport": "auto"})).await.expect(200);
}

#[tokio::test]
async fn passwords_go_in_and_never_come_out() {
    let server = Server::start().await;
    let body = json!({"name": "Door", "type": "rtsp", "rtsp_url": "rtsp://joe:s%40cret@cam:8554/live"});
    let answer = server.post("/cameras", body).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("cret"));
    let camera = answer.expect(201);
    assert_eq!((&camera["rtsp_url"], &camera["username"]), (&json!("rtsp://cam:8554/live"), &json!("joe")));
    assert_eq!(camera["has_password"], true);
    let path = format!("/cameras/{}", camera["id"].as_str().unwrap());
    let refused = server.put(&path, json!({"rtsp_url": "rtsp://evil:8554/live"})).await;
    assert_eq!(refused.faults(), ["password"]);
    assert!(!String::from_utf8_lossy(&refused.body).contains("cret"));
    let kept = server.put(&path, json!({"rtsp_url": "rtsp://cam:8554/other"})).await.expect(200);
    assert_eq!(kept["has_password"], true);
    let stored = server.db.camera_get(camera["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    assert!(matches!(&stored.config.source, Source::Rtsp { password: Some(p), .. } if p.expose() == "s@cret"));
    let cleared = server.put(&path, json!({"rtsp_url": "rtsp://evil/", "password": null})).await.expect(200);
    assert_eq!(cleared["has_password"], false);
    server.put(&path, json!({"rtsp_url": "rtsp://other/"})).await.expect(200);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.push(server.camera(&format!("camera {i}")).await);
        server.clock.advance(std::time::Duration::from_millis(1));
    }
    server
        .post("/cameras", json!({"name": "usb", "type": "usb", "device_index": 0, "is_enabled": false}))
        .await
        .expect(201);
    server.set_status(&ids[1], CameraStatus::Online);
    server.set_status(&ids[2], CameraStatus::Offline);
    let names = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    for (query, expected) in [
        ("?limit=2", &["camera 0", "camera 1"][..]),
        ("?limit=2&page=3", &["camera 4", "usb"]),
        ("?limit=2&page=4", &[]),
        ("?type=usb", &["usb"]),
        ("?type=usb,file&type=rtsp", &["usb"]),
        ("?is_enabled=false", &["usb"]),
        ("?is_enabled=1&limit=1", &["camera 0"]),
        ("?status=online,offline", &["camera 1", "camera 2"]),
        ("?status=online&status=offline&limit=1&page=2", &["camera 2"]),
        ("?status=stopped", &["usb"]),
        ("?status=stopped&type=test", &[]),
    ] {
        let list = server.get(&format!("/cameras{query}")).await.expect(200);
        assert_eq!(names(&list), expected, "{query}");
    }
    let list = server.get("/cameras?limit=4").await.expect(200);
    assert_eq!(
        (&list["total"], &list["page"], &list["limit"], &list["pages"]),
        (&json!(6), &json!(1), &json!(4), &json!(2))
    );
    for (query, faults) in [
        ("?page=0", &["page"][..]),
        ("?page=2147483648", &["page"]),
        ("?limit=501&page=x", &["limit", "page"]),
        ("?limit=1&limit=2", &["limit"]),
        ("?type=walrus&status=&hue=1", &["hue", "status", "type"]),
        ("?is_enabled=yes", &["is_enabled"]),
    ] {
        assert_eq!(server.get(&format!("/cameras{query}")).await.faults(), faults, "{query}");
    }
    for broken in ["?type=%zz", "?%ff=1"] {
        server.raw_get(&format!("/api/v1/cameras{broken}")).await;
        assert_eq!(server.raw_get(&format!("/api/v1/cameras{broken}")).await.0, 400, "{broken}");
    }
}

#[tokio::test]
async fn start_and_stop_switch_and_tell_the_status() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let switch =
        async |what: &str| send(server.request(Method::POST, &format!("/cameras/{id}/{what}"))).await.expect(202);
    assert_eq!(switch("stop").await, json!({"camera_id": id, "status": "stopped"}));
    assert_eq!(server.get(&format!("/cameras/{id}")).await.expect(200)["is_enabled"], false);
    assert_eq!(switch("stop").await["status"], "stopped");
    assert_eq!(switch("start").await, json!({"camera_id": id, "status": "starting"}));
    server.set_status(&id, CameraStatus::Online);
    assert_eq!(switch("start").await["status"], "online");
    assert_eq!(server.get(&format!("/cameras/{id}")).await.expect(200)["is_enabled"], true);
    for what in ["start", "stop"] {
        send(server.request(Method::POST, &format!("{NOWHERE}/{what}"))).await.expect(404);
    }
}

#[tokio::test]
async fn the_status_has_what_the_camera_has_and_more() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let state = CameraState {
        last_error: Some("nobody answers".into()),
        last_error_kind: Some(FaultKind::Unreachable),
        reconnects: 3,
        ..CameraState::of(CameraStatus::Offline)
    };
    server.control.states.lock().unwrap().insert(id.parse().unwrap(), state);
    let status = server.get(&format!("/cameras/{id}/status")).await.expect(200);
    assert_eq!(
        status,
        json!({
            "camera_id": id, "is_enabled": true, "status": "offline", "last_error": "nobody answers",
            "last_error_kind": "unreachable", "last_frame_at": null, "fps": null, "resolution": null, "codec": null,
            "reconnects": 3, "status_since": "2025-12-23T10:30:00.000Z", "schedule_active": true, "motion_active": false,
            "event_id": null,
        })
    );
    assert_eq!(server.get(&format!("/cameras/{id}")).await.expect(200)["last_error_kind"], "unreachable");
    server.get(&format!("{NOWHERE}/status")).await.expect(404);
}

#[tokio::test]
async fn snapshots_are_pictures_with_their_time() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let answer = server.get(&format!("/cameras/{id}/snapshot?width=320")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"jpeg 320"[..]));
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(answer.header("x-captured-at"), "2025-12-23T10:30:00.000Z");
    for width in ["63", "3841", "x", "1.5"] {
        assert_eq!(server.get(&format!("/cameras/{id}/snapshot?width={width}")).await.faults(), ["width"]);
    }
    send(server.request(Method::POST, &format!("/cameras/{id}/stop"))).await.expect(202);
    server.get(&format!("/cameras/{id}/snapshot")).await.expect(409);
    let dark = server.camera("dark").await;
    server.get(&format!("/cameras/{dark}/snapshot")).await.expect(503);
    server.get(&format!("{NOWHERE}/snapshot")).await.expect(404);
}

#[tokio::test]
async fn a_removed_camera_is_gone() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    let path = format!("/cameras/{id}");
    let answer = server.delete(&path).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    server.delete(&path).await.expect(404);
    server.get(&path).await.expect(404);
    server.put(&path, json!({"frame_rate": 1})).await.expect(404);
}

#[tokio::test]
async fn text_that_is_no_id_names_nothing() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    for text in [
        "x",
        "123",
        &id.to_uppercase(),
        &id.replace('-', ""),
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2Fetc%2Fpasswd",
        "%00",
        &format!("{id}%00"),
        &format!("{id}%0a"),
        &"x".repeat(5000),
        "'%20OR%201=1--",
    ] {
        let (status, answer) = server.raw_get(&format!("/api/v1/cameras/{text}")).await;
        assert_eq!(status, 404, "{text}: {answer}");
    }
    for text in ["%", "%zz", "%ff", "%c3%28"] {
        let (status, answer) = server.raw_get(&format!("/api/v1/cameras/{text}")).await;
        assert_eq!(status, 400, "{text}: {answer}");
    }
    assert_eq!(server.raw_get(&format!("/api/v1/cameras/{id}")).await.0, 200);
}

#[tokio::test]
async fn a_source_can_be_tried_without_leaving_a_trace() {
    let server = Server::start().await;
    let body = json!({"name": "Door", "type": "rtsp", "rtsp_url": "rtsp://joe:secret@cam/live"});
    let id = server.post("/cameras", body).await.expect(201)["id"].as_str().unwrap().to_owned();
    let tried = async |body: Value| {
        let answer = server.post("/cameras/test", body).await.expect(200);
        assert_eq!(answer["success"], true);
        for field in ["message", "error_kind", "resolution", "fps", "codec", "thumbnail", "elapsed_ms"] {
            assert!(answer.get(field).is_some(), "{field}");
        }
        let source = server.control.probed.lock().unwrap().pop().unwrap();
        match source {
            Source::Rtsp { url, password, .. } => (url.as_str().to_owned(), password.map(|p| p.expose().to_owned())),
            other => (other.source_type().to_string(), None),
        }
    };
    assert_eq!(tried(json!({"type": "test", "frame_rate": 3})).await.0, "test");
    let secret = Some("secret".to_owned());
    assert_eq!(tried(json!({"camera_id": id})).await, ("rtsp://cam/live".into(), secret.clone()));
    assert_eq!(tried(json!({"camera_id": id, "rtsp_url": "rtsp://cam/2"})).await, ("rtsp://cam/2".into(), secret));
    assert_eq!(tried(json!({"camera_id": id, "rtsp_url": "rtsp://evil/2"})).await, ("rtsp://evil/2".into(), None));
    assert_eq!(tried(json!({"camera_id": null, "type": "rtsp", "rtsp_url": "rtsp://a"})).await.1, None);
    let test = |body: Value| server.post("/cameras/test", body);
    assert_eq!(test(json!({})).await.faults(), ["type"]);
    assert_eq!(
        test(json!({"type": "rtsp", "frame_rate": 0, "hue": 1})).await.faults(),
        ["frame_rate", "hue", "rtsp_url"]
    );
    assert_eq!(test(json!({"type": "file", "file_path": "/etc/passwd"})).await.faults(), ["file_path"]);
    assert_eq!(test(json!({"camera_id": 5, "type": "test"})).await.faults(), ["camera_id"]);
    test(json!({"camera_id": "x", "type": "test"})).await.expect(404);
    assert_eq!(test(json!({"camera_id": "x", "frame_rate": 0})).await.faults(), ["frame_rate"]);
    assert_eq!(server.get("/cameras").await.expect(200)["total"], 1);
    assert_eq!(send(server.request(Method::GET, "/cameras/test")).await.expect(405)["status_code"], 405);
    let reader = server.key(&[Scope::ReadCameras]).await;
    send(server.bare(Method::POST, "/cameras/test").header("x-api-key", reader)).await.expect(403);
}

#[tokio::test]
async fn a_file_outside_the_media_directories_is_refused() {
    let server = Server::start().await;
    let body = json!({"name": "F", "type": "file", "file_path": "/etc/passwd"});
    assert_eq!(server.post("/cameras", body).await.faults(), ["file_path"]);
}
