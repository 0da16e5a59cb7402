//! Frequency and temperature, on errands of their own: some drivers take 20 ms for the frequency of a core
//! by design, a sensor behind a bus may hang, and neither may delay the CPU times. What did not come in time
//! is shown as it last was, with its age.
//!
//! Sources, as psutil takes them: `cpu MHz` of /proc/cpuinfo where it names as many CPUs as cpufreq has
//! policies (or where there is no cpufreq), else scaling_cur_freq; sensors of /sys/class/hwmon, else
//! /sys/class/thermal. Of all sensors only those of processors are taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;

use super::MAX_CPUS;
use crate::errand::{Answer, Slow};
use crate::error::{Error, Malformed, Problem};
use crate::host::{Host, KernelFile};
use crate::parse::{fraction, lines, number, words};

/// A value that is older is said to be.
const FRESH: Duration = Duration::from_millis(500);

/// An older value is no longer shown.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How often sensors and policies are looked for anew: drivers load late, CPUs come and go.
const RESCAN: Duration = Duration::from_secs(60);

/// Most sensors. A 2-socket server with 128 cores has 130.
const MAX_SENSORS: usize = 1024;

/// Chips of hwmon whose sensors sit in a processor.
const CPU_CHIPS: [&str; 10] = [
    "coretemp",
    "k10temp",
    "zenpower",
    "k8temp",
    "fam15h_power",
    "via_cputemp",
    "cpu_thermal",
    "cpu-thermal",
    "soc_thermal",
    "cputemp",
];

/// What the slow files said, in the snapshot's form.
#[derive(Debug, Default)]
pub(super) struct SensorReading {
    pub(super) frequency_mhz: Option<Vec<Option<f64>>>,
    pub(super) temperature_celsius: Option<Vec<Option<f64>>>,
    pub(super) temperature_sensors: Option<Vec<String>>,
    pub(super) problems: Vec<Problem>,
}

/// The two errands: slow frequencies do not hold up quick temperatures.
#[derive(Debug)]
pub(super) struct Sensors {
    frequencies: Lasting<Vec<Option<f64>>>,
    temperatures: Lasting<Temperatures>,
}

/// Readings and names of the sensors, in the same order.
type Temperatures = (Vec<Option<f64>>, Vec<String>);

impl Sensors {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        let mut frequencies = Frequencies::new(Arc::clone(host));
        let mut thermometers = Thermometers::new(Arc::clone(host));
        Self {
            frequencies: Lasting::new(host, "frequency_mhz", move || frequencies.read()),
            temperatures: Lasting::new(host, "temperature_celsius", move || thermometers.read()),
        }
    }

    /// What the sensors say, or last said.
    pub(super) fn read(&mut self, into: &mut SensorReading) {
        into.problems.clear();
        into.frequency_mhz = self.frequencies.look(&mut into.problems);
        (into.temperature_celsius, into.temperature_sensors) =
            self.temperatures.look(&mut into.problems).unzip();
    }
}

/// What an errand found, or why nothing.
type Finding<T> = Result<T, Error>;

/// An errand whose last answer is worth showing for a while.
#[derive(Debug)]
struct Lasting<T> {
    part: &'static str,
    errand: Arc<Slow<Finding<T>>>,
    /// The last answer, and when it was sent for.
    last: Option<(Instant, Finding<T>)>,
}

impl<T: Default + Clone + Send + 'static> Lasting<T> {
    fn new(
        host: &Host,
        part: &'static str,
        work: impl FnMut() -> Finding<T> + Send + 'static,
    ) -> Self {
        let errand = Slow::new(work);
        host.errands().add(&errand);
        Self { part, errand, last: None }
    }

    /// The newest value, and what is to be said of it. What this host does not have is an empty value.
    fn look(&mut self, problems: &mut Vec<Problem>) -> Option<T> {
        let mut say = |state, reason| {
            problems.push(Problem { part: self.part.to_owned(), state, reason, fix: None });
        };
        match self.errand.take() {
            Some(Answer { outcome: Ok(found), asked, .. }) => self.last = Some((asked, found)),
            Some(Answer { outcome: Err(panic), .. }) => {
                self.last = None;
                say(State::Failed, format!("reading them panicked: {panic}"));
                return None;
            }
            None => {}
        }
        let age =
            self.last.as_ref().map(|(asked, _)| asked.elapsed()).filter(|age| *age <= MAX_AGE);
        let (Some(age), Some((_, found))) = (age, &self.last) else {
            say(State::Late, "their files have not answered".to_owned());
            return None;
        };
        match found {
            Ok(value) => {
                if age > FRESH {
                    let age = age.as_secs_f64();
                    say(
                        State::Late,
                        format!("their files are slow to answer: the values are {age:.1} s old"),
                    );
                }
                Some(value.clone())
            }
            Err(error) => {
                problems.push(Problem::new(self.part, error));
                (error.state() == State::Unavailable).then(T::default)
            }
        }
    }
}

/// The files of the frequencies.
struct Frequencies {
    host: Arc<Host>,
    cpuinfo: KernelFile,
    policies: Vec<Policy>,
    found_at: Option<Instant>,
    /// How many CPUs /proc/cpuinfo named with a frequency at the last tick.
    listed: usize,
}

impl Frequencies {
    fn new(host: Arc<Host>) -> Self {
        let cpuinfo = host.procfs("cpuinfo");
        Self { host, cpuinfo, policies: Vec::new(), found_at: None, listed: 0 }
    }

    fn read(&mut self) -> Finding<Vec<Option<f64>>> {
        let mut by_cpu = Vec::new();
        let listed = self.cpuinfo.parse(|text| parse_cpuinfo(text, &mut by_cpu));
        let count = *listed.as_ref().unwrap_or(&0);
        // When a CPU goes on or offline, its policy goes with it.
        let moved = std::mem::replace(&mut self.listed, count) != count;
        if moved || self.found_at.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.policies = find_policies(&self.host);
            self.found_at = Some(Instant::now());
        }
        if self.policies.is_empty() {
            // An unreadable cpuinfo is an error only where it is the one source.
            listed?;
        } else if count != self.policies.len() {
            by_cpu = self.ask_policies();
        }
        if by_cpu.is_empty() {
            return Err(Error::Unavailable(
                "neither /proc/cpuinfo nor cpufreq tells a frequency".to_owned(),
            ));
        }
        Ok(by_cpu)
    }

    fn ask_policies(&mut self) -> Vec<Option<f64>> {
        let mut by_cpu = Vec::new();
        for policy in &mut self.policies {
            let mhz = policy.read();
            for &cpu in &policy.cpus {
                set(&mut by_cpu, cpu, mhz);
            }
        }
        by_cpu
    }
}

/// Puts the value of a CPU at its number.
fn set(by_cpu: &mut Vec<Option<f64>>, cpu: usize, value: Option<f64>) {
    if by_cpu.len() <= cpu {
        by_cpu.resize(cpu.saturating_add(1), None);
    }
    if let Some(slot) = by_cpu.get_mut(cpu) {
        *slot = value;
    }
}

/// The files of the temperatures.
struct Thermometers {
    host: Arc<Host>,
    sensors: Vec<Sensor>,
    found_at: Option<Instant>,
}

impl Thermometers {
    fn new(host: Arc<Host>) -> Self {
        Self { host, sensors: Vec::new(), found_at: None }
    }

    fn read(&mut self) -> Finding<Temperatures> {
        if self.found_at.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.sensors = find_sensors(&self.host);
            self.found_at = Some(Instant::now());
        }
        if self.sensors.is_empty() {
            let none =
                "no processor's temperature sensor in /sys/class/hwmon or /sys/class/thermal";
            return Err(Error::Unavailable(none.to_owned()));
        }
        let values = self.sensors.iter_mut().map(Sensor::read).collect();
        Ok((values, self.sensors.iter().map(|sensor| sensor.name.clone()).collect()))
    }
}

/// A group of CPUs that change their frequency together.
struct Policy {
    cpus: Vec<usize>,
    current: KernelFile,
    /// Where old kernels have it.
    old_current: KernelFile,
}

/// One temperature.
struct Sensor {
    name: String,
    input: KernelFile,
}

impl Policy {
    fn read(&mut self) -> Option<f64> {
        let khz = self.current.read().or_else(|_| self.old_current.read()).ok()?;
        let khz = number(khz.trim_ascii())?;
        Some(khz as f64 / 1000.0)
    }
}

impl Sensor {
    /// None when the sensor does not answer: the chip sleeps, or its driver failed.
    fn read(&mut self) -> Option<f64> {
        Some(fraction(self.input.read().ok()?)? / 1000.0)
    }
}

/// Reads `cpu MHz` of /proc/cpuinfo into the positions of the CPUs, and says how many there were. Arm and others
/// list none.
pub fn parse_cpuinfo(text: &[u8], by_cpu: &mut Vec<Option<f64>>) -> Result<usize, Malformed> {
    by_cpu.clear();
    let mut listed = 0_usize;
    let mut cpu = 0_usize;
    for (index, line) in lines(text) {
        if line.starts_with(b"processor") {
            // s390 writes `processor 0: version = …`, which names no frequency.
            cpu = value(line)
                .and_then(|value| usize::try_from(number(value)?).ok())
                .filter(|cpu| *cpu < MAX_CPUS)
                .unwrap_or(by_cpu.len());
        } else if line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"cpu MHz")) {
            let mhz = value(line).and_then(fraction).filter(|mhz| *mhz >= 0.0);
            let mhz = mhz.ok_or_else(|| Malformed::at(index, "not a frequency"))?;
            if cpu >= MAX_CPUS {
                continue;
            }
            set(by_cpu, cpu, Some(mhz));
            listed = listed.saturating_add(1);
        }
    }
    Ok(listed)
}

fn value(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    Some(line.get(colon.saturating_add(1)..)?.trim_ascii())
}

fn find_policies(host: &Host) -> Vec<Policy> {
    const CPUS: &str = "devices/system/cpu";
    let policy = |directory: &str, first: usize| {
        let affected = host.sysfs_text(&format!("{directory}/affected_cpus"));
        let cpus = affected.map_or_else(
            || vec![first],
            |cpus| {
                words(cpus.as_bytes())
                    .filter_map(|cpu| usize::try_from(number(cpu)?).ok())
                    .collect()
            },
        );
        Policy {
            cpus: cpus.into_iter().filter(|cpu| *cpu < MAX_CPUS).take(MAX_CPUS).collect(),
            current: host.sysfs(&format!("{directory}/scaling_cur_freq")),
            old_current: host.sysfs(&format!("{directory}/cpuinfo_cur_freq")),
        }
    };
    let numbered = |names: Vec<String>, prefix: &'static str| {
        names
            .into_iter()
            .filter_map(move |name| Some((name.strip_prefix(prefix)?.parse().ok()?, name)))
    };
    let policies: Vec<_> = numbered(host.sysfs_names(&format!("{CPUS}/cpufreq")), "policy")
        .map(|(first, name)| policy(&format!("{CPUS}/cpufreq/{name}"), first))
        .collect();
    if !policies.is_empty() {
        return policies;
    }
    // Kernels before 4.3 have a directory in each CPU's own.
    let of_cpus = numbered(host.sysfs_names(CPUS), "cpu");
    let directories = of_cpus.map(|(cpu, name)| (cpu, format!("{CPUS}/{name}/cpufreq")));
    directories
        .filter(|(_, directory)| !host.sysfs_names(directory).is_empty())
        .map(|(cpu, directory)| policy(&directory, cpu))
        .collect()
}

fn find_sensors(host: &Host) -> Vec<Sensor> {
    let mut found = Vec::new();
    let mut any_chip = false;
    for chip in host.sysfs_names("class/hwmon") {
        // Kernels before 3.15 have the attributes one directory further down.
        for dir in [format!("class/hwmon/{chip}"), format!("class/hwmon/{chip}/device")] {
            let names = host.sysfs_names(&dir);
            let inputs = names.iter().filter_map(|name| name.strip_suffix("_input"));
            let inputs: Vec<_> = inputs.filter(|name| name.starts_with("temp")).collect();
            any_chip |= !inputs.is_empty();
            let Some(kind) = host.sysfs_text(&format!("{dir}/name")) else { continue };
            if inputs.is_empty() || !CPU_CHIPS.contains(&kind.as_str()) {
                continue;
            }
            found.extend(chip_sensors(host, &dir, &kind, &inputs));
            break;
        }
    }
    if !any_chip {
        found.extend(
            host.sysfs_names("class/thermal").iter().filter_map(|zone| thermal_zone(host, zone)),
        );
    }
    found.truncate(MAX_SENSORS);
    found
}

/// The sensors of one chip: of the cores where it has them, else all.
fn chip_sensors(host: &Host, dir: &str, kind: &str, inputs: &[&str]) -> Vec<Sensor> {
    let labels: BTreeMap<&str, String> = inputs
        .iter()
        .filter_map(|input| Some((*input, host.sysfs_text(&format!("{dir}/{input}_label"))?)))
        .collect();
    let is_core = |input: &&str| labels.get(input).is_some_and(|label| label.starts_with("Core "));
    let of_cores: Vec<&str> = inputs.iter().copied().filter(|input| is_core(input)).collect();
    let chosen = if of_cores.is_empty() { inputs.to_vec() } else { of_cores };
    let sensor = |input: &str| {
        let label = labels.get(input).map_or(input, String::as_str);
        Sensor {
            name: format!("{kind} {label}"),
            input: host.sysfs(&format!("{dir}/{input}_input")),
        }
    };
    chosen.into_iter().map(sensor).collect()
}

fn thermal_zone(host: &Host, zone: &str) -> Option<Sensor> {
    let kind = host.sysfs_text(&format!("class/thermal/{zone}/type"))?;
    let of_cpu = kind == "x86_pkg_temp" || kind.contains("cpu") || kind.contains("soc");
    let input = host.sysfs(&format!("class/thermal/{zone}/temp"));
    (zone.starts_with("thermal_zone") && of_cpu).then_some(Sensor { name: kind, input })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_is_placed_by_processor_number() {
        let mut by_cpu = Vec::new();
        let text =
            b"processor\t: 0\ncpu MHz\t\t: 2596.098\n\nprocessor\t: 2\ncpu MHz\t\t: 800.000\n";
        assert_eq!(parse_cpuinfo(text, &mut by_cpu), Ok(2));
        assert_eq!(by_cpu, [Some(2596.098), None, Some(800.0)]);
    }

    #[test]
    fn arm_lists_no_frequency() {
        let mut by_cpu = vec![Some(1.0)];
        assert_eq!(parse_cpuinfo(b"processor\t: 0\nBogoMIPS\t: 50.00\n", &mut by_cpu), Ok(0));
        assert!(by_cpu.is_empty());
    }

    #[test]
    fn a_frequency_that_is_none_is_refused() {
        let mut by_cpu = Vec::new();
        for bad in ["cpu MHz\t\t: fast\n", "cpu MHz\n", "cpu MHz : -1\n", "cpu MHz : inf\n"] {
            assert!(parse_cpuinfo(bad.as_bytes(), &mut by_cpu).is_err(), "{bad}");
        }
    }
}
