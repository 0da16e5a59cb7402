//! Scheduler: /proc/loadavg, /proc/schedstat, /proc/softirqs, and, which the CPUs' collector needs too, /proc/interrupts and the end
//! of /proc/stat.

mod schedstat;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::cpu::Activity;
use perfwatch_metrics::scheduler::{
    HostScheduler, InterruptMetrics, RunQueue, SchedulerMetrics, SoftirqMetrics,
};

use crate::collector::{Collector, Report};
use crate::cpu::parse_activity;
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile, SharedFile};
use crate::interrupts::{Continued, Line, Table};
use crate::limit::{ALL_OTHERS, sum_rates};
use crate::parse::{fraction, words};
use crate::rate::{per_second, scaled_per_second};
use crate::rows::Matcher;

pub use crate::interrupts::{parse_interrupt_lines, parse_softirqs};
pub use schedstat::parse_schedstat;

/// Most interrupt lines that are told by name: those that fired most since the last sample. The rest is summed up as
/// [`ALL_OTHERS`].
pub const MAX_INTERRUPTS: usize = 64;

/// Most kinds of soft interrupts. The kernel has ten; more are left out.
pub const MAX_SOFTIRQS: usize = 32;

/// Threads in a microsecond of waiting per second.
const THREADS: f64 = 1e-6;

/// The same of a nanosecond.
const THREADS_BY_NS: f64 = 1e-9;

/// What the kernel said.
#[derive(Debug, Default)]
pub struct SchedulerReading {
    load: Option<[f64; 3]>,
    activity: Activity,
    /// By the kernel's number; empty without schedstat.
    run_queues: Vec<Option<RunQueue>>,
    /// Of all CPUs that have ever been online.
    waited_ns: Option<u64>,
    interrupts: Table,
    softirqs: Table,
    problems: Vec<Problem>,
    truncated: bool,
}

/// Collects [`SchedulerMetrics`].
#[derive(Debug)]
pub struct Scheduler {
    host: Arc<Host>,
    stat: SharedFile,
    load: SharedFile,
    schedstat: Hardware<KernelFile>,
    /// ns waited by CPU, as last seen.
    waited: Vec<u64>,
    interrupts: SharedFile,
    interrupts_told: Continued,
    softirqs: KernelFile,
    softirqs_told: Continued,
}

impl Collector for Scheduler {
    const NAME: &'static str = "scheduler";
    type Reading = SchedulerReading;
    type Metrics = SchedulerMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self {
            host: Arc::clone(host),
            stat: host.shared_procfs("stat"),
            load: host.shared_procfs("loadavg"),
            schedstat: Hardware::unknown(),
            waited: Vec::new(),
            interrupts: host.shared_procfs("interrupts"),
            interrupts_told: Continued::default(),
            softirqs: host.procfs("softirqs"),
            softirqs_told: Continued::default(),
        }
    }

    fn read(&mut self, into: &mut SchedulerReading) -> Result<(), Error> {
        into.problems.clear();
        into.truncated = false;
        into.activity = self.stat.parse(parse_activity)?;
        let mut say = |part: &str, error: Error| into.problems.push(Problem::new(part, &error));
        into.load = self.load.parse(parse_loadavg).map_err(|error| say("load1", error)).ok();
        let table = &mut into.interrupts;
        match self.interrupts.parse(|text| parse_interrupt_lines(text, table)) {
            Ok(()) => self.interrupts_told.carry_on(table),
            Err(error) => {
                table.forget();
                say("interrupts", error);
            }
        }
        into.truncated |= table.truncated;
        let table = &mut into.softirqs;
        match self.softirqs.parse(|text| parse_softirqs(text, table)) {
            Ok(()) => self.softirqs_told.carry_on(table),
            Err(error) => {
                table.forget();
                say("softirqs", error);
            }
        }
        match self.read_schedstat(&mut into.run_queues) {
            Ok(truncated) => {
                into.truncated |= truncated;
                into.waited_ns = Some(self.waited_ns(&into.run_queues));
            }
            Err(error) => {
                into.run_queues.clear();
                into.waited_ns = None;
                into.problems.push(Problem::new("run_queue_wait", &error));
            }
        }
        Ok(())
    }

    fn derive(
        before: Option<(&SchedulerReading, Duration)>,
        now: &SchedulerReading,
    ) -> Report<SchedulerMetrics> {
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let before = before.map(|(before, _)| before);
        let activity = before.map(|before| before.activity).unwrap_or_default();
        let rate = |before: Option<u64>, now: Option<u64>| per_second(before?, now?, elapsed);
        let waited = |reading: &SchedulerReading| Some(reading.waited_ns? / 1000);
        let load = |place: usize| now.load.as_ref().and_then(|load| load.get(place).copied());
        let wait = |(cpu, queue): (usize, &Option<RunQueue>)| {
            let before = before?.run_queues.get(cpu)?.as_ref()?.waiting_ns;
            scaled_per_second(THREADS_BY_NS, before, queue.as_ref()?.waiting_ns, elapsed)
        };
        let [run_queue_wait_us, waited_before] =
            [Some(now), before].map(|reading| waited(reading?));
        let host = HostScheduler {
            load1: load(0),
            load5: load(1),
            load15: load(2),
            running: now.activity.running,
            blocked: now.activity.blocked,
            context_switches: now.activity.context_switches,
            context_switches_per_sec: rate(
                activity.context_switches,
                now.activity.context_switches,
            ),
            forks: now.activity.forks,
            forks_per_sec: rate(activity.forks, now.activity.forks),
            run_queue_wait_us,
            run_queue_wait: waited_before
                .zip(run_queue_wait_us)
                .and_then(|(before, now)| scaled_per_second(THREADS, before, now, elapsed)),
            per_core_wait: now
                .waited_ns
                .map(|_| now.run_queues.iter().enumerate().map(wait).collect()),
            run_queues: now.run_queues.clone(),
        };
        let earlier = before.and_then(|before| before.interrupts.lines()).unwrap_or_default();
        let interrupts = now.interrupts.lines().map(|lines| busiest(earlier, lines, elapsed));
        let earlier = before.and_then(|before| before.softirqs.lines()).unwrap_or_default();
        let softirqs = now.softirqs.lines().map(|lines| vectors(earlier, lines, elapsed));
        let folded = now.interrupts.lines().is_some_and(|lines| lines.len() > MAX_INTERRUPTS);
        Report {
            metrics: SchedulerMetrics { host, interrupts, softirqs },
            problems: now.problems.clone(),
            truncated: now.truncated || folded,
        }
    }
}

impl Scheduler {
    fn read_schedstat(&mut self, into: &mut Vec<Option<RunQueue>>) -> Result<bool, Error> {
        let open = || {
            let mut file = self.host.procfs("schedstat");
            match file.read() {
                Err(error) if error.is_absent() => Err(Error::NotInKernel {
                    what: "no /proc/schedstat".to_owned(),
                    fix: "run a kernel with CONFIG_SCHEDSTATS",
                }),
                Err(error) => Err(error),
                Ok(_) => Ok(file),
            }
        };
        let file = self.schedstat.find(Instant::now(), open)?;
        file.parse(|text| parse_schedstat(text, into))
    }

    /// ns waited on all CPUs. What was waited on one that has gone offline stays in the sum, or it would be told as if it were new
    /// when that one comes back.
    fn waited_ns(&mut self, run_queues: &[Option<RunQueue>]) -> u64 {
        if self.waited.len() < run_queues.len() {
            self.waited.resize(run_queues.len(), 0);
        }
        for (waited, queue) in self.waited.iter_mut().zip(run_queues) {
            if let Some(queue) = queue {
                *waited = queue.waiting_ns;
            }
        }
        self.waited.iter().fold(0, |sum, waited| sum.saturating_add(*waited))
    }
}

/// The lines that fired most since the reading before, by name, and the rest in one.
fn busiest(before: &[Line], now: &[Line], elapsed: Duration) -> BTreeMap<String, InterruptMetrics> {
    let mut earlier = Matcher::new(before);
    let mut lines: Vec<_> = now
        .iter()
        .map(|line| {
            let before = earlier.find(&line.name).map(|line| line.count);
            (line.count.saturating_sub(before.unwrap_or_default()), before, line)
        })
        .collect();
    if lines.len() > MAX_INTERRUPTS {
        lines.sort_by_key(|(grown, _, line)| Reverse((*grown, line.count)));
    }
    let metrics = |before: Option<u64>, line: &Line| InterruptMetrics {
        count: line.count,
        per_sec: before.and_then(|before| per_second(before, line.count, elapsed)),
    };
    let mut named = BTreeMap::new();
    let mut others: Option<InterruptMetrics> = None;
    for (place, (_, before, line)) in lines.into_iter().enumerate() {
        let one = metrics(before, line);
        if place < MAX_INTERRUPTS {
            named.insert(line.name.clone(), one);
        } else if let Some(others) = &mut others {
            others.count = others.count.saturating_add(one.count);
            sum_rates(&mut others.per_sec, one.per_sec);
        } else {
            others = Some(one);
        }
    }
    named.extend(others.map(|others| (ALL_OTHERS.to_owned(), others)));
    named
}

fn vectors(before: &[Line], now: &[Line], elapsed: Duration) -> BTreeMap<String, SoftirqMetrics> {
    let mut earlier = Matcher::new(before);
    let metrics = |line: &Line| {
        let before = earlier.find(&line.name);
        let per_sec = before.and_then(|before| per_second(before.count, line.count, elapsed));
        (line.name.clone(), SoftirqMetrics { count: line.count, per_sec })
    };
    now.iter().take(MAX_SOFTIRQS).map(metrics).collect()
}

/// Reads the first three of `0.17 0.92 1.58 2/95 4861`.
pub fn parse_loadavg(text: &[u8]) -> Result<[f64; 3], Malformed> {
    let mut words = words(text);
    let mut load = [0.0; 3];
    for slot in &mut load {
        *slot = words
            .next()
            .and_then(fraction)
            .filter(|load| *load >= 0.0)
            .ok_or_else(|| Malformed::at(0, "not three loads"))?;
    }
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn table(lines: impl Iterator<Item = (u64, u64)>) -> Table {
        let rows = lines.map(|(irq, count)| format!("{irq}: {count}  x  device\n"));
        let mut table = Table::default();
        let text = format!(" CPU0\n{}", rows.collect::<String>());
        parse_interrupt_lines(text.as_bytes(), &mut table).unwrap();
        table
    }

    #[test]
    fn loads_are_the_first_three() {
        assert_eq!(parse_loadavg(b"0.17 0.92 1.58 2/95 4861\n"), Ok([0.17, 0.92, 1.58]));
        for bad in ["", "0.17 0.92", "0.17 -1 0.92", "0.17 nan 1", "a b c"] {
            assert!(parse_loadavg(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_busiest_interrupts_are_told_by_name() {
        let before = table((1..=100).map(|irq| (irq, 1000 * irq)));
        let now = table((1..=100).map(|irq| (irq, 1000 * irq + 200 - irq)));
        let told = busiest(before.lines().unwrap(), now.lines().unwrap(), SECOND);
        assert_eq!(told.len(), MAX_INTERRUPTS + 1);
        assert_eq!(told["1: device"].per_sec, Some(199.0));
        assert!(told.contains_key("64: device") && !told.contains_key("65: device"));
        let others = &told[ALL_OTHERS];
        let rate: u64 = (65..=100).map(|irq| 200 - irq).sum();
        assert_eq!(others.per_sec, Some(rate as f64));
        assert_eq!(others.count, (65..=100).map(|irq| 1000 * irq + 200 - irq).sum::<u64>());
    }

    #[test]
    fn a_line_that_fires_for_the_first_time_has_no_rate_yet() {
        let (before, now) = (table([(1, 5)].into_iter()), table([(1, 9), (2, 7)].into_iter()));
        let told = busiest(before.lines().unwrap(), now.lines().unwrap(), SECOND);
        let rates = ["1: device", "2: device"].map(|irq| told[irq].per_sec);
        assert_eq!(rates, [Some(4.0), None]);
    }

    fn queues(waiting_ns: [Option<u64>; 2]) -> Vec<Option<RunQueue>> {
        let queue = |waiting_ns| RunQueue { waiting_ns, ..RunQueue::default() };
        waiting_ns.into_iter().map(|ns| ns.map(queue)).collect()
    }

    #[test]
    fn waiting_is_threads_on_average() {
        let reading = |waiting: [Option<u64>; 2]| SchedulerReading {
            run_queues: queues(waiting),
            waited_ns: Some(waiting.into_iter().flatten().sum()),
            ..SchedulerReading::default()
        };
        let before = reading([Some(0), Some(5_000)]);
        let now = reading([Some(1_500_000_000), Some(500_005_000)]);
        let host = Scheduler::derive(Some((&before, SECOND)), &now).metrics.host;
        assert_eq!(host.run_queue_wait_us, Some(2_000_005));
        assert_eq!(host.run_queue_wait, Some(2.0));
        assert_eq!(host.per_core_wait, Some(vec![Some(1.5), Some(0.5)]));
        let first = Scheduler::derive(None, &now).metrics.host;
        assert_eq!((first.run_queue_wait, first.per_core_wait), (None, Some(vec![None, None])));
    }

    #[test]
    fn what_a_cpu_waited_before_it_went_away_is_not_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::new(&Arc::new(Host::recorded(dir.path())));
        let sums: Vec<_> = [[Some(5), Some(100)], [Some(6), None], [Some(7), Some(101)]]
            .map(|waiting| scheduler.waited_ns(&queues(waiting)))
            .into();
        assert_eq!(sums, [105, 106, 108]);
    }
}
