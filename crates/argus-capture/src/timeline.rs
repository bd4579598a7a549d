//! Maps the stream's own clock to wall time, once a session, and notices where a session ends.
//!
//! Wall time may be set while a session runs. How far it ran since the session began is compared with a clock that cannot
//! be set; where they differ, the session ends at the next key frame and the next one takes the new time.

use std::time::{Duration, Instant};

use argus_core::Timestamp;

/// Presentation times may go back that far: pictures are coded in another order than they are shown.
const BACK_MAX_US: i64 = 1_000_000;
/// Presentation times may run ahead of arrival that far in one step.
const AHEAD_MAX_US: i64 = 5_000_000;
/// Wall time that was set by more than that is taken over.
const STEP_MAX_US: i64 = 1_000_000;

/// The clock of one camera's stream.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Wall time of the stream's zero, in µs.
    origin_us: i64,
    last: Option<(i64, Instant)>,
    /// Wall time and the steady clock when the session began.
    began: Option<(Timestamp, Instant)>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { origin_us: 0, last: None, began: None }
    }

    /// Takes the next unit in the order of decoding. Answers when it was taken and whether it begins a new session:
    /// it is the first, its format is new (`changed`), its clock jumped, or it is a key frame (`key`) and wall time was set.
    pub(crate) fn place(
        &mut self,
        pts_us: i64,
        arrival: Instant,
        (key, changed): (bool, bool),
        wall: impl Fn() -> Timestamp,
    ) -> (Timestamp, bool) {
        let set = || {
            self.began.is_some_and(|(then, steady)| {
                let ran = wall().as_micros().saturating_sub(then.as_micros());
                let truly = micros(arrival.saturating_duration_since(steady));
                ran.saturating_sub(truly).saturating_abs() > STEP_MAX_US
            })
        };
        let fresh = changed
            || key && set()
            || self.last.is_none_or(|(last, then)| {
                let step = pts_us.saturating_sub(last);
                let waited = micros(arrival.saturating_duration_since(then));
                step < -BACK_MAX_US || step.saturating_sub(waited) > AHEAD_MAX_US
            });
        if fresh {
            let now = wall();
            self.origin_us = now.as_micros().saturating_sub(pts_us);
            self.began = Some((now, arrival));
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
            let kind = (false, changed);
            let (t, fresh) = line.place(pts_ms * 1000, at(arrival_ms), kind, || Timestamp::from_millis(wall_ms));
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

    #[test]
    fn wall_time_that_was_set_is_taken_over_at_the_next_key_frame() {
        let start = Instant::now();
        let mut line = Timeline::new();
        let mut check = |ms: u64, key, wall_ms, expected: (i64, bool)| {
            let pts_us = i64::try_from(ms).unwrap() * 1000;
            let arrival = start + Duration::from_millis(ms);
            let (t, fresh) = line.place(pts_us, arrival, (key, false), || Timestamp::from_millis(wall_ms));
            assert_eq!((t.as_millis(), fresh), expected);
        };
        check(0, true, 10_000, (10_000, true));
        check(2_000, true, 12_900, (12_000, false)); // corrected a little
        check(3_000, false, 90_000, (13_000, false)); // set forward, but nothing can begin here
        check(4_000, true, 91_000, (91_000, true));
        check(6_000, true, 93_000, (93_000, false));
        check(8_000, true, 15_000, (15_000, true)); // set back
        check(9_000, true, 16_000, (16_000, false));
    }

    #[test]
    fn a_stream_that_comes_late_is_no_clock_that_was_set() {
        let start = Instant::now();
        let mut line = Timeline::new();
        line.place(0, start, (true, false), || Timestamp::from_millis(10_000));
        // three seconds late, as after a hiccup of the network
        let (arrival, wall) = (start + Duration::from_secs(5), Timestamp::from_millis(15_000));
        let placed = line.place(2_000_000, arrival, (true, false), || wall);
        assert_eq!((placed.0.as_millis(), placed.1), (12_000, false));
    }
}
