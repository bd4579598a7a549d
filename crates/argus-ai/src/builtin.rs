//! The built-in describer: true sentences from what was measured, without pictures, a model, a key or a network.
//!
//! It says where, how long, in which direction and how large, never what the thing was: that is known only when a
//! controller said it. It writes English, whatever language is asked for: half-translated sentences would be worse.

use std::fmt::Write as _;

use argus_core::describe::{DescribeRequest, Description, EventFacts, PictureFacts};
use argus_core::event::{Area, DetectionType, ObjectKind};

use crate::text::one_line;

/// The built-in describer's model: the version of its sentences.
pub const BUILTIN_MODEL: &str = "builtin-1";

/// How far the middle of the movement must have gone to have a direction, as a fraction of the picture's side. A thing
/// that only turns around or comes nearer shifts the middle by less.
const DIRECTION: f64 = 0.15;
/// Below this fraction of the picture the largest thing is small.
const SMALL: f64 = 0.02;
/// From this fraction of the picture on it is large.
const LARGE: f64 = 0.15;
/// How many zones are named.
const MAX_ZONES_NAMED: usize = 8;
/// Longest name in a sentence, characters.
const MAX_NAME: usize = 200;

/// Below this mean brightness a picture is dark.
const DARK: u8 = 60;
/// From this mean brightness on it is bright.
const BRIGHT: u8 = 180;

/// Describes from what was measured alone, in English, at no cost and at once.
pub(crate) fn describe(request: &DescribeRequest) -> Description {
    request.picture.as_ref().map_or_else(|| of_event(&request.facts), of_picture)
}

/// Of a picture that belongs to no event nothing is known but what every picture has.
fn of_picture(picture: &PictureFacts) -> Description {
    let PictureFacts { width, height, brightness } = picture;
    let light = match *brightness {
        ..DARK => "dark",
        BRIGHT.. => "bright",
        _ => "of medium brightness",
    };
    Description {
        text: format!(
            "A picture of {width} x {height} pixels, {light} on the whole. No vision model was asked what it shows."
        ),
        low_confidence: true,
        ..Description::default()
    }
}

fn of_event(facts: &EventFacts) -> Description {
    Description {
        text: sentences(facts),
        // No model states one, and none is derived.
        confidence: None,
        objects: objects(facts.detection_type),
        low_confidence: false,
    }
}

/// The plain sentence that an event has from its first moment on, such as `Motion on Front door.`
fn first_sentence(facts: &EventFacts) -> String {
    argus_core::describe::first_sentence(facts.detection_type, &one_line(&facts.camera_name, MAX_NAME))
}

/// What a controller said that it saw. A ring or a sound says nothing about what was in the picture.
fn objects(kind: DetectionType) -> Vec<ObjectKind> {
    match kind {
        DetectionType::Person => vec![ObjectKind::Person],
        DetectionType::Vehicle => vec![ObjectKind::Vehicle],
        DetectionType::Package => vec![ObjectKind::Package],
        DetectionType::Animal => vec![ObjectKind::Animal],
        DetectionType::Motion | DetectionType::Ring | DetectionType::Audio => Vec::new(),
    }
}

/// Everything that was measured, in a few sentences.
fn sentences(facts: &EventFacts) -> String {
    let mut text = first_sentence(facts);
    // The full stop comes after what is added to the first sentence.
    text.pop();
    text.push_str(&zones(&facts.zones));
    match facts.duration_ms {
        Some(ms) if ms > 0 => {
            let _infallible = write!(text, " for {}.", duration(ms));
        }
        Some(_) => text.push('.'),
        None => text.push_str(". It was still going on when this was written."),
    }
    if let Some(where_to) = direction(facts) {
        text.push(' ');
        text.push_str(&where_to);
    }
    if let Some(ratio) = facts.largest_ratio.filter(|r| r.is_finite() && *r > 0.0) {
        let _infallible = write!(text, " The largest moving part was {}.", size(ratio));
    }
    text
}

fn zones(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().map(|n| one_line(n, MAX_NAME)).filter(|n| !n.is_empty()).collect();
    let word = if shown.len() == 1 { "zone" } else { "zones" };
    if shown.len() > MAX_ZONES_NAMED {
        let more = shown.len() - MAX_ZONES_NAMED;
        shown.truncate(MAX_ZONES_NAMED);
        shown.push(format!("{more} more"));
    }
    match shown.split_last() {
        None => String::new(),
        Some((only, [])) => format!(" in the {word} {only}"),
        Some((last, before)) => format!(" in the {word} {} and {last}", before.join(", ")),
    }
}

/// Rounded to seconds.
fn duration(ms: i64) -> String {
    let s = ms.saturating_add(500) / 1000;
    let count = |n: i64, unit: &str| if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") };
    let two = |a: String, n: i64, unit: &str| if n == 0 { a } else { format!("{a} {}", count(n, unit)) };
    match s {
        ..1 => "less than a second".to_owned(),
        1..60 => count(s, "second"),
        60..3600 => two(count(s / 60, "minute"), s % 60, "second"),
        _ => two(count(s / 3600, "hour"), s % 3600 / 60, "minute"),
    }
}

/// Where the middle of the movement went, or where it was.
fn direction(facts: &EventFacts) -> Option<String> {
    let (first, last) = (facts.first_center?, facts.last_center?);
    if ![first.0, first.1, last.0, last.1].iter().all(|v| v.is_finite()) {
        return None;
    }
    let (dx, dy) = (last.0 - first.0, last.1 - first.1);
    // A slanted path is named by its longer part alone when the other is less than half of it.
    let sideways = dx.abs() >= DIRECTION && dx.abs() * 2.0 >= dy.abs();
    let upright = dy.abs() >= DIRECTION && dy.abs() * 2.0 >= dx.abs();
    let horizontal = if dx > 0.0 { "from left to right" } else { "from right to left" };
    let vertical = if dy > 0.0 { "downwards" } else { "upwards" };
    Some(match (sideways, upright) {
        (true, true) => format!("The movement went {horizontal} and {vertical} in the picture."),
        (true, false) => format!("The movement went {horizontal}."),
        (false, true) => format!("The movement went {vertical} in the picture."),
        (false, false) => {
            let place = place(last);
            if facts.duration_ms.is_some() && facts.area.is_some_and(|a| lies_in(a, place)) {
                format!("The movement stayed in the {} of the picture.", name_of(place))
            } else if place == crate::builtin::place(first) {
                // Only the ends were measured: it may have gone anywhere in between.
                let tense = if facts.duration_ms.is_some() { "began and ended" } else { "began" };
                format!("The movement {tense} in the {} of the picture.", name_of(place))
            } else {
                return None;
            }
        }
    })
}

/// A ninth of the picture: column and row, 0 to 2 from the upper left.
type Place = (u8, u8);

fn place((x, y): (f64, f64)) -> Place {
    let third = |v: f64| match v {
        ..0.333 => 0,
        0.333..0.667 => 1,
        _ => 2,
    };
    (third(x), third(y))
}

fn lies_in(area: Area, ninth: Place) -> bool {
    place((area.x, area.y)) == ninth && place((area.x + area.width, area.y + area.height)) == ninth
}

fn name_of(ninth: Place) -> &'static str {
    match ninth {
        (0, 0) => "upper left",
        (1, 0) => "upper middle",
        (_, 0) => "upper right",
        (0, 1) => "left",
        (1, 1) => "middle",
        (_, 1) => "right",
        (0, _) => "lower left",
        (1, _) => "lower middle",
        (_, _) => "lower right",
    }
}

fn size(ratio: f64) -> String {
    let word = match ratio {
        ..SMALL => "small",
        SMALL..LARGE => "of medium size",
        _ => "large",
    };
    let percent = (ratio * 100.0).min(100.0);
    if percent < 1.0 {
        format!("{word}, less than 1 % of the picture")
    } else {
        format!("{word}, about {percent:.0} % of the picture")
    }
}

#[cfg(test)]
mod tests {
    use argus_core::Timestamp;

    use super::*;

    fn facts() -> EventFacts {
        EventFacts {
            camera_name: "Front door".into(),
            started_at: Timestamp::from_millis(1_766_485_800_000),
            duration_ms: Some(12_400),
            detection_type: DetectionType::Motion,
            zones: vec!["Driveway".into()],
            area: Some(Area { x: 0.1, y: 0.4, width: 0.8, height: 0.3 }),
            largest_ratio: Some(0.07),
            first_center: Some((0.2, 0.5)),
            last_center: Some((0.8, 0.55)),
            confidence: 80,
        }
    }

    fn check(facts: &EventFacts, expected: &str) {
        assert_eq!(sentences(facts), expected);
    }

    #[test]
    fn everything_measured_is_told() {
        check(
            &facts(),
            "Motion on Front door in the zone Driveway for 12 seconds. The movement went from left to right. \
             The largest moving part was of medium size, about 7 % of the picture.",
        );
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let bare = EventFacts {
            zones: vec![],
            area: None,
            largest_ratio: None,
            first_center: None,
            last_center: None,
            duration_ms: Some(0),
            ..facts()
        };
        check(&bare, "Motion on Front door.");
        check(&EventFacts { last_center: Some((0.5, 0.5)), ..bare.clone() }, "Motion on Front door.");
        check(
            &EventFacts { first_center: Some((f64::NAN, 0.1)), last_center: Some((0.5, 0.5)), ..bare.clone() },
            "Motion on Front door.",
        );
        check(&EventFacts { largest_ratio: Some(f64::NAN), duration_ms: Some(-5), ..bare }, "Motion on Front door.");
    }

    #[test]
    fn a_running_event_has_no_end() {
        let running = EventFacts {
            duration_ms: None,
            zones: vec![],
            largest_ratio: None,
            first_center: Some((0.1, 0.9)),
            last_center: Some((0.12, 0.9)),
            area: Some(Area { x: 0.05, y: 0.8, width: 0.1, height: 0.15 }),
            ..facts()
        };
        check(
            &running,
            "Motion on Front door. It was still going on when this was written. \
             The movement began in the lower left of the picture.",
        );
    }

    #[test]
    fn directions() {
        let check = |first, last, area: Option<Area>, expected: Option<&str>| {
            let f = EventFacts { first_center: Some(first), last_center: Some(last), area, ..facts() };
            assert_eq!(direction(&f).as_deref(), expected, "{first:?} {last:?}");
        };
        check((0.8, 0.5), (0.2, 0.5), None, Some("The movement went from right to left."));
        check((0.5, 0.8), (0.5, 0.2), None, Some("The movement went upwards in the picture."));
        check((0.5, 0.2), (0.4, 0.8), None, Some("The movement went downwards in the picture."));
        check((0.1, 0.1), (0.9, 0.9), None, Some("The movement went from left to right and downwards in the picture."));
        let corner = Area { x: 0.02, y: 0.7, width: 0.2, height: 0.2 };
        check((0.1, 0.8), (0.15, 0.8), Some(corner), Some("The movement stayed in the lower left of the picture."));
        // It came back to where it began, after having been elsewhere: "stayed" would be a lie.
        let wide = Area { x: 0.02, y: 0.1, width: 0.9, height: 0.8 };
        check(
            (0.1, 0.8),
            (0.15, 0.8),
            Some(wide),
            Some("The movement began and ended in the lower left of the picture."),
        );
        check((0.32, 0.5), (0.34, 0.5), Some(wide), None);
    }

    #[test]
    fn only_a_controller_names_the_thing() {
        for kind in DetectionType::ALL {
            let f = EventFacts { detection_type: *kind, ..facts() };
            let text = sentences(&f);
            for word in ["erson", "ehicle", "ackage", "nimal"] {
                let named = text.contains(word);
                let said = kind.as_str().ends_with(word);
                assert_eq!(named, said, "{text}");
            }
            assert_eq!(
                objects(*kind).iter().map(|o| o.as_str()).any(|o| o == kind.as_str()),
                !objects(*kind).is_empty()
            );
        }
        assert_eq!(
            first_sentence(&EventFacts { detection_type: DetectionType::Ring, ..facts() }),
            "Ring at Front door."
        );
        assert_eq!(first_sentence(&facts()), "Motion on Front door.");
    }

    #[test]
    fn durations_and_sizes() {
        let check = |ms, expected: &str| assert_eq!(duration(ms), expected);
        check(400, "less than a second");
        check(600, "1 second");
        check(59_400, "59 seconds");
        check(60_000, "1 minute");
        check(125_000, "2 minutes 5 seconds");
        check(3_600_000, "1 hour");
        check(7_380_000, "2 hours 3 minutes");
        check(i64::MAX, "2562047788015 hours 12 minutes");
        assert_eq!(size(0.004), "small, less than 1 % of the picture");
        assert_eq!(size(0.4), "large, about 40 % of the picture");
        assert_eq!(size(3.0), "large, about 100 % of the picture");
    }

    #[test]
    fn many_zones_and_wild_names_stay_readable() {
        let f = EventFacts {
            camera_name: "Gate\n\0 \u{202E}B".into(),
            zones: (0..50).map(|i| format!("Z{i}")).collect(),
            ..facts()
        };
        let text = sentences(&f);
        assert!(
            text.starts_with("Motion on Gate B in the zones Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7 and 42 more for"),
            "{text}"
        );
        let long = EventFacts { camera_name: "x".repeat(9000), zones: vec!["y".repeat(9000); 50], ..facts() };
        assert!(sentences(&long).chars().count() <= 5000);
    }

    #[test]
    fn it_states_no_confidence() {
        let description = of_event(&EventFacts { detection_type: DetectionType::Person, ..facts() });
        assert_eq!((description.confidence, description.low_confidence), (None, false));
        assert_eq!(description.objects, [ObjectKind::Person]);
    }

    #[test]
    fn of_a_picture_alone_it_says_what_every_picture_has_and_no_more() {
        let check = |brightness, light: &str| {
            let said = of_picture(&PictureFacts { width: 640, height: 360, brightness });
            let expected = format!(
                "A picture of 640 x 360 pixels, {light} on the whole. No vision model was asked what it shows."
            );
            assert_eq!(
                (said.text, said.confidence, said.objects.len(), said.low_confidence),
                (expected, None, 0, true)
            );
        };
        check(0, "dark");
        check(59, "dark");
        check(60, "of medium brightness");
        check(180, "bright");
        check(255, "bright");
    }
}
