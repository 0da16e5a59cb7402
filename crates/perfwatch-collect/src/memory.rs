//! Memory: /proc/meminfo and /proc/vmstat; /proc/zoneinfo on kernels that do not say what is available; what sysfs says of
//! NUMA nodes and zram.

mod meminfo;
mod nodes;
mod vmstat;
mod zram;

use std::sync::Arc;
use std::time::Duration;

pub use perfwatch_metrics::memory::MeminfoLines;
use perfwatch_metrics::memory::{HostMemory, MemoryMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::host::{Host, KernelFile};
use crate::parse::{lines, number};
use crate::rate::{per_second, percent};
use crate::rows::Rows;

pub use meminfo::{Meminfo, parse_meminfo};
use nodes::Nodes;
pub use nodes::{Allocations, MAX_NODES, NodeReading, parse_node_meminfo, parse_numastat};
pub use vmstat::{Vmstat, parse_vmstat};
pub use zram::{MAX_ZRAM, parse_mm_stat};
use zram::{Zram, ZramReading};

/// What the kernel said of memory.
#[derive(Debug, Default)]
pub struct MemoryReading {
    /// /proc/meminfo.
    pub meminfo: Meminfo,
    /// The same, whole.
    meminfo_lines: MeminfoLines,
    /// /proc/vmstat. All None when it could not be read.
    pub vmstat: Vmstat,
    /// Sum of the zones' low watermarks in bytes; read only when MemAvailable is missing.
    low_watermark_bytes: Option<u64>,
    page_bytes: u64,
    nodes: Rows<NodeReading>,
    zram: Rows<ZramReading>,
    truncated: bool,
    problems: Vec<Problem>,
}

impl MemoryReading {
    /// Paged in and out since boot. pgpgin and pgpgout count units of 1,024 bytes.
    fn page_io_bytes(&self) -> Option<u64> {
        let units = self.vmstat.pgpgin?.saturating_add(self.vmstat.pgpgout?);
        Some(units.saturating_mul(1024))
    }

    /// Swapped in and out since boot.
    fn swap_io_bytes(&self) -> Option<u64> {
        let pages = self.vmstat.pswpin?.saturating_add(self.vmstat.pswpout?);
        Some(pages.saturating_mul(self.page_bytes))
    }
}

/// Collects [`MemoryMetrics`].
#[derive(Debug)]
pub struct Memory {
    meminfo: KernelFile,
    vmstat: KernelFile,
    zoneinfo: KernelFile,
    nodes: Nodes,
    zram: Zram,
    page_bytes: u64,
}

impl Collector for Memory {
    const NAME: &'static str = "memory";
    type Reading = MemoryReading;
    type Metrics = MemoryMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self {
            meminfo: host.procfs("meminfo"),
            vmstat: host.procfs("vmstat"),
            zoneinfo: host.procfs("zoneinfo"),
            nodes: Nodes::new(host),
            zram: Zram::new(host),
            page_bytes: host.page_bytes(),
        }
    }

    fn read(&mut self, into: &mut MemoryReading) -> Result<(), Error> {
        into.problems.clear();
        into.page_bytes = self.page_bytes;
        self.meminfo
            .parse(|text| parse_meminfo(text, &mut into.meminfo, &mut into.meminfo_lines))?;
        into.low_watermark_bytes = None;
        if into.meminfo.available.unwrap_or(0) == 0 {
            // Without zoneinfo the estimate is cruder, as psutil's.
            let pages = self.zoneinfo.parse(|text| Ok(parse_zoneinfo(text))).ok();
            into.low_watermark_bytes = pages.map(|pages| pages.saturating_mul(self.page_bytes));
        }
        into.vmstat = Vmstat::default();
        if let Err(error) = self.vmstat.parse(|text| parse_vmstat(text, &mut into.vmstat)) {
            into.vmstat = Vmstat::default();
            into.problems.push(Problem::new("vmstat", &error));
        }
        let nodes_truncated = self.nodes.read(&mut into.nodes, &mut into.problems);
        let zram_truncated = self.zram.read(&mut into.zram, &mut into.problems);
        into.truncated = nodes_truncated || zram_truncated;
        Ok(())
    }

    fn derive(
        before: Option<(&MemoryReading, Duration)>,
        now: &MemoryReading,
    ) -> Report<MemoryMetrics> {
        let meminfo = &now.meminfo;
        let total = meminfo.total.unwrap_or_default();
        let free = meminfo.free.unwrap_or_default();
        let available = available_bytes(now);
        let used = total.saturating_sub(available);
        let rate = |counter: fn(&MemoryReading) -> Option<u64>| {
            let (before, elapsed) = before?;
            per_second(counter(before)?, counter(now)?, elapsed)
        };
        let host = HostMemory {
            usage_percent: percent(used, total),
            total_bytes: total,
            used_bytes: used,
            available_bytes: available,
            free_bytes: free,
            cached_bytes: meminfo
                .cached
                .map(|cached| cached.saturating_add(meminfo.slab_reclaimable.unwrap_or_default())),
            buffers_bytes: meminfo.buffers,
            swap_total_bytes: meminfo.swap_total,
            swap_used_bytes: meminfo
                .swap_total
                .zip(meminfo.swap_free)
                .map(|(total, free)| total.saturating_sub(free)),
            swap_free_bytes: meminfo.swap_free,
            hugepages_total: meminfo.hugepages_total,
            hugepages_free: meminfo.hugepages_free,
            hugepages_reserved: meminfo.hugepages_reserved,
            pgpgin_per_sec: rate(|reading| reading.vmstat.pgpgin),
            pgpgout_per_sec: rate(|reading| reading.vmstat.pgpgout),
            pswpin_per_sec: rate(|reading| reading.vmstat.pswpin),
            pswpout_per_sec: rate(|reading| reading.vmstat.pswpout),
            page_io_bytes_per_sec: rate(MemoryReading::page_io_bytes),
            swap_io_bytes_per_sec: rate(MemoryReading::swap_io_bytes),
            pgfault_per_sec: rate(|reading| reading.vmstat.pgfault),
            pgmajfault_per_sec: rate(|reading| reading.vmstat.pgmajfault),
            active_bytes: meminfo.active,
            inactive_bytes: meminfo.inactive,
            dirty_bytes: meminfo.dirty,
            writeback_bytes: meminfo.writeback,
            slab_reclaimable_bytes: meminfo.slab_reclaimable,
            slab_unreclaimable_bytes: meminfo.slab_unreclaimable,
            shmem_bytes: meminfo.shmem,
            commit_limit_bytes: meminfo.commit_limit,
            committed_bytes: meminfo.committed,
            zswap_pool_bytes: meminfo.zswap_pool,
            zswap_stored_bytes: meminfo.zswap_stored,
            direct_reclaims: now.vmstat.allocstall,
            direct_reclaims_per_sec: rate(|reading| reading.vmstat.allocstall),
            compact_stalls: now.vmstat.compact_stall,
            compact_stalls_per_sec: rate(|reading| reading.vmstat.compact_stall),
            refaults: now.vmstat.refault,
            refaults_per_sec: rate(|reading| reading.vmstat.refault),
            oom_kills: now.vmstat.oom_kill,
            pgpgin: now.vmstat.pgpgin,
            pgpgout: now.vmstat.pgpgout,
            pswpin: now.vmstat.pswpin,
            pswpout: now.vmstat.pswpout,
            page_io_bytes: now.page_io_bytes(),
            swap_io_bytes: now.swap_io_bytes(),
            pgfault: now.vmstat.pgfault,
            pgmajfault: now.vmstat.pgmajfault,
            meminfo: now.meminfo_lines.clone(),
        };
        let nodes_before = before.map(|(reading, elapsed)| (&*reading.nodes, elapsed));
        let metrics = MemoryMetrics {
            host,
            nodes: nodes::metrics(nodes_before, &now.nodes),
            zram: zram::metrics(&now.zram),
        };
        Report { metrics, problems: now.problems.clone(), truncated: now.truncated }
    }
}

/// MemAvailable, corrected as psutil corrects it: estimated where the kernel does not say or says 0, and no more
/// than what is free where it exceeds the total, as in some containers.
fn available_bytes(reading: &MemoryReading) -> u64 {
    let meminfo = &reading.meminfo;
    let said = meminfo.available.filter(|available| *available > 0);
    let available =
        said.unwrap_or_else(|| estimate_available(meminfo, reading.low_watermark_bytes));
    let total = meminfo.total.unwrap_or_default();
    if available > total { meminfo.free.unwrap_or_default() } else { available }
}

/// The kernel's formula for MemAvailable (`si_mem_available` as of 3.14, commit 34e431b0ae39): what is free
/// above the low watermarks, and of page cache and reclaimable slab what is more than half or more than the
/// watermark.
fn estimate_available(meminfo: &Meminfo, low_watermark_bytes: Option<u64>) -> u64 {
    let free = meminfo.free.unwrap_or_default();
    let crude = free.saturating_add(meminfo.cached.unwrap_or_default());
    let (Some(active), Some(inactive), Some(slab), Some(low)) =
        (meminfo.active_file, meminfo.inactive_file, meminfo.slab_reclaimable, low_watermark_bytes)
    else {
        return crude;
    };
    let part = |bytes: u64| bytes.saturating_sub((bytes / 2).min(low));
    let page_cache = part(active.saturating_add(inactive));
    free.saturating_add(page_cache).saturating_add(part(slab)).saturating_sub(low)
}

/// Sum of the `low` watermarks of all zones of /proc/zoneinfo, in pages.
pub fn parse_zoneinfo(text: &[u8]) -> u64 {
    lines(text)
        .filter_map(|(_, line)| line.trim_ascii().strip_prefix(b"low "))
        .filter_map(|value| number(value.trim_ascii()))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(meminfo: &str, low_watermark_bytes: Option<u64>) -> HostMemory {
        let mut now =
            MemoryReading { low_watermark_bytes, page_bytes: 4096, ..MemoryReading::default() };
        parse_meminfo(meminfo.as_bytes(), &mut now.meminfo, &mut now.meminfo_lines).unwrap();
        Memory::derive(None, &now).metrics.host
    }

    #[test]
    fn used_is_what_is_not_available() {
        let memory = derive("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 750 kB\n", None);
        assert_eq!(memory.used_bytes, 250 * 1024);
        assert_eq!(memory.usage_percent, Some(25.0));
        assert_eq!((memory.cached_bytes, memory.swap_total_bytes), (None, None));
    }

    #[test]
    fn more_available_than_total_is_what_is_free() {
        let memory = derive("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 5000 kB\n", None);
        assert_eq!(memory.available_bytes, 100 * 1024);
    }

    #[test]
    fn available_is_estimated_on_old_kernels() {
        let old = "MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 400 kB\nActive(file): 200 kB\nInactive(file): 100 kB\nSReclaimable: 60 kB\n";
        // 100 - 10 + (300 - 10) + (60 - 10) kB
        assert_eq!(derive(old, Some(10 * 1024)).available_bytes, 430 * 1024);
        assert_eq!(derive(old, None).available_bytes, 500 * 1024);
    }

    #[test]
    fn rates_come_from_the_time_between_the_readings() {
        let reading = |pgpgin, pswpin| MemoryReading {
            vmstat: Vmstat {
                pgpgin: Some(pgpgin),
                pgpgout: Some(0),
                pswpin: Some(pswpin),
                pswpout: Some(0),
                ..Vmstat::default()
            },
            page_bytes: 4096,
            ..MemoryReading::default()
        };
        let before = reading(1000, 10);
        let memory = Memory::derive(Some((&before, Duration::from_secs(2))), &reading(3000, 14))
            .metrics
            .host;
        assert_eq!(memory.pgpgin_per_sec, Some(1000.0));
        assert_eq!(memory.page_io_bytes_per_sec, Some(1_024_000.0));
        assert_eq!(memory.swap_io_bytes_per_sec, Some(8192.0));
        assert_eq!(memory.pgfault_per_sec, None);
        let reset =
            Memory::derive(Some((&before, Duration::from_secs(2))), &reading(5, 14)).metrics.host;
        assert_eq!((reset.pgpgin_per_sec, reset.page_io_bytes_per_sec), (None, None));
    }

    #[test]
    fn low_watermarks_add_up() {
        let text = b"Node 0, zone DMA\n  pages free 3840\n        boost    0\n        min      10\n        low      13\nNode 0, zone Normal\n        low      100\n";
        assert_eq!(parse_zoneinfo(text), 113);
    }
}
