//! Which events: the parameters that the list, statistics and export share.

use argus_core::Timestamp;
use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType};
use argus_db::{EventFilter, Sort};

use crate::query::Query;

/// Which events.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct EventQuery {
    /// Of one of these cameras.
    #[param(style = Form, explode = false, required = false)]
    camera_id: Vec<String>,
    /// Set off by one of these, or one of these was seen.
    #[param(style = Form, explode = false, required = false)]
    detection_type: Vec<DetectionType>,
    /// From cameras of one of these kinds.
    #[param(style = Form, explode = false, required = false)]
    source_type: Vec<SourceType>,
    /// Began at this time or later.
    #[param(required = false)]
    start_time: Timestamp,
    /// Began at this time or earlier.
    #[param(required = false)]
    end_time: Timestamp,
    /// Of at least this confidence, percent.
    #[param(minimum = 0, maximum = 100, required = false)]
    min_confidence: u8,
    /// Each word begins a word of the description, ignoring case.
    #[param(max_length = 500, required = false)]
    q: String,
    /// Described so far.
    #[param(style = Form, explode = false, required = false)]
    description_status: Vec<DescriptionStatus>,
    /// With or without a clip.
    #[param(required = false)]
    has_clip: bool,
    /// With or without a reliable description.
    #[param(required = false)]
    low_confidence: bool,
}

/// In which order.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameter; it is read by itself")]
pub(crate) struct SortQuery {
    /// `asc` or `desc`, by start.
    #[param(default = "desc", pattern = "^(asc|desc)$", required = false)]
    sort: String,
}

/// Takes the order out of the parameters.
pub(crate) fn sort(query: &mut Query) -> Sort {
    let sort = query.read("sort", |text| match text {
        "asc" => Ok(Sort::Asc),
        "desc" => Ok(Sort::Desc),
        _ => Err("is none of asc desc".to_owned()),
    });
    sort.unwrap_or_default()
}

/// Takes the filters out of the parameters.
pub(crate) fn read(query: &mut Query) -> EventFilter {
    let (start_time, end_time) = (query.time("start_time"), query.time("end_time"));
    if let (Some(start), Some(end)) = (start_time, end_time)
        && start > end
    {
        query.fault("start_time", "is after end_time");
    }
    let q = query.raw("q");
    if let Some(n) = q.as_ref().map(|q| q.chars().count()).filter(|&n| n > 500) {
        query.fault("q", format!("has {n} characters, at most 500 are allowed"));
    }
    EventFilter {
        camera_ids: query.many("camera_id", |text| match text.chars().count() {
            1..=64 => Ok(text.to_owned()),
            n => Err(format!("has {n} characters, allowed are 1 to 64")),
        }),
        detection_types: query.names("detection_type"),
        source_types: query.names("source_type"),
        start_time,
        end_time,
        min_confidence: query.int("min_confidence", 0..=100).and_then(|n| u8::try_from(n).ok()),
        q,
        description_statuses: query.names("description_status"),
        has_clip: query.flag("has_clip"),
        low_confidence: query.flag("low_confidence"),
    }
}
