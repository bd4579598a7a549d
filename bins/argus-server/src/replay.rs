//! `argus-server replay`: what would be decided about a video file, the same on every run.

use std::path::Path;

use argus_core::camera::{CameraConfig, CameraFields, SourceType};
use argus_core::{Faults, Timestamp, chain};
use argus_engine::{Analyser, Noticed};
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
            .map_err(|e| Failure::running(format!("at {} ms: {}", picture.taken_at.as_millis(), chain(&e))))?;
        tell(noticed)?;
    }
    tell(analyser.stop(last))?;
    say(&json!({"type": "end", "at_ms": last.as_millis(), "pictures": count}).to_string())
}

fn configuration(path: &Path) -> Result<CameraConfig, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
    argus_api::cameras::config_of_json(&text).map_err(|e| Failure::usage(format!("{}: {}", path.display(), chain(&e))))
}

/// A camera with every setting at its default.
fn plain() -> Result<CameraConfig, Faults> {
    CameraFields::new("replay", SourceType::Test).check()
}

fn tell(noticed: Vec<Noticed>) -> Result<(), Failure> {
    noticed.iter().try_for_each(|one| say(&one.log_line().to_string()))
}
