//! `ai.local_only`: no host outside is contacted. Proven where the machine lets a test have a network of its own, in
//! which an address of the outside world is this machine's.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{egress, event, set};
use crate::common::{Site, id_of};

/// Names the test inside its own network.
const INSIDE: &str = "ARGUS_TEST_OWN_NETWORK";
/// Of a network for documentation (RFC 5737): public by its looks, and nobody's.
const OUTSIDE: &str = "203.0.113.7";

/// Counts who connects to an address.
fn count(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let (at, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (at, count)
}

async fn outsider(site: &Site, base_url: &str, name: &str) -> Value {
    site.provider(
        json!({"kind": "openai_compatible", "model": "m", "base_url": base_url, "name": name, "timeout_s": 2}),
    )
    .await
}

/// What the event says of those who were passed over.
async fn passed_over(site: &Site, event: &Value) -> Vec<Value> {
    let [receipt] = &site.receipts(&id_of(event)).await[..] else { panic!("not one receipt") };
    receipt["fallback_path"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_is_asked_and_the_receipt_says_so() {
    let site = Site::start().await;
    set(&site, json!({"local_only": true})).await;
    let address = outsider(&site, &format!("http://{OUTSIDE}:9/v1"), "Address").await;
    outsider(&site, "http://vision.invalid/v1", "Name").await;
    let mut live = site.listen(None).await;
    let described = event(&site, &mut live).await;
    assert_eq!(described["provider_used"], "builtin");
    let steps = passed_over(&site, &described).await;
    assert_eq!(steps.iter().map(|s| &s["provider_name"]).collect::<Vec<_>>(), ["Address", "Name"], "{steps:?}");
    assert_eq!(egress(&site).await, Vec::<Value>::new());
    let tried = site.client.post(&format!("/ai/providers/{}/test", id_of(&address)), &json!({})).await.expect(200).json;
    assert_eq!(tried["success"], false, "{tried}");
    assert_eq!(egress(&site).await, Vec::<Value>::new());
    assert_eq!(site.client.get("/ai/usage?group_by=none").await.expect(200).json["failed_calls"], 0);
}

#[test]
fn in_a_network_of_its_own_nothing_reaches_an_address_outside() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(inside());
    }
    let prepare = format!("ip link set lo up && ip addr add {OUTSIDE}/32 dev lo");
    let can = Command::new("unshare").args(["-Urn", "sh", "-c", &prepare]).output();
    if !can.is_ok_and(|done| done.status.success()) {
        argus_tests::skip("there is no network of its own", &"user namespaces and `ip` of iproute2 are needed");
        return;
    }
    // The same test once more, inside.
    let name = std::thread::current().name().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let done = Command::new("unshare")
        .args(["-Urn", "sh", "-c", &format!("{prepare} && exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        // A PostgreSQL outside is out of reach too.
        .env_remove("ARGUS_TEST_DATABASE")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

async fn inside() {
    let (at, outside) = count(OUTSIDE);
    let site = Site::start().await;
    set(&site, json!({"local_only": true})).await;
    let provider = outsider(&site, &format!("http://{at}/v1"), "Outside").await;
    let test = format!("/ai/providers/{}/test", id_of(&provider));
    let mut live = site.listen(None).await;
    let described = event(&site, &mut live).await;
    assert_eq!(described["provider_used"], "builtin");
    assert_eq!(passed_over(&site, &described).await[0]["provider_name"], "Outside");
    assert_eq!(site.client.post(&test, &json!({})).await.expect(200).json["success"], false);
    assert_eq!(outside.load(Ordering::SeqCst), 0, "nobody came");
    // That somebody would have come is no claim.
    set(&site, json!({"local_only": false})).await;
    assert_eq!(site.client.post(&test, &json!({})).await.expect(200).json["success"], false);
    assert!(outside.load(Ordering::SeqCst) > 0, "it is in reach");
    assert!(egress(&site).await.iter().all(|call| call["host"] == json!(at.to_string()) && call["is_remote"] == true));
}
