//! A PMU as sysfs describes it, below /sys/bus/event_source/devices: its number, the CPUs on which it wants to be asked (one for
//! each package, mostly), and its events with their scale and unit.

mod encoding;

use std::collections::BTreeMap;
use std::io;

use crate::error::{Error, Malformed};
use crate::host::{Count, Counter, EventCode, Host, Wanted};
use crate::parse::{fraction, number, shown};
use crate::perf::{Absence, CpuList};

pub use encoding::{Format, encode, parse_format};

/// Where PMUs are.
pub(crate) const DEVICES: &str = "bus/event_source/devices";

/// With so many readings in a row in which a counter was not even enabled, it is taken for dead: after its CPU went offline
/// and came back it can be read with success and stands still for ever.
const MAX_FROZEN: u32 = 3;

/// One PMU.
#[derive(Debug)]
pub(crate) struct Pmu {
    pub(crate) name: String,
    kind: u32,
    /// Where it wants to be asked.
    pub(crate) cpus: Vec<u32>,
    formats: BTreeMap<String, Format>,
}

/// One event of a PMU.
#[derive(Debug)]
pub(crate) struct Event {
    name: String,
    config: [u64; 3],
    /// What one count stands for, in units of `unit`. None when sysfs does not say.
    pub(crate) scale: Option<f64>,
    pub(crate) unit: Option<String>,
}

impl Pmu {
    /// Reads what sysfs says of a PMU that is there.
    pub(crate) fn read(host: &Host, name: &str) -> Result<Self, Error> {
        let dir = format!("{DEVICES}/{name}");
        let kind = host.sysfs(&format!("{dir}/type")).parse(|text| {
            let kind = number(text.trim_ascii()).and_then(|kind| u32::try_from(kind).ok());
            kind.ok_or_else(|| Malformed::at(0, format!("not a number: {}", shown(text))))
        })?;
        let cpus = host.sysfs(&format!("{dir}/cpumask")).parse(|text| {
            let list = String::from_utf8_lossy(text).parse::<CpuList>();
            Ok(list.map_err(|what| Malformed::at(0, what))?.iter().collect())
        })?;
        let mut formats = BTreeMap::new();
        for field in host.sysfs_names(&format!("{dir}/format"))? {
            let format = host
                .sysfs(&format!("{dir}/format/{field}"))
                .parse(|text| Ok(parse_format(text).ok()))?;
            // What cannot be read is missed by the event that needs it, and by no other.
            formats.extend(format.map(|format| (field, format)));
        }
        Ok(Self { name: name.to_owned(), kind, cpus, formats })
    }

    /// An event that sysfs lists. None when it does not.
    pub(crate) fn event(&self, host: &Host, name: &str) -> Result<Option<Event>, Error> {
        let path = format!("{DEVICES}/{}/events/{name}", self.name);
        let config = host
            .sysfs(&path)
            .parse(|text| encode(text, &self.formats).map_err(|what| Malformed::at(0, what)));
        let config = match config {
            Ok(config) => config,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |suffix: &str| host.sysfs_text(&format!("{path}.{suffix}"));
        let scale = text("scale").and_then(|scale| fraction(scale.as_bytes()));
        Ok(Some(Event {
            name: name.to_owned(),
            config,
            scale: scale.filter(|scale| *scale > 0.0),
            unit: text("unit"),
        }))
    }

    /// An event that sysfs does not list, by its fields. None when the PMU has no such fields.
    pub(crate) fn event_of(&self, name: &str, fields: &str) -> Option<Event> {
        let config = encode(fields.as_bytes(), &self.formats).ok()?;
        Some(Event { name: name.to_owned(), config, scale: None, unit: None })
    }

    /// Starts counting an event on one of the PMU's CPUs.
    pub(crate) fn count(&self, host: &Host, event: &Event, cpu: u32) -> Result<Running, Error> {
        let wanted = Wanted {
            pmu: self.name.clone(),
            event: event.name.clone(),
            cpu,
            code: EventCode { kind: self.kind, config: event.config },
        };
        let counter = host.counters().open(&wanted).map_err(|error| {
            let absence = Absence::of(&error, true, paranoid(host));
            Error::Counter { counter: wanted.name(), absence }
        })?;
        Ok(Running { wanted, counter, before: Count::default(), total: 0, frozen: 0 })
    }
}

/// What kernel.perf_event_paranoid is.
fn paranoid(host: &Host) -> Option<i32> {
    let mut file = host.procfs("sys/kernel/perf_event_paranoid");
    std::str::from_utf8(file.read().ok()?.trim_ascii()).ok()?.parse().ok()
}

/// The number of the processor package that a CPU is in. 0 where the kernel does not say.
pub(crate) fn package_of(host: &Host, cpu: u32) -> u64 {
    let path = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
    host.sysfs_text(&path).and_then(|text| number(text.as_bytes())).unwrap_or_default()
}

impl Wanted {
    fn name(&self) -> String {
        let Self { pmu, event, cpu, .. } = self;
        format!("{pmu}/{event}/ on CPU {cpu}")
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::CounterLost { counter: self.name(), source }
    }
}

/// A counter, and what it has counted.
#[derive(Debug)]
pub(crate) struct Running {
    wanted: Wanted,
    counter: Box<dyn Counter>,
    before: Count,
    /// Energy comes in units of 2^-32 J: at 500 W, 64 bits of them last 99 days.
    total: u128,
    frozen: u32,
}

/// How much of the time a counter ran, in ns since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) enabled_ns: u64,
    pub(crate) running_ns: u64,
}

impl Running {
    /// What was counted since it was opened, extrapolated over the time in which others had its place. None when it did not run
    /// since it was last read. Begins again at 0 after a fall. The error means that it has to be opened anew.
    pub(crate) fn advance(&mut self) -> Result<Option<u128>, Error> {
        let now = self.counter.read().map_err(|source| self.wanted.lost(source))?;
        let enabled = now.enabled_ns.saturating_sub(self.before.enabled_ns);
        let running = now.running_ns.saturating_sub(self.before.running_ns);
        self.frozen = if enabled == 0 { self.frozen.saturating_add(1) } else { 0 };
        if self.frozen >= MAX_FROZEN {
            return Err(self.wanted.lost(io::Error::other("it stands still")));
        }
        if running == 0 {
            return Ok(None);
        }
        // The kernel's sum is of 64 bits with a sign, and may pass through them.
        let counted = now.value.wrapping_sub(self.before.value);
        self.total = match i64::try_from(counted) {
            Ok(_) => self.total.saturating_add(extrapolated(counted, enabled, running).into()),
            Err(_) => 0,
        };
        self.before = now;
        Ok(Some(self.total))
    }

    /// What the kernel says, as it stands.
    pub(crate) fn peek(&mut self) -> Result<u64, Error> {
        let count = self.counter.read().map_err(|source| self.wanted.lost(source))?;
        Ok(count.value)
    }

    /// How much of the time it ran.
    pub(crate) fn coverage(&self) -> Coverage {
        Coverage { enabled_ns: self.before.enabled_ns, running_ns: self.before.running_ns }
    }
}

fn extrapolated(counted: u64, enabled: u64, running: u64) -> u64 {
    if running >= enabled {
        return counted;
    }
    let whole =
        u128::from(counted).saturating_mul(u128::from(enabled)) / u128::from(running.max(1));
    u64::try_from(whole).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that says what it was told to.
    #[derive(Debug)]
    struct Script(std::vec::IntoIter<io::Result<Count>>);

    impl Counter for Script {
        fn read(&mut self) -> io::Result<Count> {
            self.0.next().unwrap()
        }
    }

    fn count(value: u64, enabled_ns: u64, running_ns: u64) -> io::Result<Count> {
        Ok(Count { value, enabled_ns, running_ns })
    }

    fn totals(script: Vec<io::Result<Count>>) -> Vec<Option<u128>> {
        let readings = script.len();
        let wanted =
            Wanted { pmu: "p".into(), event: "e".into(), cpu: 0, code: EventCode::default() };
        let counter = Box::new(Script(script.into_iter()));
        let mut running =
            Running { wanted, counter, before: Count::default(), total: 0, frozen: 0 };
        (0..readings).map_while(|_| running.advance().ok()).collect()
    }

    #[test]
    fn what_ran_half_the_time_counted_half() {
        let script = vec![
            count(10, 100, 100),
            count(20, 200, 150),
            count(20, 300, 150),
            count(40, 400, 250),
        ];
        assert_eq!(totals(script), [Some(10), Some(30), None, Some(70)]);
    }

    #[test]
    fn the_kernel_s_sum_may_pass_through_64_bits_and_a_fall_begins_anew() {
        let big = u64::MAX - 9;
        let script = vec![
            count(1 << 62, 1, 1),
            count(1 << 63, 2, 2),
            count(big, 3, 3),
            count(90, 4, 4),
            count(50, 5, 5),
            count(60, 6, 6),
        ];
        assert_eq!(
            totals(script),
            [
                Some(1 << 62),
                Some(1 << 63),
                Some(u128::from(big)),
                Some((1 << 64) + 90),
                Some(0),
                Some(10)
            ]
        );
    }

    #[test]
    fn what_stands_still_or_went_away_is_dead() {
        let frozen = || count(7, 100, 100);
        let script = vec![frozen(), frozen(), frozen(), frozen(), count(8, 200, 200)];
        assert_eq!(totals(script), [Some(7), None, None]);
        let gone = Err(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(totals(vec![frozen(), gone, frozen()]), [Some(7)]);
    }
}
