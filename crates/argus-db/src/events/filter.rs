//! Which events of the list.

use std::collections::BTreeSet;

use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType};
use argus_core::{CameraId, Timestamp};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::facts::Kinds;
use super::ladder::Window;
use super::row::ClipState;
use super::summary::EVERY_CAMERA;
use crate::conn::MultiBackend;
use crate::schema::event;
use crate::search::{self, Search};

/// Which events; the default is all. Fields combine with AND, the values of one field with OR; an empty list is no filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFilter {
    /// Cameras, as they were asked for; text that is no id matches nothing.
    pub camera_ids: Vec<String>,
    /// What set the event off, or was seen.
    pub detection_types: Vec<DetectionType>,
    /// Kinds of source.
    pub source_types: Vec<SourceType>,
    /// Not before this millisecond.
    pub start_time: Option<Timestamp>,
    /// Not after this millisecond.
    pub end_time: Option<Timestamp>,
    /// At least this confidence, percent.
    pub min_confidence: Option<u8>,
    /// Words of the description; empty is no filter.
    pub q: Option<String>,
    /// How far the description is.
    pub description_statuses: Vec<DescriptionStatus>,
    /// Whether a clip can be seen.
    pub has_clip: Option<bool>,
    /// Whether the description is marked as not to be relied upon.
    pub low_confidence: Option<bool>,
}

/// So many words are looked for by statements that are kept; each number of words is another.
const FEW_WORDS: usize = 3;

pub(super) type Query = event::BoxedQuery<'static, MultiBackend>;
type Condition = Box<dyn BoxableExpression<event::table, MultiBackend, SqlType = Bool>>;

impl EventFilter {
    /// Whether nothing can match, whatever is stored.
    pub(super) fn is_void(&self) -> bool {
        self.cameras().is_some_and(|cameras| cameras.is_empty())
            || self.search() == Search::Nothing
            || self.window().is_empty()
    }

    /// The same cameras and time, whatever else is asked for.
    pub(super) fn around(&self) -> Self {
        Self {
            camera_ids: self.camera_ids.clone(),
            start_time: self.start_time,
            end_time: self.end_time,
            ..Self::default()
        }
    }

    /// The same, whenever it was.
    pub(super) fn whenever(&self) -> Self {
        Self { start_time: None, end_time: None, ..self.clone() }
    }

    /// The words that are looked for.
    pub(super) fn search(&self) -> Search {
        Search::parse(self.q.as_deref())
    }

    /// The kinds that are asked for, when nothing but kinds, cameras and time is: then the summary knows the answer.
    pub(super) fn kinds(&self) -> Option<Kinds> {
        let by_summary = self.search() == Search::Everything && self.min_confidence.is_none_or(|percent| percent == 0);
        by_summary.then(|| Kinds::of(self))
    }

    /// The cameras whose sums have to be added.
    pub(super) fn summed(&self) -> Vec<String> {
        self.cameras().map_or_else(|| vec![EVERY_CAMERA.to_owned()], |cameras| cameras.into_iter().collect())
    }

    /// From when to when. Moments are stored in microseconds and asked for as they are shown, in milliseconds.
    pub(super) fn window(&self) -> Window {
        let all = Window::all();
        Window {
            from: self.start_time.map_or(all.from, |start| start.as_millis().saturating_mul(1000)),
            until: self.end_time.map_or(all.until, |end| end.as_millis().saturating_add(1).saturating_mul(1000)),
        }
    }

    /// The cameras that exist in name; `None` when every camera will do.
    pub(super) fn cameras(&self) -> Option<BTreeSet<String>> {
        if self.camera_ids.is_empty() {
            return None;
        }
        Some(self.camera_ids.iter().filter(|id| id.parse::<CameraId>().is_ok()).cloned().collect())
    }

    /// What of the matching events began in a window, or `None` when nothing can match.
    pub(super) fn query(&self, window: Window, postgres: bool) -> Option<Query> {
        let query = self.query_but_words(window)?;
        Some(match self.search() {
            Search::Words(words) => {
                query.filter(search::condition(&words, postgres).kept(!postgres && self.is_plain()))
            }
            Search::Everything | Search::Nothing => query,
        })
    }

    /// The same, with the words looked for in the text of each row. Only for SQLite.
    pub(super) fn query_by_text(&self, window: Window) -> Option<Query> {
        let query = self.query_but_words(window)?;
        Some(match self.search() {
            Search::Words(words) => {
                let is_kept = self.is_plain() && words.len() <= FEW_WORDS;
                words.iter().fold(query, |query, word| query.filter(search::in_text(word).kept(is_kept)))
            }
            Search::Everything | Search::Nothing => query,
        })
    }

    /// Whether little is asked for beside the time, as most people do: one thing, or two of which each has one value.
    /// Such a query is written so that its statement can be kept: there are few of them. Every other is prepared anew
    /// each time, or the connections would keep as many statements as there are combinations.
    fn is_plain(&self) -> bool {
        let lists = [
            self.camera_ids.len(),
            self.detection_types.len(),
            self.source_types.len(),
            self.description_statuses.len(),
        ];
        let others =
            [self.min_confidence.is_some(), self.q.is_some(), self.has_clip.is_some(), self.low_confidence.is_some()];
        let (named, others) = (lists.iter().sum::<usize>(), others.iter().filter(|is_named| **is_named).count());
        lists.iter().all(|values| *values <= 1) && (named + others <= 1 || named == 2 && others == 0)
    }

    fn query_but_words(&self, window: Window) -> Option<Query> {
        if self.is_void() || window.is_empty() {
            return None;
        }
        let is_plain = self.is_plain();
        let mut query: Query = event::table.into_boxed();
        if let Some(cameras) = self.cameras() {
            query = match cameras.first() {
                Some(one) if is_plain => query.filter(event::camera_id.eq(one.clone())),
                _ => query.filter(event::camera_id.eq_any(cameras)),
            };
        }
        if !self.detection_types.is_empty() {
            query = match self.detection_types.first() {
                Some(one) if is_plain => {
                    let name = one.as_str();
                    let among_objects = event::objects.like(format!("%\"{name}\"%"));
                    query.filter(event::detection_type.eq(name).or(among_objects))
                }
                _ => query.filter(detected(&self.detection_types)),
            };
        }
        if !self.source_types.is_empty() {
            let types: Vec<&'static str> = self.source_types.iter().map(|t| t.as_str()).collect();
            query = match types.first() {
                Some(one) if is_plain => query.filter(event::source_type.eq(*one)),
                _ => query.filter(event::source_type.eq_any(types)),
            };
        }
        let (window, all) = (window.and(self.window()), Window::all());
        if window.from != all.from {
            query = query.filter(event::started_us.ge(window.from));
        }
        if window.until != all.until {
            query = query.filter(event::started_us.lt(window.until));
        }
        if let Some(percent) = self.min_confidence {
            query = query.filter(event::confidence.ge(i32::from(percent)));
        }
        if !self.description_statuses.is_empty() {
            let statuses: Vec<&'static str> = self.description_statuses.iter().map(|s| s.as_str()).collect();
            query = match statuses.first() {
                Some(one) if is_plain => query.filter(event::description_status.eq(*one)),
                _ => query.filter(event::description_status.eq_any(statuses)),
            };
        }
        if let Some(has_clip) = self.has_clip {
            let stored = ClipState::Stored.as_str();
            query = if has_clip {
                query.filter(event::clip_state.eq(stored))
            } else {
                query.filter(event::clip_state.ne(stored))
            };
        }
        if let Some(low) = self.low_confidence {
            query = query.filter(event::low_confidence.eq(low));
        }
        Some(query)
    }
}

/// `detection_type` or one of the objects is among `types`.
fn detected(types: &[DetectionType]) -> Condition {
    let names: Vec<&'static str> = types.iter().map(|t| t.as_str()).collect();
    let mut any: Condition = Box::new(event::detection_type.eq_any(names.clone()));
    for name in names {
        // The names are our own and the column is a JSON list of such names: a quoted name is found only whole.
        any = Box::new(any.or(sql::<Bool>(&format!("event.objects LIKE '%\"{name}\"%'"))));
    }
    any
}
