//! Waiting for CPUs and being held back, as a kernel tells it whose time is made of the instructions it runs: what must be
//! reported follows from what was run.

use serde_json::Value;

use crate::guest;

#[track_caller]
fn is_about(value: &Value, path: &str, expected: f64, off_by: f64) {
    let told = value.pointer(path).and_then(Value::as_f64);
    let told = told.unwrap_or_else(|| panic!("{path} of {value}"));
    assert!((told - expected).abs() <= off_by, "{path} is not about {expected} in {value}");
}

#[test]
fn two_of_four_threads_wait_for_two_cpus() {
    let Some(results) = guest::results() else { return };
    let waiting = &results["waiting"][0];
    assert_eq!(waiting["scheduler"]["problems"], serde_json::json!([]), "{waiting}");
    // A wait counts when it ends, so one that began earlier is in it whole; and threads of the kernel's wait too.
    is_about(waiting, "/scheduler/metrics/run_queue_wait", 2.3, 0.8);
    let cores = waiting["scheduler"]["metrics"]["per_core_wait"].as_array().unwrap();
    let sum: f64 = cores.iter().map(|core| core.as_f64().unwrap()).sum();
    is_about(waiting, "/scheduler/metrics/run_queue_wait", sum, 0.01);
    // The four, whoever reads, and up to four threads of the kernel's.
    is_about(waiting, "/scheduler/metrics/running", 7.0, 2.0);
    is_about(waiting, "/pressure/metrics/resources/cpu/some_percent", 100.0, 6.0);
    is_about(waiting, "/pressure/metrics/resources/cpu/full_percent", 0.0, 0.0);
}

#[test]
fn a_group_that_may_have_a_fifth_of_a_cpu_is_held_back_for_the_rest() {
    let Some(results) = guest::results() else { return };
    let held_back = &results["held-back"][0];
    for without in ["none", "gone"] {
        assert_eq!(held_back[without]["metrics"]["slices"], serde_json::json!({}), "{held_back}");
    }
    let first = &held_back["first"]["metrics"]["slices"]["batch"];
    assert!(first["cpu_us"].is_number() && first["cpu_percent"].is_null(), "{held_back}");
    let later = &held_back["later"]["metrics"]["slices"]["batch"];
    // Over 1.8 s, in which there may be a part of a period of 100 ms too many or too few.
    is_about(later, "/cpu_percent", 20.0, 2.0);
    is_about(later, "/throttled_percent", 80.0, 6.0);
    is_about(later, "/throttled_periods", 18.0, 2.0);
}

/// What a CPU did in all its life is not told as if it had done it when it came back.
#[test]
fn a_cpu_that_comes_and_goes_makes_no_spike() {
    let Some(results) = guest::results() else { return };
    let reports = results["cpus-come-and-go"][0].as_array().unwrap();
    let timers = |report: &Value| {
        let interrupts = report["metrics"]["interrupts"].as_object().unwrap();
        let timer = interrupts.iter().find(|(name, _)| name.ends_with("arch_timer"));
        timer.unwrap_or_else(|| panic!("{report}")).1["per_sec"].as_f64()
    };
    // At first, with both, when one went, without it, when it came back, with both.
    let told: Vec<_> = reports.iter().map(|report| timers(report).is_some()).collect();
    assert_eq!(told, [false, true, false, true, false, true]);
    for report in reports {
        // 250 ticks a second of each CPU and what sleepers ask for beside.
        assert!(timers(report).is_none_or(|rate| rate < 3000.0), "{report}");
        let wait = report["metrics"]["run_queue_wait"].as_f64();
        assert!(wait.is_none_or(|wait| wait < 2.0), "{report}");
    }
    let cores = |report: &Value| report["metrics"]["per_core_wait"].as_array().unwrap().len();
    assert_eq!(reports.iter().map(cores).collect::<Vec<_>>(), [2, 2, 1, 1, 2, 2]);
}
