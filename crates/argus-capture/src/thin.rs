//! Thins a stream of pictures to a wanted rate by their presentation times.

/// Takes the pictures nearest to an even grid; time only goes forward, a new session needs a new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thin {
    interval_us: i64,
    due_us: Option<i64>,
}

impl Thin {
    /// At most `rate` pictures a second.
    pub(crate) fn new(rate: u8) -> Self {
        Self { interval_us: 1_000_000 / i64::from(rate.max(1)), due_us: None }
    }

    /// Goes on at another rate, with the next picture.
    pub(crate) fn retune(&mut self, rate: u8) {
        let other = Self::new(rate);
        if other.interval_us != self.interval_us {
            *self = other;
        }
    }

    /// Whether the picture of that time is wanted.
    pub(crate) fn take(&mut self, pts_us: i64) -> bool {
        // Times jitter: a picture that is early by an eighth of the distance is on its place all the same.
        let early = self.interval_us / 8;
        match self.due_us {
            Some(due) if pts_us < due - early => false,
            Some(due) if pts_us < due + self.interval_us => {
                self.due_us = Some(due + self.interval_us);
                true
            }
            // The first one, or after a gap: the grid begins anew.
            _ => {
                self.due_us = Some(pts_us + self.interval_us);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rate: u8, times_ms: &[i64], expected: &[i64]) {
        let mut thin = Thin::new(rate);
        let taken: Vec<i64> = times_ms.iter().copied().filter(|t| thin.take(t * 1000)).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn another_rate_acts_at_the_next_picture() {
        let mut thin = Thin::new(1);
        assert!(thin.take(0));
        thin.retune(1);
        assert!(!thin.take(100_000), "the same rate changes nothing");
        thin.retune(10);
        assert!(thin.take(200_000) && !thin.take(250_000) && thin.take(300_000));
    }

    #[test]
    fn takes_an_even_grid() {
        check(5, &[0, 67, 133, 200, 267, 333, 400], &[0, 200, 400]);
        check(5, &[0, 70, 130, 197, 269, 331, 402, 610], &[0, 197, 402, 610]);
        check(10, &[0, 200, 400, 600], &[0, 200, 400, 600]);
        check(30, &[0, 33, 67, 100], &[0, 33, 67, 100]);
        check(1, &[0, 500, 999, 1500, 2000], &[0, 999, 2000]);
        check(5, &[0, 100, 5000, 5100, 5200], &[0, 5000, 5200]);
        check(5, &[9000, 9200, 8000, 9100, 9400], &[9000, 9200, 9400]);
    }
}
