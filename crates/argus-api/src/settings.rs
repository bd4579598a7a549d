//! What people set.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::settings::{Settings, StoredSettings};
use serde_json::{Value, json};
use utoipa::openapi::schema::{AdditionalProperties, Object, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use crate::auth::{Admin, Caller};
use crate::body::Body;
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Gives the settings.
#[utoipa::path(
    get,
    path = paths::SETTINGS,
    operation_id = "get_settings",
    tag = "system",
    responses((status = 200, description = "The whole tree", body = StoredSettings)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn get(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<StoredSettings>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    Ok(Json(std::future::ready(shared.state.control.settings_stored()).await))
}

/// Changes settings.
///
/// Any part of the tree will do; it is merged in depth, all or nothing, and acts at once. Null clears a value that may be
/// null, and puts any other, or a whole group, back to its default.
#[utoipa::path(
    put,
    path = paths::SETTINGS,
    operation_id = "update_settings",
    tag = "system",
    request_body = SettingsUpdate,
    responses((status = 200, description = "The whole tree as it is now", body = StoredSettings), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn put(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
    body: Body,
) -> Result<Json<StoredSettings>, ApiError> {
    let mut patch = body.json().await?;
    Query::parse(req.query_string())?.done()?;
    if let Value::Object(fields) = &mut patch {
        // What GET gave can be sent back.
        fields.remove("updated_at");
    }
    Ok(Json(shared.control(|c| async move { c.settings_put(patch).await }).await?))
}

/// Any part of the settings.
///
/// Made of the schema of the whole tree, so that both always have the same values and rules.
pub(crate) struct SettingsUpdate;

impl utoipa::PartialSchema for SettingsUpdate {
    fn schema() -> RefOr<Schema> {
        let mut named = Vec::new();
        <Settings as utoipa::ToSchema>::schemas(&mut named);
        let named: HashMap<String, RefOr<Schema>> = named.into_iter().collect();
        let mut schema = part(<Settings as utoipa::PartialSchema>::schema(), &named);
        if let RefOr::T(Schema::Object(tree)) = &mut schema {
            tree.description = Some(
                "Any part of the settings. Null clears a value that may be null, and puts any other, or a whole group, \
                 back to its default."
                    .to_owned(),
            );
            let ignored = ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .description(Some("Ignored, so that what GET gave can be sent back."));
            tree.properties.insert("updated_at".to_owned(), ignored.build().into());
        }
        schema
    }
}

impl utoipa::ToSchema for SettingsUpdate {
    fn name() -> std::borrow::Cow<'static, str> {
        "SettingsUpdate".into()
    }
}

/// The same object with nothing required, and null allowed for everything in it; what it refers to stands in it.
fn part(schema: RefOr<Schema>, named: &HashMap<String, RefOr<Schema>>) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else { return schema };
    object.required.clear();
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    for (_, property) in &mut object.properties {
        let mut inner = match property {
            RefOr::Ref(to) => {
                let name = to.ref_location.rsplit('/').next().unwrap_or_default();
                named.get(name).cloned().unwrap_or_else(|| property.clone())
            }
            RefOr::T(_) => property.clone(),
        };
        if matches!(&inner, RefOr::T(Schema::Object(o)) if !o.properties.is_empty()) {
            inner = part(inner, named);
        }
        if let RefOr::T(Schema::Object(o)) = &mut inner {
            nullable(o);
        }
        *property = inner;
    }
    RefOr::T(Schema::Object(object))
}

fn nullable(object: &mut Object) {
    match &mut object.schema_type {
        SchemaType::Type(kind) => object.schema_type = SchemaType::Array(vec![kind.clone(), Type::Null]),
        SchemaType::Array(kinds) if !kinds.contains(&Type::Null) => kinds.push(Type::Null),
        _ => {}
    }
    if let Some(names) = &mut object.enum_values
        && !names.contains(&json!(null))
    {
        names.push(json!(null));
    }
}
