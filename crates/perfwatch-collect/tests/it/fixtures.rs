//! Every recorded host gives one reviewed snapshot.

use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use perfwatch_collect::cgroups::Cgroups;
use perfwatch_collect::collector::{Collector, Report};
use perfwatch_collect::cpu::Cpu;
use perfwatch_collect::disk::Disk;
use perfwatch_collect::kernel::Kernel;
use perfwatch_collect::memory::Memory;
use perfwatch_collect::memory_bandwidth::MemoryBandwidth;
use perfwatch_collect::network::Network;
use perfwatch_collect::power::Power;
use perfwatch_collect::pressure::Pressure;
use perfwatch_collect::resctrl::Resctrl;
use perfwatch_collect::scheduler::Scheduler;
use serde_json::{Value, json};

use crate::hosts::{fixture, replay};

fn section<C: Collector<Metrics: serde::Serialize + Debug>>(host: &str) -> Value {
    let (before, now) = (fixture(host, "t0"), fixture(host, "t1"));
    let elapsed_ms = fs::read_to_string(before.with_file_name("elapsed_ms")).unwrap();
    let elapsed = Duration::from_millis(elapsed_ms.trim().parse().unwrap());
    match replay::<C>(&before, &now, elapsed) {
        Ok(Report { metrics, problems, truncated }) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|problem| {
                    format!("{}: {}: {}", problem.part, problem.state.word(), here(&problem.reason))
                })
                .collect();
            json!({ "metrics": metrics, "problems": problems, "truncated": truncated })
        }
        Err(error) => json!({ "error": here(&error.to_string()), "state": error.state().word() }),
    }
}

/// Paths in messages without where the project lies.
fn here(text: &str) -> String {
    text.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "")
}

fn check(host: &str) {
    let snapshot = json!({
        "cpu": section::<Cpu>(host),
        "scheduler": section::<Scheduler>(host),
        "pressure": section::<Pressure>(host),
        "cgroups": section::<Cgroups>(host),
        "memory": section::<Memory>(host),
        "network": section::<Network>(host),
        "disk": section::<Disk>(host),
        "kernel": section::<Kernel>(host),
    });
    insta::assert_json_snapshot!(host, snapshot);
}

#[test]
fn this_virtual_machine() {
    check("vm");
}

#[test]
fn a_server_with_128_cpus() {
    check("server128");
}

#[test]
fn a_kernel_of_2010() {
    check("oldkernel");
}

#[test]
fn an_arm_board_with_kernel_4_18() {
    check("kernel418");
}

#[test]
fn a_container_without_sys() {
    check("container");
}

#[test]
fn a_laptop_too_hot_for_its_work() {
    let snapshot = json!({
        "cpu": section::<Cpu>("hot"),
        "scheduler": section::<Scheduler>("hot"),
        "pressure": section::<Pressure>("hot"),
        "cgroups": section::<Cgroups>("hot"),
    });
    insta::assert_json_snapshot!("hot", snapshot);
}

/// The sections of hardware that few hosts have.
fn check_meters(host: &str) {
    let snapshot = json!({
        "power": section::<Power>(host),
        "memory_bandwidth": section::<MemoryBandwidth>(host),
        "resctrl": section::<Resctrl>(host),
    });
    insta::assert_json_snapshot!(host, snapshot);
}

#[test]
fn an_intel_server_with_powercap_and_resctrl() {
    check_meters("intel2s");
}

#[test]
fn an_intel_laptop_with_meters_through_three_doors() {
    check_meters("laptop");
}

#[test]
fn an_amd_server_whose_counters_take_turns() {
    check_meters("zen3");
}

#[test]
fn an_amd_server_whose_controllers_list_no_events() {
    check_meters("zen4");
}

/// A host without any of it says so.
#[test]
fn a_virtual_machine_has_no_meters() {
    for section in
        [section::<Power>("vm"), section::<MemoryBandwidth>("vm"), section::<Resctrl>("vm")]
    {
        assert_eq!(section["state"], "unavailable", "{section}");
    }
}
