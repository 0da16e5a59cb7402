//! Memory: how much is in use, swap, huge pages, the traffic between memory and disk, and what a shortage makes the kernel do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `memory` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryMetrics {
    /// The host as a whole.
    #[serde(flatten)]
    pub host: HostMemory,
    /// By number. Empty on a kernel without NUMA; any other host has at least one.
    pub nodes: BTreeMap<String, NodeMetrics>,
    /// By the kernel's name. Empty on a host without compressed memory as a block device.
    pub zram: BTreeMap<String, ZramMetrics>,
}

impl MemoryMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.host.visit(each);
        for (number, node) in &self.nodes {
            node.visit(number, each);
        }
        for (name, device) in &self.zram {
            device.visit(name, each);
        }
    }

    /// As `visit`, of what is kept and not reported.
    pub fn visit_hidden(&self, each: &mut Visitor<'_>) {
        self.host.visit_hidden(each);
    }
}

metrics! {
    /// The host's memory. The kernel's kB are units of 1,024 bytes.
    pub struct HostMemory("memory") {
        /// Memory utilisation
        ///
        /// Share of the memory that a new program could not have without swapping:
        /// (total - available) / total.
        usage_percent: Option<f64> = Gauge(Percent) from "/proc/meminfo: MemTotal, MemAvailable" better lower,
        /// Total memory
        ///
        /// Memory the kernel manages: what is installed, less what firmware and kernel image keep.
        total_bytes: u64 = Gauge(Bytes) from "/proc/meminfo: MemTotal",
        /// Used memory
        ///
        /// total - available. Caches that can be dropped are not in it.
        used_bytes: u64 = Gauge(Bytes) from "/proc/meminfo: MemTotal, MemAvailable",
        /// Available memory
        ///
        /// The kernel's estimate of what can be had without swapping. On kernels before 3.14, which do not
        /// say, it is estimated by the kernel's own formula from free, page cache, reclaimable slab and the
        /// low watermarks.
        available_bytes: u64 = Gauge(Bytes) from "/proc/meminfo: MemAvailable; else /proc/zoneinfo" better higher,
        /// Free memory
        ///
        /// Memory that nothing uses at all. A healthy host has little: the rest is cache.
        free_bytes: u64 = Gauge(Bytes) from "/proc/meminfo: MemFree",
        /// Page cache
        ///
        /// File contents kept in memory, tmpfs and shared memory included, and reclaimable slab.
        cached_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Cached + SReclaimable",
        /// Buffers
        ///
        /// Cache of raw block devices, mostly file-system metadata.
        buffers_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Buffers",
        /// Total swap
        ///
        /// Size of all active swap areas. 0 without swap.
        swap_total_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: SwapTotal",
        /// Used swap
        ///
        /// total - free. What was swapped out once and not needed since may stay here for months:
        /// memory.pswpin_per_sec tells whether it hurts.
        swap_used_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: SwapTotal, SwapFree",
        /// Free swap
        ///
        /// Swap space that holds nothing.
        swap_free_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: SwapFree",
        /// Huge pages
        ///
        /// Size of the pool of reserved huge pages of the default size. Null on a kernel without hugetlbfs.
        hugepages_total: Option<u64> = Gauge(Count) from "/proc/meminfo: HugePages_Total",
        /// Free huge pages
        ///
        /// Huge pages of the pool that are not allocated.
        hugepages_free: Option<u64> = Gauge(Count) from "/proc/meminfo: HugePages_Free",
        /// Reserved huge pages
        ///
        /// Huge pages promised to a mapping and not yet touched. They count as free too.
        hugepages_reserved: Option<u64> = Gauge(Count) from "/proc/meminfo: HugePages_Rsvd",
        /// Paged in
        ///
        /// Data read from block devices into memory. Reads of files that bypass the page cache count as well.
        /// Null on the first sample and after the counter went backwards.
        pgpgin_per_sec: Option<f64> = Gauge(KilobytesPerSecond) from "/proc/vmstat: pgpgin" as rate(pgpgin),
        /// Paged out
        ///
        /// Data written from memory to block devices.
        pgpgout_per_sec: Option<f64> = Gauge(KilobytesPerSecond) from "/proc/vmstat: pgpgout" as rate(pgpgout),
        /// Swapped in
        ///
        /// Pages read back from swap: what programs had to wait for. Null on a kernel without swap support.
        pswpin_per_sec: Option<f64> = Gauge(PagesPerSecond) from "/proc/vmstat: pswpin" as rate(pswpin) better lower,
        /// Swapped out
        ///
        /// Pages written to swap.
        pswpout_per_sec: Option<f64> = Gauge(PagesPerSecond) from "/proc/vmstat: pswpout" as rate(pswpout)
            better lower,
        /// Page I/O
        ///
        /// Paged in and out together, in bytes.
        page_io_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "(pgpgin + pgpgout) of /proc/vmstat × 1,024" as rate(page_io_bytes),
        /// Swap I/O
        ///
        /// Swapped in and out together, in bytes.
        swap_io_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "(pswpin + pswpout) of /proc/vmstat × page size" as rate(swap_io_bytes) better lower,
        /// Page faults
        ///
        /// Faults of every kind. Most are minor: a page is mapped that is in memory already.
        pgfault_per_sec: Option<f64> = Gauge(FaultsPerSecond) from "/proc/vmstat: pgfault" as rate(pgfault),
        /// Major page faults
        ///
        /// Faults that had to wait for a read from disk.
        pgmajfault_per_sec: Option<f64> = Gauge(FaultsPerSecond) from "/proc/vmstat: pgmajfault" as rate(pgmajfault)
            better lower,
        /// Active
        ///
        /// Memory used lately, of programs and of the page cache: reclaimed only when there is no other.
        active_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Active",
        /// Inactive
        ///
        /// Memory not used lately: what is reclaimed first.
        inactive_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Inactive",
        /// Dirty
        ///
        /// File contents that wait to be written to disk. Beyond vm.dirty_ratio, programs that write have to wait.
        dirty_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Dirty",
        /// Writeback
        ///
        /// File contents that are being written to disk at this moment.
        writeback_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Writeback",
        /// Reclaimable slab
        ///
        /// The kernel's own objects that it can let go of, names and inodes of files above all. Part of the page cache
        /// as memory.cached_bytes counts it.
        slab_reclaimable_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: SReclaimable",
        /// Unreclaimable slab
        ///
        /// The kernel's own objects that it needs. What grows here for days and never falls is a leak of the kernel's.
        slab_unreclaimable_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: SUnreclaim",
        /// Shared memory
        ///
        /// tmpfs and shared memory. In the page cache, and cannot be dropped from it: only swapped.
        shmem_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Shmem",
        /// Commit limit
        ///
        /// How much may be promised to programs where vm.overcommit_memory is 2: swap, and vm.overcommit_ratio of memory. It
        /// binds nobody otherwise.
        commit_limit_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: CommitLimit",
        /// Committed memory
        ///
        /// What was promised to programs, touched or not. More than the commit limit is normal where it does not bind.
        committed_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Committed_AS",
        /// zswap pool
        ///
        /// Memory that the compressed pages take that zswap keeps instead of writing them to swap. Null before kernel 5.19 and
        /// without zswap in it.
        zswap_pool_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Zswap",
        /// Stored in zswap
        ///
        /// The same pages as they were before they were compressed. Swap space is reserved for them too.
        zswap_stored_bytes: Option<u64> = Gauge(Bytes) from "/proc/meminfo: Zswapped",
        /// Direct reclaims
        ///
        /// How often since boot a program that wanted memory had to free some itself first: free memory ran out faster
        /// than the kernel's own thread made new. The programs waited meanwhile.
        direct_reclaims: Option<u64> = Counter(Count) from "/proc/vmstat: Σ allocstall*" better lower,
        /// Direct reclaim rate
        ///
        /// 0 on a healthy host.
        direct_reclaims_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/vmstat: Σ allocstall*" as rate(direct_reclaims) better lower,
        /// Compaction stalls
        ///
        /// How often since boot a program that wanted memory in one piece, as for a huge page, had to move pages together itself
        /// first. Null on a kernel without compaction.
        compact_stalls: Option<u64> = Counter(Count) from "/proc/vmstat: compact_stall" better lower,
        /// Compaction stall rate
        ///
        /// Null as the counter is.
        compact_stalls_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/vmstat: compact_stall" as rate(compact_stalls) better lower,
        /// Refaults
        ///
        /// Pages that were reclaimed and soon after read back: memory is too small for what is in use, though
        /// something is always free. Null before kernel 3.15.
        refaults: Option<u64> = Counter(Count)
            from "/proc/vmstat: workingset_refault_anon + workingset_refault_file; before 5.9 workingset_refault"
            better lower,
        /// Refault rate
        ///
        /// Steadily above 0, as with major faults, is thrashing.
        refaults_per_sec: Option<f64> = Gauge(PagesPerSecond)
            from "/proc/vmstat: workingset_refault*" as rate(refaults) better lower,
        /// OOM kills
        ///
        /// Processes killed since boot because memory ran out, that of the host or that of a control group. Null before kernel
        /// 4.13.
        oom_kills: Option<u64> = Counter(Count) from "/proc/vmstat: oom_kill" better lower,
    }
    kept {
        /// Paged in since boot
        ///
        /// In units of 1,024 bytes.
        pgpgin: Option<u64> = Counter(Count) from "/proc/vmstat: pgpgin",
        /// Paged out since boot
        ///
        /// In units of 1,024 bytes.
        pgpgout: Option<u64> = Counter(Count) from "/proc/vmstat: pgpgout",
        /// Swapped in since boot
        ///
        /// In pages.
        pswpin: Option<u64> = Counter(Count) from "/proc/vmstat: pswpin",
        /// Swapped out since boot
        ///
        /// In pages.
        pswpout: Option<u64> = Counter(Count) from "/proc/vmstat: pswpout",
        /// Page I/O since boot
        ///
        /// Paged in and out together. Kept beside the two because the least and the greatest rate of a sum cannot be had
        /// from those of its parts.
        page_io_bytes: Option<u64> = Counter(Bytes) from "(pgpgin + pgpgout) of /proc/vmstat × 1,024",
        /// Swap I/O since boot
        ///
        /// Swapped in and out together.
        swap_io_bytes: Option<u64> = Counter(Bytes) from "(pswpin + pswpout) of /proc/vmstat × page size",
        /// Page faults since boot
        ///
        /// Of every kind.
        pgfault: Option<u64> = Counter(Count) from "/proc/vmstat: pgfault",
        /// Major page faults since boot
        ///
        /// Those that had to wait for a read from disk.
        pgmajfault: Option<u64> = Counter(Count) from "/proc/vmstat: pgmajfault",
    }
    raw {
        /// Every line of /proc/meminfo.
        meminfo: MeminfoLines,
    }
}

metrics! {
    /// One NUMA node: memory that some of the processors are nearer to. A host with one socket mostly has one.
    pub struct NodeMetrics("memory.nodes" by "node") {
        /// Total memory of the node
        ///
        /// 0 for a node that has processors alone.
        total_bytes: u64 = Gauge(Bytes) from "/sys/devices/system/node/node*/meminfo: MemTotal",
        /// Free memory of the node
        ///
        /// A node may be out of it, and reclaim or spill over to others, while the host has plenty.
        free_bytes: u64 = Gauge(Bytes) from "/sys/devices/system/node/node*/meminfo: MemFree",
        /// NUMA hits
        ///
        /// Pages allocated on this node as was wanted, since boot. Null, as the others, on a kernel that does not count.
        hit: Option<u64> = Counter(Count) from "/sys/devices/system/node/node*/numastat: numa_hit",
        /// NUMA misses
        ///
        /// Pages allocated on this node that another was wanted for, which had none free.
        miss: Option<u64> = Counter(Count) from "/sys/devices/system/node/node*/numastat: numa_miss",
        /// NUMA foreign
        ///
        /// Pages wanted of this node, which had none free, and allocated on another.
        foreign: Option<u64> = Counter(Count) from "/sys/devices/system/node/node*/numastat: numa_foreign",
        /// NUMA hit rate
        ///
        /// All pages allocated on this node, but those that were meant for others.
        hit_per_sec: Option<f64> = Gauge(PagesPerSecond)
            from "/sys/devices/system/node/node*/numastat: numa_hit" as rate(hit),
        /// NUMA miss rate
        ///
        /// What should be elsewhere: each use of it costs the way to another node.
        miss_per_sec: Option<f64> = Gauge(PagesPerSecond)
            from "/sys/devices/system/node/node*/numastat: numa_miss" as rate(miss) better lower,
    }
}

metrics! {
    /// One zram device: a block device in compressed memory, mostly used for swap.
    pub struct ZramMetrics("memory.zram" by "device") {
        /// Stored in zram
        ///
        /// What was written to the device, before it was compressed.
        data_bytes: u64 = Gauge(Bytes) from "/sys/block/zram*/mm_stat: orig_data_size",
        /// Compressed in zram
        ///
        /// The same, compressed.
        compressed_bytes: u64 = Gauge(Bytes) from "/sys/block/zram*/mm_stat: compr_data_size",
        /// Memory of zram
        ///
        /// What the device takes of the host's memory: what is compressed, gaps and all.
        used_bytes: u64 = Gauge(Bytes) from "/sys/block/zram*/mm_stat: mem_used_total",
    }
}

/// /proc/meminfo, whatever lines this kernel has. The names change with the kernel alone, so snapshots share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeminfoLines {
    /// In the order of the file.
    pub names: Arc<Vec<MeminfoName>>,
    /// Bytes or numbers of things, in the order of the names.
    pub values: Vec<u64>,
}

/// A line of /proc/meminfo without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeminfoName {
    /// As the kernel writes it: `Active(anon)`.
    pub name: String,
    /// Whether it is a size, which the kernel gives in kB, and not a number of things.
    pub is_size: bool,
}
