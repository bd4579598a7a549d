//! Things that happen together, as they do on real sites.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::happening::{Script, Shape};
use crate::model::text;
use crate::sim::Sim;

/// How a console tells events; it changed over the years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Up to Protect 4.0: types in the add, rings of one second.
    Early,
    /// Protect 4.1 to 5.0: types come 40 ms after the add.
    LateTypes,
    /// Protect 7: rings stay open for five minutes, ends come three times, after an update without one; packages are objects.
    Seven,
}

impl Era {
    fn adapt(self, script: Script) -> Script {
        match self {
            Self::Early => script,
            Self::LateTypes if script.types.is_empty() => script,
            Self::LateTypes => Script { late_types: Some(Duration::from_millis(40)), ..script },
            Self::Seven => Script { ends: 3, stray_update: true, ..script },
        }
    }

    /// A ring.
    #[must_use]
    pub fn ring(self) -> Script {
        let lasts = if self == Self::Seven { Duration::from_secs(302) } else { Duration::from_secs(1) };
        self.adapt(Script::new("ring", lasts))
    }

    /// A package.
    #[must_use]
    pub fn package(self) -> Script {
        if self == Self::Seven {
            return Script::package(85);
        }
        self.adapt(Script { shape: Shape::Ordinary, ..Script::smart(&["package"], 85, Duration::from_millis(200)) })
    }
}

/// Somebody comes to the door and rings: a ring, motion and a person. Gives their ids in that order.
pub fn doorbell_press(sim: &Sim, camera: &str, era: Era, lasts: Duration) -> [String; 3] {
    [
        sim.happen(camera, era.ring()),
        sim.happen(camera, era.adapt(Script::motion(lasts))),
        sim.happen(camera, era.adapt(Script::smart(&["person"], 92, lasts))),
    ]
}

/// One person crosses a zone and a line, which end one after the other; a second one stays longer; a vehicle's plate is
/// read late. Gives the four ids.
pub fn overlap(sim: &Sim, camera: &str, lasts: Duration) -> [String; 4] {
    let plate = vec![(lasts / 4, vec!["vehicle".to_owned(), "licensePlate".to_owned()])];
    [
        sim.happen(camera, Script::smart(&["person"], 90, lasts)),
        sim.happen(camera, Script::line(&["person"], 88, lasts / 2)),
        sim.happen(camera, Script::smart(&["person"], 80, lasts * 2)),
        sim.happen(camera, Script { grows: plate, ..Script::smart(&["vehicle"], 75, lasts) }),
    ]
}

/// A camera goes and comes `times` times within `lasts`, and its streams have other names afterwards.
pub async fn flap(sim: &Sim, camera: &str, times: u32, lasts: Duration) {
    let begun = Instant::now();
    for n in 0..times {
        sim.camera_state(camera, "DISCONNECTED");
        tokio::time::sleep_until(begun + lasts * (2 * n + 1) / (2 * times)).await;
        sim.camera_state(camera, "CONNECTED");
        tokio::time::sleep_until(begun + lasts * (n + 1) / times).await;
    }
    sim.rotate_alias(camera);
}

/// What cameras tell all the time and nobody wants: `per_second` messages, for `lasts`. Gives how many there were.
pub async fn noise(sim: &Sim, per_second: u32, lasts: Duration) -> u32 {
    let (begun, cameras) = (Instant::now(), sim.cameras());
    let mut told = 0;
    let mut ids = cameras.iter().cycle();
    while begun.elapsed() < lasts {
        let due = begun.elapsed().as_secs_f64() * f64::from(per_second);
        while f64::from(told) < due {
            let Some(id) = ids.next() else { return 0 };
            let now = sim.now_ms();
            sim.camera_update(
                id,
                &json!({"stats": {"rxBytes": now, "txBytes": told}, "lastSeen": now, "uptime": told}),
            );
            told += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    told
}

/// A bootstrap with so many connected cameras, made of those of another.
#[must_use]
pub fn big_site(bootstrap: &Value, cameras: u32) -> Value {
    let mut site = bootstrap.clone();
    let list = bootstrap.get("cameras").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let connected: Vec<&Value> = list.iter().filter(|camera| text(camera, "state") == Some("CONNECTED")).collect();
    let copies = connected.iter().cycle().zip(0..cameras).map(|(camera, n)| {
        let mut copy = (*camera).clone();
        let own = json!({"id": format!("{n:024x}"), "mac": format!("02{n:010X}"), "name": format!("Camera {n}")});
        crate::model::merge(&mut copy, &own);
        copy
    });
    if let Some(top) = site.as_object_mut() {
        top.insert("cameras".into(), copies.collect());
    }
    site
}
