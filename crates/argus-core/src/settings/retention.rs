//! How long events, their media and the journal are kept.

use serde::Serialize;

use super::patch::{Group, Patch, int};

/// Smallest limit of all media together.
const LEAST_MEDIA_BYTES: i64 = 100 << 20;

/// How long events, their media and the journal are kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retention {
    /// Days; null means for ever.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 1, maximum = 3650, default = 30))]
    pub events_days: Option<u16>,
    /// Days, not more than `events_days`; null means as long as the event.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 1, maximum = 3650))]
    pub media_days: Option<u16>,
    /// All media together; beyond, the oldest go first. Null means no limit.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 104_857_600))]
    pub max_media_bytes: Option<u64>,
    /// To stay free on the disk; below, the oldest media go first.
    #[cfg_attr(feature = "openapi", schema(default = 1_073_741_824_u64))]
    pub min_free_bytes: u64,
    /// Days.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 90, default = 7))]
    pub journal_days: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_days: Some(30),
            media_days: None,
            max_media_bytes: None,
            min_free_bytes: 1 << 30,
            journal_days: 7,
        }
    }
}

impl Group for Retention {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        // Of two values that do not go together, the one that was sent is to blame.
        let blamed = if patch.has("events_days") && !patch.has("media_days") { "events_days" } else { "media_days" };
        patch.nullable("events_days", &mut self.events_days, int(1..=3650));
        patch.nullable("media_days", &mut self.media_days, int(1..=3650));
        patch.nullable("max_media_bytes", &mut self.max_media_bytes, int(LEAST_MEDIA_BYTES..=i64::MAX));
        patch.value("min_free_bytes", &mut self.min_free_bytes, d.min_free_bytes, int(0..=i64::MAX));
        patch.value("journal_days", &mut self.journal_days, d.journal_days, int(1..=90));
        if let Some((media, events)) = self.excess() {
            patch.fault(
                blamed,
                format!("would keep media for {media} days, but events only for {events}: media_days must not be above events_days"),
            );
        }
    }
}

impl Retention {
    /// Media that would outlive their events: both numbers of days.
    fn excess(&self) -> Option<(u16, u16)> {
        let (media, events) = (self.media_days?, self.events_days?);
        (media > events).then_some((media, events))
    }

    /// Lets media go with their events where they would outlive them.
    pub(super) fn settle(&mut self) {
        if self.excess().is_some() {
            self.media_days = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Settings;

    fn blamed(settings: &Settings, patch: &Value) -> Option<String> {
        let patch = json!({"retention": patch});
        settings.merge(&patch).err().map(|f| f.0.into_iter().map(|i| i.field).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn media_never_outlive_their_event() {
        let s = Settings::default();
        assert_eq!(blamed(&s, &json!({"media_days": 31})).as_deref(), Some("retention.media_days"));
        assert_eq!(blamed(&s, &json!({"media_days": 30})), None);
        assert_eq!(blamed(&s, &json!({"media_days": 31, "events_days": 31})), None);
        assert_eq!(blamed(&s, &json!({"media_days": 3650, "events_days": null})), None);
        let s = s.merge(&json!({"retention": {"media_days": 20}})).unwrap();
        assert_eq!(blamed(&s, &json!({"events_days": 10})).as_deref(), Some("retention.events_days"));
        assert_eq!(blamed(&s, &json!({"events_days": 10, "media_days": null})), None);
    }
}
