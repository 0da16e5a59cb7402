//! Memory bandwidth: what the memory controllers carry, by their own counters.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `memory_bandwidth` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryBandwidthMetrics {
    /// The host as a whole.
    #[serde(flatten)]
    pub host: HostTraffic,
    /// By the number of the processor package whose controllers they are.
    pub sockets: BTreeMap<String, SocketTraffic>,
}

impl MemoryBandwidthMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.host.visit(each);
        for (name, socket) in &self.sockets {
            socket.visit(name, each);
        }
    }
}

metrics! {
    /// All memory controllers together. Counters start when PerfWatch does.
    pub struct HostTraffic("memory_bandwidth") {
        /// Source
        ///
        /// The PMU that counts: `uncore_imc`, `uncore_imc_free_running`, `amd_umc` or `amd_df`.
        source: String = Info(Text) from "/sys/bus/event_source/devices",
        /// Time counted
        ///
        /// Share of the time in which the counters ran. Below 100 where another user of the hardware's few counters takes
        /// turns with PerfWatch; the figures are then extrapolated.
        counted_percent: Option<f64> = Gauge(Percent) from "Δtime_running / Δtime_enabled of perf_event_open",
        /// Read
        ///
        /// Bytes read from memory, by processors and devices. Null, as what was written, where the hardware counts
        /// only both together.
        read_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc",
        /// Written
        ///
        /// Bytes written to memory, by processors and devices.
        write_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc",
        /// Traffic
        ///
        /// Read and written together.
        total_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc, amd_df",
        /// Read bandwidth
        ///
        /// Null on the first sample and while the counters had to wait.
        read_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc" as rate(read_bytes),
        /// Write bandwidth
        ///
        /// Null on the first sample and while the counters had to wait.
        write_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc" as rate(write_bytes),
        /// Bandwidth
        ///
        /// Read and written together.
        total_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc, amd_df" as rate(total_bytes),
    }
}

metrics! {
    /// The memory controllers of one processor package.
    pub struct SocketTraffic("memory_bandwidth.sockets" by "socket") {
        /// Read
        ///
        /// Bytes read from this package's memory, by whichever processor or device.
        read_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc",
        /// Written
        ///
        /// Bytes written to this package's memory.
        write_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc",
        /// Traffic
        ///
        /// Read and written together.
        total_bytes: Option<u64> = Counter(Bytes) from "uncore_imc, amd_umc, amd_df",
        /// Read bandwidth
        ///
        /// Null on the first sample and while the counters had to wait.
        read_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc" as rate(read_bytes),
        /// Write bandwidth
        ///
        /// Null on the first sample and while the counters had to wait.
        write_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc" as rate(write_bytes),
        /// Bandwidth
        ///
        /// Read and written together.
        total_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "uncore_imc, amd_umc, amd_df" as rate(total_bytes),
    }
}
