//! What a collector's answer at one tick makes of its section: metrics, and the word on how they came about.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use perfwatch_metrics::own::CollectorCost;
use perfwatch_metrics::{Part, Section, State};

use super::Asked;
use crate::budget::Budget;
use crate::collector::{Collected, Report};
use crate::cost::Cost;
use crate::errand::Answer;
use crate::error::{Error, Problem};
use crate::rate::thousandths;

/// How a collector did at one tick.
#[derive(Debug)]
pub(super) enum Outcome<M> {
    Collected {
        collected: Collected<M>,
        duration: Duration,
        cost: Cost,
    },
    Failed {
        error: Error,
        duration: Duration,
        cost: Cost,
    },
    Panicked(String),
    /// Not there by the deadline; under way for so long.
    Late(Duration),
    Disabled,
}

/// The answer to the tick that began then. One that was sent for earlier is not taken.
pub(super) fn outcome<M: Send + 'static>(asked: &Asked<M>, began: Instant) -> Outcome<M> {
    let Some(collector) = asked else { return Outcome::Disabled };
    match collector.take_since(began) {
        Some(Answer { outcome: Ok(Ok(collected)), took, cost, .. }) => {
            Outcome::Collected { collected, duration: took, cost }
        }
        Some(Answer { outcome: Ok(Err(error)), took, cost, .. }) => {
            Outcome::Failed { error, duration: took, cost }
        }
        Some(Answer { outcome: Err(panic), .. }) => Outcome::Panicked(panic),
        None => Outcome::Late(
            collector.late_since().map_or_else(|| began.elapsed(), |since| since.elapsed()),
        ),
    }
}

/// What a collector took, as it is told.
fn cost<M>(outcome: &Outcome<M>) -> CollectorCost {
    let (duration, cost) = match outcome {
        Outcome::Collected { duration, cost, .. } | Outcome::Failed { duration, cost, .. } => {
            (Some(*duration), Some(*cost))
        }
        Outcome::Panicked(_) | Outcome::Late(_) | Outcome::Disabled => (None, None),
    };
    CollectorCost {
        duration_ms: duration.map(milliseconds),
        cpu_ms: cost.map(|cost| milliseconds(cost.cpu)),
        read_bytes: cost.map(|cost| cost.read_bytes),
        late: matches!(outcome, Outcome::Late(_)),
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1000.0)
}

/// Since when each section and part is in its state, and what each cost.
pub(super) struct History<'b> {
    pub(super) earlier: BTreeMap<String, (State, Timestamp)>,
    pub(super) now: BTreeMap<String, (State, Timestamp)>,
    pub(super) timestamp: Timestamp,
    pub(super) tick: u64,
    pub(super) budget: &'b mut Budget,
    pub(super) costs: BTreeMap<String, CollectorCost>,
}

impl History<'_> {
    pub(super) fn section<M>(
        &mut self,
        name: &'static str,
        outcome: Outcome<M>,
    ) -> (Option<M>, Section) {
        let every_ticks = Some(self.budget.pace(name)).filter(|pace| *pace > 1);
        let (metrics, section) = match (outcome, every_ticks) {
            (Outcome::Disabled, _) => (None, self.disabled(name, "switched off by the settings")),
            (_, Some(pace)) if !self.budget.is_turn(name, self.tick) => {
                let reason = Section::paced_reason(pace);
                (None, self.missing(name, State::Paced, reason, None, None))
            }
            (outcome, _) => self.outcome(name, outcome),
        };
        (metrics, Section { every_ticks, ..section })
    }

    fn outcome<M>(&mut self, name: &'static str, outcome: Outcome<M>) -> (Option<M>, Section) {
        self.costs.insert(name.to_owned(), cost(&outcome));
        match outcome {
            Outcome::Collected { collected, duration, cost } => {
                self.budget.spend(name, cost.cpu);
                let Collected { report, elapsed } = collected;
                let Report { metrics, problems, truncated } = report;
                let parts = problems.into_iter().map(|problem| self.part(name, problem)).collect();
                let duration_ms = Some(milliseconds(duration));
                let since = self.since(name.to_owned(), State::Ok);
                let section = Section {
                    state: State::Ok,
                    reason: None,
                    fix: None,
                    since,
                    duration_ms,
                    elapsed_ms: elapsed.map(milliseconds),
                    every_ticks: None,
                    truncated,
                    parts,
                };
                (Some(metrics), section)
            }
            Outcome::Failed { error, duration, .. } => {
                let duration_ms = Some(milliseconds(duration));
                (
                    None,
                    self.missing(name, error.state(), error.to_string(), error.fix(), duration_ms),
                )
            }
            Outcome::Panicked(said) => {
                let reason = format!("the collector panicked: {said}");
                let fix = Some("report this with the output of `perfwatch capture DIR`".to_owned());
                (None, self.missing(name, State::Failed, reason, fix, None))
            }
            Outcome::Late(time) => {
                let reason = format!("no answer for {:.1} s", time.as_secs_f64());
                (None, self.missing(name, State::Late, reason, None, None))
            }
            Outcome::Disabled => (None, self.disabled(name, "switched off by the settings")),
        }
    }

    fn disabled(&mut self, name: &'static str, reason: &str) -> Section {
        self.missing(name, State::Disabled, reason.to_owned(), None, None)
    }

    fn missing(
        &mut self,
        name: &str,
        state: State,
        reason: String,
        fix: Option<String>,
        duration_ms: Option<f64>,
    ) -> Section {
        let since = self.since(name.to_owned(), state);
        Section {
            state,
            reason: Some(reason),
            fix,
            since,
            duration_ms,
            elapsed_ms: None,
            every_ticks: None,
            truncated: false,
            parts: BTreeMap::new(),
        }
    }

    fn part(&mut self, section: &str, problem: Problem) -> (String, Part) {
        let Problem { part, state, reason, fix } = problem;
        let since = self.since(format!("{section}.{part}"), state);
        (part, Part { state, reason, fix, since })
    }

    fn since(&mut self, key: String, state: State) -> Timestamp {
        let earlier = self.earlier.get(&key).filter(|(before, _)| *before == state);
        let since = earlier.map_or(self.timestamp, |(_, since)| *since);
        self.now.insert(key, (state, since));
        since
    }
}
