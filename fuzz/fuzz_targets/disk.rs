//! /proc/diskstats, and what is derived from two readings of it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::collector::Collector;
use perfwatch_collect::disk::{Disk, DiskReading, MAX_DEVICES, parse_diskstats};

fuzz_target!(|texts: (&[u8], &[u8])| {
    let mut readings = [DiskReading::default(), DiskReading::default()];
    readings[1].devices_known = true;
    let _ = parse_diskstats(texts.0, &mut readings[0].devices);
    let _ = parse_diskstats(texts.1, &mut readings[1].devices);
    let report = Disk::derive(Some((&readings[0], Duration::from_secs(5))), &readings[1]);
    for device in report.metrics.devices.iter().flat_map(|devices| devices.values()) {
        for derived in [
            device.read_bytes_per_sec,
            device.read_latency_ms,
            device.utilization_percent,
            device.queue_depth,
            device.writes_merged_per_sec,
            device.discard_bytes_per_sec,
            device.discard_latency_ms,
            device.flush_latency_ms,
        ] {
            assert!(derived.is_none_or(|value| value >= 0.0));
        }
    }
    assert!(report.metrics.devices.is_none_or(|devices| devices.len() <= MAX_DEVICES + 1));
});
