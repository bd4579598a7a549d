//! Typed identifiers: `UUIDv7`, lower case with hyphens, ordered by the time they were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Invalid, Timestamp};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new identifier whose time part is `now`.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                Self(v7(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Reads the one accepted form: 36 characters, lower case, hyphens.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(&self.0.hyphenated())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .format(Some(utoipa::openapi::SchemaFormat::Custom("uuid".to_owned())))
                    .build()
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )+};
}

id! {
    /// Names a camera.
    CameraId,
    /// Names an event.
    EventId,
    /// Names one call to a describer: the receipt.
    AnalysisId,
    /// Names an API key.
    ApiKeyId,
    /// Names a user of the dashboard.
    UserId,
    /// Names what one sign-in began.
    SessionId,
    /// Names an AI provider.
    ProviderId,
    /// Names one call to an AI provider.
    CallId,
    /// Names a UniFi Protect controller.
    ControllerId,
    /// Shared by events of different cameras that belong together.
    GroupId,
    /// Names a notification.
    NotificationId,
}

fn v7(now: Timestamp) -> Uuid {
    let us = now.as_micros().max(0).unsigned_abs();
    let nanos = u32::try_from(us % 1_000_000).unwrap_or(0) * 1_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, us / 1_000_000, nanos))
}

fn parse(text: &str) -> Result<Uuid, Invalid> {
    let bad = || Invalid::new("id", "is not a UUID in lower case with hyphens");
    let id = Uuid::try_parse(text).map_err(|_ignored: uuid::Error| bad())?;
    let mut buffer = Uuid::encode_buffer();
    if id.hyphenated().encode_lower(&mut buffer) == text { Ok(id) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_is_an_id() {
        let id = CameraId::new(Timestamp::from_micros(1_766_485_800_000_000));
        let text = id.to_string();
        assert_eq!(text.parse::<CameraId>().unwrap(), id);
        for bad in [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}"), String::new(), "../x".into()] {
            assert!(bad.parse::<CameraId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let early = EventId::new(Timestamp::from_micros(1_000_000));
        let late = EventId::new(Timestamp::from_micros(2_000_000));
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn json_is_the_text() {
        let id = EventId::new(Timestamp::from_micros(7));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<EventId>("\"x\"").is_err());
    }
}
