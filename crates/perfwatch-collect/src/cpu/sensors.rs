//! Frequency and temperature, on errands of their own: some drivers take 20 ms for the frequency of a core
//! by design, a sensor behind a bus may hang, and neither may delay the CPU times. What did not come in time
//! is shown as it last was, with its age.

pub(super) mod frequency;
mod temperature;

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::State;

use self::frequency::{Frequencies, Frequency, Limits};
use self::temperature::{Temperatures, Thermometers};
pub(super) use crate::errand::Finding;
use crate::errand::Lasting;
use crate::error::Problem;
use crate::host::Host;

/// How often sensors and policies are looked for anew: drivers load late, CPUs come and go.
const RESCAN: Duration = Duration::from_secs(60);

/// What the slow files said, in the snapshot's form.
#[derive(Debug, Default)]
pub(super) struct SensorReading {
    pub(super) frequency_mhz: Option<Vec<Option<f64>>>,
    pub(super) limits: Option<Arc<Limits>>,
    pub(super) temperature_celsius: Option<Vec<Option<f64>>>,
    pub(super) temperature_sensors: Option<Vec<String>>,
    pub(super) problems: Vec<Problem>,
}

/// The two errands: slow frequencies do not hold up quick temperatures.
#[derive(Debug)]
pub(super) struct Sensors {
    frequencies: Lasting<Frequency>,
    temperatures: Lasting<Temperatures>,
}

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
        let frequency = self.frequencies.look(&mut into.problems);
        let (state, reason) = match &frequency {
            Some(_) => (State::Unavailable, "this host has no cpufreq"),
            None => (State::Late, "comes with frequency_mhz, which there is none of"),
        };
        (into.frequency_mhz, into.limits) =
            frequency.map_or((None, None), |found| (Some(found.mhz), found.limits));
        if into.limits.is_none() {
            into.problems.extend(["frequency_limit_mhz", "governor"].map(|part| Problem {
                part: part.to_owned(),
                state,
                reason: reason.to_owned(),
                fix: None,
            }));
        }
        (into.temperature_celsius, into.temperature_sensors) =
            self.temperatures.look(&mut into.problems).unzip();
    }
}
