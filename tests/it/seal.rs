//! The key under which secrets are stored: changed, lost, and put back.

use argus_tests::server::run;
use serde_json::{Value, json};

use crate::common::{Site, id_of};

async fn camera(site: &Site, name: &str) -> String {
    // Nobody listens there: what counts is that the password is stored.
    let fields = json!({"name": name, "type": "rtsp", "rtsp_url": "rtsp://127.0.0.1:9/x", "username": "joe",
        "password": "hunter2", "is_enabled": false});
    id_of(&site.client.post("/cameras", &fields).await.expect(201).json)
}

fn sealed(site: &Site) -> Vec<String> {
    site.rows("SELECT password AS line FROM camera ORDER BY id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_seals_everything_anew_and_drops_the_old_key() {
    let mut site = Site::start().await;
    let dir = site.dir.path().to_owned();
    let file = dir.join("seal.key");
    let id = camera(&site, "Door").await;
    let (old_key, old) = (std::fs::read(&file).unwrap(), sealed(&site));

    // Not beside a running server, and nothing is changed then.
    let (status, out, err) = run(&dir, &["seal-key", "rotate"]).await;
    assert_eq!((status.code(), out.as_str()), (Some(4), ""));
    assert!(err.contains("in use by another server"), "{err}");
    assert_eq!((std::fs::read(&file).unwrap(), sealed(&site)), (old_key.clone(), old.clone()));

    site.server.terminate(crate::common::SOON).await;
    let (status, out, err) = run(&dir, &["seal-key", "rotate"]).await;
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(out.starts_with("1 secrets sealed under the new key "), "{out}");
    let new_key = std::fs::read(&file).unwrap();
    assert!(new_key.len() == 32 && new_key != old_key, "the old key is gone");
    assert!(sealed(&site).len() == 1 && sealed(&site) != old);
    site.again().await;
    let view = site.client.get(&format!("/cameras/{id}")).await.expect(200).json;
    assert_eq!((&view["has_password"], &view["username"]), (&json!(true), &json!("joe")));

    // With the old key in place of the new one, the start says what to do.
    site.server.terminate(crate::common::SOON).await;
    std::fs::write(&file, &old_key).unwrap();
    let (status, _, err) = run(&dir, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(status.code(), Some(4), "{err}");
    for words in ["seal.key", id.as_str(), "Put back", "seal-key forget"] {
        assert!(err.contains(words), "{words:?} in {err}");
    }
    assert!(!err.contains("hunter2"));
    let (status, _, err) = run(&dir, &["seal-key", "rotate"]).await;
    assert_eq!(status.code(), Some(4), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), old_key, "a refused rotation leaves the file");

    // A crash between the two steps of a rotation leaves both keys: everything opens, and the next one does the rest.
    std::fs::write(&file, [old_key.as_slice(), new_key.as_slice()].concat()).unwrap();
    site.again().await;
    camera(&site, "Yard").await;
    site.server.terminate(crate::common::SOON).await;
    let (status, out, err) = run(&dir, &["seal-key", "rotate"]).await;
    assert!(status.success() && out.starts_with("2 secrets"), "{out}{err}");
    assert_eq!(std::fs::read(&file).unwrap().len(), 32);
    site.again().await;
    assert_eq!(site.client.get("/cameras").await.expect(200).json["total"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_secret_can_be_forgotten() {
    let mut site = Site::start().await;
    let dir = site.dir.path().to_owned();
    let id = camera(&site, "Door").await;
    site.server.terminate(crate::common::SOON).await;
    std::fs::remove_file(dir.join("seal.key")).unwrap();
    let (status, out, err) = run(&dir, &["seal-key", "forget"]).await;
    assert!(status.success(), "{err}");
    assert_eq!(out, format!("removed the password of camera {id}\n1 secrets removed\n"));
    site.again().await;
    let view = site.client.get(&format!("/cameras/{id}")).await.expect(200).json;
    assert_eq!((&view["has_password"], &view["rtsp_url"]), (&json!(false), &Value::from("rtsp://127.0.0.1:9/x")));
}
