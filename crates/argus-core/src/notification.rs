//! What a person should know, told once.

use serde::{Deserialize, Serialize};

use crate::api_key::Scope;
use crate::event::StatusReason;
use crate::names::names;
use crate::retention::{Disk, size};
use crate::{CameraId, EventId, NotificationId, Timestamp};

names! {
    /// Kinds of notifications.
    NotificationKind {
        /// An enabled camera gives no picture.
        CameraOffline = "camera_offline",
        /// A part of the budget for descriptions is spent.
        AiBudget = "ai_budget",
        /// There is little room left for pictures and clips.
        StorageLow = "storage_low",
    }
}

impl NotificationKind {
    /// The permission that a reader needs.
    #[must_use]
    pub fn needs(self) -> Scope {
        match self {
            Self::CameraOffline => Scope::ReadCameras,
            Self::AiBudget | Self::StorageLow => Scope::Admin,
        }
    }
}

names! {
    /// How much it matters.
    Severity {
        /// Good to know.
        Info = "info",
        /// Something does not work as it should.
        Warning = "warning",
        /// A person has to mend something.
        Error = "error",
    }
}

/// `data` of `notification.new`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub kind: NotificationKind,
    /// How much it matters.
    pub severity: Severity,
    /// A few words.
    pub title: String,
    /// A sentence or two, for people.
    pub body: String,
    /// The camera that it is about.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub camera_id: Option<CameraId>,
    /// The event that it is about.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub event_id: Option<EventId>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Notification {
    /// A camera gives no picture. `lasting`: trying again soon will not mend it. `reason` is what the camera's status
    /// says.
    #[must_use]
    pub fn camera_offline(camera: CameraId, name: &str, reason: Option<&str>, lasting: bool, now: Timestamp) -> Self {
        let (severity, state) =
            if lasting { (Severity::Error, "does not work") } else { (Severity::Warning, "is offline") };
        let reason = reason.map(|r| format!(" ({r})")).unwrap_or_default();
        let next = if lasting {
            "Something has to be mended; it is tried again every 5 minutes."
        } else {
            "It is tried again until it answers."
        };
        Self {
            id: NotificationId::new(now),
            kind: NotificationKind::CameraOffline,
            severity,
            title: format!("{name} {state}"),
            body: format!("No picture comes from {name}{reason}. {next}"),
            camera_id: Some(camera),
            event_id: None,
            created_at: now,
        }
    }

    /// So much of the budget of a day or month is spent, percent.
    #[must_use]
    pub fn ai_budget(budget: StatusReason, percent: u8, spent_usd: f64, limit_usd: f64, now: Timestamp) -> Self {
        let period = if budget == StatusReason::BudgetMonthly { "month" } else { "day" };
        let (severity, next) = match percent {
            100.. => {
                (Severity::Error, "Nobody who costs is asked any more until the next begins or the limit is raised.")
            }
            80.. => (Severity::Warning, "When it is spent, nobody who costs is asked any more until the next begins."),
            _ => (Severity::Info, "When it is spent, nobody who costs is asked any more until the next begins."),
        };
        Self {
            id: NotificationId::new(now),
            kind: NotificationKind::AiBudget,
            severity,
            title: format!("{percent} % of the {period}'s budget for descriptions is spent"),
            body: format!(
                "Descriptions of this {period} have cost {} of {} US dollars. {next}",
                usd(spent_usd),
                usd(limit_usd)
            ),
            camera_id: None,
            event_id: None,
            created_at: now,
        }
    }

    /// Little room is left where pictures and clips lie.
    #[must_use]
    pub fn storage_low(disk: Disk, wanted_bytes: u64, now: Timestamp) -> Self {
        let (severity, title) = if disk.free_bytes == 0 {
            (Severity::Error, "Storage is full")
        } else {
            (Severity::Warning, "Storage is low")
        };
        Self {
            id: NotificationId::new(now),
            kind: NotificationKind::StorageLow,
            severity,
            title: title.to_owned(),
            body: format!(
                "{} of {} are free where pictures and clips are stored; at least {} should be. The oldest pictures and \
                 clips are removed until there is room.",
                size(disk.free_bytes),
                size(disk.total_bytes),
                size(wanted_bytes)
            ),
            camera_id: None,
            event_id: None,
            created_at: now,
        }
    }
}

/// An amount in US dollars: cents, or less where it is about less than a dollar.
fn usd(amount: f64) -> String {
    if amount >= 1.0 { format!("{amount:.2}") } else { format!("{amount:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_has_the_fields_of_the_contract() {
        let now = Timestamp::from_millis(1_766_485_800_000);
        let camera = CameraId::new(now);
        let told = Notification::camera_offline(camera, "Front door", Some("connection refused"), false, now);
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": told.id, "kind": "camera_offline", "severity": "warning", "title": "Front door is offline",
                "body": "No picture comes from Front door (connection refused). It is tried again until it answers.",
                "camera_id": camera, "event_id": null, "created_at": "2025-12-23T10:30:00.000Z",
            })
        );
        let spent = Notification::ai_budget(StatusReason::BudgetMonthly, 80, 0.85, 1.0, now);
        assert_eq!((spent.kind, spent.severity), (NotificationKind::AiBudget, Severity::Warning));
        assert_eq!(spent.title, "80 % of the month's budget for descriptions is spent");
        assert!(spent.body.contains("have cost 0.8500 of 1.00 US dollars"), "{}", spent.body);
        let full = Notification::storage_low(Disk { total_bytes: 64 << 20, free_bytes: 0 }, 1 << 30, now);
        assert_eq!((full.severity, full.camera_id), (Severity::Error, None));
        assert!(full.body.starts_with("0 bytes of 64.0 MiB are free"), "{}", full.body);
        assert!(full.body.contains("at least 1.0 GiB should be"), "{}", full.body);
    }
}
