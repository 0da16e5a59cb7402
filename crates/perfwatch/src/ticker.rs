//! When to sample: at whole multiples of the interval in wall time, so that hosts and restarts line up.
//!
//! Ticks are absolute. One that was missed, because the host slept or was overloaded, is skipped and never
//! made up for; a clock that was set moves the next tick and nothing else, for rates come from the monotonic
//! clock. Two samples are never closer than half an interval.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use perfwatch_collect::Tick;

/// The ticks of one run.
#[derive(Debug)]
pub(crate) struct Ticker {
    interval: Duration,
    /// Closed when it is over.
    stop: Receiver<()>,
    last: Option<Last>,
}

/// The tick before.
#[derive(Debug)]
struct Last {
    number: u64,
    planned: Instant,
    began: Instant,
}

impl Ticker {
    /// Ticks until the sender of `stop` is dropped.
    pub(crate) fn new(interval: Duration, stop: Receiver<()>) -> Self {
        Self { interval, stop, last: None }
    }

    /// The first tick at once, every other one when it is due. None when it is over.
    pub(crate) fn next(&mut self) -> Option<Tick> {
        let (number, planned) = match &self.last {
            None => (0, Instant::now()),
            Some(last) => {
                let planned =
                    Instant::now() + until_next(self.interval, since_epoch(), last.began.elapsed());
                let wait = planned.saturating_duration_since(Instant::now());
                if self.stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return None;
                }
                let steps = (planned - last.planned).as_secs_f64() / self.interval.as_secs_f64();
                (last.number.saturating_add((steps.round() as u64).max(1)), planned)
            }
        };
        let began = Instant::now();
        self.last = Some(Last { number, planned, began });
        Some(Tick { number, interval: self.interval, lateness: began - planned })
    }
}

/// Time from `now`, since the epoch, to the next tick, when the last sample began `since_last` ago.
fn until_next(interval: Duration, now: Duration, since_last: Duration) -> Duration {
    let into = Duration::from_nanos((now.as_nanos() % interval.as_nanos().max(1)) as u64);
    let to_multiple = interval.saturating_sub(into);
    if since_last + to_multiple < interval / 2 { to_multiple + interval } else { to_multiple }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn next(now_ms: u64, since_last_ms: u64) -> u64 {
        let (now, since_last) =
            (Duration::from_millis(now_ms), Duration::from_millis(since_last_ms));
        until_next(INTERVAL, now, since_last).as_millis() as u64
    }

    #[test]
    fn ticks_fall_on_multiples_of_the_interval() {
        assert_eq!(next(10_003, 3), 4_997);
        assert_eq!(next(12_500, 2_500), 2_500);
        assert_eq!(next(1_700_000_000_000, 0), 5_000);
    }

    #[test]
    fn waking_a_little_early_is_not_a_second_tick() {
        assert_eq!(next(14_999, 1), 5_001);
    }

    #[test]
    fn after_a_late_sample_the_next_is_not_bunched() {
        // Planned at 10 s, began at 14.8 s: the tick at 15 s is skipped.
        assert_eq!(next(14_900, 100), 5_100);
        assert_eq!(next(12_601, 100), 2_399 + 5_000);
        assert_eq!(next(12_300, 100), 2_700);
    }

    #[test]
    fn a_clock_set_back_or_forward_moves_only_the_next_tick() {
        assert!(next(3, 3) <= 7_500);
        assert!(next(99_999_999_999_999, 3) <= 7_500);
    }
}
