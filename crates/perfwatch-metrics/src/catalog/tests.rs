//! What the catalog promises: ids, titles, units.

use std::collections::BTreeSet;

use super::*;

#[test]
fn ids_are_unique() {
    let ids: BTreeSet<_> = catalog().map(|def| def.id).collect();
    assert_eq!(ids.len(), catalog().count());
}

/// The ids are the public API. This list only grows: a changed line is a broken promise.
#[test]
fn no_id_was_ever_renamed() {
    let ids: Vec<_> = catalog().map(|def| def.id).collect();
    for golden in include_str!("../../golden_ids.txt").lines() {
        assert!(ids.contains(&golden), "{golden} was renamed or removed");
    }
    assert_eq!(
        ids.len(),
        include_str!("../../golden_ids.txt").lines().count(),
        "a new metric gets a line in golden_ids.txt"
    );
}

#[test]
fn what_is_derived_comes_from_counters_that_are_kept() {
    let kept = |id: &str| catalog().chain(hidden()).find(|def| def.id == id).map(|def| def.kept);
    for def in catalog() {
        let from = match def.kept {
            Kept::Rate { of, .. } => vec![of],
            Kept::Ratio { of, per } => vec![of, per],
            _ => continue,
        };
        for id in from {
            let counter = matches!(kept(id), Some(Kept::Counter | Kept::Counter32));
            assert!(counter, "{}: {id}", def.id);
        }
    }
}

#[test]
fn every_metric_says_what_it_is() {
    for def in catalog().chain(hidden()) {
        assert!(!def.title().is_empty() && !def.title().ends_with('.'), "{}: title", def.id);
        assert!(!def.help().is_empty() && def.help().ends_with('.'), "{}: help", def.id);
        assert!(!def.source.is_empty(), "{}: source", def.id);
    }
}

#[test]
fn names_say_their_unit() {
    // What is not listed here is a number of events, or of events a second.
    for def in catalog().filter(|def| def.kind != Kind::Info) {
        let name = def.id.rsplit('.').next().unwrap();
        let said = match name {
            _ if name.ends_with("_percent") => Unit::Percent,
            _ if name.ends_with("bytes_per_sec") => Unit::BytesPerSecond,
            "pgpgin_per_sec" | "pgpgout_per_sec" => Unit::KilobytesPerSecond,
            "pswpin_per_sec" | "pswpout_per_sec" => Unit::PagesPerSecond,
            _ if name.ends_with("fault_per_sec") || name == "page_faults_per_sec" => {
                Unit::FaultsPerSecond
            }
            "hit_per_sec" | "miss_per_sec" | "refaults_per_sec" => Unit::PagesPerSecond,
            "direct_reclaims_per_sec" | "compact_stalls_per_sec" => Unit::EventsPerSecond,
            "reads_merged_per_sec" | "writes_merged_per_sec" => Unit::OperationsPerSecond,
            "read_only" => Unit::Flag,
            "running_pct" => Unit::Percent,
            "available" | "late" | "link_up" | "clock_synchronized" => Unit::Flag,
            "ipc" => Unit::PerCycle,
            _ if name.ends_with("_ghz") => Unit::Gigahertz,
            _ if name.ends_with("_mpki") => Unit::PerThousandInstructions,
            "context_switches_per_sec" | "cpu_migrations_per_sec" | "forks_per_sec" | "per_sec" => {
                Unit::EventsPerSecond
            }
            _ if name.starts_with("bytes_") && name.ends_with("_per_sec") => Unit::BytesPerSecond,
            _ if name.ends_with("_iops") => Unit::OperationsPerSecond,
            _ if name.ends_with("_per_sec") => {
                let packets = [
                    "packets_",
                    "errors_",
                    "drops_",
                    "segments_",
                    "datagrams_",
                    "processed_",
                    "dropped_",
                ];
                let of_packets = packets.iter().any(|word| name.starts_with(word));
                if of_packets { Unit::PacketsPerSecond } else { Unit::EventsPerSecond }
            }
            _ if name.ends_with("_bytes") || name.starts_with("bytes_") => Unit::Bytes,
            "store_bytes_per_sample" => Unit::Bytes,
            _ if name.ends_with("_us") => Unit::Microseconds,
            _ if name.ends_with("_ms") => Unit::Milliseconds,
            _ if name.ends_with("_seconds") => Unit::Seconds,
            _ if name.ends_with("_mhz") => Unit::Megahertz,
            _ if name.ends_with("_celsius") => Unit::Celsius,
            _ if name.ends_with("_joules") => Unit::Joules,
            _ if name.ends_with("watts") => Unit::Watts,
            "per_core" | "user" | "system" | "idle" | "iowait" | "irq" | "softirq" | "nice"
            | "steal" | "guest" => Unit::Percent,
            "per_core_wait" => Unit::Count,
            _ if name.starts_with("per_core_") => Unit::Percent,
            _ => Unit::Count,
        };
        assert_eq!(def.unit, said, "{}: say here what its name means", def.id);
    }
}

#[test]
fn zones_begin_at_nothing_and_go_up() {
    for def in catalog().filter(|def| !def.zones.is_empty()) {
        assert!(def.zones[0].from == 0.0, "{}: below the first zone", def.id);
        assert!(def.zones.is_sorted_by(|a, b| a.from < b.from), "{}: order", def.id);
    }
}

#[test]
fn what_is_good_is_in_the_entry() {
    let entry = |id| serde_json::to_value(catalog().find(|def| def.id == id).unwrap()).unwrap();
    assert_eq!(entry("disk.devices.read_latency_ms")["better"], "lower");
    assert_eq!(entry("memory.available_bytes")["better"], "higher");
    let ipc = entry("perf_events.derived.ipc");
    assert_eq!((&ipc["better"], &ipc["zones"][1]["from"]), (&serde_json::Value::Null, &1.0.into()));
}

#[test]
fn a_description_becomes_a_catalog_entry() {
    let def = catalog().find(|def| def.id == "cpu.per_core").unwrap();
    let entry = serde_json::to_value(def).unwrap();
    assert_eq!(entry["title"], "CPU utilisation per core");
    assert_eq!(entry["kind"], "gauge");
    assert_eq!(entry["unit"], "%");
    assert_eq!(entry["labels"], serde_json::json!(["core"]));
}
