//! Memory: /proc/meminfo and /proc/vmstat; /proc/zoneinfo on kernels that do not say what is available; what sysfs says of
//! NUMA nodes and zram.

mod nodes;
mod zram;

use std::sync::Arc;
use std::time::Duration;

pub use perfwatch_metrics::memory::MeminfoLines;
use perfwatch_metrics::memory::{HostMemory, MeminfoName, MemoryMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::host::{Host, KernelFile};
use crate::parse::{lines, second_number, set_text, shown};
use crate::rate::{per_second, percent};
use crate::rows::Rows;

use nodes::Nodes;
pub use nodes::{Allocations, MAX_NODES, NodeReading, parse_node_meminfo, parse_numastat};
pub use zram::{MAX_ZRAM, parse_mm_stat};
use zram::{Zram, ZramReading};

/// Most lines of /proc/meminfo that are carried along; a kernel has about 60. The rest is left out.
const MAX_LINES: usize = 256;

/// A longer name is none of the kernel's, and its line is left out.
const MAX_NAME_BYTES: usize = 64;

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

/// Fields of /proc/meminfo, in bytes or, for huge pages, in pages. None where the kernel has no such line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's own")]
pub struct Meminfo {
    pub total: Option<u64>,
    pub free: Option<u64>,
    /// Since 3.14.
    pub available: Option<u64>,
    pub buffers: Option<u64>,
    pub cached: Option<u64>,
    pub active_file: Option<u64>,
    pub inactive_file: Option<u64>,
    /// Since 2.6.19.
    pub slab_reclaimable: Option<u64>,
    pub slab_unreclaimable: Option<u64>,
    pub active: Option<u64>,
    pub inactive: Option<u64>,
    pub dirty: Option<u64>,
    pub writeback: Option<u64>,
    /// Since 2.6.32.
    pub shmem: Option<u64>,
    pub commit_limit: Option<u64>,
    pub committed: Option<u64>,
    /// Since 5.19, with zswap.
    pub zswap_pool: Option<u64>,
    pub zswap_stored: Option<u64>,
    pub swap_total: Option<u64>,
    pub swap_free: Option<u64>,
    pub hugepages_total: Option<u64>,
    pub hugepages_free: Option<u64>,
    pub hugepages_reserved: Option<u64>,
}

/// Counters of /proc/vmstat since boot. None where the kernel has no such line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Vmstat {
    /// Read from block devices, in units of 1,024 bytes.
    pub pgpgin: Option<u64>,
    /// Written to block devices, in units of 1,024 bytes.
    pub pgpgout: Option<u64>,
    /// Pages read from swap. Absent without CONFIG_SWAP.
    pub pswpin: Option<u64>,
    /// Pages written to swap.
    pub pswpout: Option<u64>,
    /// Page faults.
    pub pgfault: Option<u64>,
    /// Page faults that waited for a disk.
    pub pgmajfault: Option<u64>,
    /// Processes killed because memory ran out. Since 4.13.
    pub oom_kill: Option<u64>,
    /// Allocations that had to reclaim memory themselves: of all zones, which have a line each since 4.10.
    pub allocstall: Option<u64>,
    /// Allocations that had to compact memory themselves. Absent without CONFIG_COMPACTION.
    pub compact_stall: Option<u64>,
    /// Pages read back soon after they were reclaimed: of files and, since 5.9 in a line of its own, of programs. Since
    /// 3.15.
    pub refault: Option<u64>,
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

/// Reads /proc/meminfo: `MemTotal:       24684084 kB`. Of lines that PerfWatch reports MemTotal and MemFree must be
/// there, and those that are must make sense.
pub fn parse_meminfo(
    text: &[u8],
    into: &mut Meminfo,
    all: &mut MeminfoLines,
) -> Result<(), Malformed> {
    *into = Meminfo::default();
    all.values.clear();
    for (index, line) in lines(text) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default();
        let is_size = line.ends_with(b" kB");
        let unit_bytes = if is_size { 1024 } else { 1 };
        let value = second_number(line).and_then(|value| value.checked_mul(unit_bytes));
        if let Some(value) = value {
            push_line(all, name, is_size, value);
        }
        let (slot, must_be_size) = match name {
            b"MemTotal" => (&mut into.total, true),
            b"MemFree" => (&mut into.free, true),
            b"MemAvailable" => (&mut into.available, true),
            b"Buffers" => (&mut into.buffers, true),
            b"Cached" => (&mut into.cached, true),
            b"Active(file)" => (&mut into.active_file, true),
            b"Inactive(file)" => (&mut into.inactive_file, true),
            b"SReclaimable" => (&mut into.slab_reclaimable, true),
            b"SUnreclaim" => (&mut into.slab_unreclaimable, true),
            b"Active" => (&mut into.active, true),
            b"Inactive" => (&mut into.inactive, true),
            b"Dirty" => (&mut into.dirty, true),
            b"Writeback" => (&mut into.writeback, true),
            b"Shmem" => (&mut into.shmem, true),
            b"CommitLimit" => (&mut into.commit_limit, true),
            b"Committed_AS" => (&mut into.committed, true),
            b"Zswap" => (&mut into.zswap_pool, true),
            b"Zswapped" => (&mut into.zswap_stored, true),
            b"SwapTotal" => (&mut into.swap_total, true),
            b"SwapFree" => (&mut into.swap_free, true),
            b"HugePages_Total" => (&mut into.hugepages_total, false),
            b"HugePages_Free" => (&mut into.hugepages_free, false),
            b"HugePages_Rsvd" => (&mut into.hugepages_reserved, false),
            _ => continue,
        };
        let value = value.filter(|_| is_size == must_be_size);
        *slot = Some(
            value.ok_or_else(|| Malformed::at(index, format!("not a size: {}", shown(line))))?,
        );
    }
    for (field, name) in [(into.total, "MemTotal"), (into.free, "MemFree")] {
        if field.is_none() {
            return Err(Malformed::at(0, format!("no {name}")));
        }
    }
    Ok(())
}

/// Adds a line. Where the line before at this place had the same name, as always but the first time, nothing is copied.
fn push_line(all: &mut MeminfoLines, name: &[u8], is_size: bool, value: u64) {
    let place = all.values.len();
    if place >= MAX_LINES || name.len() > MAX_NAME_BYTES {
        return;
    }
    all.values.push(value);
    let known = all.names.get(place);
    if known.is_some_and(|known| known.name.as_bytes() == name && known.is_size == is_size) {
        return;
    }
    let names = Arc::make_mut(&mut all.names);
    names.truncate(place);
    let mut text = String::new();
    set_text(&mut text, name);
    names.push(MeminfoName { name: text, is_size });
}

/// Reads the lines of /proc/vmstat that PerfWatch reports: `pgpgin 379749`.
pub fn parse_vmstat(text: &[u8], into: &mut Vmstat) -> Result<(), Malformed> {
    *into = Vmstat::default();
    for (index, line) in lines(text) {
        // Most lines are those of zones, `nr_` and more: not worth taking apart.
        if !matches!(line.first(), Some(b'a' | b'c' | b'o' | b'p' | b'w')) {
            continue;
        }
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let slot = match line.get(..end).unwrap_or_default() {
            b"pgpgin" => &mut into.pgpgin,
            b"pgpgout" => &mut into.pgpgout,
            b"pswpin" => &mut into.pswpin,
            b"pswpout" => &mut into.pswpout,
            b"pgfault" => &mut into.pgfault,
            b"pgmajfault" => &mut into.pgmajfault,
            b"oom_kill" => &mut into.oom_kill,
            b"compact_stall" => &mut into.compact_stall,
            b"workingset_refault" | b"workingset_refault_anon" | b"workingset_refault_file" => {
                &mut into.refault
            }
            name if name.starts_with(b"allocstall") => &mut into.allocstall,
            _ => continue,
        };
        let value = second_number(line)
            .ok_or_else(|| Malformed::at(index, format!("not a counter: {}", shown(line))))?;
        // Lines of the same slot add up.
        *slot = Some(slot.unwrap_or_default().saturating_add(value));
    }
    Ok(())
}

/// Sum of the `low` watermarks of all zones of /proc/zoneinfo, in pages.
pub fn parse_zoneinfo(text: &[u8]) -> u64 {
    lines(text)
        .filter_map(|(_, line)| line.trim_ascii().strip_prefix(b"low "))
        .filter_map(|value| crate::parse::number(value.trim_ascii()))
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
    fn every_line_is_carried_along() {
        let shown = |lines: &MeminfoLines| {
            let names = lines.names.iter().map(|line| (line.name.clone(), line.is_size));
            names.zip(lines.values.clone()).collect::<Vec<_>>()
        };
        let line = |name: &str, is_size, value| ((name.to_owned(), is_size), value);
        let text =
            "MemTotal: 2 kB\nMemFree: 1 kB\nActive(anon): 3 kB\nNonsense\nHugePages_Total: 4\n";
        let (mut meminfo, mut all) = (Meminfo::default(), MeminfoLines::default());
        parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap();
        let ends = [line("Active(anon)", true, 3072), line("HugePages_Total", false, 4)];
        assert_eq!(shown(&all)[2..], ends);
        // A line that comes or goes moves the others; an earlier snapshot keeps its names.
        let earlier = all.clone();
        let text = "MemTotal: 2 kB\nMemFree: 1 kB\nNew: 7 kB\n";
        parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap();
        assert_eq!(shown(&all)[2..], [line("New", true, 7168)]);
        assert_eq!(shown(&earlier)[2..], ends);
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
    fn nonsense_is_refused_with_its_line() {
        let (mut meminfo, mut all) = (Meminfo::default(), MeminfoLines::default());
        for (text, says) in [
            ("", "1: no MemTotal"),
            ("MemTotal: 1 kB\n", "1: no MemFree"),
            ("MemTotal: 1 kB\nMemFree: x kB\n", "2: not a size: MemFree: x kB"),
            (
                "MemTotal: 18446744073709551615 kB\n",
                "1: not a size: MemTotal: 18446744073709551615 kB",
            ),
        ] {
            let error = parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap_err();
            assert_eq!(error.to_string(), says);
        }
        let mut vmstat = Vmstat::default();
        let error = parse_vmstat(b"nr_free_pages 1\npgfault\n", &mut vmstat).unwrap_err();
        assert_eq!(error.to_string(), "2: not a counter: pgfault");
    }

    #[test]
    fn what_has_a_line_for_each_zone_or_kind_is_one_number() {
        let vmstat = |text: &str| {
            let mut vmstat = Vmstat::default();
            parse_vmstat(text.as_bytes(), &mut vmstat).unwrap();
            (vmstat.allocstall, vmstat.compact_stall, vmstat.refault)
        };
        let new = "workingset_refault_anon 3\nworkingset_refault_file 40\nallocstall_dma 1\n\
                   allocstall_normal 20\nallocstall_movable 300\ncompact_stall 7\n";
        assert_eq!(vmstat(new), (Some(321), Some(7), Some(43)));
        assert_eq!(vmstat("workingset_refault 5\nallocstall 6\n"), (Some(6), None, Some(5)));
        assert_eq!(vmstat("pgfault 5\n"), (None, None, None));
    }

    #[test]
    fn low_watermarks_add_up() {
        let text = b"Node 0, zone DMA\n  pages free 3840\n        boost    0\n        min      10\n        low      13\nNode 0, zone Normal\n        low      100\n";
        assert_eq!(parse_zoneinfo(text), 113);
    }
}
