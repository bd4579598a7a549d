//! Controllers as the API has them.

use argus_core::Secret;
use argus_core::camera::{Camera, CameraFields, ProtectSource, SourceType};
use argus_core::controller::{ControllerFault, ControllerFeatures, ControllerGap, ControllerState, ControllerStatus};
use argus_core::{CameraId, Clock as _};
use serde_json::{Value, json};

use crate::support::Server;

const UNKNOWN: &str = "/protect/controllers/0193f000-0000-7000-8000-000000000000";

fn home() -> Value {
    json!({"name": " Home ", "host": "10.0.0.1", "api_key": "the-key", "username": "argus", "password": "the password"})
}

async fn controller(server: &Server) -> (String, Value) {
    let made = server.post("/protect/controllers", home()).await.expect(201);
    (format!("/protect/controllers/{}", made["id"].as_str().unwrap()), made)
}

#[tokio::test]
async fn a_controller_has_the_fields_of_the_contract() {
    let server = Server::start().await;
    let answer = server.post("/protect/controllers", home()).await;
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/protect/controllers/{id}"));
    let expected = json!({
        "id": id, "created_at": "2025-12-23T10:30:00.000Z", "updated_at": "2025-12-23T10:30:00.000Z", "name": "Home",
        "host": "10.0.0.1", "port": 443, "has_api_key": true, "username": "argus", "has_password": true,
        "verify_tls": true, "certificate_sha256": null, "is_enabled": true, "status": "connecting",
        "is_connected": false, "last_connected_at": null, "last_message_at": null, "last_error": null,
        "last_error_kind": null, "firmware_version": null, "camera_count": 2, "enabled_camera_count": 0,
        "features": {"events": false, "snapshots": false, "clips": false},
        "interfaces": [], "locked_until": null, "gaps": [],
    });
    assert_eq!(made, expected);
    let path = format!("/protect/controllers/{id}");
    assert_eq!(server.get(&path).await.expect(200), expected);
    let list = server.get("/protect/controllers").await.expect(200);
    assert_eq!((list["items"][0].clone(), list["total"].clone()), (expected, json!(1)));

    let state = server.cupboard.state.lock().unwrap().clone();
    let state = ControllerState {
        status: ControllerStatus::Error,
        last_connected_at: Some(server.clock.now()),
        last_error: Some("user or password are wrong".into()),
        last_error_kind: Some(ControllerFault::Unauthorized),
        firmware_version: Some("7.1.87".into()),
        features: ControllerFeatures { events: true, snapshots: true, clips: true },
        locked_until: Some(server.clock.now()),
        interfaces: Some("local+integration"),
        ..state
    };
    *server.cupboard.state.lock().unwrap() = state;
    let gap = ControllerGap { from: server.clock.now(), until: server.clock.now(), reason: "no history".into() };
    server.cupboard.gaps.lock().unwrap().push(gap);
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["status"], &shown["last_error_kind"]), (&json!("error"), &json!("unauthorized")));
    assert_eq!(shown["features"]["clips"], json!(true));
    assert_eq!(shown["interfaces"], json!(["local", "integration"]));
    let now = "2025-12-23T10:30:00.000Z";
    assert_eq!(shown["locked_until"], now);
    assert_eq!(shown["gaps"], json!([{"from": now, "until": now, "reason": "no history"}]));
    assert_eq!(
        server.put(&path, shown.clone()).await.expect(200)["gaps"],
        shown["gaps"],
        "what GET gave can be sent back"
    );

    server.delete(&path).await.expect(204);
    server.delete(&path).await.expect(404);
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn what_breaks_a_rule_is_named() {
    let server = Server::start().await;
    let faults = |body: Value| async { server.post("/protect/controllers", body).await.faults() };
    assert_eq!(faults(json!({})).await, ["api_key", "host", "name"]);
    let bad = json!({
        "name": "", "host": "https://x", "port": 0, "username": "joe", "verify_tls": 1, "certificate_sha256": "ab",
        "is_enabled": null, "colour": "red",
    });
    let named = ["certificate_sha256", "colour", "host", "is_enabled", "name", "password", "port", "verify_tls"];
    assert_eq!(faults(bad).await, named);
    let (path, _) = controller(&server).await;
    let taken = |name: &str, host: &str| json!({"name": name, "host": host, "api_key": "k"});
    server.post("/protect/controllers", taken("HOME", "10.0.0.2")).await.expect(409);
    server.post("/protect/controllers", taken("Other", "10.0.0.1")).await.expect(409);
    server.post("/protect/controllers", taken("Other", "10.0.0.2")).await.expect(201);
    let secrets = json!({"host": "10.0.0.2", "api_key": "k", "username": null, "password": null});
    server.put(&path, secrets).await.expect(409);
    server.put(&path, json!({"name": "other"})).await.expect(409);
    assert_eq!(server.put(UNKNOWN, json!({"port": 0})).await.faults(), ["port"]);
    server.put(UNKNOWN, json!({"port": 1})).await.expect(404);
    server.put("/protect/controllers/nothing", json!({})).await.expect(404);
    assert_eq!(server.get("/protect/controllers?colour=red").await.faults(), ["colour"]);
}

#[tokio::test]
async fn a_change_is_partial_and_what_get_gave_can_be_sent_back() {
    let server = Server::start().await;
    let (path, made) = controller(&server).await;
    assert_eq!(server.put(&path, made.clone()).await.expect(200), made);
    let pin = "AB:".repeat(31) + "AB";
    let changed = server.put(&path, json!({"certificate_sha256": pin, "is_enabled": false})).await.expect(200);
    assert_eq!(changed["certificate_sha256"], json!("ab".repeat(32)));
    assert_eq!((&changed["is_enabled"], &changed["has_password"]), (&json!(false), &json!(true)));
    let cleared = server.put(&path, json!({"api_key": null, "certificate_sha256": null})).await.expect(200);
    assert_eq!((&cleared["has_api_key"], &cleared["certificate_sha256"]), (&json!(false), &Value::Null));
    assert_eq!(server.put(&path, json!({"username": null, "password": null})).await.faults(), ["api_key"]);
    assert_eq!(server.put(&path, json!({"username": null})).await.faults(), ["username"]);
}

#[tokio::test]
async fn stored_secrets_go_nowhere_else() {
    let server = Server::start().await;
    let (path, made) = controller(&server).await;
    assert_eq!(server.put(&path, json!({"host": "10.0.0.9"})).await.faults(), ["api_key", "password"]);
    assert_eq!(server.put(&path, json!({"port": 8443, "password": "x"})).await.faults(), ["api_key"]);
    let again = json!({"host": "10.0.0.9", "api_key": "new", "password": "new"});
    server.put(&path, again).await.expect(200);

    let test = |body: Value| async { server.post("/protect/controllers/test", body).await };
    let id = &made["id"];
    test(json!({ "controller_id": id })).await.expect(200);
    let elsewhere = json!({"controller_id": id, "host": "10.0.0.66", "api_key": "another"});
    test(elsewhere).await.expect(200);
    assert_eq!(test(json!({"controller_id": id, "host": "10.0.0.66"})).await.faults(), ["api_key"]);
    let probed = server.cupboard.probed.lock().unwrap().clone();
    let secrets = |n: usize| {
        let config = &probed[n];
        let of = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned());
        (of(&config.api_key), of(&config.password))
    };
    assert_eq!(secrets(0), (Some("new".into()), Some("new".into())));
    assert_eq!(secrets(1), (Some("another".into()), None));
    assert_eq!(probed.len(), 2);
}

#[tokio::test]
async fn a_try_stores_nothing_and_tells_the_certificate() {
    let server = Server::start().await;
    let body = json!({"host": "10.0.0.1", "api_key": "k"});
    let told = server.post("/protect/controllers/test", body).await.expect(200);
    assert_eq!(
        told,
        json!({
            "success": false, "message": "the certificate is not to be trusted", "error_kind": "tls_untrusted",
            "firmware_version": null, "camera_count": null, "certificate_sha256": "ab".repeat(32),
            "certificate_trusted": false, "features": null, "elapsed_ms": 12,
        })
    );
    assert_eq!(server.get("/protect/controllers").await.expect(200)["total"], json!(0));
    let test = |body: Value| async { server.post("/protect/controllers/test", body).await };
    assert_eq!(test(json!({})).await.faults(), ["api_key", "host"]);
    assert_eq!(test(json!({"host": "x", "api_key": "k", "controller_id": 3})).await.faults(), ["controller_id"]);
    test(json!({"controller_id": "nothing"})).await.expect(404);
    assert_eq!(test(json!({"controller_id": "nothing", "port": 0})).await.faults(), ["port"]);
}

#[tokio::test]
async fn cameras_are_listed_and_chosen() {
    let server = Server::start().await;
    let (path, _) = controller(&server).await;
    let list = server.get(&format!("{path}/cameras")).await.expect(200);
    assert_eq!(
        list["items"][0],
        json!({
            "protect_camera_id": "65a1", "camera_id": null, "name": "Front door", "model": "G4 Doorbell Pro",
            "type": "doorbell", "is_doorbell": true, "is_online": true, "enabled": false,
            "smart_detection_capabilities": ["person", "licensePlate", "motion", "ring"],
            "smart_detection_types": ["person", "vehicle", "package", "animal", "ring"],
        })
    );
    assert_eq!((&list["total"], &list["pages"]), (&json!(2), &json!(1)));
    let page = server.get(&format!("{path}/cameras?refresh=true&limit=1&page=2")).await.expect(200);
    assert_eq!(page["items"][0]["protect_camera_id"], json!("65/b 2"));
    assert_eq!(*server.cupboard.refreshed.lock().unwrap(), [false, true]);

    let camera = format!("{path}/cameras/65a1");
    let put = server.put(&camera, json!({"enabled": true, "smart_detection_types": ["ring", "ring"]})).await;
    let put = put.expect(200);
    assert_eq!((&put["enabled"], &put["smart_detection_types"]), (&json!(true), &json!(["ring"])));
    assert!(put["camera_id"].is_string());
    assert_eq!(server.put(&camera, put.clone()).await.expect(200), put, "what GET gave can be sent back");
    let none = server.put(&camera, json!({"smart_detection_types": []})).await.expect(200);
    assert_eq!((&none["enabled"], &none["smart_detection_types"]), (&json!(true), &json!([])));
    let bad = json!({"enabled": null, "smart_detection_types": ["cat"], "colour": 1});
    assert_eq!(server.put(&camera, bad).await.faults(), ["colour", "enabled", "smart_detection_types[0]"]);
    server.put(&format!("{path}/cameras/65%2Fb%202"), json!({"enabled": false})).await.expect(200);
    server.put(&format!("{path}/cameras/nobody"), json!({})).await.expect(404);
    server.put(&format!("{UNKNOWN}/cameras/65a1"), json!({})).await.expect(404);
    server.get(&format!("{UNKNOWN}/cameras")).await.expect(404);
    *server.cupboard.cameras.lock().unwrap() = None;
    server.get(&format!("{path}/cameras")).await.expect(503);
}

#[tokio::test]
async fn a_camera_of_a_controller_keeps_its_source() {
    let server = Server::start().await;
    let (_, made) = controller(&server).await;
    let source = ProtectSource {
        controller_id: Some(made["id"].as_str().unwrap().parse().unwrap()),
        camera_id: "65a1".into(),
        mac: None,
        device_name: "Door".into(),
        is_doorbell: true,
        detections: ProtectSource::DETECTIONS.to_vec(),
    };
    let fields = CameraFields { protect: Some(source), ..CameraFields::new("Door", SourceType::Protect) };
    let now = server.clock.now();
    let camera = Camera { id: CameraId::new(now), created_at: now, updated_at: now, config: fields.check().unwrap() };
    let camera = server.db.camera_insert(camera).await.unwrap();
    let path = format!("/cameras/{}", camera.id);
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["type"], &shown["protect_controller_id"]), (&json!("protect"), &made["id"]));
    assert_eq!((&shown["protect_camera_id"], &shown["is_doorbell"]), (&json!("65a1"), &json!(true)));
    assert_eq!(shown["smart_detection_types"], json!(["person", "vehicle", "package", "animal", "ring"]));
    assert_eq!(server.put(&path, shown.clone()).await.expect(200), shown);
    let named = server.put(&path, json!({"name": "Porch", "pre_roll_s": 9})).await.expect(200);
    assert_eq!(
        (&named["name"], &named["pre_roll_s"], &named["is_doorbell"]),
        (&json!("Porch"), &json!(9), &json!(true))
    );
    assert_eq!(server.put(&path, json!({"rtsp_url": "rtsp://x/"})).await.faults(), ["rtsp_url"]);
    assert_eq!(server.put(&path, json!({"type": "rtsp"})).await.faults(), ["type"]);
    assert_eq!(server.post("/cameras", json!({"name": "x", "type": "protect"})).await.faults(), ["type"]);
    let list = server.get("/cameras?type=protect").await.expect(200);
    assert_eq!(list["total"], json!(1));
}
