//! Pressure: /proc/pressure.
//!
//! ```text
//! some avg10=0.34 avg60=1.22 avg300=8.38 total=5577568053
//! full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//! ```
//!
//! `total` is in microseconds and all that is taken: the averages follow from it. cpu has had `full` since 5.13, irq (since 6.1) has nothing else. A kernel that
//! was built with PSI and booted without has no such directory (5.2 and later), or files that answer EOPNOTSUPP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;
use perfwatch_metrics::pressure::{PressureMetrics, ResourcePressure};
use rustix::io::Errno;

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile};
use crate::parse::{lines, number, words};
use crate::rate::scaled_per_second;

/// What can be waited for.
const RESOURCES: [&str; 4] = ["cpu", "memory", "io", "irq"];

/// Percent of time in a microsecond per second.
const PERCENT: f64 = 1e-4;

/// What the kernel said of each of `RESOURCES`; None for what it does not account for.
#[derive(Debug, Default)]
pub struct PressureReading {
    resources: [Option<Stalls>; RESOURCES.len()],
    problems: Vec<Problem>,
}

/// Microseconds since boot in which some tasks waited, and all. None where the kernel has no such line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stalls {
    /// Of the line `some`.
    pub some: Option<u64>,
    /// Of the line `full`.
    pub full: Option<u64>,
}

/// Collects [`PressureMetrics`].
#[derive(Debug)]
pub struct Pressure {
    host: Arc<Host>,
    files: [Hardware<KernelFile>; RESOURCES.len()],
}

impl Collector for Pressure {
    const NAME: &'static str = "pressure";
    type Reading = PressureReading;
    type Metrics = PressureMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), files: [const { Hardware::unknown() }; RESOURCES.len()] }
    }

    fn read(&mut self, into: &mut PressureReading) -> Result<(), Error> {
        into.problems.clear();
        let now = Instant::now();
        let mut first = None;
        for ((name, file), slot) in RESOURCES.iter().zip(&mut self.files).zip(&mut into.resources) {
            let stalls = file
                .find(now, || open(&self.host, name))
                .and_then(|file| file.parse(parse_pressure).map_err(not_in_kernel));
            *slot = stalls.as_ref().ok().copied();
            let Err(error) = stalls else { continue };
            if !matches!(error, Error::Before(_)) {
                file.lose();
            }
            // What a kernel does not account for is not listed.
            if error.state() != State::Unavailable {
                into.problems.push(Problem::new(format!("resources.{name}"), &error));
            }
            first = first.or(Some(error));
        }
        match first {
            Some(error) if into.resources.iter().all(Option::is_none) => Err(error),
            _ => Ok(()),
        }
    }

    fn derive(
        before: Option<(&PressureReading, Duration)>,
        now: &PressureReading,
    ) -> Report<PressureMetrics> {
        let (earlier, elapsed) = before
            .map_or(([None; RESOURCES.len()], Duration::ZERO), |(reading, elapsed)| {
                (reading.resources, elapsed)
            });
        let share = |before: Option<u64>, now: Option<u64>| {
            scaled_per_second(PERCENT, before?, now?, elapsed)
        };
        let mut resources = BTreeMap::new();
        for ((name, before), now) in RESOURCES.iter().zip(earlier).zip(now.resources) {
            let Some(Stalls { some, full }) = now else { continue };
            let before = before.unwrap_or_default();
            let pressure = ResourcePressure {
                some_us: some,
                full_us: full,
                some_percent: share(before.some, some),
                full_percent: share(before.full, full),
            };
            resources.insert(*name, pressure);
        }
        let problems = now.problems.clone();
        Report { metrics: PressureMetrics { resources }, problems, truncated: false }
    }
}

/// The file of a resource, if it answers.
fn open(host: &Host, name: &str) -> Result<KernelFile, Error> {
    let mut file = host.procfs(&format!("pressure/{name}"));
    match file.read() {
        Ok(_) => Ok(file),
        Err(error) => Err(not_in_kernel(error)),
    }
}

/// What the two ways of not having it mean.
fn not_in_kernel(error: Error) -> Error {
    let Error::Read { path, source } = &error else { return error };
    let is_off = source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error());
    if !is_off && !error.is_absent() {
        return error;
    }
    let why = if is_off { "is switched off" } else { "does not exist" };
    Error::NotInKernel {
        what: format!("no pressure stall information: {} {why}", path.display()),
        fix: "boot with psi=1 on the kernel's command line, on a kernel with CONFIG_PSI",
    }
}

/// Reads a file of /proc/pressure. Other lines and words are skipped.
pub fn parse_pressure(text: &[u8]) -> Result<Stalls, Malformed> {
    let mut stalls = Stalls::default();
    for (index, line) in lines(text) {
        let mut words = words(line);
        let slot = match words.next() {
            Some(b"some") => &mut stalls.some,
            Some(b"full") => &mut stalls.full,
            _ => continue,
        };
        let total = words.find_map(|word| word.strip_prefix(b"total="));
        let total = total.and_then(number).ok_or_else(|| Malformed::at(index, "no total="))?;
        *slot = Some(total);
    }
    if stalls == Stalls::default() {
        return Err(Malformed::at(0, "neither some nor full"));
    }
    Ok(stalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_taken_and_averages_are_not() {
        let text = b"some avg10=3.46 avg60=1.28 avg300=8.40 total=5577568053\nfull avg10=0.00 total=7\nmore\n";
        let stalls = Stalls { some: Some(5_577_568_053), full: Some(7) };
        assert_eq!(parse_pressure(text), Ok(stalls));
        // Of cpu before 5.13, and of irq.
        assert_eq!(parse_pressure(b"some total=1\n"), Ok(Stalls { some: Some(1), full: None }));
        assert_eq!(parse_pressure(b"full total=1"), Ok(Stalls { some: None, full: Some(1) }));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            ("", "1: neither some nor full"),
            ("some avg10=1\n", "1: no total="),
            ("some total=1\nfull total=-1\n", "2: no total="),
        ] {
            assert_eq!(parse_pressure(text.as_bytes()).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn shares_are_of_the_time_between() {
        let reading = |some, full| PressureReading {
            resources: [None, Some(Stalls { some, full }), None, None],
            ..PressureReading::default()
        };
        let (before, now) = (reading(Some(1_000), None), reading(Some(251_000), Some(5)));
        let report = Pressure::derive(Some((&before, Duration::from_secs(1))), &now);
        let memory = &report.metrics.resources["memory"];
        assert_eq!((memory.some_percent, memory.full_percent), (Some(25.0), None));
        let fell = Pressure::derive(Some((&now, Duration::from_secs(1))), &before);
        assert_eq!(fell.metrics.resources["memory"].some_percent, None);
    }

    #[test]
    fn a_kernel_without_it_says_what_to_do() {
        let path = "/proc/pressure/cpu";
        for (errno, why) in
            [(Errno::OPNOTSUPP, "is switched off"), (Errno::NOENT, "does not exist")]
        {
            let error = not_in_kernel(Error::Read { path: path.into(), source: errno.into() });
            assert_eq!(error.state(), State::Unavailable);
            assert_eq!(error.to_string(), format!("no pressure stall information: {path} {why}"));
            assert!(error.fix().unwrap().contains("psi=1"));
        }
        let denied = Error::Read { path: path.into(), source: Errno::ACCESS.into() };
        assert_eq!(not_in_kernel(denied).state(), State::Failed);
    }
}
