//! From pictures to episodes: the motion detector and the episode rules of one camera, put together.
//!
//! No clock, no randomness: the same pictures and configuration give the same answers. The running camera and
//! `argus-server replay` use this one type.

use argus_core::camera::CameraConfig;
use argus_core::episode::{EndReason, EpisodeAction, EpisodeInput, EpisodeRules, EpisodeState, step};
use argus_core::event::{Area, EventZone};
use argus_core::schedule::Schedule;
use argus_core::zone::{Zone, ZoneKind};
use argus_core::{Picture, Timestamp};
use argus_motion::{Detector, DetectorConfig, FractionBox, Motion, MotionError, MotionMask};
use serde_json::json;

/// A picture of an episode and how strong its movement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it was taken.
    pub at: Timestamp,
    /// 1..=1000.
    pub score: u16,
}

/// What is known of an episode so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its first picture.
    pub since: Timestamp,
    /// Its last picture with movement.
    pub last_motion: Timestamp,
    /// Strongest moment, 1..=1000.
    pub score: u16,
    /// Of the strongest moment, percent.
    pub confidence: u8,
    /// Around all movement.
    pub area: Option<Area>,
    /// The largest single thing that moved, as a fraction of the picture's area.
    pub largest_ratio: f64,
    /// Middle of the largest thing in the first picture that has one, fractions.
    pub first_center: Option<(f64, f64)>,
    /// The same in the last one.
    pub last_center: Option<(f64, f64)>,
    /// Include zones that were touched, in the order of the configuration.
    pub zones: Vec<EventZone>,
    /// Every moving picture, in order: at most the frame rate times the greatest length.
    pub moments: Vec<Moment>,
}

/// What came of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Noticed {
    /// An episode began.
    Began(Box<Episode>),
    /// The running episode is over.
    Ended {
        /// All of it.
        episode: Box<Episode>,
        /// When it was closed.
        closed_at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

impl Noticed {
    /// The decision as one line of a log: times in milliseconds, scores 1..=1000, boxes as fractions of the picture.
    #[must_use]
    pub fn log_line(&self) -> serde_json::Value {
        let ms = Timestamp::as_millis;
        match self {
            Self::Began(e) => json!({"type": "episode.began", "at_ms": ms(e.since), "score": e.score, "box": e.area}),
            Self::Ended { episode, closed_at, reason } => json!({
                "type": "episode.ended",
                "at_ms": ms(episode.since),
                "last_motion_ms": ms(episode.last_motion),
                "closed_ms": ms(*closed_at),
                "reason": reason,
                "score": episode.score,
                "confidence": episode.confidence,
                "box": episode.area,
                "zones": episode.zones,
                "moments": episode.moments.iter().map(|m| json!([ms(m.at), m.score])).collect::<Vec<_>>(),
            }),
        }
    }
}

/// The motion detector and the episode rules of one camera.
pub struct Analyser {
    detector: Option<Detector>,
    config: DetectorConfig,
    zones: Vec<Zone>,
    rules: EpisodeRules,
    schedule: Option<Schedule>,
    timezone: String,
    session: Option<u64>,
    state: EpisodeState,
    running: Option<Box<Episode>>,
    moving: bool,
    changed: bool,
}

impl Analyser {
    /// An analyser for a camera; `timezone` is the server's, for schedules that name none.
    #[must_use]
    pub fn new(camera: &CameraConfig, timezone: &str) -> Self {
        Self {
            detector: None,
            config: DetectorConfig {
                sensitivity: camera.motion_sensitivity,
                frame_rate: f32::from(camera.frame_rate),
                mask: MotionMask::from_zones(&camera.zones),
            },
            zones: camera.zones.clone(),
            rules: camera.episode_rules(),
            schedule: camera.schedule.clone(),
            timezone: timezone.to_owned(),
            session: None,
            state: EpisodeState::default(),
            running: None,
            moving: false,
            changed: false,
        }
    }

    /// Takes the configuration anew; what the detector has learnt is kept when it does not depend on what changed.
    pub fn reconfigure(&mut self, camera: &CameraConfig, timezone: &str) {
        let next = Self::new(camera, timezone);
        if next.config != self.config {
            self.detector = None;
        }
        self.config = next.config;
        self.zones = next.zones;
        self.rules = next.rules;
        self.schedule = next.schedule;
        self.timezone = next.timezone;
    }

    /// Whether the newest picture shows movement that counts.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.moving
    }

    /// Whether anything in the newest picture may become movement, so that the next ones are worth decoding.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The episode that is running.
    #[must_use]
    pub fn running(&self) -> Option<&Episode> {
        self.running.as_deref()
    }

    /// Looks at the next picture.
    ///
    /// # Errors
    /// `MotionError` when the detector refuses it.
    pub fn look(&mut self, picture: &Picture) -> Result<Vec<Noticed>, MotionError> {
        let mut noticed = Vec::new();
        if self.session.is_some_and(|s| s != picture.session) {
            // Time or format of the stream began anew: what was running ended with what was before.
            noticed = self.lost(picture.taken_at);
        }
        if self.session != Some(picture.session) {
            self.session = Some(picture.session);
            self.detector = None;
        }
        let (width, height) = (picture.luma.width(), picture.luma.height());
        let detector = self.detector.get_or_insert_with(|| Detector::new(width, height, &self.config));
        let motion = detector.feed(&picture.luma)?;
        self.moving = motion.moving;
        self.changed = motion.changed || motion.learning || motion.scene_change;
        let active = self.schedule.as_ref().is_none_or(|s| s.is_active(picture.taken_at, &self.timezone));
        let input = EpisodeInput::Picture { moving: motion.moving, active };
        let (state, actions) = step(&self.rules, self.state, input, picture.taken_at);
        self.state = state;
        for action in actions {
            match action {
                EpisodeAction::Start { at } => {
                    let mut episode = Box::new(Episode::new(at));
                    episode.take(picture.taken_at, motion, &self.zones);
                    noticed.push(Noticed::Began(episode.clone()));
                    self.running = Some(episode);
                }
                EpisodeAction::Extend { .. } => {
                    if let Some(episode) = &mut self.running {
                        episode.take(picture.taken_at, motion, &self.zones);
                    }
                }
                EpisodeAction::End { last_motion, closed_at, reason, .. } => {
                    noticed.extend(ended(&mut self.running, last_motion, closed_at, reason));
                }
            }
        }
        Ok(noticed)
    }

    /// The stream was lost.
    pub fn lost(&mut self, at: Timestamp) -> Vec<Noticed> {
        self.detector = None;
        self.close(EpisodeInput::Lost, at)
    }

    /// Capture ends.
    pub fn stop(&mut self, at: Timestamp) -> Vec<Noticed> {
        // What comes next may be another source, and its sessions are counted anew.
        self.detector = None;
        self.session = None;
        self.close(EpisodeInput::Stop, at)
    }

    fn close(&mut self, input: EpisodeInput, at: Timestamp) -> Vec<Noticed> {
        self.moving = false;
        let (state, actions) = step(&self.rules, self.state, input, at);
        self.state = state;
        let mut noticed = Vec::new();
        for action in actions {
            if let EpisodeAction::End { last_motion, closed_at, reason, .. } = action {
                noticed.extend(ended(&mut self.running, last_motion, closed_at, reason));
            }
        }
        noticed
    }
}

fn ended(
    running: &mut Option<Box<Episode>>,
    last_motion: Timestamp,
    closed_at: Timestamp,
    reason: EndReason,
) -> Option<Noticed> {
    let mut episode = running.take()?;
    episode.last_motion = last_motion;
    Some(Noticed::Ended { episode, closed_at, reason })
}

impl Episode {
    fn new(since: Timestamp) -> Self {
        Self {
            since,
            last_motion: since,
            score: 0,
            confidence: 0,
            area: None,
            largest_ratio: 0.0,
            first_center: None,
            last_center: None,
            zones: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// Adds a moving picture.
    fn take(&mut self, at: Timestamp, motion: &Motion, zones: &[Zone]) {
        self.last_motion = self.last_motion.max(at);
        self.score = self.score.max(motion.score);
        self.confidence = self.confidence.max(motion.confidence());
        self.moments.push(Moment { at, score: motion.score });
        if let Some(all) = motion.bounding_box {
            let area = area(motion.fractions(all));
            self.area = Some(self.area.map_or(area, |a| a.union(area)));
        }
        if let Some(&largest) = motion.boxes.first() {
            let f = motion.fractions(largest);
            self.largest_ratio = self.largest_ratio.max(f.width * f.height);
        }
        if let Some((x, y)) = motion.centroid {
            let center = (f64::from(x) / 1000.0, f64::from(y) / 1000.0);
            self.first_center.get_or_insert(center);
            self.last_center = Some(center);
        }
        if motion.touched != 0 {
            for (n, zone) in zones.iter().enumerate() {
                let touched = u32::try_from(n).is_ok_and(|n| n < 32 && motion.touched >> n & 1 == 1);
                if touched && zone.kind == ZoneKind::Include && !self.zones.iter().any(|z| z.id == zone.id) {
                    self.zones.push(EventZone { id: zone.id.clone(), name: zone.name.clone() });
                }
            }
        }
    }
}

fn area(f: FractionBox) -> Area {
    Area { x: f.x, y: f.y, width: f.width, height: f.height }
}

#[cfg(test)]
mod tests {
    use argus_core::LumaPlane;
    use argus_core::camera::{CameraFields, SourceType};

    use super::*;

    const START_MS: i64 = 1_766_485_800_000;

    /// A picture of a textured wall, with a bright box when `x` says where.
    fn picture(n: i64, session: u64, x: Option<usize>) -> Picture {
        let (w, h) = (320_usize, 180_usize);
        let mut pixels: Vec<u8> = (0..w * h).map(|i| 90 + u8::try_from((i * 7 + i / w * 13) % 30).unwrap()).collect();
        if let Some(x) = x {
            for row in 80..120 {
                pixels[row * w + x..row * w + (x + 24).min(w)].fill(235);
            }
        }
        Picture {
            taken_at: Timestamp::from_millis(START_MS + n * 200),
            luma: LumaPlane::new(320, 180, pixels).unwrap(),
            full_size: (640, 360),
            session,
        }
    }

    fn camera() -> CameraConfig {
        let mut fields = CameraFields::new("Wall", SourceType::Test);
        fields.post_roll_s = 2;
        fields.motion_cooldown = 0;
        fields.check().unwrap()
    }

    fn walk(n: i64) -> Option<usize> {
        (40..70).contains(&n).then(|| usize::try_from((n - 40) * 9).unwrap())
    }

    fn run(session: impl Fn(i64) -> u64) -> Vec<Noticed> {
        let mut analyser = Analyser::new(&camera(), "UTC");
        (0..120).flat_map(|n| analyser.look(&picture(n, session(n), walk(n))).unwrap()).collect()
    }

    #[test]
    fn a_walk_is_one_episode_with_its_way() {
        let noticed = run(|_| 1);
        let [Noticed::Began(began), Noticed::Ended { episode, reason, .. }] = noticed.as_slice() else {
            panic!("{noticed:?}");
        };
        assert_eq!(began.since, episode.since);
        assert_eq!(*reason, EndReason::Quiet);
        let onset = episode.since.millis_since(Timestamp::from_millis(START_MS + 40 * 200));
        assert!((0..=400).contains(&onset), "{onset}");
        let (first, last) = (episode.first_center.unwrap(), episode.last_center.unwrap());
        assert!(last.0 - first.0 > 0.4, "from {first:?} to {last:?}");
        assert!(episode.confidence >= 50 && !episode.moments.is_empty());
    }

    #[test]
    fn the_same_pictures_give_the_same_episodes() {
        assert_eq!(run(|_| 1), run(|_| 1));
    }

    #[test]
    fn a_new_session_ends_what_was_running() {
        let noticed = run(|n| u64::from(n >= 55));
        let reasons: Vec<_> = noticed
            .iter()
            .filter_map(|n| if let Noticed::Ended { reason, .. } = n { Some(*reason) } else { None })
            .collect();
        assert_eq!(reasons.first(), Some(&EndReason::Lost), "{noticed:?}");
    }
}
