//! The `perf_events` section: what two totals of a source say.

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::State;
use perfwatch_metrics::perf::{
    Amount, Derived, EVENTS, Event, EventMetrics, Overview, PerfEvents, Running,
};

use super::kernel::Live;
use super::layout::MISSES;
use super::native::Native;
use super::source::{Source, Total, Totals};
use super::stat::PerfStat;
use super::{Means, Settings};
use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::host::Host;
use crate::rate::{percent, thousandths};

/// An event that ran for a smaller part of the time than one in so many is put in relation with nothing.
const MOST_SCALED: u64 = 20;

/// A CPU that was busy for less on average gives no effective frequency: the clock of that has steps of 10 ms.
const LEAST_BUSY: Duration = Duration::from_millis(50);

/// The interval that perf-stat has when nobody said one.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// What a source said.
#[derive(Debug, Default)]
pub struct PerfReading {
    /// What was counted since it began.
    pub totals: Totals,
    /// Its name.
    pub source: &'static str,
    /// The CPUs that were asked for.
    pub cpus: Arc<str>,
}

/// Collects [`PerfEvents`].
#[derive(Debug)]
pub struct Perf {
    /// None for a recording, which has no counters.
    source: Option<Box<dyn Source>>,
    cpus: Arc<str>,
}

impl Perf {
    /// By the settings, for samples at this interval.
    pub fn by(settings: &Settings, interval: Duration, host: &Arc<Host>) -> Self {
        let (cpus, text) = (settings.cpus.clone(), settings.cpus.to_string());
        let source = Live::of(host).map(|kernel| match settings.source {
            Means::Native => Box::new(Native::new(Arc::new(kernel), cpus)) as Box<dyn Source>,
            Means::PerfStat => Box::new(PerfStat::new(host, interval, cpus)),
        });
        Self { source, cpus: text.into() }
    }

    /// From any source.
    pub fn of(source: impl Source + 'static) -> Self {
        Self { source: Some(Box::new(source)), cpus: "all".into() }
    }
}

impl Collector for Perf {
    const NAME: &'static str = "perf_events";
    type Reading = PerfReading;
    type Metrics = PerfEvents;

    fn new(host: &Arc<Host>) -> Self {
        Self::by(&Settings::default(), DEFAULT_INTERVAL, host)
    }

    fn read(&mut self, into: &mut PerfReading) -> Result<(), Error> {
        let Some(source) = &mut self.source else {
            let why = "counters are those of a running kernel, and this is none";
            return Err(Error::Unavailable(why.to_owned()));
        };
        into.source = source.name();
        into.cpus.clone_from(&self.cpus);
        source.read(&mut into.totals)
    }

    fn derive(before: Option<(&PerfReading, Duration)>, now: &PerfReading) -> Report<PerfEvents> {
        let before = before.map(|(before, _)| &before.totals);
        let interval = before.and_then(|before| Interval::between(before, &now.totals));
        let counted = |event: Event| interval.as_ref()?.counted(event);
        let names = |wanted: &dyn Fn(Event) -> bool| -> Vec<String> {
            let events = Event::ALL.into_iter().filter(|event| wanted(*event));
            events.map(|event| event.name().to_owned()).collect()
        };
        let is_unsupported = |event: Event| {
            let absence = now.totals.absence(event);
            absence.is_some_and(|absence| absence.state() == State::Unavailable)
        };
        let unsupported_events = names(&is_unsupported);
        let missing_events = match interval {
            Some(_) => names(&|event| counted(event).is_none() && !is_unsupported(event)),
            None => Vec::new(),
        };
        let available = interval.is_some()
            && unsupported_events.is_empty()
            && missing_events.is_empty()
            && now.totals.uncounted.is_none();
        let status = match (&interval, available) {
            (None, _) => "warming_up",
            (Some(_), true) => "full",
            (Some(_), false) => "partial",
        };
        let overview = Overview {
            available,
            status: status.to_owned(),
            error: error(&now.totals, interval.is_some(), &unsupported_events, &missing_events),
            source: Some(now.source.to_owned()),
            cpu_cores: Some(now.cpus.to_string()),
            interval_ms: interval.as_ref().map(Interval::milliseconds),
            unsupported_events,
            missing_events,
        };
        let metrics = |event: Event| EventMetrics {
            value: counted(event).map(|total| amount(event, total.count)),
            unit: event.unit().map(str::to_owned),
        };
        let running = |event: Event| {
            let total = counted(event)?;
            Some((event, Running { running_pct: percent(total.running, total.enabled)? }))
        };
        let metrics = PerfEvents {
            overview,
            events: Event::ALL.map(|event| (event, metrics(event))).into(),
            running_pct: Event::ALL.into_iter().filter_map(running).collect(),
            derived: interval.as_ref().map(Interval::derived),
        };
        Report { metrics, problems: problems(&now.totals, interval.as_ref()), truncated: false }
    }
}

/// Why not all is there, in one sentence. None when all is.
fn error(
    totals: &Totals,
    interval: bool,
    unsupported: &[String],
    missing: &[String],
) -> Option<String> {
    if !interval {
        let why = if totals.counting {
            "no interval has ended since the last sample"
        } else {
            "counters are being opened"
        };
        return Some(why.to_owned());
    }
    let clause = |events: &[String], what: &str| {
        let list = || format!("{} of {EVENTS} events {what}: {}", events.len(), events.join(", "));
        (!events.is_empty()).then(list)
    };
    let clauses = [
        clause(unsupported, "unsupported by this CPU or kernel"),
        clause(missing, "not counted in this interval"),
        totals.uncounted.as_ref().map(|(cpu, _)| format!("nothing counted on CPU {cpu}")),
    ];
    let clauses: Vec<_> = clauses.into_iter().flatten().collect();
    (!clauses.is_empty()).then(|| clauses.join("; "))
}

/// Why each event that is not there is not.
fn problems(totals: &Totals, interval: Option<&Interval>) -> Vec<Problem> {
    let problem = |event: Event| {
        let part = event.name().to_owned();
        if let Some(absence) = totals.absence(event) {
            let (state, reason, fix) = (absence.state(), absence.reason(), absence.fix());
            return Some(Problem { part, state, reason, fix });
        }
        interval?.counted(event).is_none().then(|| Problem {
            part,
            state: State::Unavailable,
            reason: "no counter of the CPU was free for it in this interval".to_owned(),
            fix: Some(
                "look for others who count: perf, or the watchdog (kernel.nmi_watchdog) which keeps one"
                    .to_owned(),
            ),
        })
    };
    let uncounted = totals.uncounted.as_ref().map(|(cpu, absence)| Problem {
        part: format!("cpu{cpu}"),
        state: absence.state(),
        reason: format!("nothing is counted on this CPU: {}", absence.reason()),
        fix: absence.fix(),
    });
    Event::ALL.into_iter().filter_map(problem).chain(uncounted).collect()
}

fn amount(event: Event, count: u64) -> Amount {
    match event {
        Event::CpuClock => Amount::Milliseconds(thousandths(count as f64 / 1e6)),
        _ => Amount::Count(count),
    }
}

/// What was counted between two readings.
struct Interval {
    time: Duration,
    events: [Total; EVENTS],
    beside: [Total; MISSES.len()],
    busy: Option<Duration>,
}

impl Interval {
    /// None unless counting went on all the time.
    fn between(before: &Totals, now: &Totals) -> Option<Self> {
        let time = now.at.checked_sub(before.at).filter(|time| !time.is_zero())?;
        let busy = now.busy.zip(before.busy);
        (before.counting && now.counting).then(|| Self {
            time,
            events: deltas(&before.events, &now.events),
            beside: deltas(&before.beside, &now.beside),
            busy: busy.and_then(|(now, before)| now.checked_sub(before)),
        })
    }

    fn milliseconds(&self) -> f64 {
        thousandths(self.time.as_secs_f64() * 1000.0)
    }

    /// None when it did not run.
    fn counted(&self, event: Event) -> Option<&Total> {
        self.events.get(event as usize).filter(|total| total.running > 0)
    }

    fn derived(&self) -> Derived {
        use Event::*;
        let of = |factor: f64, part: Event, whole: Event| {
            ratio(factor, self.counted(part)?, self.counted(whole)?)
        };
        let per_second = |event: Event| {
            Some(thousandths(self.counted(event)?.count as f64 / self.time.as_secs_f64()))
        };
        let mpki = |miss: usize| {
            let misses = self.counted(*MISSES.get(miss)?)?;
            let beside = self.beside.get(miss).filter(|total| total.running > 0);
            ratio(1000.0, misses, beside.or_else(|| self.counted(Instructions))?)
        };
        Derived {
            ipc: of(1.0, Instructions, Cycles),
            effective_ghz: self.effective_ghz(),
            branch_miss_percent: of(100.0, BranchMisses, Branches),
            branch_mpki: of(1000.0, BranchMisses, Instructions),
            l1d_mpki: mpki(0),
            llc_mpki: mpki(1),
            dtlb_mpki: mpki(2),
            itlb_mpki: mpki(3),
            context_switches_per_sec: per_second(ContextSwitches),
            cpu_migrations_per_sec: per_second(CpuMigrations),
            page_faults_per_sec: per_second(PageFaults),
        }
    }

    fn effective_ghz(&self) -> Option<f64> {
        let cycles = self.counted(Event::Cycles).filter(|cycles| ran_enough(cycles))?;
        let busy = self.busy?;
        // Time enabled is the interval once for each CPU.
        let (enabled, least) = (u128::from(cycles.enabled), LEAST_BUSY.as_nanos());
        let enough =
            busy.as_nanos().saturating_mul(self.time.as_nanos()) >= enabled.saturating_mul(least);
        enough.then(|| thousandths(cycles.count as f64 / busy.as_nanos() as f64))
    }
}

fn deltas<const N: usize>(before: &[Total; N], now: &[Total; N]) -> [Total; N] {
    let mut deltas = *now;
    for (delta, before) in deltas.iter_mut().zip(before) {
        // Sums over all CPUs pass through 64 bits: cycles of 256 CPUs within a year.
        delta.count = delta.count.wrapping_sub(before.count);
        delta.enabled = delta.enabled.wrapping_sub(before.enabled);
        delta.running = delta.running.wrapping_sub(before.running);
        // Regrouped in between: part of it was counted with others.
        if delta.group != before.group {
            delta.group = MIXED;
        }
    }
    deltas
}

/// Of no group.
const MIXED: u8 = u8::MAX;

fn ran_enough(total: &Total) -> bool {
    total.running.saturating_mul(MOST_SCALED) >= total.enabled
}

/// A ratio of two events that were counted at the same times. None when they were not, or there was nothing to divide by.
fn ratio(factor: f64, part: &Total, whole: &Total) -> Option<f64> {
    let always = |total: &Total| total.running == total.enabled;
    let together = part.group == whole.group && part.group != MIXED;
    let comparable = together || (always(part) && always(whole));
    let usable = comparable && ran_enough(part) && ran_enough(whole) && whole.count > 0;
    usable.then(|| thousandths(factor * part.count as f64 / whole.count as f64))
}
