//! What a source of counts is: it adds up what each event has counted, and says over what time.

use std::fmt;
use std::time::Duration;

use perfwatch_metrics::perf::{EVENTS, Event};

use super::absence::Absence;
use super::layout::Member;
use crate::error::Error;

/// Counts the events.
pub trait Source: fmt::Debug + Send {
    /// Its name in what is reported: `perf_event_open`.
    fn name(&self) -> &'static str;

    /// What was counted since it began. Overwrites `into` whole, never waits for the kernel to count or for a process to
    /// answer, and allocates nothing in the steady state. Fails when nothing at all can be counted.
    fn read(&mut self, into: &mut Totals) -> Result<(), Error>;
}

/// What was counted since the source began. Two of them make an interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// False while counters are being opened: nothing else means anything then.
    pub counting: bool,
    /// Time since the source began at which these were the totals.
    pub at: Duration,
    /// By [`Event`], in its order.
    pub events: [Total; EVENTS],
    /// Instructions counted in the same group as L1d, LLC, dTLB and iTLB load misses, in this order, for what is reported
    /// per instruction. Nothing where the source forms no groups.
    pub beside: [Total; 4],
    /// Why an event is not counted, by [`Event`]. None for one that is, even if it never gets its turn.
    pub absent: [Option<Absence>; EVENTS],
    /// An online CPU that is not counted on though it was asked for, and why.
    pub uncounted: Option<(u32, Absence)>,
    /// Nanoseconds that the CPUs counted on were not idle, by /proc/stat. None when it was not asked.
    pub busy: Option<Duration>,
}

impl Totals {
    /// That of one event.
    pub fn event(&self, event: Event) -> Total {
        self.events.get(event as usize).copied().unwrap_or_default()
    }

    /// Why an event is not counted. None for one that is.
    pub fn absence(&self, event: Event) -> Option<&Absence> {
        self.absent.get(event as usize)?.as_ref()
    }

    /// Where what a member of a group counts is added up.
    pub(super) fn of_mut(&mut self, member: Member) -> Option<&mut Total> {
        match member {
            Member::Event(event) => self.events.get_mut(event as usize),
            Member::Beside(miss) => self.beside.get_mut(miss),
        }
    }
}

/// The total of one event over all CPUs. Its sums pass through 64 bits: only the difference of two means something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How often, scaled up for the time in which it could not run. `cpu-clock`: nanoseconds.
    pub count: u64,
    /// Nanoseconds for which it should have been counted, over all CPUs.
    pub enabled: u64,
    /// Nanoseconds for which it was.
    pub running: u64,
    /// Events with the same number were counted at the same times.
    pub group: u8,
}
