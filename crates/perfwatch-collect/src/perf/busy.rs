//! For how long CPUs were busy, which `cpu-clock` does not tell: it passes on an idle CPU too.

use std::time::Duration;

use perfwatch_metrics::cpu::CpuTimes;
use rustix::param::clock_ticks_per_second;

use crate::cpu::{CpuReading, parse_stat};
use crate::host::KernelFile;

/// Adds up the busy time of some CPUs, each by its own clock, so that one that comes or goes brings no leap.
#[derive(Debug)]
pub(super) struct Busy {
    stat: Option<KernelFile>,
    before: CpuReading,
    now: CpuReading,
    ticks: u64,
}

impl Busy {
    pub(super) fn new(stat: Option<KernelFile>) -> Self {
        Self { stat, before: CpuReading::default(), now: CpuReading::default(), ticks: 0 }
    }

    /// Busy time of these CPUs since the first call. None when /proc/stat cannot be read.
    pub(super) fn total(&mut self, cpus: &[u32]) -> Option<Duration> {
        let now = &mut self.now;
        self.stat.as_mut()?.parse(|text| parse_stat(text, now)).ok()?;
        for cpu in cpus {
            let of = |reading: &CpuReading| {
                let place = usize::try_from(*cpu).ok()?;
                reading.cores.get(place).copied().flatten().map(|times| busy(&times))
            };
            if let (Some(before), Some(now)) = (of(&self.before), of(&self.now)) {
                self.ticks = self.ticks.saturating_add(now.saturating_sub(before));
            }
        }
        std::mem::swap(&mut self.before, &mut self.now);
        let per_second = clock_ticks_per_second().max(1);
        let nanoseconds = u128::from(self.ticks) * 1_000_000_000 / u128::from(per_second);
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

/// Ticks in which it did something for this host. Stolen time was another's, and cycles of guests are not counted: their time,
/// which the kernel has in user and nice as well, is not that of the cycles.
fn busy(times: &CpuTimes) -> u64 {
    let [user, nice, system, _idle, _iowait, irq, softirq, _steal, guest, guest_nice] = *times;
    let (user, nice) = (user.saturating_sub(guest), nice.saturating_sub(guest_nice));
    [nice, system, irq, softirq].into_iter().fold(user, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_guests_is_not_that_of_the_cycles() {
        assert_eq!(busy(&[50, 20, 10, 99, 9, 1, 2, 7, 40, 15]), 10 + 5 + 10 + 1 + 2);
    }
}
