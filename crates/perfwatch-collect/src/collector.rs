//! What a collector is: a step that asks the kernel, and a pure one that computes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Problem};
use crate::host::Host;

/// Collects one section of the snapshot.
pub trait Collector: Send + 'static {
    /// Name of the section.
    const NAME: &'static str;
    /// What the kernel said, nothing computed. Filled anew at every tick, so it keeps its memory.
    type Reading: Default + Send + 'static;
    /// What PerfWatch reports.
    type Metrics: Send + 'static;

    /// A collector for a host. Asks nothing yet.
    fn new(host: &Arc<Host>) -> Self;

    /// Asks the host: the only step that touches it and the only one that can fail. `into` holds the reading
    /// of two ticks ago and is overwritten whole.
    fn read(&mut self, into: &mut Self::Reading) -> Result<(), Error>;

    /// Computes. `before` is the previous reading and the time since; None on the first tick and after one that
    /// failed or came too late: then every rate is None. Gives the same answer for the same readings.
    fn derive(
        before: Option<(&Self::Reading, Duration)>,
        now: &Self::Reading,
    ) -> Report<Self::Metrics>;
}

/// A section as derived from a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Report<M> {
    /// What is there.
    pub metrics: M,
    /// What is not, and why.
    pub problems: Vec<Problem>,
    /// Whether a limit cut something off.
    pub truncated: bool,
}

/// A report and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected<M> {
    /// What was derived.
    pub report: Report<M>,
    /// Time between the two readings that rates come from. None without a previous one.
    pub elapsed: Option<Duration>,
}

/// Keeps a collector's previous reading.
#[derive(Debug)]
pub struct Tracker<C: Collector> {
    collector: C,
    before: Option<(Instant, C::Reading)>,
    spare: C::Reading,
}

impl<C: Collector> Tracker<C> {
    /// Nothing read yet.
    pub fn new(host: &Arc<Host>) -> Self {
        Self::of(C::new(host))
    }

    /// Of a collector that was made otherwise.
    pub fn of(collector: C) -> Self {
        Self { collector, before: None, spare: C::Reading::default() }
    }

    /// Forgets the previous reading, for nothing was reported of it: what is derived next must not come from what nobody
    /// was shown and history does not have.
    pub fn forget(&mut self) {
        self.before = None;
    }

    /// Reads, and derives from this reading and the one before. With the time between the two, in whole microseconds: no
    /// clock of the kernel's counters is finer, and so it can be told and kept exactly.
    pub fn collect(&mut self) -> Result<Collected<C::Metrics>, Error> {
        let at = Instant::now();
        let mut now = mem::take(&mut self.spare);
        // Taken, so that a failure or a panic leaves no previous reading behind.
        let before = self.before.take();
        if let Err(error) = self.collector.read(&mut now) {
            self.spare = now;
            return Err(error);
        }
        let elapsed = before.as_ref().map(|(then, _)| whole_micros(at - *then));
        let earlier = before.as_ref().map(|(_, reading)| reading);
        let report = C::derive(earlier.zip(elapsed), &now);
        self.spare = before.map(|(_, reading)| reading).unwrap_or_default();
        self.before = Some((at, now));
        Ok(Collected { report, elapsed })
    }
}

fn whole_micros(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
