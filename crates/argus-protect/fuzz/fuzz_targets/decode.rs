//! Anything that a controller's update stream might send: it is decoded, read as a detection and shown to a tracker.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run decode -- -max_total_time=600` in the folder of the crate; the corpus holds recorded
//! messages and the edges of the format.
#![no_main]

use argus_core::Timestamp;
use argus_protect::Tuning;
use argus_protect::frame::{Update, decode};
use argus_protect::tracker::{At, Origin, Rules, Tracker};
use argus_protect::wire::{Bootstrap, Camera, Sighting};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = decode(bytes) else { return };
    let update = Update::from(packet);
    let mut tracker = Tracker::new(Rules::of(&Tuning::default()));
    let at = At { now: Timestamp::from_millis(1_766_485_800_000), offset_ms: -7 };
    let sightings = [Sighting::event(&update.data, &update.id), Sighting::object(&update.data, &update.id)];
    for sighting in sightings.into_iter().flatten() {
        for origin in [Origin::Local, Origin::Official, Origin::History] {
            let _ = tracker.see(&sighting, origin, at);
        }
    }
    let _ = Camera::local(&update.data, Some(&update.id));
    let _ = Camera::official(&update.data, true);
    let _ = Bootstrap::read(update.data);
    let _ = tracker.tick(Timestamp::from_millis(1_866_485_800_000), true);
    assert!(tracker.open_ids().is_empty() || tracker.len() <= 2);
});
