//! Clocks of processor time, and what to make of several runs.

use std::time::Duration;

/// Processor time of this process so far, all its threads together.
pub(crate) fn process() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of this thread so far.
pub(crate) fn thread() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "clock_gettime(2) writes the one structure it is given")]
    let failed = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(failed, 0, "the system has no such clock");
    Duration::new(
        time.tv_sec.try_into().expect("time since the start"),
        time.tv_nsec.try_into().expect("less than a second"),
    )
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The value below which the given share of all lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index far below 2^52, not negative"
    )]
    let place = (last as f64 * share).ceil() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The middle of several runs.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}
