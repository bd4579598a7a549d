//! Testing the settings of a controller.

use std::time::Duration;

use argus_core::Secret;
use argus_core::controller::{
    ControllerConfig, ControllerFault, ControllerFeatures, ControllerProbe, Controllers as _,
};
use argus_protect::Tuning;
use argus_protect_sim::{Body, Fault, Options, What, When, Wire};

use crate::rig::{BOOTSTRAP, Rig, With, quick, until};

async fn failing(rig: &Rig, config: ControllerConfig, kind: ControllerFault) -> ControllerProbe {
    let probe = rig.protect.probe(&config).await;
    assert!(!probe.success && probe.error_kind == Some(kind), "{probe:?}");
    assert!(probe.elapsed_ms < 15_000);
    probe
}

#[tokio::test]
async fn a_good_controller_tells_what_it_is() {
    let rig = Rig::new(Options::default()).await;
    for (with, clips) in [(With::Account, true), (With::Key, false), (With::Both, true)] {
        let probe = rig.protect.probe(&rig.config(with)).await;
        assert!(probe.success, "{probe:?}");
        assert_eq!(probe.firmware_version.as_deref(), Some("7.1.87"));
        assert_eq!(probe.camera_count, Some(12));
        assert_eq!(probe.features, Some(ControllerFeatures { events: true, snapshots: true, clips }));
        assert_eq!(probe.certificate_sha256, Some(rig.sim.fingerprint()));
        assert_eq!((probe.certificate_trusted, probe.error_kind), (Some(false), None));
    }
    until("the sign-outs", || rig.sim.sessions() == 0).await;
}

#[tokio::test]
async fn an_untrusted_certificate_is_shown_and_nothing_is_said() {
    let rig = Rig::new(Options::default()).await;
    let config = ControllerConfig { certificate_sha256: None, ..rig.config(With::Both) };
    let probe = failing(&rig, config.clone(), ControllerFault::TlsUntrusted).await;
    assert_eq!(probe.certificate_sha256, Some(rig.sim.fingerprint()));
    assert_eq!((probe.certificate_trusted, probe.features), (Some(false), None));

    let other = ControllerConfig { certificate_sha256: Some("ab".repeat(32)), ..config.clone() };
    let probe = failing(&rig, other, ControllerFault::TlsChanged).await;
    assert_eq!(probe.certificate_sha256, Some(rig.sim.fingerprint()));
    assert_eq!(rig.sim.requests().len(), 0);

    // Any certificate, because the owner said so.
    let probe = rig.protect.probe(&ControllerConfig { verify_tls: false, ..config }).await;
    assert!(probe.success, "{probe:?}");
    // A pin in the way people copy it.
    let pin = rig.sim.fingerprint().to_uppercase();
    let pin = pin.as_bytes().chunks(2).map(|c| std::str::from_utf8(c).unwrap()).collect::<Vec<_>>().join(":");
    let probe = rig.protect.probe(&ControllerConfig { certificate_sha256: Some(pin), ..rig.config(With::Key) }).await;
    assert!(probe.success, "{probe:?}");
}

#[tokio::test]
async fn failures_have_their_kinds() {
    let rig = Rig::tuned(
        Options::default(),
        Tuning { connect: Duration::from_millis(700), answer: Duration::from_millis(700), ..quick() },
    )
    .await;
    let account = || rig.config(With::Account);
    let wrong = ControllerConfig { password: Some(Secret::new("wrong")), ..account() };
    let probe = failing(&rig, wrong, ControllerFault::Unauthorized).await;
    assert_eq!(probe.certificate_sha256, Some(rig.sim.fingerprint()));
    let cloud = ControllerConfig { username: Some("cloud".into()), password: Some(Secret::new("staple")), ..account() };
    assert!(failing(&rig, cloud, ControllerFault::Unauthorized).await.message.contains("second factor"));
    let key = ControllerConfig { api_key: Some(Secret::new("no key")), ..rig.config(With::Both) };
    let probe = failing(&rig, key, ControllerFault::Unauthorized).await;
    // The account is good all the same, and the message says which is not.
    assert_eq!(probe.features, Some(ControllerFeatures { events: true, snapshots: true, clips: true }));
    assert!(probe.message.starts_with("with the API key"), "{}", probe.message);

    rig.sim.fault(Fault::on(BOOTSTRAP, When::First(2), What::Answer(403, Body::Empty)));
    failing(&rig, account(), ControllerFault::Forbidden).await;
    rig.sim.clear_faults();
    rig.sim.fault(Fault::on(BOOTSTRAP, When::Always, What::Answer(200, Body::Html)));
    assert!(failing(&rig, account(), ControllerFault::NotProtect).await.message.contains("HTML"));
    rig.sim.clear_faults();
    rig.sim.fault(Fault::on("*", When::Always, What::Answer(404, Body::Empty)));
    failing(&rig, rig.config(With::Key), ControllerFault::TooOld).await;
    rig.sim.clear_faults();

    rig.sim.set_wire(Wire::Plain);
    assert!(failing(&rig, account(), ControllerFault::NotProtect).await.message.contains("TLS"));
    rig.sim.set_wire(Wire::Mute);
    failing(&rig, account(), ControllerFault::Timeout).await;
    rig.sim.set_wire(Wire::Reset);
    failing(&rig, account(), ControllerFault::Unreachable).await;
    rig.sim.set_wire(Wire::Tls12);
    assert!(rig.protect.probe(&account()).await.success);
    // Nobody there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    failing(&rig, ControllerConfig { port: free, ..account() }, ControllerFault::Unreachable).await;
}
