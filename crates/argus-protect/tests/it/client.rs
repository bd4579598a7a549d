//! The part below the connections, alone: one question at a time.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use argus_core::controller::StreamQuality;
use argus_protect::frame::Action;
use argus_protect::{Client, ProtectError};
use argus_protect_sim::Options;

use crate::rig::{LIMIT, Rig, Wall, With, quick};

#[tokio::test]
async fn a_client_asks_and_follows() {
    let rig = Rig::new(Options::default()).await;
    let client = Client::new(&rig.config(With::Both), Arc::new(Wall), quick()).unwrap();
    client.knock().await.unwrap();
    assert_eq!(client.certificate().unwrap().sha256, rig.sim.fingerprint());
    let local = client.local().unwrap();
    let bootstrap = local.bootstrap().await.unwrap();
    assert_eq!(bootstrap.cameras.len(), 12);
    let mut updates = local.follow(&bootstrap.last_update_id).await.unwrap();
    let camera = rig.sim.cameras().remove(0);
    let from = rig.sim.now_ms();
    let ring = rig.sim.ring(&camera);
    let update = tokio::time::timeout(LIMIT, async {
        loop {
            let update = updates.next().await.unwrap().unwrap();
            if update.model == "event" {
                return update;
            }
        }
    });
    let update = update.await.unwrap();
    assert_eq!((update.action, update.id.as_str()), (Action::Add, ring.as_str()));
    assert_eq!(local.event(&ring).await.unwrap().kind.as_deref(), Some("ring"));
    assert!(matches!(local.event("no such thing").await, Err(ProtectError::NotFound(_))));
    assert_eq!(local.camera(&camera).await.unwrap()["id"], camera.as_str());
    assert_eq!(local.session().sign_ins(), 1);
    let official = client.official().unwrap();
    assert_eq!(official.version().await.unwrap(), "7.1.87");
    assert_eq!(official.cameras().await.unwrap().len(), 12);
    // More than a page of history, oldest first.
    for _ in 0..230 {
        rig.sim.motion(&camera, Duration::from_millis(1));
    }
    let history = local.history(from, rig.sim.now_ms() + 1000).await.unwrap();
    assert_eq!((history.events.len(), history.cut), (231, false));
    assert!(history.events.is_sorted_by_key(|e| e.start_ms));
    local.session().sign_out().await;
    assert_eq!(rig.sim.sessions(), 0);
}

#[tokio::test]
async fn ipv6_controllers_are_reached() {
    let options = Options { host: Ipv6Addr::LOCALHOST.into(), ..Options::default() };
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let rig = Rig::new(options).await;
    assert_eq!(rig.config(With::Both).host, "::1");
    let open = rig.connected(With::Both).await;
    let camera = rig.sim.cameras().remove(0);
    let url = open.handle.stream_url(&camera, StreamQuality::High).await.unwrap();
    assert!(url.expose().starts_with("rtsps://[::1]:"), "not the address in use, in brackets");
    open.stop().await;
}
