//! `argus-server replay`: what would be decided about a video file, the same on every run.

use std::path::Path;

use argus_core::camera::{CameraConfig, CameraFields, SourceType};
use argus_core::{Faults, Timestamp, chain};
use argus_engine::{Analyser, Episode, Noticed};
use serde_json::json;

use crate::{Failure, say};

/// Prints one JSON object a line: every beginning and end of an episode, with its scores and boxes.
pub(crate) fn run(file: &Path, camera: Option<&Path>) -> Result<(), Failure> {
    let config = match camera {
        Some(path) => configuration(path)?,
        None => plain().map_err(|faults| Failure::usage(faults.to_string()))?,
    };
    // What GStreamer says of a file that is not there would help nobody.
    std::fs::File::open(file).map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
    let pictures = argus_capture::pictures_of_file(file, config.frame_rate).map_err(|e| Failure::running(chain(&e)))?;
    let mut analyser = Analyser::new(&config, "UTC");
    let (mut count, mut last) = (0_u64, Timestamp::from_micros(0));
    for picture in pictures {
        let picture = picture.map_err(|e| Failure::usage(format!("{}: {}", file.display(), chain(&e))))?;
        count += 1;
        last = picture.taken_at;
        let noticed = analyser
            .look(&picture)
            .map_err(|e| Failure::running(format!("at {} ms: {}", ms(picture.taken_at), chain(&e))))?;
        tell(noticed)?;
    }
    tell(analyser.stop(last))?;
    say(&json!({"type": "end", "at_ms": ms(last), "pictures": count}).to_string())
}

fn configuration(path: &Path) -> Result<CameraConfig, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
    argus_api::cameras::config_of_json(&text).map_err(|e| Failure::usage(format!("{}: {}", path.display(), chain(&e))))
}

/// A camera with every setting at its default.
fn plain() -> Result<CameraConfig, Faults> {
    CameraFields::new("replay", SourceType::Test).check()
}

/// Milliseconds from the beginning of the file.
fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}

fn tell(noticed: Vec<Noticed>) -> Result<(), Failure> {
    for one in noticed {
        let line = match one {
            Noticed::Began(e) => {
                json!({"type": "episode.began", "at_ms": ms(e.since), "score": e.score, "box": e.area})
            }
            Noticed::Ended { episode, closed_at, reason } => json!({
                "type": "episode.ended",
                "at_ms": ms(episode.since),
                "last_motion_ms": ms(episode.last_motion),
                "closed_ms": ms(closed_at),
                "reason": reason,
                "score": episode.score,
                "confidence": episode.confidence,
                "box": episode.area,
                "zones": episode.zones,
                "moments": moments(&episode),
            }),
        };
        say(&line.to_string())?;
    }
    Ok(())
}

fn moments(episode: &Episode) -> Vec<serde_json::Value> {
    episode.moments.iter().map(|m| json!([ms(m.at), m.score])).collect()
}
