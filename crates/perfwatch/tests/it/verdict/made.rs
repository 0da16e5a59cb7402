//! Histories of hosts that are made up: how one stands at each moment, and the export that holds it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Map, Value, json};

use crate::process::perfwatch;

pub(super) const GIB: f64 = (1_u64 << 30) as f64;

/// Seconds from one made sample to the next.
pub(super) const INTERVAL_S: i64 = 5;

/// How a made host stands at a moment: gauges, and what its counters grow by each second.
pub(super) struct Made(BTreeMap<&'static str, f64>);

/// Whether a series is kept as a counter.
fn is_counter(series: &str) -> bool {
    let id = series.split('{').next().unwrap();
    let name = id.rsplit('.').next().unwrap();
    let counted = "forks oom_kills throttles direct_reclaims refaults pswpin pswpout segments_sent listen_overflows listen_drops \
                   receive_buffer_errors dropped errors_in drops_in carrier_changes hardware_errors_corrected \
                   hardware_errors_uncorrected bytes_recv read_bytes";
    ["_us", "_count", "_time_ms"].iter().any(|end| name.ends_with(end))
        || counted.split(' ').any(|one| one == name)
}

impl Made {
    /// Two CPUs with little to do, a disk and an interface.
    pub(super) fn idle() -> Self {
        Self(BTreeMap::from([
            ("cpu.usage_percent", 3.0),
            ("cpu.system", 1.0),
            ("cpu.steal", 0.0),
            ("cpu.per_core{core=\"0\"}", 3.0),
            ("cpu.per_core{core=\"1\"}", 3.0),
            ("cpu.throttles", 0.0),
            ("scheduler.run_queue_wait_us", 1e4),
            ("scheduler.forks", 2.0),
            ("pressure.resources.some_us{resource=\"cpu\"}", 5e3),
            ("pressure.resources.some_us{resource=\"io\"}", 1e3),
            ("pressure.resources.full_us{resource=\"io\"}", 1e3),
            ("pressure.resources.some_us{resource=\"memory\"}", 0.0),
            ("pressure.resources.full_us{resource=\"memory\"}", 0.0),
            ("cgroups.slices.throttled_us{slice=\"batch.slice\"}", 0.0),
            ("cgroups.slices.cpu_us{slice=\"batch.slice\"}", 1e3),
            ("memory.usage_percent", 30.0),
            ("memory.available_bytes", 16.0 * GIB),
            ("memory.oom_kills", 0.0),
            ("memory.direct_reclaims", 0.0),
            ("memory.refaults", 0.0),
            ("memory.pswpin", 0.0),
            ("memory.pswpout", 0.0),
            ("disk.devices.io_time_ms{device=\"vda\"}", 10.0),
            ("disk.devices.weighted_io_time_ms{device=\"vda\"}", 10.0),
            ("disk.devices.read_count{device=\"vda\"}", 5.0),
            ("disk.devices.read_time_ms{device=\"vda\"}", 5.0),
            ("disk.devices.read_bytes{device=\"vda\"}", 5e4),
            ("disk.partitions.usage_percent{mountpoint=\"/\"}", 40.0),
            ("disk.partitions.used_bytes{mountpoint=\"/\"}", 40.0 * GIB),
            ("disk.partitions.free_bytes{mountpoint=\"/\"}", 60.0 * GIB),
            ("disk.partitions.inodes_usage_percent{mountpoint=\"/\"}", 5.0),
            ("disk.partitions.read_only{mountpoint=\"/\"}", 0.0),
            ("network.interfaces.link_up{interface=\"eth0\"}", 1.0),
            ("network.interfaces.link_utilization_percent{interface=\"eth0\"}", 0.1),
            ("network.interfaces.carrier_changes{interface=\"eth0\"}", 0.0),
            ("network.interfaces.bytes_recv{interface=\"eth0\"}", 1e5),
            ("network.interfaces.errors_in{interface=\"eth0\"}", 0.0),
            ("network.interfaces.drops_in{interface=\"eth0\"}", 0.2),
            ("network.softnet.dropped", 0.0),
            ("network.tcp.segments_sent", 200.0),
            ("network.tcp.retransmit_percent", 0.1),
            ("network.tcp.listen_overflows", 0.0),
            ("network.tcp.listen_drops", 0.0),
            ("network.udp.receive_buffer_errors", 0.0),
            ("network.conntrack.usage_percent", 1.0),
            ("kernel.open_files_percent", 0.1),
            ("kernel.threads_percent", 1.0),
            ("kernel.clock_synchronized", 1.0),
            ("kernel.hardware_errors_corrected", 0.0),
            ("kernel.hardware_errors_uncorrected", 0.0),
        ]))
    }

    pub(super) fn set(&mut self, series: &str, value: f64) -> &mut Self {
        let known = self
            .0
            .iter_mut()
            .find(|(name, _)| name.split('{').next() == Some(series) || **name == series);
        *known.unwrap_or_else(|| panic!("{series} is not there")).1 = value;
        self
    }

    pub(super) fn pressure(&mut self, of: &str, percent: f64) -> &mut Self {
        self.set(&format!("pressure.resources.{of}"), percent * 1e4)
    }

    /// A disk with a queue.
    pub(super) fn busy_disk(&mut self) -> &mut Self {
        self.set("disk.devices.io_time_ms", 990.0)
            .set("disk.devices.weighted_io_time_ms", 16_000.0)
            .set("disk.devices.read_count", 400.0)
            .set("disk.devices.read_time_ms", 16_000.0)
            .pressure("some_us{resource=\"io\"}", 80.0)
            .pressure("full_us{resource=\"io\"}", 60.0)
    }

    pub(super) fn busy_cpus(&mut self) -> &mut Self {
        self.set("cpu.usage_percent", 99.0)
            .set("scheduler.run_queue_wait_us", 6e6)
            .pressure("some_us{resource=\"cpu\"}", 98.0)
    }
}

/// An export of made hosts.
pub(super) struct Export {
    text: String,
    counters: BTreeMap<&'static str, f64>,
}

impl Export {
    pub(super) fn new() -> Self {
        Self { text: "{\"perfwatch_export\":1}\n".to_owned(), counters: BTreeMap::new() }
    }

    /// Samples from one time to another, of a host that stands so many milliseconds before the end as `made` says.
    pub(super) fn record(
        &mut self,
        (from_ms, to_ms): (i64, i64),
        every_s: i64,
        made: impl Fn(i64) -> Made,
    ) {
        let mut first = true;
        for at_ms in (from_ms..to_ms).step_by(every_s as usize * 1000) {
            let mut sections: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
            for (series, value) in made(to_ms - at_ms).0 {
                let section = series.split('.').next().unwrap();
                let value = if is_counter(series) {
                    let counter = self.counters.entry(series).or_insert(1e6);
                    *counter += value * every_s as f64;
                    json!(*counter as u64)
                } else if value.fract() == 0.0 {
                    json!(value as u64)
                } else {
                    json!((value * 1000.0).round() / 1000.0)
                };
                sections.entry(section).or_default().insert(series.to_owned(), value);
            }
            let covered_ns = if first { 0 } else { every_s * 1_000_000_000 };
            let time = jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string();
            for (section, values) in sections {
                let row = json!({ "time": time, "section": section, "covered_ns": covered_ns, "values": values });
                self.text.push_str(&row.to_string());
                self.text.push('\n');
            }
            first = false;
        }
    }

    pub(super) fn import(&self, data: &Path) {
        let mut command = perfwatch();
        command.args(["import", "-", "--data"]).arg(data);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
