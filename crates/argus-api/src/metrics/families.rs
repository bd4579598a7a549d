//! Numbers that others count, in the form in which Prometheus reads them.

use std::fmt::Write as _;
use std::time::Duration;

use argus_core::controller::ControllerStatus;
use argus_core::figures::{CallFigures, CameraFigures, ControllerFigures, Figures, ProviderFigures};
use argus_core::provider::{BreakerState, ProviderState};
use argus_core::status::CameraStatus;
use argus_db::Waits;
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// One family: told also when it has no member yet, so that its name is known from the start.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    members: Vec<Metric>,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Family {
    fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, members: Vec::new() }
    }

    fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        let mut metric = labelled(labels);
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.members.push(metric);
        self
    }

    fn with_each<T>(self, all: &[T], add: impl Fn(Self, &T) -> Self) -> Self {
        all.iter().fold(self, add)
    }
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

/// The running system's own numbers.
pub(super) fn of_figures(figures: &Figures) -> Vec<Family> {
    use Kind::{Counter, Gauge};
    let cameras = &figures.cameras;
    let by_camera = |name, help, value: fn(&CameraFigures) -> u64| {
        Family::new(Counter, name, help)
            .with_each(cameras, |family, c| family.with(&[("camera_id", &c.camera_id.to_string())], float(value(c))))
    };
    let by_provider = |name, help, add: fn(Family, &CallFigures) -> Family| {
        Family::new(Counter, name, help).with_each(&figures.calls, add)
    };
    let status = |family: Family, status: &CameraStatus| {
        let count = cameras.iter().filter(|c| c.status == *status).count();
        family.with(&[("status", status.as_str())], float(u64::try_from(count).unwrap_or(u64::MAX)))
    };
    let mut families = vec![
        Family::new(Gauge, "cameras", "Cameras by state of capture").with_each(CameraStatus::ALL, status),
        by_camera("camera_frames_total", "Pictures received", |c| c.frames),
        by_camera("camera_reconnects_total", "Times that the picture was lost and came back", |c| c.reconnects),
        by_camera("camera_pictures_dropped_total", "Pictures due for motion detection that nobody looked at", |c| {
            c.dropped
        }),
        Family::new(Counter, "events_total", "Events that began").with_each(&figures.events, |family, e| {
            let labels = [("source_type", e.source_type.as_str()), ("detection_type", e.detection_type.as_str())];
            family.with(&labels, float(e.count))
        }),
        described(figures),
        by_provider("ai_calls_total", "Calls of AI providers", |family, c| {
            let of =
                |family: Family, outcome, n| family.with(&[("provider", &c.provider), ("outcome", outcome)], float(n));
            of(of(family, "succeeded", c.succeeded), "failed", c.failed)
        }),
        by_provider("ai_tokens_total", "Tokens sent to and received from AI providers", |family, c| {
            let of = |family: Family, way, n| family.with(&[("provider", &c.provider), ("direction", way)], float(n));
            of(of(family, "input", c.tokens_input), "output", c.tokens_output)
        }),
        by_provider("ai_cost_usd_total", "Cost of AI providers in US dollars", |family, c| {
            family.with(&[("provider", &c.provider)], c.cost_usd)
        }),
    ];
    families.extend(of_providers(&figures.providers));
    let mut jobs = Family::new(Gauge, "analysis_jobs", "Descriptions to be made, by state");
    if let Some(now) = figures.jobs {
        for (state, count) in [("waiting", now.waiting), ("ready", now.ready), ("running", now.running)] {
            jobs = jobs.with(&[("state", state)], float(count));
        }
    }
    families.push(jobs);
    let mut media = Family::new(Gauge, "media_bytes", "Bytes of pictures and clips in the store");
    if let Some(bytes) = figures.media_bytes {
        media = media.with(&[], float(bytes));
    }
    families.push(media);
    families.extend(of_controllers(&figures.controllers));
    families
}

/// How the providers of descriptions are doing: 1 for the state that holds, 0 for the others.
fn of_providers(providers: &[ProviderFigures]) -> [Family; 3] {
    use Kind::{Counter, Gauge};
    let one_of = |name, help, label, states: &[&'static str], state: fn(&ProviderFigures) -> &'static str| {
        Family::new(Gauge, name, help).with_each(providers, |family, p| {
            states.iter().fold(family, |family, one| {
                family.with(&[("provider", &p.provider), (label, one)], if state(p) == *one { 1.0 } else { 0.0 })
            })
        })
    };
    let states: Vec<&str> = ProviderState::ALL.iter().map(|s| s.as_str()).collect();
    let breakers: Vec<&str> = BreakerState::ALL.iter().map(|s| s.as_str()).collect();
    [
        one_of("ai_provider_state", "How AI providers are doing", "state", &states, |p| p.state.as_str()),
        one_of("ai_provider_breaker", "Whether AI providers are asked", "breaker", &breakers, |p| p.breaker.as_str()),
        Family::new(Counter, "ai_passed_over_total", "Times that an AI provider was not called at its turn")
            .with_each(providers, |family, p| family.with(&[("provider", &p.provider)], float(p.passed_over))),
    ]
}

/// The numbers of UniFi Protect controllers.
fn of_controllers(controllers: &[ControllerFigures]) -> [Family; 5] {
    let status = |family: Family, status: &ControllerStatus| {
        let count = controllers.iter().filter(|c| c.status == *status).count();
        family.with(&[("status", status.as_str())], float(u64::try_from(count).unwrap_or(u64::MAX)))
    };
    let by_controller = |name, help, value: fn(&ControllerFigures) -> u64| {
        Family::new(Kind::Counter, name, help).with_each(controllers, |family, c| {
            family.with(&[("controller_id", &c.controller_id.to_string())], float(value(c)))
        })
    };
    [
        Family::new(Kind::Gauge, "protect_controllers", "Controllers by state of their connection")
            .with_each(ControllerStatus::ALL, status),
        by_controller("protect_happenings_total", "News of detections that were told", |c| c.happenings),
        by_controller("protect_gaps_total", "Times in which detections may have been missed", |c| c.gaps),
        by_controller("protect_ends_unknown_total", "Detections whose end was never told", |c| c.ends_unknown),
        by_controller("protect_malformed_total", "Messages that could not be understood", |c| c.malformed),
    ]
}

fn described(figures: &Figures) -> Family {
    let mut family =
        Family::new(Kind::Histogram, "event_described_seconds", "Time from the begin of an event to its description");
    let spread = &figures.described_s;
    let bucket = |&(bound, count): &(f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(spread.buckets.iter().map(bucket).collect());
    histogram.set_sample_sum(spread.sum);
    histogram.set_sample_count(spread.count);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family.members.push(metric);
    family
}

/// What the server is, and for how long.
pub(super) fn of_server(version: &str, uptime: Duration) -> Vec<Family> {
    vec![
        Family::new(Kind::Gauge, "uptime_seconds", "Since the start of the server").with(&[], uptime.as_secs_f64()),
        Family::new(Kind::Gauge, "build_info", "The program that runs").with(&[("version", version)], 1.0),
    ]
}

/// The journal's position, and how long calls wait for a connection.
pub(super) fn of_database(seq: i64, [read, write]: [Waits; 2]) -> Vec<Family> {
    let by_pool = |name, help, value: fn(&Waits) -> f64| {
        let family = Family::new(Kind::Counter, name, help);
        family.with(&[("pool", "read")], value(&read)).with(&[("pool", "write")], value(&write))
    };
    vec![
        Family::new(Kind::Gauge, "journal_seq", "Number of the newest message")
            .with(&[], float(u64::try_from(seq).unwrap_or_default())),
        by_pool("database_calls_total", "Calls that got a connection", |w| float(w.calls)),
        by_pool("database_wait_seconds_total", "Time that calls waited for a connection", |w| w.waited.as_secs_f64()),
        by_pool("database_refused_total", "Calls that gave up waiting for a connection", |w| float(w.refused)),
    ]
}

/// Prometheus counts in floats; what is not exact any more has 16 digits.
fn float(number: u64) -> f64 {
    let (high, low) = (number >> 32, number & u64::from(u32::MAX));
    let part = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
    part(high) * 4_294_967_296.0 + part(low)
}

/// Everything as text, in order of names.
///
/// # Errors
/// When a family is not in order, which a test would find.
pub(super) fn text(own: Vec<MetricFamily>, others: Vec<Family>) -> Result<String, prometheus::Error> {
    let mut parts = Vec::new();
    for family in own.into_iter().filter(|family| !family.get_metric().is_empty()) {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(std::slice::from_ref(&family), &mut text)?;
        parts.push((family.name().to_owned(), text));
    }
    for Family { name, help, kind, members } in others {
        let name = format!("argus_{name}");
        let (word, kind) = match kind {
            Kind::Counter => ("counter", MetricType::COUNTER),
            Kind::Gauge => ("gauge", MetricType::GAUGE),
            Kind::Histogram => ("histogram", MetricType::HISTOGRAM),
        };
        let mut text = String::new();
        if members.is_empty() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {word}\n");
        } else {
            let mut family = MetricFamily::default();
            family.set_name(name.clone());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family.set_metric(members);
            TextEncoder::new().encode_utf8(&[family], &mut text)?;
        }
        parts.push((name, text));
    }
    parts.sort();
    Ok(parts.into_iter().map(|(_, text)| text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact_as_long_as_floats_are() {
        for number in [0, 1, 4_294_967_296, (1 << 53) - 1] {
            assert_eq!(format!("{}", float(number)), number.to_string());
        }
    }

    #[test]
    fn what_has_no_member_is_named_all_the_same() {
        let text = text(Vec::new(), of_figures(&Figures::default())).unwrap();
        assert!(text.contains("# TYPE argus_events_total counter\n"), "{text}");
        assert!(text.contains("argus_cameras{status=\"online\"} 0\n"), "{text}");
        assert!(text.contains("argus_event_described_seconds_count 0\n"), "{text}");
    }
}
