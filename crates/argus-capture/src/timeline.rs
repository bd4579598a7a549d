//! Maps the stream's own clock to wall time, once a session, and notices where a session ends.

use std::time::{Duration, Instant};

use argus_core::Timestamp;

/// Presentation times may go back that far: pictures are coded in another order than they are shown.
const BACK_MAX_US: i64 = 1_000_000;
/// Presentation times may run ahead of arrival that far in one step.
const AHEAD_MAX_US: i64 = 5_000_000;

/// The clock of one camera's stream.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Wall time of the stream's zero, in µs.
    origin_us: i64,
    last: Option<(i64, Instant)>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { origin_us: 0, last: None }
    }

    /// Takes the next unit in the order of decoding. Answers when it was taken and whether it begins a new session:
    /// it is the first, its format is new (`changed`), or its clock jumped.
    pub(crate) fn place(
        &mut self,
        pts_us: i64,
        arrival: Instant,
        changed: bool,
        wall: impl FnOnce() -> Timestamp,
    ) -> (Timestamp, bool) {
        let fresh = changed
            || self.last.is_none_or(|(last, then)| {
                let step = pts_us.saturating_sub(last);
                let waited = micros(arrival.saturating_duration_since(then));
                step < -BACK_MAX_US || step.saturating_sub(waited) > AHEAD_MAX_US
            });
        if fresh {
            self.origin_us = wall().as_micros().saturating_sub(pts_us);
        }
        self.last = Some((pts_us, arrival));
        (Timestamp::from_micros(self.origin_us.saturating_add(pts_us)), fresh)
    }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_taken_once_and_after_a_jump() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut line = Timeline::new();
        let mut check = |pts_ms: i64, arrival_ms: u64, changed, wall_ms, expected: (i64, bool)| {
            let (t, fresh) = line.place(pts_ms * 1000, at(arrival_ms), changed, || Timestamp::from_millis(wall_ms));
            assert_eq!((t.as_millis(), fresh), expected);
        };
        check(700, 0, false, 10_000, (10_000, true));
        check(900, 350, false, 99_999, (10_200, false));
        check(800, 351, false, 99_999, (10_100, false)); // coded order
        check(4_900, 400, false, 99_999, (14_200, false)); // a burst
        check(9_901, 400, false, 20_000, (20_000, true)); // ran ahead by more than 5 s
        check(29_000, 20_000, false, 99_999, (39_099, false)); // a gap that was waited for
        check(27_500, 20_001, false, 30_000, (30_000, true)); // back by 1.5 s
        check(27_600, 20_100, true, 31_000, (31_000, true)); // another format
    }
}
