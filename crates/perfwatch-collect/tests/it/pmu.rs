//! The native source on a real PMU. What it must have counted follows from the machine: an instruction takes 2 ns, at 1 GHz.

use serde_json::{Value, json};

use crate::guest;

const CPUS: f64 = 2.0;

/// One measurement of the guest's.
struct Measured<'a>(&'a Value);

impl Measured<'_> {
    fn number(&self, path: &str) -> f64 {
        self.0
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{path} of {}", self.0))
    }

    /// Count of an event beside what so many CPUs must have counted at this rate.
    #[track_caller]
    fn counted(&self, event: &str, cpus: f64, per_nanosecond: f64) {
        let truth = self.number("/elapsed_ns") * cpus * per_nanosecond;
        let share = self.number(&format!("/{event}/count")) / truth;
        assert!((0.99..=1.01).contains(&share), "{event}: {share} of the truth in {}", self.0);
    }

    /// Part of the time for which an event was on the hardware.
    fn coverage(&self, event: &str) -> f64 {
        self.number(&format!("/{event}/running")) / self.number(&format!("/{event}/enabled"))
    }

    /// Cycles, instructions and clock of so many busy CPUs.
    #[track_caller]
    fn busy(&self, cpus: f64) {
        self.counted("cpu-clock", cpus, 1.0);
        self.counted("cycles", cpus, 1.0);
        self.counted("instructions", cpus, 0.5);
    }
}

#[test]
fn cycles_and_instructions_are_counted() {
    let Some(results) = guest::results() else { return };
    let alone = Measured(&results["alone"][0]);
    alone.busy(CPUS);
    assert_eq!((alone.coverage("cycles"), alone.coverage("instructions")), (1.0, 1.0));
    assert_eq!(alone.0["cycles"]["group"], alone.0["instructions"]["group"]);
    let absent = alone.0["absent"].as_array().unwrap();
    assert!(
        absent.contains(&json!("LLC-loads")) && !absent.contains(&json!("cycles")),
        "{absent:?}"
    );
}

#[test]
fn a_counter_that_takes_turns_is_scaled_to_the_truth() {
    let Some(results) = guest::results() else { return };
    let turns = Measured(&results["turns"][0]);
    let (cycles, instructions) = (turns.coverage("cycles"), turns.coverage("instructions"));
    assert!(cycles > 0.1 && cycles < 0.9, "{}", turns.0);
    assert_eq!(cycles, instructions, "a group runs as one");
    turns.busy(CPUS);
}

#[test]
fn a_group_that_never_runs_is_split() {
    let Some(results) = guest::results() else { return };
    let (together, apart) = (&results["starved"][0]["together"], &results["starved"][0]["apart"]);
    let (together, apart) = (Measured(together), Measured(apart));
    assert!(together.coverage("cycles") < 0.01, "{}", together.0);
    assert_ne!(apart.0["cycles"]["group"], apart.0["instructions"]["group"]);
    apart.counted("cycles", CPUS, 1.0);
    assert_eq!(apart.coverage("instructions"), 0.0, "{}", apart.0);
}

#[test]
fn a_group_that_is_too_large_is_split() {
    let Some(results) = guest::results() else { return };
    let oversize = Measured(&results["oversize"][0]);
    assert_ne!(oversize.0["cycles"]["group"], oversize.0["instructions"]["group"]);
    assert!(oversize.coverage("cycles") < 0.9, "two full groups take turns: {}", oversize.0);
    oversize.busy(CPUS);
}

#[test]
fn a_cpu_that_comes_back_is_counted_on_again() {
    let Some(results) = guest::results() else { return };
    let hotplug = &results["hotplug"][0];
    Measured(&hotplug["gone"]).busy(CPUS - 1.0);
    Measured(&hotplug["back"]).busy(CPUS);
    Measured(&hotplug["unseen"]).busy(CPUS);
}

#[test]
fn who_may_count_is_what_the_kernel_says() {
    let Some(results) = guest::results() else { return };
    for (level, answer) in (-1..).zip(&results["paranoid"]) {
        if level < 1 {
            assert!(Measured(answer).number("/cycles/count") > 0.0, "{level}: {answer}");
        } else {
            let says = format!("(EACCES); kernel.perf_event_paranoid is {level}");
            assert_eq!(answer["state"], "denied", "{level}: {answer}");
            assert!(answer["error"].as_str().unwrap().ends_with(&says), "{level}: {answer}");
        }
    }
    assert_eq!(results["paranoid"].len(), 5);
}
