//! Statistics: read from the summary as far as it knows, from the events themselves where it does not.

use std::collections::{BTreeMap, BTreeSet};

use argus_core::calendar::{Calendar, Hours, LocalHour};
use argus_core::camera::SourceType;
use argus_core::event::{DescriptionStatus, DetectionType, ObjectKind};
use diesel::prelude::*;

use super::EventFilter;
use super::facts::{COUNTED, Cells, CountedRow, Kinds};
use super::ladder::{Piece, Span, Window};
use super::summary::{self, Part};
use crate::conn::DbConn;
use crate::database::Database;
use crate::error::DbError;
use crate::page::total as unsigned;

/// Numbers of the events that match; names and days without events are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventStats {
    /// All of them.
    pub total: u64,
    /// By day of the calendar, as `2025-12-23`.
    pub by_day: BTreeMap<String, u64>,
    /// By hour of the calendar's clock.
    pub by_hour: [u64; 24],
    /// By camera.
    pub by_camera: BTreeMap<String, u64>,
    /// By what set them off.
    pub by_detection_type: BTreeMap<DetectionType, u64>,
    /// By what was seen; an event counts for each of its objects.
    pub by_object: BTreeMap<ObjectKind, u64>,
    /// By kind of source.
    pub by_source_type: BTreeMap<SourceType, u64>,
    /// By how far the description is.
    pub by_status: BTreeMap<DescriptionStatus, u64>,
    /// Percent; `None` without events. The other averages are over the events that have the value.
    pub average_confidence: Option<f64>,
    /// Percent.
    pub average_ai_confidence: Option<f64>,
    /// Milliseconds.
    pub average_duration_ms: Option<f64>,
    /// Milliseconds.
    pub average_ai_response_time_ms: Option<f64>,
    /// US dollars.
    pub total_ai_cost: f64,
    /// Events with an alert.
    pub alerts: u64,
}

impl Database {
    /// Statistics of the events that match, by the days and hours of a calendar.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn event_stats(&self, filter: EventFilter, calendar: Calendar) -> Result<EventStats, DbError> {
        self.read_snapshot(move |c| {
            let clock = calendar.hours();
            let mut tally = Tally { clock, cells: Cells::new(), hours: BTreeMap::new(), cameras: BTreeMap::new() };
            if !filter.is_void() {
                match filter.kinds() {
                    Some(kinds) => tally.by_summary(c, &filter, &kinds)?,
                    None => tally.by_rows(c, &filter, Window::all())?,
                }
            }
            Ok(tally.stats())
        })
        .await
    }
}

/// What is gathered.
struct Tally {
    clock: Hours,
    cells: Cells,
    /// By the number of the hour.
    hours: BTreeMap<i64, i64>,
    cameras: BTreeMap<String, i64>,
}

impl Tally {
    fn by_summary(&mut self, c: &mut DbConn, filter: &EventFilter, kinds: &Kinds) -> Result<(), DbError> {
        // Nothing lies outside of the days that have events.
        let Some(extent) = summary::extent(c)? else { return Ok(()) };
        let window = filter.window().and(extent);
        let cameras: Vec<String> = Self::each_camera(c, filter)?.into_iter().collect();
        for Part { piece, times } in summary::parts(extent, window) {
            match piece {
                Piece::Whole(span, window) => {
                    for camera in filter.summed() {
                        summary::gather(c, &camera, kinds, span, window, times, &mut self.cells)?;
                    }
                    for (camera, n) in summary::count_each(c, &cameras, kinds, span, window)? {
                        *self.cameras.entry(camera).or_default() += times * n;
                    }
                }
                // What is taken out lies outside of the filter's own time.
                Piece::Rest(window) => self.facts_by_rows(c, &filter.whenever(), window, times)?,
            }
        }
        for piece in window.pieces(Span::Hour) {
            match piece {
                Piece::Whole(span, window) => self.spread(c, filter, kinds, span, window)?,
                Piece::Rest(window) => self.hours_by_rows(c, filter, window)?,
            }
        }
        Ok(())
    }

    /// The cameras that may have matching events.
    fn each_camera(c: &mut DbConn, filter: &EventFilter) -> Result<BTreeSet<String>, DbError> {
        match filter.cameras() {
            Some(asked) => Ok(asked),
            None => Ok(summary::of_cameras(c)?.into_keys().collect()),
        }
    }

    /// Puts whole stretches under the hours of the calendar; a stretch that lies in two hours is taken apart.
    fn spread(
        &mut self,
        c: &mut DbConn,
        filter: &EventFilter,
        kinds: &Kinds,
        span: Span,
        window: Window,
    ) -> Result<(), DbError> {
        let found = summary::buckets(c, &filter.summed(), kinds, span, window)?;
        let hours: Vec<Option<i64>> = found.iter().map(|bucket| self.even(span.window(bucket.from))).collect();
        // In a zone that is half an hour off all stretches are uneven: then the finer ones are read in one go.
        let uneven = hours.iter().filter(|hour| hour.is_none()).count();
        if let Some(finer) = span.finer().filter(|_| uneven > found.len() / 8) {
            return self.spread(c, filter, kinds, finer, window);
        }
        for (bucket, hour) in found.into_iter().zip(hours) {
            let part = span.window(bucket.from);
            match (hour, span.finer()) {
                (Some(hour), _) => *self.hours.entry(hour).or_default() += bucket.matching,
                (None, Some(finer)) => self.spread(c, filter, kinds, finer, part)?,
                (None, None) => self.hours_by_rows(c, filter, part)?,
            }
        }
        Ok(())
    }

    /// The hour of the calendar in which the whole stretch lies.
    fn even(&mut self, window: Window) -> Option<i64> {
        self.clock.of(window.from, window.until)
    }

    fn by_rows(&mut self, c: &mut DbConn, filter: &EventFilter, window: Window) -> Result<(), DbError> {
        let Some(query) = filter.query(window, c.is_postgres()) else { return Ok(()) };
        for row in query.select(COUNTED).load_iter::<CountedRow, _>(c)? {
            let row = row?;
            let hour = self.clock.number(row.started_us);
            *self.hours.entry(hour).or_default() += 1;
            self.facts(row, 1)?;
        }
        Ok(())
    }

    /// Kinds and cameras of the rows of a window that began whenever, counted in or out.
    fn facts_by_rows(
        &mut self,
        c: &mut DbConn,
        filter: &EventFilter,
        window: Window,
        times: i64,
    ) -> Result<(), DbError> {
        let Some(query) = filter.query(window, c.is_postgres()) else { return Ok(()) };
        for row in query.select(COUNTED).load_iter::<CountedRow, _>(c)? {
            self.facts(row?, times)?;
        }
        Ok(())
    }

    fn facts(&mut self, row: CountedRow, times: i64) -> Result<(), DbError> {
        let (facts, cell) = row.cell()?;
        self.cells.entry(facts).or_default().add(&cell, times);
        match self.cameras.get_mut(&row.camera_id) {
            Some(n) => *n += times,
            None => drop(self.cameras.insert(row.camera_id, times)),
        }
        Ok(())
    }

    fn hours_by_rows(&mut self, c: &mut DbConn, filter: &EventFilter, window: Window) -> Result<(), DbError> {
        let Some(query) = filter.query(window, c.is_postgres()) else { return Ok(()) };
        let started: Vec<i64> = query.select(crate::schema::event::started_us).load(c)?;
        for us in started {
            let hour = self.clock.number(us);
            *self.hours.entry(hour).or_default() += 1;
        }
        Ok(())
    }

    fn stats(self) -> EventStats {
        let mut stats = EventStats::default();
        let (mut confidence, mut cost) = (0, 0);
        let (mut ai, mut duration, mut response) = ((0, 0), (0, 0), (0, 0));
        let plus = |sum: &mut (i64, i64), more: (i64, i64)| *sum = (sum.0 + more.0, sum.1 + more.1);
        // Kinds of which everything was taken out again are among them.
        for (facts, cell) in self.cells.iter().filter(|(_, cell)| cell.events() > 0) {
            let n = unsigned(cell.events());
            stats.total += n;
            if let Some(kind) = facts.detection() {
                *stats.by_detection_type.entry(kind).or_default() += n;
            }
            if let Some(kind) = facts.source() {
                *stats.by_source_type.entry(kind).or_default() += n;
            }
            if let Some(status) = facts.status() {
                *stats.by_status.entry(status).or_default() += n;
            }
            for kind in facts.objects() {
                *stats.by_object.entry(kind).or_default() += n;
            }
            stats.alerts += unsigned(cell.alerts());
            confidence += cell.confidence();
            cost += cell.cost_nano();
            plus(&mut ai, cell.ai_confidence());
            plus(&mut duration, cell.duration());
            plus(&mut response, cell.response());
        }
        let mut days = BTreeMap::new();
        // Stretches without a match are among them.
        for (hour, n) in self.hours.into_iter().filter(|&(_, n)| n > 0) {
            let n = unsigned(n);
            *days.entry(hour.div_euclid(24)).or_default() += n;
            let hour = usize::try_from(hour.rem_euclid(24)).ok();
            if let Some(sum) = hour.and_then(|hour| stats.by_hour.get_mut(hour)) {
                *sum += n;
            }
        }
        let date = |day: i64| LocalHour::numbered(day * 24).map(|first| first.date.to_string());
        stats.by_day = days.into_iter().filter_map(|(day, n)| Some((date(day)?, n))).collect();
        stats.by_camera = self.cameras.into_iter().filter(|&(_, n)| n > 0).map(|(id, n)| (id, unsigned(n))).collect();
        let events: i64 = self.cells.values().map(super::facts::Cell::events).sum();
        stats.average_confidence = average((events, confidence));
        stats.average_ai_confidence = average(ai);
        stats.average_duration_ms = average(duration);
        stats.average_ai_response_time_ms = average(response);
        stats.total_ai_cost = float(cost) / 1e9;
        stats
    }
}

fn average((count, sum): (i64, i64)) -> Option<f64> {
    (count > 0).then(|| float(sum) / float(count))
}

/// Exact up to 2^53.
fn float(n: i64) -> f64 {
    n as f64
}
