//! From the controller's words to the kinds of this server.

use argus_core::event::DetectionType;

/// Types of events that are asked of the history; others are no detections of a camera.
pub(crate) const TYPES: [&str; 6] =
    ["motion", "ring", "smartDetectZone", "smartDetectLine", "smartDetectLoiterZone", "smartAudioDetect"];

/// What a type of event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ring,
    Motion,
    /// The smart types say what.
    Smart,
    Audio,
    /// No detection of a camera: sensors, sign-ins, updates, and what is yet to be invented.
    Other,
}

impl Family {
    pub(super) fn of(kind: &str) -> Self {
        match kind {
            "ring" => Self::Ring,
            "motion" => Self::Motion,
            "smartAudioDetect" => Self::Audio,
            // Somebody turned or covered the camera: it carries no smart types and ends by itself.
            "smartDetectTamper" => Self::Other,
            smart if smart.starts_with("smartDetect") => Self::Smart,
            _ => Self::Other,
        }
    }
}

fn of_word(word: &str) -> Option<DetectionType> {
    match word {
        "person" | "face" => Some(DetectionType::Person),
        "vehicle" | "car" | "licensePlate" => Some(DetectionType::Vehicle),
        "package" => Some(DetectionType::Package),
        "animal" | "pet" => Some(DetectionType::Animal),
        alarm if alarm.starts_with("alrm") || alarm == "smoke_cmonx" => Some(DetectionType::Audio),
        _ => None,
    }
}

fn strength(kind: DetectionType) -> u8 {
    match kind {
        DetectionType::Ring => 0,
        DetectionType::Person => 1,
        DetectionType::Vehicle => 2,
        DetectionType::Package => 3,
        DetectionType::Animal => 4,
        DetectionType::Audio => 5,
        DetectionType::Motion => 6,
    }
}

/// The kinds of an event, strongest first, and the words to tell. Neither is empty.
pub(super) fn kinds(family: Family, words: &[String]) -> (Vec<DetectionType>, Vec<String>) {
    let (alone, word) = match family {
        Family::Ring => (DetectionType::Ring, "ring"),
        Family::Audio => (DetectionType::Audio, "audio"),
        // A smart detection that never says of what, or only in words of the future, is movement at least.
        Family::Motion | Family::Smart | Family::Other => (DetectionType::Motion, "motion"),
    };
    let mut kinds: Vec<DetectionType> = match family {
        Family::Smart => words.iter().filter_map(|w| of_word(w)).collect(),
        _ => Vec::new(),
    };
    if kinds.is_empty() {
        kinds.push(alone);
    }
    kinds.sort_by_key(|k| strength(*k));
    kinds.dedup();
    let told = match family {
        Family::Smart | Family::Audio if !words.is_empty() => words.to_vec(),
        _ => vec![word.to_owned()],
    };
    (kinds, told)
}

#[cfg(test)]
mod tests {
    use DetectionType::{Animal, Audio, Motion, Package, Person, Ring, Vehicle};

    use super::*;

    #[test]
    fn words_become_kinds() {
        let check = |kind: &str, words: &[&str], expected: &[DetectionType], told: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let (kinds, types) = kinds(Family::of(kind), &words);
            assert_eq!((kinds.as_slice(), types), (expected, told.iter().map(ToString::to_string).collect()), "{kind}");
        };
        check("smartDetectZone", &["vehicle", "licensePlate"], &[Vehicle], &["vehicle", "licensePlate"]);
        check("smartDetectLine", &["face", "person"], &[Person], &["face", "person"]);
        check(
            "smartDetectLoiterZone",
            &["animal", "package", "car"],
            &[Vehicle, Package, Animal],
            &["animal", "package", "car"],
        );
        check("smartDetectZone", &[], &[Motion], &["motion"]);
        check("smartDetectZone", &["unicorn"], &[Motion], &["unicorn"]);
        check("smartDetectZone", &["alrmBark", "pet"], &[Animal, Audio], &["alrmBark", "pet"]);
        check("smartAudioDetect", &["alrmSmoke"], &[Audio], &["alrmSmoke"]);
        check("smartAudioDetect", &[], &[Audio], &["audio"]);
        check("ring", &["person"], &[Ring], &["ring"]);
        check("motion", &["person"], &[Motion], &["motion"]);
        for other in ["sensorMotion", "lightMotion", "access", "smartDetectTamper", "nfcCardScanned", "disconnect", ""]
        {
            assert_eq!(Family::of(other), Family::Other, "{other}");
        }
    }
}
