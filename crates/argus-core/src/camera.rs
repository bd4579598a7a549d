//! A camera: where its pictures come from and what is made of them.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::episode::EpisodeRules;
use crate::event::DetectionType;
use crate::names::names;
use crate::schedule::Schedule;
use crate::settings::MotionDefaults;
use crate::text::text;
use crate::zone::{MAX_ZONES, Zone};
use crate::{CameraId, ControllerId, Faults, Invalid, PrivacyMask, Secret, Timestamp};

names! {
    /// What kind of source a camera has.
    SourceType {
        /// A network camera.
        Rtsp = "rtsp",
        /// A camera at this machine.
        Usb = "usb",
        /// A video file, played at its own speed.
        File = "file",
        /// The synthetic test camera.
        Test = "test",
        /// A camera of a UniFi Protect controller.
        Protect = "protect",
    }
}

names! {
    /// How RTSP carries the video.
    RtspTransport {
        /// TCP, then UDP.
        Auto = "auto",
        /// Interleaved in the RTSP connection.
        Tcp = "tcp",
        /// Datagrams beside it.
        Udp = "udp",
    }
}

names! {
    /// How small and faint a movement counts.
    Sensitivity {
        /// Only large and clear movement.
        Low = "low",
        /// What people would call movement.
        Medium = "medium",
        /// Also small and faint movement.
        High = "high",
    }
}

names! {
    /// How many pictures of an event the describer gets.
    AnalysisMode {
        /// The best one.
        SingleFrame = "single_frame",
        /// Several, in order.
        MultiFrame = "multi_frame",
    }
}

/// An address that begins with `rtsp://` or `rtsps://`, has a host, and holds neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl(Url);

impl RtspUrl {
    /// Reads an address; a user and a password inside are taken out and given back.
    ///
    /// # Errors
    /// `Invalid` (field `rtsp_url`) when it is no such address or longer than 500 characters.
    pub fn parse(address: &str) -> Result<(Self, Option<String>, Option<Secret>), Invalid> {
        let bad = |reason: &str| Invalid::new("rtsp_url", reason);
        text(address, 1..=500).map_err(|reason| bad(&reason))?;
        if address.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("contains a blank or a control character"));
        }
        let mut url = Url::parse(address).map_err(|_ignored: url::ParseError| bad("is not an address"))?;
        if !matches!(url.scheme(), "rtsp" | "rtsps") {
            return Err(bad("must begin with rtsp:// or rtsps://"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("has no host"));
        }
        let decode = |s: &str| percent_decode(s).ok_or_else(|| bad("has a user or password that is not UTF-8"));
        let username = if url.username().is_empty() { None } else { Some(decode(url.username())?) };
        let password = url.password().map(decode).transpose()?.map(Secret::new);
        for part in [username.as_deref(), password.as_ref().map(Secret::expose)].into_iter().flatten() {
            text(part, 1..=100).map_err(|reason| bad(&format!("holds a user or password that {reason}")))?;
        }
        // Both setters can only fail without a host, which was refused above.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        // What is stored is the encoded form, and it must pass this check again when it is read.
        if url.as_str().len() > 500 {
            return Err(bad("is longer than 500 characters once encoded"));
        }
        Ok((Self(url), username, password))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Host and port (554, or 322 with TLS, when none is written): where a stored password may be sent.
    #[must_use]
    pub fn endpoint(&self) -> (String, u16) {
        let port = self.0.port().unwrap_or(if self.0.scheme() == "rtsps" { 322 } else { 554 });
        (self.0.host_str().unwrap_or_default().to_owned(), port)
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decodes `%41` forms; `None` when the result is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let pair = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The synthetic camera's picture: a rectangle that crosses in every period from second 2 on for `active_s` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestPattern {
    /// 160..1920 pixels, even.
    pub width: u32,
    /// 120..1080 pixels, even.
    pub height: u32,
    /// 3..3600 seconds.
    pub period_s: u32,
    /// `1..period_s−2` seconds.
    pub active_s: u32,
}

impl Default for TestPattern {
    fn default() -> Self {
        Self { width: 640, height: 360, period_s: 12, active_s: 4 }
    }
}

/// Where a camera's pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A network camera.
    Rtsp {
        /// Without credentials.
        url: RtspUrl,
        /// User at the camera.
        username: Option<String>,
        /// Password at the camera.
        password: Option<Secret>,
        /// How the video is carried.
        transport: RtspTransport,
    },
    /// A camera at this machine.
    Usb {
        /// The `N` of `/dev/videoN`.
        device_index: u8,
    },
    /// A video file, played at its own speed.
    File {
        /// As the user wrote it: absolute, or below the first media directory.
        path: String,
        /// Begin again at the end.
        looped: bool,
    },
    /// The synthetic camera.
    Test(TestPattern),
    /// A camera of a UniFi Protect controller.
    Protect(ProtectSource),
}

/// Which camera of which controller, and what of it makes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectSource {
    /// `None` after the controller was deleted.
    pub controller_id: Option<ControllerId>,
    /// The controller's name of it; another one after it was removed there and adopted again.
    pub camera_id: String,
    /// Upper case, no separators: its identity over adoptions, where the controller tells it.
    pub mac: Option<String>,
    /// Its name on the controller, as it was read last.
    pub device_name: String,
    /// Whether it can ring.
    pub is_doorbell: bool,
    /// Only these make events.
    pub detections: Vec<DetectionType>,
}

impl ProtectSource {
    /// What makes events unless somebody chooses: everything but plain movement and sounds.
    pub const DETECTIONS: [DetectionType; 5] = [
        DetectionType::Person,
        DetectionType::Vehicle,
        DetectionType::Package,
        DetectionType::Animal,
        DetectionType::Ring,
    ];

    /// Whether `name` is what the server made of the device's name by itself, with a number where that was taken.
    #[must_use]
    pub fn gave_name(&self, name: &str) -> bool {
        match name.strip_prefix(&self.device_name) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(' ').is_some_and(|n| n.parse::<u32>().is_ok()),
            None => false,
        }
    }
}

impl Source {
    /// Which kind it is.
    #[must_use]
    pub fn source_type(&self) -> SourceType {
        match self {
            Self::Rtsp { .. } => SourceType::Rtsp,
            Self::Usb { .. } => SourceType::Usb,
            Self::File { .. } => SourceType::File,
            Self::Test(_) => SourceType::Test,
            Self::Protect(_) => SourceType::Protect,
        }
    }
}

/// A camera as it stands in the configuration, all rules kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// What people call it; unique, ignoring case.
    pub name: String,
    /// Where its pictures come from.
    pub source: Source,
    /// Whether capture runs.
    pub is_enabled: bool,
    /// Pictures a second that are analysed, 1..30.
    pub frame_rate: u8,
    /// Whether events come from the picture.
    pub motion_enabled: bool,
    /// How small and faint a movement counts.
    pub motion_sensitivity: Sensitivity,
    /// Pause after an event, 0..300 s.
    pub motion_cooldown_s: u16,
    /// Seconds of the clip before the event, 0..30.
    pub pre_roll_s: u16,
    /// Seconds without movement that close an event, 0..60.
    pub post_roll_s: u16,
    /// Greatest length of an event, 5..600 s.
    pub max_event_s: u16,
    /// Pictures for the describer.
    pub analysis_mode: AnalysisMode,
    /// Replaces the prompt of the settings.
    pub prompt_override: Option<String>,
    /// Where movement counts.
    pub zones: Vec<Zone>,
    /// When events are made.
    pub schedule: Option<Schedule>,
}

impl CameraConfig {
    /// The rules of its episodes.
    #[must_use]
    pub fn episode_rules(&self) -> EpisodeRules {
        let s = |v: u16| Duration::from_secs(v.into());
        EpisodeRules {
            // The detector confirms movement over time by itself; a second wait would only delay the news.
            min_duration: Duration::ZERO,
            cooldown: s(self.motion_cooldown_s),
            post_roll: s(self.post_roll_s),
            max_length: s(self.max_event_s),
        }
    }

    /// What nobody may see of its pictures.
    #[must_use]
    pub fn privacy(&self) -> PrivacyMask {
        PrivacyMask::from_zones(&self.zones)
    }
}

/// A camera as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Names it.
    pub id: CameraId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its configuration changed last.
    pub updated_at: Timestamp,
    /// What it is.
    pub config: CameraConfig,
}

/// The flat fields of a camera, each of the right type but not yet checked: what a request or a file gives.
///
/// Defaults are those that `POST /cameras` has.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one field a field of `POST /cameras`; the checked form is documented")]
pub struct CameraFields {
    pub name: String,
    pub source_type: SourceType,
    pub rtsp_url: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub rtsp_transport: RtspTransport,
    pub device_index: Option<i64>,
    pub file_path: Option<String>,
    pub looped: bool,
    pub test_pattern: Option<TestPatternFields>,
    pub protect: Option<ProtectSource>,
    pub is_enabled: bool,
    pub frame_rate: i64,
    pub motion_enabled: bool,
    pub motion_sensitivity: Sensitivity,
    pub motion_cooldown: i64,
    pub pre_roll_s: i64,
    pub post_roll_s: i64,
    pub max_event_s: i64,
    pub analysis_mode: AnalysisMode,
    pub prompt_override: Option<String>,
    pub detection_zones: Vec<Zone>,
    pub detection_schedule: Option<Schedule>,
}

/// The unchecked fields of a [`TestPattern`]; absent ones take their default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the same fields as TestPattern, where they are documented")]
pub struct TestPatternFields {
    pub width: Option<i64>,
    pub height: Option<i64>,
    pub period_s: Option<i64>,
    pub active_s: Option<i64>,
}

impl CameraFields {
    /// A camera of that name and kind with everything else at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, source_type: SourceType) -> Self {
        Self {
            name: name.into(),
            source_type,
            rtsp_url: None,
            username: None,
            password: None,
            rtsp_transport: RtspTransport::Auto,
            device_index: None,
            file_path: None,
            looped: true,
            test_pattern: None,
            protect: None,
            is_enabled: true,
            frame_rate: 5,
            motion_enabled: true,
            motion_sensitivity: Sensitivity::Medium,
            motion_cooldown: 30,
            pre_roll_s: 5,
            post_roll_s: 5,
            max_event_s: 60,
            analysis_mode: AnalysisMode::MultiFrame,
            prompt_override: None,
            detection_zones: Vec::new(),
            detection_schedule: None,
        }
    }

    /// The same with what the settings say of cameras that are made from now on.
    #[must_use]
    pub fn with_defaults(self, defaults: &MotionDefaults) -> Self {
        Self {
            frame_rate: defaults.frame_rate.into(),
            motion_enabled: defaults.motion_enabled,
            motion_sensitivity: defaults.motion_sensitivity,
            motion_cooldown: defaults.motion_cooldown.into(),
            pre_roll_s: defaults.pre_roll_s.into(),
            post_roll_s: defaults.post_roll_s.into(),
            max_event_s: defaults.max_event_s.into(),
            analysis_mode: defaults.analysis_mode,
            ..self
        }
    }

    /// Checks every rule for the fields.
    ///
    /// Whether a file may be read and whether a name is taken is for others to say: both need more than the fields.
    ///
    /// # Errors
    /// All faults found, each with its field.
    pub fn check(self) -> Result<CameraConfig, Faults> {
        let mut faults = Faults::default();
        let name = self.name.trim().to_owned();
        if let Err(reason) = text(&name, 1..=100) {
            faults.add("name", reason);
        }
        let source = self.source(&mut faults);
        if let Some(Err(reason)) = self.prompt_override.as_deref().map(|p| text(p, 1..=2000)) {
            faults.add("prompt_override", reason);
        }
        if self.detection_zones.len() > MAX_ZONES {
            faults.add("detection_zones", format!("has more than {MAX_ZONES} zones"));
        }
        for (i, zone) in self.detection_zones.iter().enumerate() {
            zone.check(&format!("detection_zones[{i}]"), &mut faults);
            if self.detection_zones.iter().take(i).any(|z| z.id == zone.id) {
                faults.add(format!("detection_zones[{i}].id"), "is the id of another zone too");
            }
        }
        if let Some(s) = &self.detection_schedule {
            s.check("detection_schedule", &mut faults);
        }
        let frame_rate = range("frame_rate", self.frame_rate, 1, 30, &mut faults);
        let motion_cooldown_s = range("motion_cooldown", self.motion_cooldown, 0, 300, &mut faults);
        let pre_roll_s = range("pre_roll_s", self.pre_roll_s, 0, 30, &mut faults);
        let post_roll_s = range("post_roll_s", self.post_roll_s, 0, 60, &mut faults);
        let max_event_s = range("max_event_s", self.max_event_s, 5, 600, &mut faults);
        let Some(source) = source else { return Err(faults) };
        let config = CameraConfig {
            name,
            source,
            is_enabled: self.is_enabled,
            frame_rate,
            motion_enabled: self.motion_enabled,
            motion_sensitivity: self.motion_sensitivity,
            motion_cooldown_s,
            pre_roll_s,
            post_roll_s,
            max_event_s,
            analysis_mode: self.analysis_mode,
            prompt_override: self.prompt_override,
            zones: self.detection_zones,
            schedule: self.detection_schedule,
        };
        faults.or(config)
    }

    /// Checks the fields that belong to the source, and that none of another kind is set.
    fn source(&self, faults: &mut Faults) -> Option<Source> {
        let kind = self.source_type;
        let strangers = [
            ("rtsp_url", self.rtsp_url.is_some(), SourceType::Rtsp),
            ("username", self.username.is_some(), SourceType::Rtsp),
            ("password", self.password.is_some(), SourceType::Rtsp),
            ("rtsp_transport", self.rtsp_transport != RtspTransport::Auto, SourceType::Rtsp),
            ("device_index", self.device_index.is_some(), SourceType::Usb),
            ("file_path", self.file_path.is_some(), SourceType::File),
            ("loop", !self.looped, SourceType::File),
            ("test_pattern", self.test_pattern.is_some(), SourceType::Test),
        ];
        for (field, is_set, home) in strangers {
            if is_set && home != kind {
                faults.add(field, format!("belongs to cameras of type {home}, this one is {kind}"));
            }
        }
        match kind {
            SourceType::Rtsp => self.rtsp(faults),
            SourceType::Usb => match self.device_index {
                None => {
                    faults.add("device_index", "is required for type usb");
                    None
                }
                Some(n) => Some(Source::Usb { device_index: range("device_index", n, 0, 63, faults) }),
            },
            SourceType::File => match self.file_path.as_deref().map(str::trim) {
                None => {
                    faults.add("file_path", "is required for type file");
                    None
                }
                Some(path) => {
                    if let Err(reason) = text(path, 1..=1000) {
                        faults.add("file_path", reason);
                    }
                    Some(Source::File { path: path.to_owned(), looped: self.looped })
                }
            },
            SourceType::Test => Some(Source::Test(pattern(self.test_pattern.unwrap_or_default(), faults))),
            SourceType::Protect => {
                if self.protect.is_none() {
                    faults.add("type", "protect cameras are made by their controller");
                }
                self.protect.clone().map(Source::Protect)
            }
        }
    }

    fn rtsp(&self, faults: &mut Faults) -> Option<Source> {
        if let Some(Err(reason)) = self.username.as_deref().map(|u| text(u, 1..=100)) {
            faults.add("username", reason);
        }
        if let Some(Err(reason)) = self.password.as_ref().map(|p| text(p.expose(), 1..=100)) {
            faults.add("password", reason);
        }
        let Some(address) = self.rtsp_url.as_deref().map(str::trim) else {
            faults.add("rtsp_url", "is required for type rtsp");
            return None;
        };
        match RtspUrl::parse(address) {
            Ok((url, username, password)) => Some(Source::Rtsp {
                url,
                username: username.or_else(|| self.username.clone()),
                password: password.or_else(|| self.password.clone()),
                transport: self.rtsp_transport,
            }),
            Err(fault) => {
                faults.0.push(fault);
                None
            }
        }
    }
}

/// Checks a whole number's range; outside it the lower bound stands in, beside the fault.
fn range<T: TryFrom<i64> + Default>(field: &str, value: i64, least: i64, most: i64, faults: &mut Faults) -> T {
    if !(least..=most).contains(&value) {
        faults.add(field, format!("is {value}, allowed are {least} to {most}"));
    }
    T::try_from(value).unwrap_or_default()
}

fn pattern(fields: TestPatternFields, faults: &mut Faults) -> TestPattern {
    let d = TestPattern::default();
    let width = range("test_pattern.width", fields.width.unwrap_or(d.width.into()), 160, 1920, faults);
    let height = range("test_pattern.height", fields.height.unwrap_or(d.height.into()), 120, 1080, faults);
    let period_s: u32 = range("test_pattern.period_s", fields.period_s.unwrap_or(d.period_s.into()), 3, 3600, faults);
    let fits = i64::from(period_s.max(3)) - 2;
    let active = fields.active_s.unwrap_or(i64::from(d.active_s).min(fits));
    let active_s = range("test_pattern.active_s", active, 1, fits, faults);
    // The picture is coded with halved colour planes: both sides are even.
    for (field, side) in [("test_pattern.width", width), ("test_pattern.height", height)] {
        if side % 2 == 1 {
            faults.add(field, "must be even");
        }
    }
    TestPattern { width, height, period_s, active_s }
}

impl From<&CameraConfig> for CameraFields {
    /// The fields that give this configuration, for a partial update.
    fn from(c: &CameraConfig) -> Self {
        let mut f = Self::new(c.name.clone(), c.source.source_type());
        match &c.source {
            Source::Rtsp { url, username, password, transport } => {
                f.rtsp_url = Some(url.as_str().to_owned());
                f.username.clone_from(username);
                f.password.clone_from(password);
                f.rtsp_transport = *transport;
            }
            Source::Usb { device_index } => f.device_index = Some((*device_index).into()),
            Source::File { path, looped } => {
                f.file_path = Some(path.clone());
                f.looped = *looped;
            }
            Source::Test(p) => {
                f.test_pattern = Some(TestPatternFields {
                    width: Some(p.width.into()),
                    height: Some(p.height.into()),
                    period_s: Some(p.period_s.into()),
                    active_s: Some(p.active_s.into()),
                });
            }
            Source::Protect(p) => f.protect = Some(p.clone()),
        }
        f.is_enabled = c.is_enabled;
        f.frame_rate = c.frame_rate.into();
        f.motion_enabled = c.motion_enabled;
        f.motion_sensitivity = c.motion_sensitivity;
        f.motion_cooldown = c.motion_cooldown_s.into();
        f.pre_roll_s = c.pre_roll_s.into();
        f.post_roll_s = c.post_roll_s.into();
        f.max_event_s = c.max_event_s.into();
        f.analysis_mode = c.analysis_mode;
        f.prompt_override.clone_from(&c.prompt_override);
        f.detection_zones.clone_from(&c.zones);
        f.detection_schedule.clone_from(&c.schedule);
        f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(fields: CameraFields) -> Vec<String> {
        fields.check().err().map(|f| f.0.into_iter().map(|i| i.field).collect()).unwrap_or_default()
    }

    fn rtsp(url: &str) -> CameraFields {
        CameraFields { rtsp_url: Some(url.into()), ..CameraFields::new("Door", SourceType::Rtsp) }
    }

    #[test]
    fn credentials_move_out_of_the_address() {
        let c = rtsp("rtsp://joe:p%40ss@cam:8554/live?x=1").check().unwrap();
        let Source::Rtsp { url, username, password, .. } = &c.source else { panic!("{c:?}") };
        assert_eq!(url.as_str(), "rtsp://cam:8554/live?x=1");
        assert_eq!(url.endpoint(), ("cam".to_owned(), 8554));
        assert_eq!(username.as_deref(), Some("joe"));
        assert_eq!(password.as_ref().map(Secret::expose), Some("p@ss"));
        assert!(!format!("{c:?}").contains("p@ss"));
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in [
            "http://cam/live",
            "file:///etc/passwd",
            "rtsp://",
            "cam/live",
            "rtsp://cam/live ! filesink location=/x",
            "rtsp://cam/\u{0}",
            "",
            "rtsp://u:%ff@cam/",
            "rtsp://u:%00@cam/",
        ] {
            assert_eq!(faulty(rtsp(bad)), ["rtsp_url"], "{bad:?}");
        }
        assert_eq!(faulty(rtsp(&format!("rtsp://cam/{}", "x".repeat(500)))), ["rtsp_url"]);
        assert_eq!(faulty(rtsp(&format!("rtsp://cam/{}", "ü".repeat(100)))), ["rtsp_url"], "too long once encoded");
        assert_eq!(faulty(CameraFields::new("Door", SourceType::Rtsp)), ["rtsp_url"]);
    }

    #[test]
    fn every_fault_is_told() {
        let f = CameraFields {
            name: "  ".into(),
            frame_rate: 31,
            pre_roll_s: -1,
            max_event_s: 4,
            device_index: Some(3),
            test_pattern: Some(TestPatternFields { width: Some(161), active_s: Some(99), ..Default::default() }),
            ..CameraFields::new("", SourceType::Test)
        };
        let fields = faulty(f);
        for expected in [
            "name",
            "frame_rate",
            "pre_roll_s",
            "max_event_s",
            "device_index",
            "test_pattern.width",
            "test_pattern.active_s",
        ] {
            assert!(fields.iter().any(|f| f == expected), "{expected} not in {fields:?}");
        }
    }

    #[test]
    fn a_short_period_shortens_the_default_movement() {
        let f = CameraFields {
            test_pattern: Some(TestPatternFields { period_s: Some(3), ..Default::default() }),
            ..CameraFields::new("T", SourceType::Test)
        };
        assert_eq!(
            f.check().unwrap().source,
            Source::Test(TestPattern { period_s: 3, active_s: 1, ..Default::default() })
        );
    }

    #[test]
    fn a_camera_of_a_controller_comes_from_nowhere_else() {
        let protect = ProtectSource {
            controller_id: None,
            camera_id: "65a1".into(),
            mac: None,
            device_name: "Front door".into(),
            is_doorbell: true,
            detections: ProtectSource::DETECTIONS.to_vec(),
        };
        let f = CameraFields { protect: Some(protect.clone()), ..CameraFields::new("Door", SourceType::Protect) };
        let c = f.check().unwrap();
        assert_eq!(CameraFields::from(&c).check().unwrap(), c);
        assert!(CameraFields::new("Door", SourceType::Protect).check().is_err());
        for (name, given) in [("Front door", true), ("Front door 2", true), ("Front door B", false), ("Door", false)] {
            assert_eq!(protect.gave_name(name), given, "{name}");
        }
    }

    #[test]
    fn a_configuration_survives_the_way_through_its_fields() {
        let f = CameraFields { username: Some("u".into()), frame_rate: 7, ..rtsp("rtsps://cam/live") };
        let c = f.check().unwrap();
        assert_eq!(CameraFields::from(&c).check().unwrap(), c);
    }
}
