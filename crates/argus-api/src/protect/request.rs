//! What requests say about controllers.

use argus_core::controller::{ControllerConfig, ControllerFields};
use argus_core::event::DetectionType;
use argus_core::{Faults, Secret};
use deserr::Deserr;
use serde_json::Value as Json;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Faulty, Given, Patch, text_fields};

text_fields!(DetectionType);

/// Fields that answers have and requests cannot set; a PUT may repeat them.
pub(crate) const READ_ONLY: [&str; 18] = [
    "id",
    "created_at",
    "updated_at",
    "has_api_key",
    "has_password",
    "status",
    "is_connected",
    "last_connected_at",
    "last_message_at",
    "last_error",
    "last_error_kind",
    "firmware_version",
    "camera_count",
    "enabled_camera_count",
    "features",
    "interfaces",
    "locked_until",
    "gaps",
];

/// The same of a controller's camera.
pub(crate) const READ_ONLY_OF_CAMERA: [&str; 8] = [
    "protect_camera_id",
    "camera_id",
    "name",
    "model",
    "type",
    "is_doorbell",
    "is_online",
    "smart_detection_capabilities",
];

fn without(mut body: Json, names: &[&str]) -> Json {
    if let Json::Object(fields) = &mut body {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
    body
}

/// Leaves out what cannot be set.
pub(crate) fn without_read_only(body: Json) -> Json {
    without(body, &READ_ONLY)
}

/// The same of a controller's camera.
pub(crate) fn without_read_only_of_camera(body: Json) -> Json {
    without(body, &READ_ONLY_OF_CAMERA)
}

/// Fields of a controller, all of them optional: absent means unchanged, or the default for a new one; null clears.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
#[schema(as = ControllerUpdate)]
pub(crate) struct ControllerUpdate {
    /// Unique, ignoring case.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 100, required = false)]
    name: Given<String>,
    /// Name, IPv4 or IPv6 address, without scheme, port or path. Unique with `port`.
    #[deserr(default)]
    #[schema(value_type = String, min_length = 1, max_length = 255, required = false, example = "192.0.2.1")]
    host: Given<String>,
    /// 443 when absent in POST.
    #[deserr(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 65_535, required = false)]
    port: Given<i64>,
    /// Key of the official integration interface: cameras, detections, snapshots. Must be sent again when host or port
    /// change.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, write_only)]
    api_key: Patch<String>,
    /// Local account: history, scores and clips too.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    username: Patch<String>,
    /// Its password; there must be both or none. Must be sent again when host or port change.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, write_only)]
    password: Patch<String>,
    /// False without a pin: any certificate will do. True when absent in POST.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    verify_tls: Given<bool>,
    /// The pin: SHA-256 of the certificate (DER), 64 hex digits, colons allowed. Exactly that one will do, whoever issued
    /// it.
    #[deserr(default)]
    #[schema(value_type = Option<String>, min_length = 64, max_length = 95)]
    certificate_sha256: Patch<String>,
    /// Whether it is to be connected; true when absent in POST.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    is_enabled: Given<bool>,
}

impl ControllerUpdate {
    /// A new controller with these fields.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn create(self) -> Result<ControllerConfig, Faults> {
        let mut missing = Faults::default();
        for (field, is_given) in [("name", self.name.0.is_some()), ("host", self.host.0.is_some())] {
            if !is_given {
                missing.add(field, "is required");
            }
        }
        // What is missing is told to be missing and not to be empty.
        let mut fields = ControllerFields::new("controller", "controller");
        self.put(&mut fields);
        match (fields.check(), missing.is_empty()) {
            (Ok(config), true) => Ok(config),
            (checked, _) => {
                missing.0.extend(checked.err().unwrap_or_default().0);
                Err(missing)
            }
        }
    }

    /// The controller with these changes.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn apply(self, before: &ControllerConfig) -> Result<ControllerConfig, Faults> {
        let absent = (self.api_key == Patch::Absent, self.password == Patch::Absent);
        let mut fields = ControllerFields::from(before);
        self.put(&mut fields);
        let mut faults = Faults::default();
        // Also beside other faults: all are told at once.
        let wanted = (fields.host.trim().to_owned(), fields.port);
        let checked = fields.check();
        let moves = match &checked {
            Ok(after) => moves(before, after),
            Err(_) => !wanted.0.eq_ignore_ascii_case(&before.host) || wanted.1 != i64::from(before.port),
        };
        if moves {
            let reason = "must be sent again, because host or port changed";
            if absent.0 && before.api_key.is_some() {
                faults.add("api_key", reason);
            }
            if absent.1 && before.password.is_some() {
                faults.add("password", reason);
            }
        }
        match checked {
            Ok(config) => faults.or(config),
            Err(mut more) => {
                more.0.extend(faults.0);
                Err(more)
            }
        }
    }

    /// A controller to be tried: these fields, and what they leave out from a stored one.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn probe(self, stored: Option<&ControllerConfig>) -> Result<ControllerConfig, Faults> {
        let Some(stored) = stored else {
            let named = Self { name: Given(Some(self.name.0.clone().unwrap_or_else(|| "controller".into()))), ..self };
            return named.create();
        };
        let absent = (self.api_key == Patch::Absent, self.password == Patch::Absent);
        let mut place = ControllerFields::from(stored);
        self.clone().put(&mut place);
        let is_elsewhere = place.check().is_ok_and(|wanted| moves(stored, &wanted));
        let mut fields = ControllerFields::from(stored);
        let sends_user = matches!(self.username, Patch::Value(_));
        self.put(&mut fields);
        // A stored secret goes nowhere but to the host and port for which it was stored.
        if is_elsewhere {
            if absent.0 {
                fields.api_key = None;
            }
            if absent.1 {
                fields.password = None;
                if !sends_user {
                    fields.username = None;
                }
            }
        }
        fields.check()
    }

    /// Checks what does not depend on the controller.
    ///
    /// # Errors
    /// All faults found.
    pub(crate) fn check_alone(&self) -> Result<(), Faults> {
        let mut fields = ControllerFields::new("controller", "controller");
        self.clone().put(&mut fields);
        let alone = ["name", "host", "port", "certificate_sha256"];
        let mut faults = fields.check().err().unwrap_or_default();
        faults.0.retain(|fault| alone.contains(&fault.field.as_str()) || !fault.reason.starts_with("is required"));
        faults.or(())
    }

    fn put(self, fields: &mut ControllerFields) {
        let trimmed = |text: String| text.trim().to_owned();
        self.name.put(&mut fields.name);
        self.host.put(&mut fields.host);
        self.port.put(&mut fields.port);
        self.api_key.map(Secret::new).put(&mut fields.api_key);
        self.username.map(trimmed).put(&mut fields.username);
        self.password.map(Secret::new).put(&mut fields.password);
        self.verify_tls.put(&mut fields.verify_tls);
        self.certificate_sha256.put(&mut fields.certificate_sha256);
        self.is_enabled.put(&mut fields.is_enabled);
    }
}

/// Whether what is stored for one would go to another host or port.
fn moves(before: &ControllerConfig, after: &ControllerConfig) -> bool {
    (&before.host, before.port) != (&after.host, after.port)
}

/// What of a controller's camera can be set; absent means unchanged.
#[derive(Clone, Debug, Default, Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = Faulty)]
#[schema(as = ControllerCameraUpdate)]
pub(crate) struct ControllerCameraUpdate {
    /// True makes it a camera of this server, or enables that again; false stops it.
    #[deserr(default)]
    #[schema(value_type = bool, required = false)]
    pub(crate) enabled: Given<bool>,
    /// Only these make events; an empty list: none.
    #[deserr(default)]
    #[schema(value_type = Vec<DetectionType>, required = false)]
    smart_detection_types: Given<Vec<DetectionType>>,
}

impl ControllerCameraUpdate {
    /// What is to make events, without repeats.
    pub(crate) fn detections(&self) -> Option<Vec<DetectionType>> {
        let mut kinds: Vec<DetectionType> = Vec::new();
        for kind in self.smart_detection_types.0.as_ref()? {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        Some(kinds)
    }
}

/// Fields of a new controller: those of a change, with `name` and `host` required.
pub(crate) struct ControllerCreate;

impl PartialSchema for ControllerCreate {
    fn schema() -> RefOr<Schema> {
        let mut schema = ControllerUpdate::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required = vec!["name".to_owned(), "host".to_owned()];
            object.description = Some(
                "Fields of a new controller: at least one of `api_key` and `username` with `password`.".to_owned(),
            );
        }
        schema
    }
}

impl ToSchema for ControllerCreate {}

/// Fields of a try: those of a change, and the controller from which absent ones come.
pub(crate) struct ControllerTest;

impl PartialSchema for ControllerTest {
    fn schema() -> RefOr<Schema> {
        let mut schema = ControllerUpdate::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description = Some("A connection to be tried.".to_owned());
            let id = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some("The controller from which absent fields come."));
            object.properties.insert("controller_id".to_owned(), id.build().into());
        }
        schema
    }
}

impl ToSchema for ControllerTest {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body::decode;

    fn of(body: Json) -> ControllerUpdate {
        decode::<ControllerUpdate>(body).sound().unwrap()
    }

    fn fields<T>(checked: Result<T, Faults>) -> Vec<String> {
        checked.err().unwrap_or_default().0.into_iter().map(|f| f.field).collect()
    }

    fn home() -> ControllerConfig {
        let body = json!({"name": "Home", "host": "10.0.0.1", "api_key": "k", "username": "joe", "password": "pw"});
        of(body).create().unwrap()
    }

    #[test]
    fn a_new_one_needs_a_name_a_host_and_a_way_in() {
        assert_eq!(fields(of(json!({})).create()), ["name", "host", "api_key"]);
        assert_eq!(fields(of(json!({"port": 0, "username": "joe"})).create()), ["name", "host", "port", "password"]);
        assert_eq!(home().port, 443);
    }

    #[test]
    fn stored_secrets_stay_with_their_host_and_port() {
        for moved in [json!({"host": "10.0.0.2"}), json!({"port": 8443})] {
            assert_eq!(fields(of(moved.clone()).apply(&home())), ["api_key", "password"], "{moved}");
            let mut body = moved;
            body["api_key"] = json!("new");
            body["password"] = json!("new");
            assert!(of(body.clone()).apply(&home()).is_ok());
            body["password"] = Json::Null;
            body["username"] = Json::Null;
            assert_eq!(of(body).apply(&home()).unwrap().password, None);
        }
        // Beside other faults, too.
        let both = json!({"host": "10.0.0.2", "port": 0});
        assert_eq!(fields(of(both).apply(&home())), ["port", "api_key", "password"]);
        assert_eq!(fields(of(json!({"port": 0})).apply(&home())), ["port", "api_key", "password"]);
        assert_eq!(fields(of(json!({"name": "", "host": "10.0.0.1 "})).apply(&home())), ["name"]);
        let kept = of(json!({"host": "10.0.0.1", "name": "House", "verify_tls": false})).apply(&home()).unwrap();
        assert_eq!(kept.password.as_ref().map(Secret::expose), Some("pw"));
    }

    #[test]
    fn a_try_elsewhere_goes_without_stored_secrets() {
        let there = of(json!({})).probe(Some(&home())).unwrap();
        assert_eq!(there, home());
        let elsewhere = of(json!({"host": "10.0.0.2", "api_key": "new"})).probe(Some(&home())).unwrap();
        assert_eq!((elsewhere.password, elsewhere.username), (None, None));
        assert_eq!(elsewhere.api_key.as_ref().map(Secret::expose), Some("new"));
        assert_eq!(fields(of(json!({"host": "10.0.0.2"})).probe(Some(&home()))), ["api_key"]);
        assert!(of(json!({"host": "10.0.0.2", "api_key": "k"})).probe(None).is_ok(), "a try needs no name");
    }

    #[test]
    fn what_can_be_said_without_the_controller_is_said() {
        assert_eq!(fields(of(json!({"port": 70_000, "username": "joe"})).check_alone()), ["port"]);
        assert!(of(json!({})).check_alone().is_ok());
    }
}
