//! CPU: /proc/stat, the sum of /proc/interrupts, thermal throttles, and the slower files of frequency and temperature.
//!
//! `cpu  1670 0 1440 181480 243 0 19 23 0 0` of /proc/stat is user, nice, system, idle, iowait, irq, softirq,
//! steal, guest and guest_nice in ticks of USER_HZ. Columns came over time (steal with 2.6.11, guest with
//! 2.6.24, guest_nice with 2.6.33); missing ones are 0. Guest time is part of user already, guest_nice of
//! nice. idle and iowait of a CPU may go backwards by a little (proc(5)); that counts as no time.

mod sensors;
mod stat;
mod throttles;

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::cpu::{Activity, CpuMetrics, CpuTimes, TICKS_PER_SECOND, Throttled};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::host::{Host, SharedFile};
use crate::rate::percent;

pub use crate::interrupts::parse_interrupts;
pub use sensors::frequency::parse_cpuinfo;
use sensors::{SensorReading, Sensors};
pub use stat::{parse_activity, parse_stat};
use throttles::Throttles;

/// Most CPUs: the largest NR_CPUS of the kernel's own configurations. Lines beyond it are left out.
pub const MAX_CPUS: usize = 8192;

/// What the kernel said of the CPUs.
#[derive(Debug, Default)]
pub struct CpuReading {
    /// All CPUs together.
    pub total: CpuTimes,
    /// By the kernel's number; None for one that is offline.
    pub cores: Vec<Option<CpuTimes>>,
    /// As `cores`, but never falling.
    steady: Vec<Option<CpuTimes>>,
    /// What follows the CPUs.
    activity: Activity,
    /// Sum over /proc/interrupts.
    interrupts: Option<u64>,
    throttled: Vec<Throttled>,
    throttles: Option<u64>,
    sensors: SensorReading,
    problems: Vec<Problem>,
    /// There were more than [`MAX_CPUS`].
    pub truncated: bool,
}

const USER: usize = 0;
const NICE: usize = 1;
const SYSTEM: usize = 2;
const IDLE: usize = 3;
const IOWAIT: usize = 4;
const IRQ: usize = 5;
const SOFTIRQ: usize = 6;
const STEAL: usize = 7;

/// idle and iowait that fell by more are those of a CPU that was away and counts from the start again.
const LARGEST_FALL: u64 = 3 * TICKS_PER_SECOND;

/// Collects [`CpuMetrics`].
#[derive(Debug)]
pub struct Cpu {
    stat: SharedFile,
    /// The times as they were last told.
    steady: Vec<Option<CpuTimes>>,
    interrupts: SharedFile,
    throttles: Throttles,
    sensors: Sensors,
}

impl Collector for Cpu {
    const NAME: &'static str = "cpu";
    type Reading = CpuReading;
    type Metrics = CpuMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self {
            stat: host.shared_procfs("stat"),
            steady: Vec::new(),
            interrupts: host.shared_procfs("interrupts"),
            throttles: Throttles::new(host),
            sensors: Sensors::new(host),
        }
    }

    fn read(&mut self, into: &mut CpuReading) -> Result<(), Error> {
        into.problems.clear();
        self.stat.parse(|text| parse_stat(text, into))?;
        steady(&mut self.steady, &into.cores);
        into.steady.clone_from(&self.steady);
        into.interrupts = match self.interrupts.parse(parse_interrupts) {
            Ok(sum) => Some(sum),
            Err(error) => {
                into.problems.push(Problem::new("interrupts", &error));
                None
            }
        };
        let online = into.cores.iter().flatten().count();
        into.throttles = self.throttles.read(online, &mut into.throttled);
        if into.throttled.is_empty() {
            into.problems.push(Problem::new("throttles", &throttles::none()));
        }
        self.sensors.read(&mut into.sensors);
        Ok(())
    }

    fn derive(before: Option<(&CpuReading, Duration)>, now: &CpuReading) -> Report<CpuMetrics> {
        let spent = before.and_then(|(before, _)| Spent::between(&before.total, &now.total));
        let share = |mode: usize| spent.as_ref().and_then(|spent| spent.share(mode));
        let core = |(number, core): (usize, &Option<CpuTimes>)| {
            let before = before?.0.cores.get(number)?.as_ref()?;
            Spent::between(before, core.as_ref()?)
        };
        let cores: Vec<_> = now.cores.iter().enumerate().map(core).collect();
        let per_core = |share: fn(&Spent) -> Option<f64>| {
            cores.iter().map(|spent| spent.as_ref().and_then(share)).collect()
        };
        let sensors = &now.sensors;
        let metrics = CpuMetrics {
            usage_percent: spent.as_ref().and_then(Spent::busy),
            per_core: per_core(Spent::busy),
            user: share(USER),
            system: share(SYSTEM),
            idle: share(IDLE),
            iowait: share(IOWAIT),
            irq: share(IRQ),
            softirq: share(SOFTIRQ),
            nice: share(NICE),
            steal: share(STEAL),
            guest: spent.as_ref().and_then(Spent::guest),
            per_core_user: per_core(|spent| spent.share(USER)),
            per_core_system: per_core(|spent| spent.share(SYSTEM)),
            per_core_iowait: per_core(|spent| spent.share(IOWAIT)),
            per_core_irq: per_core(|spent| spent.share(IRQ)),
            per_core_softirq: per_core(|spent| spent.share(SOFTIRQ)),
            per_core_steal: per_core(|spent| spent.share(STEAL)),
            frequency_mhz: sensors.frequency_mhz.clone(),
            temperature_celsius: sensors.temperature_celsius.clone(),
            temperature_sensors: sensors.temperature_sensors.clone(),
            frequency_limit_mhz: sensors.limits.as_ref().map(|limits| limits.mhz.clone()),
            governor: sensors.limits.as_ref().map(|limits| limits.governors.clone()),
            throttles: now.throttles,
            interrupts: now.interrupts,
            times: now.steady.clone(),
            activity: now.activity,
            throttled: now.throttled.clone(),
        };
        let problems = now.problems.iter().chain(&sensors.problems).cloned().collect();
        Report { metrics, problems, truncated: now.truncated }
    }
}

/// What one CPU, or all of them, spent between two readings.
struct Spent {
    ticks: CpuTimes,
    total: u64,
}

impl Spent {
    /// None when the counters were reset: user or system time, which never run backwards, did.
    fn between(before: &CpuTimes, now: &CpuTimes) -> Option<Self> {
        let mut ticks = [0; 10];
        for (slot, (before, now)) in ticks.iter_mut().zip(before.iter().zip(now)) {
            *slot = now.saturating_sub(*before);
        }
        let reset = before[USER] > now[USER] || before[SYSTEM] > now[SYSTEM];
        let [modes @ .., _guest, _guest_nice] = &ticks;
        let total = modes.iter().fold(0_u64, |sum, ticks| sum.saturating_add(*ticks));
        (!reset).then_some(Self { ticks, total })
    }

    fn share(&self, mode: usize) -> Option<f64> {
        percent(*self.ticks.get(mode)?, self.total)
    }

    /// Both kinds of guests' time, which are parts of user and nice.
    fn guest(&self) -> Option<f64> {
        let [.., guest, guest_nice] = self.ticks;
        percent(guest.saturating_add(guest_nice), self.total)
    }

    fn busy(&self) -> Option<f64> {
        let idle = self.ticks[IDLE].saturating_add(self.ticks[IOWAIT]);
        percent(self.total.saturating_sub(idle), self.total)
    }
}

/// Brings what was told of each CPU up to what is said of it now. To whoever computes rates of counters, one that falls
/// was reset, so idle and iowait wait where they are until the kernel's have caught up.
fn steady(told: &mut Vec<Option<CpuTimes>>, now: &[Option<CpuTimes>]) {
    told.resize(now.len(), None);
    for (told, now) in told.iter_mut().zip(now) {
        let (Some(before), Some(times)) = (told.as_mut(), now) else {
            *told = *now;
            continue;
        };
        let fell = |mode: usize| {
            let pair = before.get(mode).zip(times.get(mode));
            pair.map_or(0, |(before, now)| before.saturating_sub(*now))
        };
        let reset =
            fell(USER) > 0 || fell(SYSTEM) > 0 || fell(IDLE).max(fell(IOWAIT)) > LARGEST_FALL;
        for (slot, ticks) in before.iter_mut().zip(times) {
            *slot = if reset { *ticks } else { (*slot).max(*ticks) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Malformed;

    fn stat(text: &str) -> Result<CpuReading, Malformed> {
        let mut reading = CpuReading::default();
        parse_stat(text.as_bytes(), &mut reading).map(|()| reading)
    }

    fn metrics(before: &str, now: &str) -> CpuMetrics {
        let before = stat(before).unwrap();
        Cpu::derive(Some((&before, Duration::from_secs(1))), &stat(now).unwrap()).metrics
    }

    #[test]
    fn guest_time_is_inside_user() {
        let cpu = metrics("cpu 0 0 0 0 0 0 0 0 0 0\n", "cpu 50 0 10 30 10 0 0 0 40 0\n");
        assert_eq!(cpu.user, Some(50.0));
        assert_eq!(cpu.usage_percent, Some(60.0));
        assert_eq!(cpu.iowait, Some(10.0));
        assert_eq!(cpu.guest, Some(40.0));
    }

    #[test]
    fn stolen_and_nice_time_are_told_by_core_and_together() {
        let cpu = metrics(
            "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n",
            "cpu 10 20 30 100 5 5 10 20\ncpu0 10 20 30 0 5 5 10 20\ncpu1 0 0 0 100 0 0 0 0\n",
        );
        assert_eq!((cpu.nice, cpu.steal, cpu.guest), (Some(10.0), Some(10.0), Some(0.0)));
        assert_eq!(cpu.per_core_user, [Some(10.0), Some(0.0)]);
        assert_eq!(cpu.per_core_system, [Some(30.0), Some(0.0)]);
        assert_eq!(cpu.per_core_iowait, [Some(5.0), Some(0.0)]);
        assert_eq!(cpu.per_core_irq, [Some(5.0), Some(0.0)]);
        assert_eq!(cpu.per_core_softirq, [Some(10.0), Some(0.0)]);
        assert_eq!(cpu.per_core_steal, [Some(20.0), Some(0.0)]);
    }

    #[test]
    fn iowait_running_backwards_counts_as_no_time() {
        let cpu = metrics("cpu 0 0 0 0 10 0 0\n", "cpu 5 0 0 5 8 0 0\n");
        assert_eq!((cpu.usage_percent, cpu.iowait), (Some(50.0), Some(0.0)));
    }

    #[test]
    fn a_reset_gives_no_share() {
        let cpu = metrics("cpu 100 0 0 0\ncpu0 100 0 0 0\n", "cpu 5 0 0 5\ncpu0 5 0 0 5\n");
        assert_eq!((cpu.usage_percent, cpu.per_core), (None, vec![None]));
    }

    #[test]
    fn an_offline_cpu_leaves_a_hole_at_its_number() {
        let all = "cpu 0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\ncpu2 0 0 0 0\n";
        let one_off = "cpu 6 0 0 4\ncpu0 1 0 0 4\ncpu2 5 0 0 0\n";
        assert_eq!(metrics(all, one_off).per_core, [Some(20.0), None, Some(100.0)]);
        assert_eq!(
            metrics(one_off, "cpu 9 0 0 9\ncpu0 2 0 0 5\ncpu1 1 0 0 1\ncpu2 6 0 0 0\n").per_core[1],
            None
        );
    }

    #[test]
    fn times_that_are_told_never_fall_by_a_little() {
        let times = |user, idle, iowait| Some([user, 0, 0, idle, iowait, 0, 0, 0, 0, 0]);
        let mut told = Vec::new();
        for (now, tells) in [
            (times(5, 100, 10), times(5, 100, 10)),
            (times(6, 99, 8), times(6, 100, 10)),
            (times(6, 101, 9), times(6, 101, 10)),
            (None, None),
            (times(7, 900, 9), times(7, 900, 9)),
            (times(8, 500, 9), times(8, 500, 9)),
            (times(1, 499, 9), times(1, 499, 9)),
        ] {
            steady(&mut told, &[now]);
            assert_eq!(told, [tells]);
        }
        steady(&mut told, &[]);
        assert_eq!(told, []);
    }

    #[test]
    fn what_follows_the_cpus_is_read() {
        let text = "cpu 1 2 3 4\nintr 273242 0 7\nctxt 376933\nbtime 1795689933\nprocesses 12\nprocs_running x\n\
                    procs_blocked 18446744073709551615\nsoftirq 9 1\n";
        let expected = Activity {
            interrupts: Some(273_242),
            context_switches: Some(376_933),
            boot_time: Some(1_795_689_933),
            forks: Some(12),
            running: None,
            blocked: None,
        };
        assert_eq!(stat(text).unwrap().activity, expected);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            ("", "1: no line of all CPUs together"),
            ("cpu 1 2 3\n", "1: expected 4 counters, found 3"),
            ("cpu 1 2 3 4\ncpu0 1 2 x 4\n", "2: not a number: x"),
            ("cpu 1 2 3 4\ncpu0 1 2 3 4 5 -6\n", "2: not a number: -6"),
            ("cpu 1 2 3 4\ncpu0x 1 2 3 4\n", "2: not a CPU: cpu0x"),
        ] {
            assert_eq!(stat(text).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn cpus_beyond_the_limit_are_left_out_and_said() {
        let reading = stat("cpu 1 2 3 4\ncpu0 1 2 3 4\ncpu4000000000 1 2 3 4\n").unwrap();
        assert!(reading.truncated);
        assert_eq!(reading.cores.len(), 1);
    }
}
