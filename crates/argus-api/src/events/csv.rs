//! Events as a table (RFC 4180).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use argus_core::Timestamp;
use argus_db::{EventLine, Exported};
use csv::{Terminator, Writer, WriterBuilder};

use super::export::CHUNK;

/// Names of the columns.
const COLUMNS: [&str; 25] = [
    "id",
    "camera_id",
    "camera_name",
    "timestamp",
    "ended_at",
    "duration_ms",
    "source_type",
    "detection_type",
    "objects_detected",
    "description",
    "description_status",
    "confidence",
    "ai_confidence",
    "low_confidence",
    "is_doorbell_ring",
    "alert_triggered",
    "provider_used",
    "model",
    "analysis_mode",
    "frame_count_used",
    "ai_cost",
    "tokens_used",
    "ai_response_time_ms",
    "has_clip",
    "created_at",
];

/// Writes events as lines of a table.
pub(super) struct CsvEvents<W: Write> {
    table: Writer<W>,
    cameras: HashMap<String, String>,
    text: String,
}

impl<W: Write> CsvEvents<W> {
    pub(super) fn new(out: W) -> Self {
        let table = WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(CHUNK).from_writer(out);
        Self { table, cameras: HashMap::new(), text: String::new() }
    }

    /// Writes the head at once, and lines as the chunks fill.
    pub(super) fn take(&mut self, item: Exported<EventLine>) -> io::Result<()> {
        match item {
            Exported::Begun(cameras) => {
                self.cameras = cameras;
                self.table.write_record(COLUMNS)?;
                self.table.flush()
            }
            Exported::Row(line) => Ok(self.line(&line)?),
        }
    }

    fn line(&mut self, line: &EventLine) -> csv::Result<()> {
        self.field(&line.id)?;
        self.field(&line.camera_id)?;
        let name = self.cameras.get(&line.camera_id).map(|name| harmless(name).into_owned()).unwrap_or_default();
        self.field(&name)?;
        self.shown(Some(Timestamp::from_micros(line.started_us)))?;
        self.shown(line.ended_us.map(Timestamp::from_micros))?;
        // As shown: both moments in milliseconds.
        self.shown(line.ended_us.map(|end| end.div_euclid(1000) - line.started_us.div_euclid(1000)))?;
        self.field(&line.source_type)?;
        self.field(&line.detection_type)?;
        self.field(&listed(&line.objects))?;
        self.field(&harmless(&line.description))?;
        self.field(&line.description_status)?;
        self.shown(Some(line.confidence))?;
        self.shown(line.ai_confidence)?;
        self.shown(Some(line.low_confidence))?;
        self.shown(Some(line.is_doorbell_ring))?;
        self.shown(Some(line.alert_triggered))?;
        self.text(line.provider_used.as_deref())?;
        self.text(line.model.as_deref())?;
        self.text(line.analysis_mode.as_deref())?;
        self.shown(line.frame_count_used)?;
        self.shown(line.ai_cost)?;
        self.shown(line.tokens_used)?;
        self.shown(line.ai_response_time_ms)?;
        self.shown(Some(line.has_clip()))?;
        self.shown(Some(Timestamp::from_micros(line.created_us)))?;
        self.table.write_record(None::<&[u8]>)
    }

    fn field(&mut self, text: &str) -> csv::Result<()> {
        self.table.write_field(text)
    }

    fn text(&mut self, text: Option<&str>) -> csv::Result<()> {
        self.field(&harmless(text.unwrap_or_default()))
    }

    fn shown<T: std::fmt::Display>(&mut self, value: Option<T>) -> csv::Result<()> {
        self.text.clear();
        if let Some(value) = value {
            // Writing into a string does not fail.
            let _ = write!(self.text, "{value}");
        }
        self.table.write_field(&self.text)
    }
}

/// Text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A stored JSON list of names, joined by `;`.
fn listed(json: &str) -> Cow<'_, str> {
    if json == "[]" {
        return Cow::Borrowed("");
    }
    // The names are our own: letters only.
    Cow::Owned(json.chars().filter_map(|c| if c == ',' { Some(';') } else { c.is_alphabetic().then_some(c) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_made_harmless() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("a=1", "a=1"),
            (" =1", " =1"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), expected);
        }
    }

    #[test]
    fn lists_are_joined() {
        assert_eq!(
            (listed("[]"), listed(r#"["person"]"#), listed(r#"["person","animal"]"#)),
            ("".into(), "person".into(), "person;animal".into())
        );
    }
}
