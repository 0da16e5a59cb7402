//! When to sample: at whole multiples of the interval in wall time, so that hosts and restarts line up.
//!
//! Ticks are absolute. One that is late is taken when it can be, and one that was missed, because the host slept or
//! was overloaded, is skipped and never made up for. A clock that was set while a tick was waited for moves the
//! tick after it and nothing else, for rates come from the monotonic clock. Two samples are never closer than half an
//! interval.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use perfwatch_collect::{Options, Tick};
use rustix::time::{ClockId, clock_gettime};

/// More than this is no slewing, by which clocks are off by at most 0.05 %: the clock was set.
const MOST_EARLY: Duration = Duration::from_millis(50);

/// The ticks of one run.
#[derive(Debug)]
pub(crate) struct Ticker {
    pace: Pace,
    /// Another pace from now on. Closed when it is over.
    changes: Receiver<Pace>,
    last: Option<Last>,
}

/// How often to sample, and what.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) options: Arc<Options>,
}

/// How waiting came to its end.
#[derive(Debug, PartialEq, Eq)]
enum Waited {
    Long,
    /// There is another pace.
    Changed,
    /// It is over.
    Over,
}

/// The tick before, by the clock that goes on while the host sleeps.
#[derive(Debug)]
struct Last {
    number: u64,
    planned: Duration,
    began: Duration,
}

impl Ticker {
    /// Ticks until the sender of `changes` is dropped.
    pub(crate) fn new(pace: Pace, changes: Receiver<Pace>) -> Self {
        Self { pace, changes, last: None }
    }

    fn wait(&mut self, time: Duration) -> Waited {
        match self.changes.recv_timeout(time) {
            Ok(pace) => {
                self.pace = pace;
                Waited::Changed
            }
            Err(RecvTimeoutError::Timeout) => Waited::Long,
            Err(RecvTimeoutError::Disconnected) => Waited::Over,
        }
    }

    /// Waits for the tick after one that began then. Returns when it was to be; None when it is over.
    fn wait_for_next(&mut self, last_began: Duration) -> Option<Duration> {
        loop {
            let (now, at) = (since_boot(), since_epoch());
            let wait = until_next(self.pace.interval, at, now.saturating_sub(last_began));
            match self.wait(wait) {
                Waited::Long => {}
                Waited::Changed => continue,
                Waited::Over => return None,
            }
            // The wall clock is slewed, so it may not be there yet. A sample that is early by its reckoning would stand in
            // the interval before.
            let early = (at + wait).saturating_sub(since_epoch());
            if early <= MOST_EARLY && !early.is_zero() && self.wait(early) == Waited::Over {
                return None;
            }
            return Some(now + wait);
        }
    }

    /// The first tick at once, every other one when it is due. None when it is over.
    pub(crate) fn next(&mut self) -> Option<Tick> {
        let (planned, steps) = match &self.last {
            None => (since_boot(), 0),
            Some(Last { planned: before, began, .. }) => {
                let (before, began) = (*before, *began);
                let planned = self.wait_for_next(began)?;
                let interval = self.pace.interval;
                let steps = intervals(planned.saturating_sub(before) + interval / 2, interval);
                (planned, steps.max(1))
            }
        };
        let began = since_boot();
        let lateness = began.saturating_sub(planned);
        // Late by whole intervals, as after a sleep: it stands for the last tick that was missed.
        let missed = intervals(lateness, self.pace.interval);
        let before = self.last.as_ref().map_or(0, |last| last.number);
        let number = before.saturating_add(u64::from(steps)).saturating_add(u64::from(missed));
        self.last = Some(Last { number, planned: planned + self.pace.interval * missed, began });
        let Pace { interval, options } = self.pace.clone();
        Some(Tick { number, interval, lateness, options })
    }
}

/// Whole intervals in a length of time.
fn intervals(time: Duration, interval: Duration) -> u32 {
    u32::try_from(time.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// Time from `now`, since the epoch, to the next tick, when the last sample began `since_last` ago.
fn until_next(interval: Duration, now: Duration, since_last: Duration) -> Duration {
    let into = Duration::from_nanos((now.as_nanos() % interval.as_nanos().max(1)) as u64);
    let to_multiple = interval.saturating_sub(into);
    if since_last + to_multiple < interval / 2 { to_multiple + interval } else { to_multiple }
}

/// Time since boot, sleep included.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
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
    fn another_pace_is_followed_at_once() {
        let pace = |interval| Pace { interval, options: Arc::default() };
        let (sender, changes) = std::sync::mpsc::channel();
        let mut ticker = Ticker::new(pace(Duration::from_secs(60)), changes);
        ticker.next().unwrap();
        sender.send(pace(Duration::from_millis(500))).unwrap();
        let began = std::time::Instant::now();
        let tick = ticker.next().unwrap();
        assert_eq!((tick.number, tick.interval), (1, Duration::from_millis(500)));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        drop(sender);
        assert!(ticker.next().is_none());
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
