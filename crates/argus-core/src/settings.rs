//! Settings: what people set while the server runs, as a tree of groups.
//!
//! Every value that stands in a [`Settings`] keeps its rule; a change is a part of the tree, taken whole or not at all.
//!
//! ```
//! use argus_core::settings::Settings;
//! use serde_json::json;
//!
//! let settings = Settings::default();
//! let changed = settings.merge(&json!({"ai": {"frames": {"count": 3}}}))?;
//! assert_eq!(changed.ai.frames.count, 3);
//!
//! let faults = settings.merge(&json!({"ai": {"frames": {"count": 0, "cuont": 3}}})).unwrap_err();
//! let fields: Vec<&str> = faults.0.iter().map(|f| f.field.as_str()).collect();
//! assert_eq!(fields, ["ai.frames.count", "ai.frames.cuont"]);
//! # Ok::<(), argus_core::Faults>(())
//! ```

mod ai;
mod general;
mod media;
mod motion;
mod patch;
mod retention;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Faults, Timestamp};
use patch::{Group, Patch};

pub use ai::{Ai, Budgets, FrameStrategy, Frames, Routing};
pub use general::{DateFormat, General, TimeFormat};
pub use media::Media;
pub use motion::MotionDefaults;
pub use retention::Retention;

/// Everything that people set, with its factory values as default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "Value")]
pub struct Settings {
    /// Name, place and language of the installation.
    pub general: General,
    /// What cameras get that are made later.
    pub motion_defaults: MotionDefaults,
    /// Descriptions.
    pub ai: Ai,
    /// What is kept of an event.
    pub media: Media,
    /// How long it is kept.
    pub retention: Retention,
}

impl Group for Settings {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        patch.group("general", &mut self.general);
        patch.group("motion_defaults", &mut self.motion_defaults);
        patch.group("ai", &mut self.ai);
        patch.group("media", &mut self.media);
        patch.group("retention", &mut self.retention);
    }
}

/// Settings, and when they were changed last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredSettings {
    /// The whole tree.
    #[serde(flatten)]
    pub values: Settings,
    /// When they were changed last; null when they never were.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub updated_at: Option<Timestamp>,
}

/// The groups at the top: what is stored under other names is not of the settings.
const GROUPS: [&str; 5] = ["ai", "general", "media", "motion_defaults", "retention"];

impl Settings {
    /// These settings with the values of `patch`, any part of the tree: what is absent stays, null clears a value that
    /// may be null and puts any other, or a whole group, back to its default.
    ///
    /// # Errors
    /// Every fault, each with its path, such as `ai.frames.count`; nothing is changed then.
    pub fn merge(&self, patch: &Value) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let next = self.patched(patch, &mut faults);
        faults.or(next)
    }

    /// These settings with whatever of `patch` keeps the rules.
    fn patched(&self, patch: &Value, faults: &mut Faults) -> Self {
        let mut next = self.clone();
        match patch {
            Value::Object(fields) => Patch::read(fields.clone(), faults, &mut next),
            other => faults.add("", format!("must be an object, not {}", patch::kind(other))),
        }
        next
    }

    /// The settings of stored values: JSON texts by their path. What does not fit is told and left at its default, so
    /// that a value of another version cannot keep the server from starting.
    #[must_use]
    pub fn from_stored(values: &BTreeMap<String, String>) -> (Self, Faults) {
        let mut faults = Faults::default();
        let mut tree = Map::new();
        for (path, json) in values {
            if !path.split_once('.').is_some_and(|(group, _)| GROUPS.contains(&group)) {
                continue;
            }
            match serde_json::from_str(json) {
                Ok(value) => plant(&mut tree, path, value),
                Err(e) => faults.add(path, format!("is not JSON: {e}")),
            }
        }
        let mut settings = Self::default().patched(&Value::Object(tree), &mut faults);
        settings.retention.settle();
        (settings, faults)
    }

    /// The values that differ from those of `before`: JSON texts by their path, as they are stored.
    #[must_use]
    pub fn changes(&self, before: &Self) -> BTreeMap<String, String> {
        let old = before.leaves();
        self.leaves().into_iter().filter(|(path, json)| old.get(path) != Some(json)).collect()
    }

    /// Every value as JSON text by its path.
    fn leaves(&self) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        // The tree has nothing that JSON could not hold.
        collect(String::new(), serde_json::to_value(self).unwrap_or_default(), &mut leaves);
        leaves
    }
}

impl TryFrom<Value> for Settings {
    type Error = Faults;

    fn try_from(tree: Value) -> Result<Self, Faults> {
        Self::default().merge(&tree)
    }
}

/// Puts a value where its path says.
fn plant(tree: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((group, rest)) => {
            let inner = tree.entry(group).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                plant(inner, rest, value);
            }
        }
    }
}

fn collect(path: String, value: Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let inner = if path.is_empty() { key } else { format!("{path}.{key}") };
                collect(inner, value, leaves);
            }
        }
        leaf => {
            leaves.insert(path, leaf.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(patch: Value) -> Vec<String> {
        let mut fields: Vec<String> =
            Settings::default().merge(&patch).err().unwrap_or_default().0.into_iter().map(|f| f.field).collect();
        fields.sort();
        fields
    }

    #[test]
    fn the_factory_values_are_those_of_the_contract() {
        let expected = json!({
            "general": {"system_name": "Argus", "timezone": "UTC", "language": "en", "date_format": "YYYY-MM-DD",
                "time_format": "24h", "public_url": null},
            "motion_defaults": {"frame_rate": 5, "motion_enabled": true, "motion_sensitivity": "medium",
                "motion_cooldown": 30, "pre_roll_s": 5, "post_roll_s": 5, "max_event_s": 60,
                "analysis_mode": "multi_frame"},
            "ai": {"enabled": true, "prompt": null, "low_confidence_below": 50, "concurrency": 2,
                "frames": {"count": 6, "strategy": "adaptive", "max_width": 1280, "jpeg_quality": 85},
                "budgets": {"daily_usd": null, "monthly_usd": null}, "local_only": false,
                "routing": {"reuse_within_s": 300, "reuse_from_percent": 80, "cheapest_from_percent": 80}},
            "media": {"store_clips": true, "store_frames": true, "thumbnail_width": 640},
            "retention": {"events_days": 30, "media_days": null, "max_media_bytes": null,
                "min_free_bytes": 1_073_741_824, "journal_days": 7},
        });
        assert_eq!(serde_json::to_value(Settings::default()).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Settings>(expected).unwrap(), Settings::default());
    }

    #[test]
    fn a_part_is_merged_in_depth_and_the_rest_stays() {
        let one = Settings::default().merge(&json!({"ai": {"frames": {"count": 3}, "prompt": "Count."}})).unwrap();
        let two = one.merge(&json!({"ai": {"frames": {"max_width": 640}}, "general": {"timezone": "Europe/Berlin"}}));
        let two = two.unwrap();
        assert_eq!((two.ai.frames.count, two.ai.frames.max_width), (3, 640));
        assert_eq!(two.ai.prompt.as_deref(), Some("Count."));
        assert_eq!(two.general.timezone, "Europe/Berlin");
        assert_eq!(two.merge(&json!({})).unwrap(), two);
        let sent_back = serde_json::to_value(&two).unwrap();
        assert_eq!(two.merge(&sent_back).unwrap(), two, "what was read can be sent back");
    }

    #[test]
    fn null_clears_or_resets() {
        let changed = Settings::default()
            .merge(&json!({"ai": {"prompt": "x", "concurrency": 9, "budgets": {"daily_usd": 1, "monthly_usd": 2.5}},
                "media": {"thumbnail_width": 320}}))
            .unwrap();
        let back = changed
            .merge(&json!({"ai": {"prompt": null, "concurrency": null, "budgets": {"daily_usd": null}},
                "retention": {"events_days": null}}))
            .unwrap();
        assert_eq!((back.ai.prompt, back.ai.concurrency), (None, 2));
        assert_eq!((back.ai.budgets.daily_usd, back.ai.budgets.monthly_usd), (None, Some(2.5)));
        assert_eq!((back.retention.events_days, back.media.thumbnail_width), (None, 320));
        assert_eq!(changed.merge(&json!({"ai": null, "media": null})).unwrap(), Settings::default());
    }

    #[test]
    fn every_fault_is_named_by_its_path_and_nothing_is_changed() {
        let got = faults(json!({
            "general": {"system_name": "  ", "timezone": "Mars/Olympus", "language": "e n", "date_format": "YY",
                "time_format": 24, "public_url": "ftp://x", "colour": "red"},
            "motion_defaults": {"frame_rate": 31, "motion_enabled": 1, "motion_sensitivity": "huge",
                "motion_cooldown": -1, "pre_roll_s": 31, "post_roll_s": 61, "max_event_s": 4, "analysis_mode": null},
            "ai": {"enabled": "true", "prompt": "x\u{0}", "low_confidence_below": 101, "concurrency": 17,
                "frames": {"count": 5.0, "strategy": "random", "max_width": 319, "jpeg_quality": 96, "x": {}},
                "budgets": {"daily_usd": -0.01, "monthly_usd": "1"}},
            "media": {"store_clips": null, "store_frames": [], "thumbnail_width": 159},
            "retention": {"events_days": 0, "media_days": 3651, "max_media_bytes": 104_857_599, "min_free_bytes": -1,
                "journal_days": 91},
            "unknown": {},
        }));
        assert_eq!(
            got,
            [
                "ai.budgets.daily_usd",
                "ai.budgets.monthly_usd",
                "ai.concurrency",
                "ai.enabled",
                "ai.frames.count",
                "ai.frames.jpeg_quality",
                "ai.frames.max_width",
                "ai.frames.strategy",
                "ai.frames.x",
                "ai.low_confidence_below",
                "ai.prompt",
                "general.colour",
                "general.date_format",
                "general.language",
                "general.public_url",
                "general.system_name",
                "general.time_format",
                "general.timezone",
                "media.store_frames",
                "media.thumbnail_width",
                "motion_defaults.frame_rate",
                "motion_defaults.max_event_s",
                "motion_defaults.motion_cooldown",
                "motion_defaults.motion_enabled",
                "motion_defaults.motion_sensitivity",
                "motion_defaults.post_roll_s",
                "motion_defaults.pre_roll_s",
                "retention.events_days",
                "retention.journal_days",
                "retention.max_media_bytes",
                "retention.media_days",
                "retention.min_free_bytes",
                "unknown",
            ]
        );
        assert_eq!(faults(json!([])), [""]);
        assert_eq!(faults(json!({"ai": 5, "media": "x"})), ["ai", "media"]);
    }

    #[test]
    fn whole_ranges_are_taken() {
        for patch in [
            json!({"motion_defaults": {"frame_rate": 1, "motion_cooldown": 0, "pre_roll_s": 0, "post_roll_s": 0,
                "max_event_s": 5, "motion_sensitivity": "low", "analysis_mode": "single_frame"}}),
            json!({"motion_defaults": {"frame_rate": 30, "motion_cooldown": 300, "pre_roll_s": 30, "post_roll_s": 60,
                "max_event_s": 600, "motion_sensitivity": "high", "motion_enabled": false}}),
            json!({"ai": {"low_confidence_below": 0, "concurrency": 1, "prompt": "x".repeat(4000),
                "frames": {"count": 1, "max_width": 320, "jpeg_quality": 40, "strategy": "uniform"},
                "budgets": {"daily_usd": 0, "monthly_usd": 0.0}}}),
            json!({"ai": {"low_confidence_below": 100, "concurrency": 16,
                "frames": {"count": 20, "max_width": 2048, "jpeg_quality": 95}}}),
            json!({"media": {"thumbnail_width": 160}}),
            json!({"media": {"thumbnail_width": 1280, "store_clips": false, "store_frames": false}}),
            json!({"retention": {"events_days": 1, "media_days": 1, "max_media_bytes": 104_857_600,
                "min_free_bytes": 0, "journal_days": 1}}),
            json!({"retention": {"events_days": 3650, "media_days": 3650, "max_media_bytes": i64::MAX,
                "min_free_bytes": i64::MAX, "journal_days": 90}}),
            json!({"general": {"system_name": "ö".repeat(100), "timezone": "America/New_York", "language": "pt-BR",
                "date_format": "DD/MM/YYYY", "time_format": "12h", "public_url": "https://cam.example:8443/argus"}}),
        ] {
            assert_eq!(faults(patch.clone()), Vec::<String>::new(), "{patch}");
        }
    }

    #[test]
    fn stored_values_come_back_and_bad_ones_are_told_and_left_out() {
        let before = Settings::default();
        let after = before
            .merge(&json!({"ai": {"frames": {"count": 3}}, "retention": {"media_days": 60, "events_days": 90},
                "general": {"public_url": "https://argus.example"}}))
            .unwrap();
        let mut stored = after.changes(&before);
        let names: Vec<&str> = stored.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["ai.frames.count", "general.public_url", "retention.events_days", "retention.media_days"],
            "only what differs is stored"
        );
        let (read, faults) = Settings::from_stored(&stored);
        assert_eq!((read, faults.is_empty()), (after, true));

        for (path, json) in [
            ("ai.frames.count", "99"),
            ("ai.frames.gone", "1"),
            ("media.thumbnail_width", "{"),
            ("retention.events_days", "10"),
            ("session.secret", "\"of somebody else\""),
        ] {
            stored.insert(path.into(), json.into());
        }
        let (read, faults) = Settings::from_stored(&stored);
        let mut fields: Vec<&str> = faults.0.iter().map(|f| f.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["ai.frames.count", "ai.frames.gone", "media.thumbnail_width", "retention.media_days"]);
        assert_eq!((read.ai.frames.count, read.retention.events_days, read.retention.media_days), (6, Some(10), None));
        assert_eq!(read.general.public_url.as_deref(), Some("https://argus.example"));
        assert!(
            Settings::default().merge(&serde_json::to_value(&read).unwrap()).is_ok(),
            "what was read keeps the rules"
        );
    }
}
