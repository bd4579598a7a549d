//! Every wait of this crate in one place, so that a test can shorten them.

use std::time::Duration;

/// How long things are waited for. The defaults are for real consoles.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Until a connection and its TLS stand.
    pub connect: Duration,
    /// Until an answer is there, or its next bytes.
    pub answer: Duration,
    /// First wait before a call is tried again; doubled each time.
    pub retry_first: Duration,
    /// Longest of these.
    pub retry_longest: Duration,
    /// How often a call is tried again.
    pub retries: u32,
    /// First wait before a stream is connected again; doubled each time.
    pub backoff_first: Duration,
    /// Longest of these.
    pub backoff_longest: Duration,
    /// A stream that lived this long begins again with the first wait.
    pub good_after: Duration,
    /// After what a person must mend.
    pub error_pause: Duration,
    /// So often in a row a password may be refused before it is kept back.
    pub refusals: u32,
    /// For that long, then; it is still looked whether the controller answers.
    pub refused_pause: Duration,
    /// After so many failures in a row a controller is left alone.
    pub breaker_after: u32,
    /// For that long, or until it is connected again.
    pub breaker_pause: Duration,
    /// After the first refusal because of too many sign-ins; doubled with each further one.
    pub lockout: Duration,
    /// Longest of these.
    pub lockout_longest: Duration,
    /// Between pings of a stream.
    pub ping_every: Duration,
    /// Until a ping is answered by anything.
    pub ping_deadline: Duration,
    /// Silence of the local stream after which it is asked whether it lives, and its history whether it keeps something to
    /// itself.
    pub suspect_after: Duration,
    /// Silence of the local stream after which it is connected again.
    pub silent_after: Duration,
    /// Between readings of all cameras.
    pub read_every: Duration,
    /// How long the kinds of a detection may come after it.
    pub types_wait: Duration,
    /// How long motion may last without a word.
    pub open_motion: Duration,
    /// How long anything else may.
    pub open_other: Duration,
    /// How often the above are looked at.
    pub tick: Duration,
    /// How long before the last known moment the history is read from.
    pub history_margin: Duration,
    /// First wait before a history that could not be read is read again; doubled each time.
    pub history_retry: Duration,
    /// How often it is read again before what it would tell is given up.
    pub history_retries: u32,
    /// How long after its end a recording can be fetched (a key frame each 5 s, and 2.5 s).
    pub clip_ready: Duration,
    /// Waits between tries of a clip.
    pub clip_retries: Vec<Duration>,
    /// Between tries of a thumbnail.
    pub thumbnail_every: Duration,
    /// How long a thumbnail is waited for.
    pub thumbnail_within: Duration,
    /// Between calls of the integration interface: 8 in a second at most, where 10 are allowed.
    pub pace: Duration,
    /// A whole probe, with room for signing out.
    pub probe: Duration,
    /// Detections that may wait for the reader before the streams are held back.
    pub queue: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        Self {
            connect: s(8),
            answer: s(20),
            retry_first: ms(500),
            retry_longest: s(8),
            retries: 4,
            backoff_first: s(1),
            backoff_longest: s(30),
            good_after: s(30),
            error_pause: s(300),
            refusals: 3,
            refused_pause: s(6 * 3600),
            breaker_after: 10,
            breaker_pause: s(300),
            lockout: s(300),
            lockout_longest: s(3600),
            ping_every: s(30),
            ping_deadline: s(15),
            suspect_after: s(75),
            silent_after: s(300),
            read_every: s(300),
            types_wait: ms(2500),
            open_motion: s(300),
            open_other: s(600),
            tick: ms(500),
            history_margin: s(60),
            history_retry: s(60),
            history_retries: 3,
            clip_ready: ms(7500),
            clip_retries: [1, 2, 4, 8, 15].map(s).to_vec(),
            thumbnail_every: ms(500),
            thumbnail_within: s(10),
            pace: ms(130),
            probe: ms(14_000),
            queue: 4096,
        }
    }
}

impl Tuning {
    /// The same with every wait that is not about the network or the official pace divided by `by`; for tests.
    #[must_use]
    pub fn faster(by: u32) -> Self {
        let mut t = Self::default();
        let by = by.max(1);
        for wait in [
            &mut t.retry_first,
            &mut t.retry_longest,
            &mut t.backoff_first,
            &mut t.backoff_longest,
            &mut t.good_after,
            &mut t.error_pause,
            &mut t.breaker_pause,
            &mut t.ping_every,
            &mut t.ping_deadline,
            &mut t.suspect_after,
            &mut t.silent_after,
            &mut t.read_every,
            &mut t.types_wait,
            &mut t.open_motion,
            &mut t.open_other,
            &mut t.tick,
            &mut t.history_retry,
            &mut t.clip_ready,
            &mut t.thumbnail_every,
            &mut t.thumbnail_within,
        ] {
            *wait /= by;
        }
        for wait in &mut t.clip_retries {
            *wait /= by;
        }
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faster_keeps_what_the_other_side_sets() {
        let (slow, fast) = (Tuning::default(), Tuning::faster(10));
        assert_eq!(fast.clip_ready, Duration::from_millis(750));
        assert_eq!(fast.clip_retries.last(), Some(&Duration::from_millis(1500)));
        assert_eq!((fast.pace, fast.connect, fast.answer), (slow.pace, slow.connect, slow.answer));
    }
}
