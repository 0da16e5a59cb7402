//! Frequency and temperature, on errands of their own: some drivers take 20 ms for the frequency of a core
//! by design, a sensor behind a bus may hang, and neither may delay the CPU times. What did not come in time
//! is shown as it last was, with its age.

pub(super) mod frequency;
mod temperature;

use std::sync::Arc;
use std::time::Duration;

use self::frequency::Frequencies;
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
