//! What collecting may cost: a collector that takes more than its share is run less often.
//!
//! Shares are fair: what a cheap collector leaves goes to the others. Costs are means over a round of ticks, the dearest run
//! left out, so that one hiccup changes nothing; a pace is taken back only when there is room for it.

use std::collections::BTreeMap;
use std::time::Duration;

/// Ticks after which paces are decided anew.
const ROUND: u64 = 12;

/// No collector is run less often than at every so many ticks.
const MAX_PACE: u64 = 12;

/// A collector that was slowed down must fit into this part of its share to be run more often again.
const ROOM: f64 = 0.8;

/// The costs of a round, and the paces that came of the round before.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    collectors: BTreeMap<&'static str, Collector>,
    ticks: u64,
}

#[derive(Debug)]
struct Collector {
    /// Seconds of CPU in this round, those of its dearest run, and how many runs.
    spent: f64,
    dearest: f64,
    runs: u32,
    /// Seconds of CPU for a run. None before its first round has ended.
    mean: Option<f64>,
    pace: u64,
}

impl Budget {
    /// At every how many ticks a collector is run.
    pub(crate) fn pace(&self, name: &str) -> u64 {
        self.collectors.get(name).map_or(1, |collector| collector.pace)
    }

    /// Whether a collector is run at this tick.
    pub(crate) fn is_turn(&self, name: &str, tick: u64) -> bool {
        tick.is_multiple_of(self.pace(name))
    }

    /// Notes what a run cost.
    pub(crate) fn spend(&mut self, name: &'static str, cpu: Duration) {
        let new = Collector { spent: 0.0, dearest: 0.0, runs: 0, mean: None, pace: 1 };
        let collector = self.collectors.entry(name).or_insert(new);
        let seconds = cpu.as_secs_f64();
        collector.spent += seconds;
        collector.dearest = collector.dearest.max(seconds);
        collector.runs += 1;
    }

    /// A tick has ended. `percent` of one CPU is what all collectors together may take; None for any amount.
    pub(crate) fn tick(&mut self, percent: Option<f64>, interval: Duration) {
        let Some(percent) = percent else {
            *self = Self::default();
            return;
        };
        self.ticks += 1;
        if !self.ticks.is_multiple_of(ROUND) {
            return;
        }
        // One that is not run any more has nothing to say.
        self.collectors.retain(|_, collector| collector.runs > 0);
        for collector in self.collectors.values_mut() {
            let (spent, runs) = match collector.runs {
                1 => (collector.spent, 1),
                runs => (collector.spent - collector.dearest, runs - 1),
            };
            collector.mean = Some(spent / f64::from(runs));
            (collector.spent, collector.dearest, collector.runs) = (0.0, 0.0, 0);
        }
        self.decide(percent / 100.0 * interval.as_secs_f64());
    }

    /// Gives each collector its pace, so that a tick costs no more than `seconds` on average.
    fn decide(&mut self, seconds: f64) {
        let mut all: Vec<_> = self.collectors.values_mut().collect();
        all.sort_by(|a, b| a.mean.unwrap_or_default().total_cmp(&b.mean.unwrap_or_default()));
        let (mut left, mut others) = (seconds, all.len());
        for collector in all {
            let mean = collector.mean.unwrap_or_default();
            let share = left / others as f64;
            let needed = (mean / share).ceil().clamp(1.0, MAX_PACE as f64) as u64;
            // One that is to be run more often must have room for it.
            let roomy = (mean / (share * ROOM)).ceil().clamp(1.0, MAX_PACE as f64) as u64;
            collector.pace =
                if needed >= collector.pace { needed } else { roomy.min(collector.pace) };
            left = (left - mean / collector.pace as f64).max(f64::MIN_POSITIVE);
            others -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn round(budget: &mut Budget, costs: &[(&'static str, u64)], percent: Option<f64>) {
        for tick in 0..ROUND {
            for (name, micros) in costs {
                if budget.is_turn(name, tick) {
                    budget.spend(name, Duration::from_micros(*micros));
                }
            }
            budget.tick(percent, SECOND);
        }
    }

    #[test]
    fn within_the_budget_everything_is_run_at_every_tick() {
        let mut budget = Budget::default();
        round(&mut budget, &[("cpu", 400), ("disk", 4_000)], Some(0.5));
        assert_eq!((budget.pace("cpu"), budget.pace("disk")), (1, 1));
    }

    #[test]
    fn one_that_exceeds_its_share_is_run_less_often_and_the_others_as_before() {
        let mut budget = Budget::default();
        let costs = [("cpu", 400), ("memory", 100), ("disk", 12_000)];
        round(&mut budget, &costs, Some(0.5));
        // 12 ms into the 4.5 ms that the others leave.
        assert_eq!(costs.map(|(name, _)| budget.pace(name)), [1, 1, 3]);
        let ran = (0..12).filter(|tick| budget.is_turn("disk", *tick)).count();
        assert_eq!(ran, 4);
        // A round later the same, and when it has become cheap, at every tick again.
        round(&mut budget, &costs, Some(0.5));
        assert_eq!(budget.pace("disk"), 3);
        round(&mut budget, &[("cpu", 400), ("memory", 100), ("disk", 300)], Some(0.5));
        assert_eq!(budget.pace("disk"), 1);
    }

    #[test]
    fn a_cost_at_the_border_does_not_go_to_and_fro() {
        let mut budget = Budget::default();
        round(&mut budget, &[("disk", 5_100)], Some(0.5));
        assert_eq!(budget.pace("disk"), 2);
        round(&mut budget, &[("disk", 4_900)], Some(0.5));
        assert_eq!(budget.pace("disk"), 2);
        round(&mut budget, &[("disk", 3_900)], Some(0.5));
        assert_eq!(budget.pace("disk"), 1);
    }

    #[test]
    fn a_hiccup_changes_nothing_and_no_pace_is_beyond_the_limit() {
        let mut budget = Budget::default();
        budget.spend("cpu", SECOND);
        round(&mut budget, &[("cpu", 400)], Some(0.5));
        assert_eq!(budget.pace("cpu"), 1);
        round(&mut budget, &[("cpu", 10_000_000)], Some(0.5));
        assert_eq!(budget.pace("cpu"), MAX_PACE);
        round(&mut budget, &[("cpu", 10_000_000)], None);
        assert_eq!(budget.pace("cpu"), 1, "without a budget");
    }
}
