//! Certificates that this machine trusts. The roots are read once in a process, from a file that is named when it starts:
//! so the checks run in a process of their own.

use std::process::Stdio;
use std::sync::Arc;

use argus_core::Secret;
use argus_core::controller::{ControllerConfig, ControllerFault, Controllers as _};
use argus_protect::Protect;
use argus_protect_sim::{Options, Sim};

use crate::rig::{LIMIT, Wall, quick};

const PORTS: &str = "ARGUS_TEST_CONTROLLER_PORTS";

#[tokio::test]
async fn the_system_s_roots_decide_without_a_pin() {
    let named = |name: &str| Options { certificate_names: vec![name.into()], ..Options::default() };
    let good = Sim::start(named("127.0.0.1")).await.unwrap();
    let other_name = Sim::start(named("unifi.local")).await.unwrap();
    let expired = Sim::start(named("127.0.0.1")).await.unwrap();
    expired.new_certificate(true).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    let all = [&good, &other_name, &expired];
    std::fs::write(&roots, all.map(Sim::certificate_pem).concat()).unwrap();
    let ports = all.map(|sim| sim.address().port().to_string()).join(" ");
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "trust::inside", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &roots)
        .env_remove("SSL_CERT_DIR")
        .env(PORTS, ports)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(LIMIT, child).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("1 passed"), "{said}");
    assert!(good.count_of("POST", crate::rig::LOGIN) == 1);
    assert_eq!(other_name.requests().len() + expired.requests().len(), 0);
}

#[tokio::test]
#[ignore = "run by the test above, which says where and with which roots"]
async fn inside() {
    let ports = std::env::var_os(PORTS).unwrap().into_string().unwrap();
    let ports: Vec<u16> = ports.split(' ').map(|p| p.parse().unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    let protect = Protect::new(Arc::new(Wall), dir.path().to_owned(), quick());
    let config = |port| ControllerConfig {
        name: "House".into(),
        host: "127.0.0.1".into(),
        port,
        api_key: None,
        username: Some("argus".into()),
        password: Some(Secret::new("correct horse")),
        verify_tls: true,
        certificate_sha256: None,
        is_enabled: true,
    };
    let probe = protect.probe(&config(ports[0])).await;
    assert!(probe.success && probe.certificate_trusted == Some(true), "{probe:?}");
    for (port, word) in [(ports[1], "another name"), (ports[2], "expired")] {
        let probe = protect.probe(&config(port)).await;
        assert_eq!(probe.error_kind, Some(ControllerFault::TlsUntrusted), "{probe:?}");
        assert!(probe.message.contains(word) && probe.certificate_trusted == Some(false), "{}", probe.message);
    }
}
