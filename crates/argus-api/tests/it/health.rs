//! Health of the server.

use argus_core::status::CameraStatus;
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, send};

#[tokio::test]
async fn details_are_for_those_who_are_known() {
    let server = Server::start().await;
    server.clock.advance(std::time::Duration::from_millis(90_500));
    let bare = send(server.bare(Method::GET, "/system/health")).await.expect(200);
    assert_eq!(bare, json!({"status": "ok", "version": "1.2.3", "uptime_s": 90}));
    let bad = send(server.bare(Method::GET, "/system/health").header("x-api-key", "argus_bad")).await.expect(200);
    assert_eq!(bad, bare);
    let known = server.get("/system/health").await.expect(200);
    assert_eq!(known["components"]["protect"], json!({"status": "disabled", "detail": "no controller"}));
    assert_eq!(known["components"]["database"], json!({"status": "ok", "detail": null}));
    assert_eq!(known["status"], "ok", "what is not in use is not ill");
}

#[tokio::test]
async fn an_offline_camera_degrades() {
    let server = Server::start().await;
    let id = server.camera("Door").await;
    server.set_status(&id, CameraStatus::Offline);
    let health = server.get("/system/health").await.expect(200);
    assert_eq!(
        (&health["status"], &health["components"]["cameras"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
}
