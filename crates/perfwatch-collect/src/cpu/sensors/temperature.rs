//! Temperatures: sensors of /sys/class/hwmon, else /sys/class/thermal, as psutil takes them. Of all sensors only those of
//! processors are taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Finding, RESCAN};
use crate::error::Error;
use crate::host::{Host, KernelFile};
use crate::parse::fraction;

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

/// Readings and names of the sensors, in the same order.
pub(super) type Temperatures = (Vec<Option<f64>>, Vec<String>);

/// The files of the temperatures.
pub(super) struct Thermometers {
    host: Arc<Host>,
    sensors: Vec<Sensor>,
    found_at: Option<Instant>,
}

impl Thermometers {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host, sensors: Vec::new(), found_at: None }
    }

    pub(super) fn read(&mut self) -> Finding<Temperatures> {
        if self.found_at.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.sensors = find_sensors(&self.host)?;
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

/// One temperature.
struct Sensor {
    name: String,
    input: KernelFile,
}

impl Sensor {
    /// None when the sensor does not answer: the chip sleeps, or its driver failed.
    fn read(&mut self) -> Option<f64> {
        Some(fraction(self.input.read().ok()?)? / 1000.0)
    }
}

fn find_sensors(host: &Host) -> Finding<Vec<Sensor>> {
    let mut found = Vec::new();
    let mut any_chip = false;
    for chip in host.sysfs_names("class/hwmon")? {
        // Kernels before 3.15 have the attributes one directory further down.
        for dir in [format!("class/hwmon/{chip}"), format!("class/hwmon/{chip}/device")] {
            let names = host.sysfs_names(&dir)?;
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
            host.sysfs_names("class/thermal")?.iter().filter_map(|zone| thermal_zone(host, zone)),
        );
    }
    found.truncate(MAX_SENSORS);
    Ok(found)
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
