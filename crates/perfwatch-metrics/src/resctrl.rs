//! Cache and memory bandwidth by group of tasks, where resctrl is mounted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `resctrl` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResctrlMetrics {
    /// By the path of the monitor without `mon_data`: `mon_L3_00` of the root group, `web/mon_L3_00` of a control group,
    /// `web/mon_groups/batch/mon_L3_00` of a monitoring group in it.
    pub monitors: BTreeMap<String, MonitorMetrics>,
}

impl ResctrlMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        for (name, monitor) in &self.monitors {
            monitor.visit(name, each);
        }
    }
}

metrics! {
    /// One group in one domain of the last-level cache. What a control group shows holds its monitoring groups too, so a sum
    /// over all monitors counts those twice.
    pub struct MonitorMetrics("resctrl.monitors" by "monitor") {
        /// Cache occupancy
        ///
        /// Bytes of this last-level cache that the group's tasks have filled. Null while the hardware has no figure, and
        /// where it does not monitor occupancy.
        llc_occupancy_bytes: Option<u64> = Gauge(Bytes) from "/sys/fs/resctrl/…/mon_data/*/llc_occupancy",
        /// Memory traffic
        ///
        /// Bytes that passed between this cache and any memory since the group was made. Null while the hardware has no
        /// figure, or no counter assigned to the group.
        mbm_total_bytes: Option<u64> = Counter(Bytes) from "/sys/fs/resctrl/…/mon_data/*/mbm_total_bytes",
        /// Local memory traffic
        ///
        /// Of resctrl.monitors.mbm_total_bytes, what passed to and from the memory of the same NUMA node.
        mbm_local_bytes: Option<u64> = Counter(Bytes) from "/sys/fs/resctrl/…/mon_data/*/mbm_local_bytes",
        /// Memory bandwidth
        ///
        /// Null on the first sample of a monitor and after its counter went backwards.
        mbm_total_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "/sys/fs/resctrl/…/mon_data/*/mbm_total_bytes" as rate(mbm_total_bytes),
        /// Local memory bandwidth
        ///
        /// Null on the first sample of a monitor and after its counter went backwards.
        mbm_local_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "/sys/fs/resctrl/…/mon_data/*/mbm_local_bytes" as rate(mbm_local_bytes),
    }
}
