//! Memory: how much is in use, swap, huge pages, and the traffic between memory and disk.

use std::sync::Arc;

use crate::catalog::metrics;

metrics! {
    /// The host's memory. The kernel's kB are units of 1,024 bytes.
    pub struct MemoryMetrics("memory") {
        /// Memory utilisation
        ///
        /// Share of the memory that a new program could not have without swapping:
        /// (total - available) / total.
        usage_percent: Option<f64> = Gauge(Percent) from "/proc/meminfo: MemTotal, MemAvailable",
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
        available_bytes: u64 = Gauge(Bytes) from "/proc/meminfo: MemAvailable; else /proc/zoneinfo",
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
        pswpin_per_sec: Option<f64> = Gauge(PagesPerSecond) from "/proc/vmstat: pswpin" as rate(pswpin),
        /// Swapped out
        ///
        /// Pages written to swap.
        pswpout_per_sec: Option<f64> = Gauge(PagesPerSecond) from "/proc/vmstat: pswpout" as rate(pswpout),
        /// Page I/O
        ///
        /// Paged in and out together, in bytes.
        page_io_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "(pgpgin + pgpgout) of /proc/vmstat × 1,024" as rate(page_io_bytes),
        /// Swap I/O
        ///
        /// Swapped in and out together, in bytes.
        swap_io_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond)
            from "(pswpin + pswpout) of /proc/vmstat × page size" as rate(swap_io_bytes),
        /// Page faults
        ///
        /// Faults of every kind. Most are minor: a page is mapped that is in memory already.
        pgfault_per_sec: Option<f64> = Gauge(FaultsPerSecond) from "/proc/vmstat: pgfault" as rate(pgfault),
        /// Major page faults
        ///
        /// Faults that had to wait for a read from disk.
        pgmajfault_per_sec: Option<f64> = Gauge(FaultsPerSecond) from "/proc/vmstat: pgmajfault" as rate(pgmajfault),
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
        /// oom_kill of /proc/vmstat: processes killed since boot because memory ran out. None before kernel 4.13.
        oom_kill: Option<u64>,
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
