//! What requests say about cameras.

use argus_core::camera::{
    AnalysisMode, Camera, CameraConfig, CameraFields, RtspTransport, RtspUrl, Sensitivity, Source, SourceType,
    TestPatternFields,
};
use argus_core::schedule::{Day, Schedule, TimeOfDay, Window};
use argus_core::settings::MotionDefaults;
use argus_core::zone::{Point, Zone, ZoneKind};
use argus_core::{Faults, Secret};
use deserr::Deserr;
use serde_json::Value as Json;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Faulty, Given, Patch, text_fields};

text_fields!(SourceType, RtspTransport, Sensitivity, AnalysisMode, ZoneKind, Day, TimeOfDay);

/// Fields that answers have and requests cannot set; a PUT may repeat them.
pub(crate) const READ_ONLY: [&str; 16] = [
    "id",
    "created_at",
    "updated_at",
    "has_password",
    "status",
    "last_error",
    "last_error_kind",
    "last_frame_at",
    "fps",
    "resolution",
    "codec",
    "reconnects",
    "protect_controller_id",
    "protect_camera_id",
    "is_doorbell",
    "smart_detection_types",
];

/// Leaves out what cannot be set.
pub(crate) fn without_read_only(mut body: Json) -> Json {
    if let Json::Object(fields) = &mut body {
        fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    body
}

/// The synthetic camera's picture; what is absent takes its default.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct TestPatternBody {
    /// Pixels, even; 640 when absent.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 160, maximum = 1920, multiple_of = 2, required = false)]
    width: Given<i64>,
    /// Pixels, even; 360 when absent.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 120, maximum = 1080, multiple_of = 2, required = false)]
    height: Given<i64>,
    /// Seconds; 12 when absent.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 3, maximum = 3600, required = false)]
    period_s: Given<i64>,
    /// Seconds of movement in every period, at most `period_s` − 2; 4, or less to fit, when absent.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, required = false)]
    active_s: Given<i64>,
}

/// A corner, as fractions of width and height from the top left.
#[derive(Clone, Copy, Debug, Deserr)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct PointBody {
    x: f64,
    y: f64,
}

/// A zone of the picture.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct ZoneBody {
    /// Made by the server when absent.
    #[deserr(default)]
    #[schema(value_type = String, max_length = 64, required = false)]
    id: Given<String>,
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it is for; `include` when absent.
    #[deserr(default)]
    #[schema(value_type = ZoneKind, required = false)]
    kind: Given<ZoneKind>,
    /// Whether it has any effect; true when absent.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Given<bool>,
    /// The corners; closed by itself, even-odd rule, area above 0.
    #[schema(value_type = Vec<Point>, min_items = 3, max_items = 64)]
    vertices: Vec<PointBody>,
}

impl From<ZoneBody> for Zone {
    fn from(body: ZoneBody) -> Self {
        Self {
            id: body.id.0.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            name: body.name.trim().to_owned(),
            kind: body.kind.0.unwrap_or(ZoneKind::Include),
            enabled: body.enabled.0.unwrap_or(true),
            vertices: body.vertices.into_iter().map(|p| Point { x: p.x, y: p.y }).collect(),
        }
    }
}

/// A span of the day on some days of the week. An `end` at or before `start` runs past midnight.
#[derive(Clone, Debug, Deserr)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct WindowBody {
    days: Vec<Day>,
    start: TimeOfDay,
    end: TimeOfDay,
}

/// When events are made.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
pub(crate) struct ScheduleBody {
    /// Whether it has any effect; true when absent.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Given<bool>,
    /// IANA name; null means that of the settings.
    #[deserr(default)]
    #[schema(value_type = Option<String>)]
    timezone: Patch<String>,
    /// The windows.
    #[schema(value_type = Vec<Window>, min_items = 1, max_items = 50)]
    windows: Vec<WindowBody>,
}

impl From<ScheduleBody> for Schedule {
    fn from(body: ScheduleBody) -> Self {
        let mut timezone = None;
        body.timezone.put(&mut timezone);
        let window = |w: WindowBody| Window { days: w.days, start: w.start, end: w.end };
        Self {
            enabled: body.enabled.0.unwrap_or(true),
            timezone,
            windows: body.windows.into_iter().map(window).collect(),
        }
    }
}

/// Fields of a camera, all of them optional: absent means unchanged, or the default for a new camera; null clears.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
#[schema(as = CameraUpdate)]
pub(crate) struct CameraUpdate {
    /// Unique, ignoring case.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 100, required = false)]
    name: Given<String>,
    /// Kind of the source; fixed once the camera exists.
    #[deserr(default, rename = "type")]
    #[schema(rename = "type", value_type = SourceType, required = false)]
    source_type: Given<SourceType>,
    /// Type rtsp: `rtsp://` or `rtsps://`. A user and password inside are moved to the next two fields and not shown.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 500)]
    rtsp_url: Patch<String>,
    /// Type rtsp: user at the camera.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    username: Patch<String>,
    /// Type rtsp: password at the camera. Must be sent again when host or port change.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 100, write_only)]
    password: Patch<String>,
    /// Type rtsp: `auto` means TCP, then UDP.
    #[deserr(default)]
    #[schema(value_type = RtspTransport, required = false)]
    rtsp_transport: Given<RtspTransport>,
    /// Type usb: the `N` of `/dev/videoN`.
    #[deserr(default)]
    #[schema(value_type = Option<u32>, maximum = 63)]
    device_index: Patch<i64>,
    /// Type file: inside a media directory; relative means below the first.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 1000)]
    file_path: Patch<String>,
    /// Type file: begin again at the end.
    #[deserr(default, rename = "loop")]
    #[schema(rename = "loop", value_type = bool, required = false)]
    looped: Given<bool>,
    /// Type test: what the picture shows.
    #[deserr(default)]
    #[schema(value_type = Option<TestPatternBody>)]
    test_pattern: Patch<TestPatternBody>,
    /// Whether capture runs; true when absent in POST.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    is_enabled: Given<bool>,
    /// Pictures a second that are analysed; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 30, required = false)]
    frame_rate: Given<i64>,
    /// Whether events come from the picture; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    motion_enabled: Given<bool>,
    /// How small and faint a movement counts; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = Sensitivity, required = false)]
    motion_sensitivity: Given<Sensitivity>,
    /// Pause after an event, seconds; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, maximum = 300, required = false)]
    motion_cooldown: Given<i64>,
    /// The clip begins so many seconds before the event; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, maximum = 30, required = false)]
    pre_roll_s: Given<i64>,
    /// An event closes after so many seconds without motion; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, maximum = 60, required = false)]
    post_roll_s: Given<i64>,
    /// An event closes at that age at the latest, seconds; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 5, maximum = 600, required = false)]
    max_event_s: Given<i64>,
    /// Pictures for the AI; as in the settings when absent in POST.
    #[deserr(default)]
    #[schema(value_type = AnalysisMode, required = false)]
    analysis_mode: Given<AnalysisMode>,
    /// Replaces the prompt of the settings.
    #[deserr(default)]
    #[schema(value_type = Option<String>, max_length = 2000)]
    prompt_override: Patch<String>,
    /// Where movement counts, and what nobody may see.
    #[deserr(default)]
    #[schema(value_type = Vec<ZoneBody>, max_items = 20, required = false)]
    detection_zones: Given<Vec<ZoneBody>>,
    /// When events are made; null means always.
    #[deserr(default)]
    #[schema(value_type = Option<ScheduleBody>)]
    detection_schedule: Patch<ScheduleBody>,
}

impl CameraUpdate {
    /// A new camera with these fields.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn create(self, defaults: &MotionDefaults) -> Result<CameraConfig, Faults> {
        let mut missing = Faults::default();
        if self.name.0.is_none() {
            missing.add("name", "is required");
        }
        let Some(source_type) = self.source_type.0 else {
            missing.add("type", "is required");
            // Without the type nothing can be said about the source, but about the rest.
            missing.0.extend(self.check_common().err().unwrap_or_default().0);
            return Err(missing);
        };
        // Without a name some name stands in, so that it is told to be missing and not to be empty.
        let mut fields = CameraFields::new("camera", source_type).with_defaults(defaults);
        self.put(&mut fields);
        match (fields.check(), missing.is_empty()) {
            (Ok(config), true) => Ok(config),
            (checked, _) => {
                missing.0.extend(checked.err().unwrap_or_default().0);
                Err(missing)
            }
        }
    }

    /// The camera with these changes.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn apply(self, camera: &Camera) -> Result<CameraConfig, Faults> {
        let before = &camera.config.source;
        let mut faults = Faults::default();
        if let Some(kind) = self.source_type.0.filter(|&kind| kind != before.source_type()) {
            faults.add("type", format!("is fixed, this camera is of type {}, not {kind}", before.source_type()));
        }
        let sends_password = self.sends_password();
        let mut fields = CameraFields::from(&camera.config);
        self.put(&mut fields);
        fields.source_type = before.source_type();
        let checked = fields.check();
        if let Ok(config) = &checked
            && !sends_password
            && stored_password_moves(before, &config.source)
        {
            faults.add("password", "must be sent again, because host or port of the address changed");
        }
        match checked {
            Ok(config) => faults.or(config),
            Err(more) => {
                faults.0.extend(more.0);
                Err(faults)
            }
        }
    }

    /// A source to be tried: these fields, and what they leave out from `camera` if it is of the same type.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn probe(self, camera: Option<&Camera>) -> Result<Source, Faults> {
        let stored =
            camera.map(|c| &c.config).filter(|c| self.source_type.0.is_none_or(|k| k == c.source.source_type()));
        let sends_password = self.sends_password();
        let mut fields = match (stored, self.source_type.0) {
            (Some(config), _) => CameraFields::from(config),
            (None, Some(kind)) => CameraFields::new("camera", kind),
            (None, None) => {
                let mut faults = Faults::default();
                faults.add("type", "is required");
                faults.0.extend(self.check_common().err().unwrap_or_default().0);
                return Err(faults);
            }
        };
        self.put(&mut fields);
        let mut source = fields.check()?.source;
        // The stored password goes nowhere but to the host and port for which it was stored.
        if !sends_password
            && stored.is_some_and(|c| stored_password_moves(&c.source, &source))
            && let Source::Rtsp { password, .. } = &mut source
        {
            *password = None;
        }
        Ok(source)
    }

    /// Checks what does not depend on the source.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn check_common(&self) -> Result<(), Faults> {
        let mut fields = CameraFields::new("camera", SourceType::Test);
        self.clone().put_common(&mut fields);
        fields.check().map(|_| ())
    }

    /// Whether a password comes with it, or is taken away: as its own field, or inside the address.
    fn sends_password(&self) -> bool {
        let in_address = match &self.rtsp_url {
            Patch::Value(address) => RtspUrl::parse(address.trim()).is_ok_and(|(_, _, password)| password.is_some()),
            Patch::Absent | Patch::Null => false,
        };
        in_address || self.password != Patch::Absent
    }

    fn put(self, fields: &mut CameraFields) {
        if let Some(kind) = self.source_type.0 {
            fields.source_type = kind;
        }
        self.clone().put_source(fields);
        self.put_common(fields);
    }

    fn put_source(self, fields: &mut CameraFields) {
        let trimmed = |text: String| text.trim().to_owned();
        self.rtsp_url.put(&mut fields.rtsp_url);
        self.username.map(trimmed).or_cleared().put(&mut fields.username);
        self.password.or_cleared().map(Secret::new).put(&mut fields.password);
        self.rtsp_transport.put(&mut fields.rtsp_transport);
        self.device_index.put(&mut fields.device_index);
        self.file_path.put(&mut fields.file_path);
        self.looped.put(&mut fields.looped);
        let pattern = |b: TestPatternBody| TestPatternFields {
            width: b.width.0,
            height: b.height.0,
            period_s: b.period_s.0,
            active_s: b.active_s.0,
        };
        self.test_pattern.map(pattern).put(&mut fields.test_pattern);
    }

    fn put_common(self, fields: &mut CameraFields) {
        self.name.put(&mut fields.name);
        self.is_enabled.put(&mut fields.is_enabled);
        self.frame_rate.put(&mut fields.frame_rate);
        self.motion_enabled.put(&mut fields.motion_enabled);
        self.motion_sensitivity.put(&mut fields.motion_sensitivity);
        self.motion_cooldown.put(&mut fields.motion_cooldown);
        self.pre_roll_s.put(&mut fields.pre_roll_s);
        self.post_roll_s.put(&mut fields.post_roll_s);
        self.max_event_s.put(&mut fields.max_event_s);
        self.analysis_mode.put(&mut fields.analysis_mode);
        self.prompt_override.or_cleared().put(&mut fields.prompt_override);
        if let Some(zones) = self.detection_zones.0 {
            fields.detection_zones = zones.into_iter().map(Zone::from).collect();
        }
        self.detection_schedule.map(Schedule::from).put(&mut fields.detection_schedule);
    }
}

/// Whether a password that is stored with `before` would go to another host or port with `after`.
fn stored_password_moves(before: &Source, after: &Source) -> bool {
    match (before, after) {
        (Source::Rtsp { url: old, password: Some(_), .. }, Source::Rtsp { url: new, .. }) => {
            old.endpoint() != new.endpoint()
        }
        _ => false,
    }
}

/// Fields of a new camera: those of a change, with `name` and `type` required.
pub(crate) struct CameraCreate;

impl PartialSchema for CameraCreate {
    fn schema() -> RefOr<Schema> {
        let mut schema = CameraUpdate::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required = vec!["name".to_owned(), "type".to_owned()];
            object.description = Some("Fields of a new camera.".to_owned());
        }
        schema
    }
}

impl ToSchema for CameraCreate {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CameraUpdate::schemas(schemas);
    }
}

/// Fields of a try: those of a change, and the camera from which absent ones come.
pub(crate) struct CameraTest;

impl PartialSchema for CameraTest {
    fn schema() -> RefOr<Schema> {
        let mut schema = CameraUpdate::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description = Some("A source to be tried.".to_owned());
            let id = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some("The camera from which absent fields come."));
            object.properties.insert("camera_id".to_owned(), id.build().into());
        }
        schema
    }
}

impl ToSchema for CameraTest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CameraUpdate::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use argus_core::{CameraId, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::body::decode;

    fn camera(body: Json) -> Camera {
        let config = decode::<CameraUpdate>(body).value.create(&MotionDefaults::default()).unwrap();
        let at = Timestamp::from_millis(0);
        Camera { id: CameraId::new(at), created_at: at, updated_at: at, config }
    }

    fn door() -> Camera {
        camera(json!({"name": "Door", "type": "rtsp", "rtsp_url": "rtsp://joe:pw@cam/live"}))
    }

    fn fields(faults: Faults) -> Vec<String> {
        faults.0.into_iter().map(|f| f.field).collect()
    }

    fn change(camera: &Camera, body: Json) -> Result<CameraConfig, Vec<String>> {
        decode::<CameraUpdate>(body).sound().unwrap().apply(camera).map_err(fields)
    }

    fn password(source: &Source) -> Option<&str> {
        match source {
            Source::Rtsp { password, .. } => password.as_ref().map(Secret::expose),
            _ => None,
        }
    }

    #[test]
    fn a_stored_password_stays_with_its_host_and_port() {
        let door = door();
        for kept in ["rtsp://cam/other", "rtsp://cam:554/live"] {
            let config = change(&door, json!({ "rtsp_url": kept })).unwrap();
            assert_eq!(password(&config.source), Some("pw"), "{kept}");
        }
        for moved in ["rtsp://evil/live", "rtsp://cam:8554/live", "rtsps://cam/live", "rtsp://joe@evil/"] {
            assert_eq!(change(&door, json!({ "rtsp_url": moved })), Err(vec!["password".to_owned()]), "{moved}");
            let config = change(&door, json!({"rtsp_url": moved, "password": null})).unwrap();
            assert_eq!(password(&config.source), None);
            let config = change(&door, json!({"rtsp_url": moved, "password": "new"})).unwrap();
            assert_eq!(password(&config.source), Some("new"));
        }
        let config = change(&door, json!({"rtsp_url": "rtsp://joe:new@evil/"})).unwrap();
        assert_eq!(password(&config.source), Some("new"));
    }

    #[test]
    fn a_try_elsewhere_goes_without_the_stored_password() {
        let door = door();
        let probe = |body: Json| decode::<CameraUpdate>(body).sound().unwrap().probe(Some(&door)).unwrap();
        assert_eq!(password(&probe(json!({}))), Some("pw"));
        assert_eq!(password(&probe(json!({"rtsp_url": "rtsp://cam/x"}))), Some("pw"));
        assert_eq!(password(&probe(json!({"rtsp_url": "rtsp://evil/x"}))), None);
        assert_eq!(password(&probe(json!({"rtsp_url": "rtsp://evil/x", "password": "p"}))), Some("p"));
        let other = probe(json!({"type": "test"}));
        assert_eq!(other.source_type(), SourceType::Test);
    }

    #[test]
    fn absent_is_unchanged_and_null_clears() {
        let door = camera(json!({
            "name": "Door", "type": "test", "prompt_override": "look", "frame_rate": 7,
            "detection_zones": [{"name": " Drive ", "vertices": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 1, "y": 1}]}],
        }));
        assert_eq!(door.config.zones[0].name, "Drive");
        let config = change(&door, json!({"prompt_override": null})).unwrap();
        assert_eq!(config, CameraConfig { prompt_override: None, ..door.config.clone() });
        assert_eq!(change(&door, json!({"detection_zones": []})).unwrap().zones, []);
        assert_eq!(change(&door, json!({"type": "test"})).unwrap(), door.config);
        assert_eq!(change(&door, json!({"type": "usb", "rtsp_url": null})), Err(vec!["type".to_owned()]));
    }

    #[test]
    fn a_new_camera_needs_a_name_and_a_type() {
        let create = |body: Json| {
            decode::<CameraUpdate>(body).sound().unwrap().create(&MotionDefaults::default()).map_err(fields)
        };
        assert_eq!(create(json!({})), Err(vec!["name".to_owned(), "type".to_owned()]));
        assert_eq!(create(json!({"frame_rate": 0})).unwrap_err(), ["name", "type", "frame_rate"]);
        assert_eq!(create(json!({"name": "x", "type": "protect"})).unwrap_err(), ["type"]);
        assert_eq!(create(json!({"type": "usb"})).unwrap_err(), ["name", "device_index"]);
    }
}
