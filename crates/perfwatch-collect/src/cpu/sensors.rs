//! Frequency and temperature, on errands of their own: some drivers take 20 ms for the frequency of a core
//! by design, a sensor behind a bus may hang, and neither may delay the CPU times. What did not come in time
//! is shown as it last was, with its age.

pub(super) mod frequency;
mod temperature;

use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;

use self::frequency::{Frequencies, Frequency, Limits};
use self::temperature::{Temperatures, Thermometers};
use crate::errand::{Answer, FRESH, Slow};
use crate::error::{Error, Problem};
use crate::host::Host;

/// An older value is no longer shown: three times the longest interval.
const MAX_AGE: Duration = Duration::from_secs(180);

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
