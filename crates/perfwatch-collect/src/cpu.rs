//! CPU: /proc/stat and /proc/interrupts, and the slower files of frequency and temperature.
//!
//! `cpu  1670 0 1440 181480 243 0 19 23 0 0` of /proc/stat is user, nice, system, idle, iowait, irq, softirq,
//! steal, guest and guest_nice in ticks of USER_HZ. Columns came over time (steal with 2.6.11, guest with
//! 2.6.24, guest_nice with 2.6.33); missing ones are 0. Guest time is part of user already, guest_nice of
//! nice. idle and iowait of a CPU may go backwards by a little (proc(5)); that counts as no time.

mod sensors;

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::cpu::{Activity, CpuMetrics, CpuTimes, TICKS_PER_SECOND};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::host::{Host, KernelFile};
use crate::parse::{fill, lines, number, shown, words};
use crate::rate::percent;

pub use sensors::frequency::parse_cpuinfo;
use sensors::{SensorReading, Sensors};

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
    sensors: SensorReading,
    problems: Vec<Problem>,
    /// There were more than [`MAX_CPUS`].
    pub truncated: bool,
}

const USER: usize = 0;
const SYSTEM: usize = 2;
const IDLE: usize = 3;
const IOWAIT: usize = 4;
const IRQ: usize = 5;
const SOFTIRQ: usize = 6;

/// idle and iowait that fell by more are those of a CPU that was away and counts from the start again.
const LARGEST_FALL: u64 = 3 * TICKS_PER_SECOND;

/// Collects [`CpuMetrics`].
#[derive(Debug)]
pub struct Cpu {
    stat: KernelFile,
    /// The times as they were last told.
    steady: Vec<Option<CpuTimes>>,
    interrupts: KernelFile,
    sensors: Sensors,
}

impl Collector for Cpu {
    const NAME: &'static str = "cpu";
    type Reading = CpuReading;
    type Metrics = CpuMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self {
            stat: host.procfs("stat"),
            steady: Vec::new(),
            interrupts: host.procfs("interrupts"),
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
        self.sensors.read(&mut into.sensors);
        Ok(())
    }

    fn derive(before: Option<(&CpuReading, Duration)>, now: &CpuReading) -> Report<CpuMetrics> {
        let spent = before.and_then(|(before, _)| Spent::between(&before.total, &now.total));
        let share = |mode: usize| spent.as_ref().and_then(|spent| spent.share(mode));
        let core = |(number, core): (usize, &Option<CpuTimes>)| {
            let before = before?.0.cores.get(number)?.as_ref()?;
            Spent::between(before, core.as_ref()?)?.busy()
        };
        let sensors = &now.sensors;
        let metrics = CpuMetrics {
            usage_percent: spent.as_ref().and_then(Spent::busy),
            per_core: now.cores.iter().enumerate().map(core).collect(),
            user: share(USER),
            system: share(SYSTEM),
            idle: share(IDLE),
            iowait: share(IOWAIT),
            irq: share(IRQ),
            softirq: share(SOFTIRQ),
            frequency_mhz: sensors.frequency_mhz.clone(),
            temperature_celsius: sensors.temperature_celsius.clone(),
            temperature_sensors: sensors.temperature_sensors.clone(),
            interrupts: now.interrupts,
            times: now.steady.clone(),
            activity: now.activity,
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

/// Reads /proc/stat: the `cpu` lines, which come first, and single numbers after them.
pub fn parse_stat(text: &[u8], into: &mut CpuReading) -> Result<(), Malformed> {
    /// user, nice, system and idle: all that Linux 2.4 had.
    const FEWEST_COLUMNS: usize = 4;
    into.cores.clear();
    into.truncated = false;
    into.activity = Activity::default();
    let mut total = None;
    for (index, line) in lines(text) {
        let Some(rest) = line.strip_prefix(b"cpu") else {
            parse_activity(line, &mut into.activity);
            continue;
        };
        let mut times = CpuTimes::default();
        let mut columns = words(rest);
        let cpu = if rest.first().is_some_and(u8::is_ascii_digit) { columns.next() } else { None };
        let (always, later) = times.split_at_mut(FEWEST_COLUMNS);
        fill(always, columns.by_ref(), index)?;
        for (slot, word) in later.iter_mut().zip(columns) {
            *slot = number(word)
                .ok_or_else(|| Malformed::at(index, format!("not a number: {}", shown(word))))?;
        }
        let Some(cpu) = cpu else {
            total = Some(times);
            continue;
        };
        match number(cpu).and_then(|cpu| usize::try_from(cpu).ok()) {
            Some(cpu) if cpu < MAX_CPUS => {
                if into.cores.len() <= cpu {
                    into.cores.resize(cpu.saturating_add(1), None);
                }
                if let Some(slot) = into.cores.get_mut(cpu) {
                    *slot = Some(times);
                }
            }
            Some(_) => into.truncated = true,
            None => return Err(Malformed::at(index, format!("not a CPU: cpu{}", shown(cpu)))),
        }
    }
    into.total = total.ok_or_else(|| Malformed::at(0, "no line of all CPUs together"))?;
    Ok(())
}

/// Reads a line of /proc/stat after the CPUs: `ctxt 376933`; of `intr 273242 0 0 …` the sum. Other lines are skipped.
fn parse_activity(line: &[u8], into: &mut Activity) {
    let mut words = words(line);
    let slot = match words.next().unwrap_or_default() {
        b"intr" => &mut into.interrupts,
        b"ctxt" => &mut into.context_switches,
        b"btime" => &mut into.boot_time,
        b"processes" => &mut into.forks,
        b"procs_running" => &mut into.running,
        b"procs_blocked" => &mut into.blocked,
        _ => return,
    };
    *slot = words.next().and_then(number);
    // It is a difference of two counters that are not read at once, and has been seen below zero.
    into.blocked = into.blocked.filter(|blocked| *blocked <= u64::from(u32::MAX));
}

/// Sums the columns of /proc/interrupts, of which the first line says how many there are:
///
/// ```text
///            CPU0       CPU1
///  36:          0      26321 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
/// TLB:        782        668   TLB shootdowns
/// ERR:          0
/// ```
///
/// ERR and MIS are counts of errors, not of interrupts, and have no column of a CPU: they are left out.
pub fn parse_interrupts(text: &[u8]) -> Result<u64, Malformed> {
    let mut lines = lines(text);
    let columns = lines.next().map_or(0, |(_, header)| words(header).count());
    if columns == 0 {
        return Err(Malformed::at(0, "no header of CPUs"));
    }
    let mut sum = 0_u64;
    for (index, line) in lines {
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line)
            .ok_or_else(|| Malformed::at(index, format!("no interrupt: {}", shown(line))))?;
        if matches!(line.get(..colon).unwrap_or_default().trim_ascii(), b"ERR" | b"MIS" | b"Err") {
            continue;
        }
        sum = sum.saturating_add(sum_columns(
            line.get(colon.saturating_add(1)..).unwrap_or_default(),
            columns,
        ));
    }
    Ok(sum)
}

/// Sum of the first `columns` numbers. Stops at the first word that is none: rows such as those of an ARM
/// IPI have no text, and a row never has fewer numbers than there are CPUs unless it is no row of theirs.
fn sum_columns(row: &[u8], columns: usize) -> u64 {
    words(row).take(columns).map_while(number).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn interrupts_are_the_columns_of_cpus_alone() {
        let text = b"     CPU0  CPU1\n  1:  2  3  IO-APIC 7-edge i8042\nTLB: 10 20 TLB shootdowns\nERR: 9\nMIS: 9\nIPI0: 100 200 \n";
        assert_eq!(parse_interrupts(text), Ok(335));
        assert!(parse_interrupts(b"").is_err());
        assert_eq!(
            parse_interrupts(b" CPU0\ngarbage").unwrap_err().to_string(),
            "2: no interrupt: garbage"
        );
    }
}
