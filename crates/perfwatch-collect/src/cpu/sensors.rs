//! Frequency and temperature, on an errand of their own: some drivers take 20 ms for the frequency of a core
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
use crate::errand::Slow;
use crate::error::{Error, Malformed, Problem};
use crate::host::{Host, KernelFile};
use crate::parse::{fraction, lines, number, words};

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
#[derive(Debug, Default, Clone)]
pub(super) struct SensorReading {
    pub(super) frequency_mhz: Option<Vec<Option<f64>>>,
    pub(super) temperature_celsius: Option<Vec<Option<f64>>>,
    pub(super) temperature_sensors: Option<Vec<String>>,
    pub(super) problems: Vec<Problem>,
}

/// The errand, and what it brought last.
#[derive(Debug)]
pub(super) struct Sensors {
    errand: Arc<Slow<SensorReading>>,
    last: Option<(Instant, SensorReading)>,
}

impl Sensors {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        let mut files = SensorFiles::new(Arc::clone(host));
        let errand = Slow::new(move || files.read());
        host.errands().add(&errand);
        Self { errand, last: None }
    }

    /// What the sensors say, or last said.
    pub(super) fn read(&mut self, into: &mut SensorReading) {
        let now = Instant::now();
        let trouble = match self.errand.take() {
            Some(Ok(reading)) => {
                self.last = Some((now, reading));
                None
            }
            Some(Err(panic)) => {
                Some((State::Failed, format!("reading the sensors panicked: {panic}")))
            }
            None => Some((State::Late, "the sensors' files have not answered".to_owned())),
        };
        let age = |at: &Instant| now.saturating_duration_since(*at);
        self.last = self.last.take().filter(|(at, _)| age(at) <= MAX_AGE);
        *into = self.last.as_ref().map(|(_, reading)| reading.clone()).unwrap_or_default();
        let Some((state, mut reason)) = trouble else { return };
        if let Some((at, _)) = &self.last {
            reason = format!("{reason}: the values are {} s old", age(at).as_secs());
        }
        for part in ["frequency_mhz", "temperature_celsius"] {
            into.problems.retain(|problem| problem.part != part);
            let fix = None;
            into.problems.push(Problem {
                part: part.to_owned(),
                state,
                reason: reason.clone(),
                fix,
            });
        }
    }
}

/// The files behind the figures, found once and looked for again now and then.
struct SensorFiles {
    host: Arc<Host>,
    cpuinfo: KernelFile,
    policies: Vec<Policy>,
    sensors: Vec<Sensor>,
    found_at: Option<Instant>,
    /// How many CPUs /proc/cpuinfo named with a frequency at the last tick.
    listed: usize,
}

/// A group of CPUs that change their frequency together.
struct Policy {
    cpus: Vec<usize>,
    current: KernelFile,
}

/// One temperature.
struct Sensor {
    name: String,
    input: KernelFile,
}

impl SensorFiles {
    fn new(host: Arc<Host>) -> Self {
        let cpuinfo = host.procfs("cpuinfo");
        Self { host, cpuinfo, policies: Vec::new(), sensors: Vec::new(), found_at: None, listed: 0 }
    }

    fn read(&mut self) -> SensorReading {
        if self.found_at.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.policies = find_policies(&self.host);
            self.sensors = find_sensors(&self.host);
            self.found_at = Some(Instant::now());
        }
        let mut reading = SensorReading::default();
        match self.read_frequencies() {
            Ok(frequencies) if frequencies.is_empty() => {
                let none = Error::Unavailable(
                    "neither /proc/cpuinfo nor cpufreq tells a frequency".to_owned(),
                );
                reading.problems.push(Problem::new("frequency_mhz", &none));
                reading.frequency_mhz = Some(frequencies);
            }
            Ok(frequencies) => reading.frequency_mhz = Some(frequencies),
            Err(error) => reading.problems.push(Problem::new("frequency_mhz", &error)),
        }
        if self.sensors.is_empty() {
            let none =
                "no processor's temperature sensor in /sys/class/hwmon or /sys/class/thermal";
            reading
                .problems
                .push(Problem::new("temperature_celsius", &Error::Unavailable(none.to_owned())));
        }
        reading.temperature_celsius = Some(self.sensors.iter_mut().map(Sensor::read).collect());
        reading.temperature_sensors =
            Some(self.sensors.iter().map(|sensor| sensor.name.clone()).collect());
        reading
    }

    fn read_frequencies(&mut self) -> Result<Vec<Option<f64>>, Error> {
        let mut by_cpu = Vec::new();
        let listed = self.cpuinfo.parse(|text| parse_cpuinfo(text, &mut by_cpu));
        if self.policies.is_empty() {
            // Without a single source the host has no frequency; an unreadable cpuinfo is an error.
            return listed.map(|_| by_cpu);
        }
        let count = listed.unwrap_or_default();
        if std::mem::replace(&mut self.listed, count) != count {
            // A CPU went on or offline, and its policy with it.
            self.policies = find_policies(&self.host);
        }
        if count == self.policies.len() {
            return Ok(by_cpu);
        }
        by_cpu.clear();
        for policy in &mut self.policies {
            let mhz = policy.read();
            for &cpu in &policy.cpus {
                if by_cpu.len() <= cpu {
                    by_cpu.resize(cpu.saturating_add(1), None);
                }
                if let Some(slot) = by_cpu.get_mut(cpu) {
                    *slot = mhz;
                }
            }
        }
        Ok(by_cpu)
    }
}

impl Policy {
    fn read(&mut self) -> Option<f64> {
        let khz = number(self.current.read().ok()?.trim_ascii())?;
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
            if by_cpu.len() <= cpu {
                by_cpu.resize(cpu.saturating_add(1), None);
            }
            if let Some(slot) = by_cpu.get_mut(cpu) {
                *slot = Some(mhz);
            }
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
    const CPUFREQ: &str = "devices/system/cpu/cpufreq";
    let mut policies = Vec::new();
    for name in host.sysfs_names(CPUFREQ) {
        let Some(first) = name.strip_prefix("policy").and_then(|cpu| cpu.parse::<usize>().ok())
        else {
            continue;
        };
        let affected = host.sysfs_text(&format!("{CPUFREQ}/{name}/affected_cpus"));
        let cpus = affected.map_or_else(
            || vec![first],
            |cpus| {
                words(cpus.as_bytes())
                    .filter_map(|cpu| usize::try_from(number(cpu)?).ok())
                    .collect()
            },
        );
        policies.push(Policy {
            cpus: cpus.into_iter().filter(|cpu| *cpu < MAX_CPUS).take(MAX_CPUS).collect(),
            current: host.sysfs(&format!("{CPUFREQ}/{name}/scaling_cur_freq")),
        });
    }
    policies
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
