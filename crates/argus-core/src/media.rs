//! Where an event's files lie in the media store.

use jiff::tz::TimeZone;

use crate::{CameraId, EventId, Timestamp};

/// The folder of an event: `{camera_id}/{yyyy}/{mm}/{dd}/{event_id}`, by the day of its start in UTC.
#[must_use]
pub fn event_prefix(camera: CameraId, event: EventId, started: Timestamp) -> String {
    let day = TimeZone::UTC.to_datetime(started.to_jiff()).date();
    format!("{camera}/{:04}/{:02}/{:02}/{event}", day.year(), day.month(), day.day())
}

/// The folder of a camera.
#[must_use]
pub fn camera_prefix(camera: CameraId) -> String {
    camera.to_string()
}

/// The small picture of an event.
#[must_use]
pub fn thumbnail_key(prefix: &str) -> String {
    format!("{prefix}/thumbnail.jpg")
}

/// The n-th picture given to the describer.
#[must_use]
pub fn frame_key(prefix: &str, index: u32) -> String {
    format!("{prefix}/frame-{index:02}.jpg")
}

/// The clip of an event.
#[must_use]
pub fn clip_key(prefix: &str) -> String {
    format!("{prefix}/clip.mp4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_camera_day_and_event() {
        let t: Timestamp = "2025-12-23T23:30:00-05:00".parse().unwrap();
        let (c, e) = (CameraId::new(t), EventId::new(t));
        let prefix = event_prefix(c, e, t);
        assert_eq!(prefix, format!("{c}/2025/12/24/{e}"));
        assert_eq!(frame_key(&prefix, 3), format!("{prefix}/frame-03.jpg"));
        assert!(prefix.starts_with(&camera_prefix(c)));
    }
}
