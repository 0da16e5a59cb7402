//! The shape of the answers, for every recorded host.

use std::collections::{BTreeMap, HashSet};

use perfwatch_metrics::Snapshot;
use perfwatch_metrics::disk::PartitionMetrics;
use perfwatch_metrics::network::InterfaceMetrics;
use proptest::prelude::*;

use super::*;
use crate::sample::of_recording;

const HOSTS: [&str; 6] = ["vm", "server128", "oldkernel", "kernel418", "container", "hot"];

fn page(format: Format, snapshot: &Snapshot, node_names: bool) -> String {
    page_of(format, snapshot, 7, node_names)
}

/// The samples by series, after checking what the formats demand: HELP and TYPE once and first, families in one piece,
/// no series twice.
fn series(text: &str, format: Format) -> BTreeMap<&str, f64> {
    let text = match format {
        Format::Text => text,
        Format::OpenMetrics => text.strip_suffix("# EOF\n").unwrap(),
    };
    let (mut families, mut series) = (HashSet::new(), BTreeMap::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (family, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(!help.is_empty() && families.insert(family), "{line}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).unwrap();
        let ending = match (format, kind) {
            (Format::OpenMetrics, "counter") => "_total",
            (Format::OpenMetrics, "info") => "_info",
            (Format::Text, "counter") => {
                assert!(family.ends_with("_total"), "{family}");
                ""
            }
            (_, "gauge" | "unknown" | "untyped") => "",
            _ => panic!("{family} is of type {kind}"),
        };
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = line.strip_prefix(family).unwrap().strip_prefix(ending).unwrap();
            assert!(rest.starts_with([' ', '{']), "{line} in {family}");
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(name, value.parse().unwrap()).is_none(), "{name} twice");
            count += 1;
        }
        assert!(count > 0, "{family} is empty");
    }
    series
}

#[test]
fn both_formats_say_the_same_of_every_host() {
    for host in HOSTS {
        let snapshot = of_recording(host);
        for node_names in [true, false] {
            let (text, open_metrics) = (
                page(Format::Text, &snapshot, node_names),
                page(Format::OpenMetrics, &snapshot, node_names),
            );
            let mut text = series(&text, Format::Text);
            let mut open_metrics = series(&open_metrics, Format::OpenMetrics);
            // These are not the snapshot's.
            let of_snapshot = |name: &&str| !name.starts_with("process_");
            open_metrics.retain(|name, _| of_snapshot(name));
            text.retain(|name, _| of_snapshot(name));
            assert_eq!(text, open_metrics);
            assert!(text.len() > 60, "{host}: {}", text.len());
            let node = text.keys().any(|name| name.starts_with("node_"));
            assert_eq!(node, node_names);
        }
    }
}

/// Every number of the catalog is told exactly once, by one name or the other.
#[test]
fn nothing_is_left_out_without_the_names_of_node_exporter() {
    for host in HOSTS {
        let snapshot = of_recording(host);
        let text = page(Format::Text, &snapshot, false);
        let series = series(&text, Format::Text);
        let mut expected = 0;
        let mut look = |def: &'static MetricDef, labels: &[&str], value: Value<'_>| {
            if is_counter(def) && labels.first() == Some(&ALL_OTHERS) {
                return;
            }
            let Value::Text(_) = value else {
                expected += 1;
                let ending = if is_counter(def) { "_total" } else { "" };
                let mut written = String::new();
                def.labels().zip(labels).for_each(|(name, value)| label(&mut written, name, value));
                let braces = if written.is_empty() { written } else { format!("{{{written}}}") };
                let name = format!("{}{ending}{braces}", family(def));
                let told = series.get(name.as_str()).unwrap_or_else(|| panic!("{name}"));
                let own = match value {
                    Value::Integer(value) => value.to_string(),
                    Value::Float(value) => value.to_string(),
                    Value::Text(text) => text.to_owned(),
                };
                let base: f64 = in_base_unit(def.unit, &own).parse().unwrap();
                assert!((told - base).abs() <= base.abs() * 1e-15, "{name}: {told} {base}");
                return;
            };
        };
        snapshot.visit(&mut look);
        snapshot.visit_hidden(&mut look);
        let own = series.keys().filter(|name| {
            let is_own = ["perfwatch_section_", "perfwatch_sample", "process_"];
            is_own.iter().any(|prefix| name.starts_with(prefix))
                || name.contains("_info{")
                || matches!(**name, "perfwatch_interval_seconds" | "perfwatch_missed_ticks_total")
        });
        assert_eq!(series.len() - own.count(), expected, "{host}");
    }
}

#[test]
fn a_texts_are_labels_of_one_family() {
    let snapshot = of_recording("server128");
    let text = page(Format::Text, &snapshot, false);
    let info: Vec<_> =
        text.lines().filter(|line| line.starts_with("perfwatch_disk_partitions_info{")).collect();
    let partitions = snapshot.disk.as_ref().unwrap().partitions.as_ref().unwrap();
    assert_eq!(info.len(), partitions.len());
    let expected = r#"perfwatch_disk_partitions_info{mountpoint="/mnt/Old Archive\\2019",device=""#;
    assert!(info.iter().any(|line| line.starts_with(expected)), "{info:?}");
    let sensor = "perfwatch_cpu_temperature_sensors_info{sensor=\"0\",name=\"";
    assert!(text.contains(sensor), "{text}");
}

#[test]
fn what_is_counted_in_small_units_is_told_in_seconds() {
    let text = page(Format::Text, &of_recording("hot"), true);
    for line in [
        "node_load1 9.41",
        "node_pressure_memory_stalled_seconds_total 0.95",
        "node_pressure_irq_stalled_seconds_total 5.02",
        "node_schedstat_waiting_seconds_total{cpu=\"3\"} 74",
        "node_cpu_core_throttles_total{core=\"1\",package=\"0\"} 128",
        "node_cpu_package_throttles_total{package=\"0\"} 330",
        "node_cpu_scaling_frequency_max_hertz{cpu=\"2\"} 2100000000",
        "perfwatch_cgroups_slices_throttled_seconds_total{slice=\"build.slice\"} 156",
        "perfwatch_scheduler_interrupts_total{irq=\"16: i801_smbus, idma64.0\"} 45",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
}

#[test]
fn the_rest_beyond_a_limit_has_no_counters() {
    let mut snapshot = of_recording("vm");
    let interfaces = snapshot.network.as_mut().unwrap().interfaces.as_mut().unwrap();
    let (_, first) = interfaces.first_key_value().unwrap();
    let rest = InterfaceMetrics {
        bytes_recv_per_sec: Some(1.0),
        link_up: None,
        operstate: None,
        ..first.clone()
    };
    interfaces.insert(ALL_OTHERS.to_owned(), rest);
    for node_names in [true, false] {
        let text = page(Format::Text, &snapshot, node_names);
        let told: Vec<_> = text.lines().filter(|line| line.contains(ALL_OTHERS)).collect();
        assert!(
            !told.is_empty() && told.iter().all(|line| line.contains("_per_second{")),
            "{told:?}"
        );
    }
}

/// What a reader of either format makes of a quoted value.
fn unescaped(mut rest: &str) -> String {
    let mut value = String::new();
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '"' => break,
            '\\' => {
                let escaped = rest.chars().next().unwrap();
                assert!(matches!(escaped, 'n' | '"' | '\\'));
                value.push(if escaped == 'n' { '\n' } else { escaped });
                rest = &rest[1..];
            }
            _ => value.push(character),
        }
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a mount point is called, it stays one label's value on one line.
    #[test]
    fn names_come_back_whole(names in proptest::collection::btree_set("[\"\\\\\n\r{}<>=, a-cé\u{0}-\u{1f}\u{2028}]{0,12}", 1..20)) {
        let mut snapshot = of_recording("container");
        let partition = |name: &String| PartitionMetrics {
            device: name.clone(), fstype: "x".into(), mountpoint: name.clone(), total_bytes: Some(3), used_bytes: Some(1),
            free_bytes: Some(1), usage_percent: None, inodes_total: None, inodes_used: None,
            inodes_usage_percent: None, read_only: false, inodes: None,
        };
        let partitions = names.iter().map(|name| (name.clone(), partition(name))).collect();
        snapshot.disk.as_mut().unwrap().partitions = Some(partitions);
        for format in [Format::Text, Format::OpenMetrics] {
            let text = page(format, &snapshot, true);
            let told: Vec<_> = text
                .split('\n')
                .filter_map(|line| line.strip_prefix("node_filesystem_size_bytes{device=\""))
                .map(unescaped)
                .collect();
            prop_assert_eq!(&told, &names.iter().cloned().collect::<Vec<_>>());
        }
    }
}
