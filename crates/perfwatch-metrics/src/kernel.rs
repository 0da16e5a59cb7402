//! Kernel: how long it has been up, what of its tables is used, its clock, and errors of the hardware.

use crate::catalog::metrics;

metrics! {
    /// The `kernel` section.
    pub struct KernelMetrics("kernel") {
        /// Uptime
        ///
        /// Whole seconds since boot, time asleep included.
        uptime_seconds: u64 = Gauge(Seconds) from "/proc/uptime",
        /// Boot
        ///
        /// A name that the kernel gives itself at every boot.
        boot_id: Option<String> = Info(Text) from "/proc/sys/kernel/random/boot_id",
        /// Kernel release
        ///
        /// The running kernel, such as 6.1.0-28-amd64.
        release: Option<String> = Info(Text) from "/proc/sys/kernel/osrelease",
        /// Kernel build
        ///
        /// Number, kind and date of the running kernel's build.
        version: Option<String> = Info(Text) from "/proc/sys/kernel/version",
        /// Open files
        ///
        /// File handles that the kernel has given out, for all processes together.
        open_files: Option<u64> = Gauge(Count) from "/proc/sys/fs/file-nr, column 1",
        /// Most open files
        ///
        /// Beyond it, opening fails for everybody but root (fs.file-max). Most distributions set it out of reach.
        open_files_limit: Option<u64> = Gauge(Count) from "/proc/sys/fs/file-nr, column 3",
        /// Open files by their limit
        ///
        /// Share of the file handles that may be given out.
        open_files_percent: Option<f64> = Gauge(Percent) from "open_files / open_files_limit" better lower,
        /// Threads
        ///
        /// Threads of all processes and of the kernel itself.
        threads: Option<u64> = Gauge(Count) from "/proc/loadavg, column 4",
        /// Most threads
        ///
        /// Beyond it, nothing can be started: the lesser of kernel.pid_max and kernel.threads-max. Read once a minute.
        threads_limit: Option<u64> = Gauge(Count) from "/proc/sys/kernel/pid_max, threads-max",
        /// Threads by their limit
        ///
        /// Share of the threads that there may be.
        threads_percent: Option<f64> = Gauge(Percent) from "threads / threads_limit" better lower,
        /// Entropy
        ///
        /// Bits of randomness that the kernel reckons with. Since kernel 5.18 it is 256 once there was enough, and stays so.
        entropy_bits: Option<u64> = Gauge(Count) from "/proc/sys/kernel/random/entropy_avail",
        /// Clock synchronised
        ///
        /// Whether a program such as chrony or systemd-timesyncd keeps the clock right, as it has told the kernel. Null where
        /// asking is refused.
        clock_synchronized: Option<bool> = Gauge(Flag) from "adjtimex(2): not TIME_ERROR",
        /// Clock offset
        ///
        /// How far the clock was off when it was last compared and is being brought back, by the kernel's loop. chrony steers
        /// in its own way and leaves it at 0.
        clock_offset_ms: Option<f64> = Gauge(Milliseconds) from "adjtimex(2): offset",
        /// Largest clock error
        ///
        /// How far the clock may be off at most, as the program that keeps it right reckons. The kernel lets it grow by 0.5 ms
        /// a second until it is told anew, up to 16 s.
        clock_max_error_ms: Option<f64> = Gauge(Milliseconds) from "adjtimex(2): maxerror" better lower,
        /// Corrected memory errors
        ///
        /// Bits of memory that had turned and were put right, since the driver was loaded. One that grows is a module on its
        /// way out. Null without ECC memory or its EDAC driver.
        hardware_errors_corrected: Option<u64> = Counter(Count) from "/sys/devices/system/edac/mc/mc*/ce_count"
            better lower,
        /// Uncorrected memory errors
        ///
        /// Errors of memory that could not be put right. Null without ECC memory or its EDAC driver.
        hardware_errors_uncorrected: Option<u64> = Counter(Count) from "/sys/devices/system/edac/mc/mc*/ue_count"
            better lower,
    }
    raw {
        /// Name of each memory controller, and its corrected and uncorrected errors.
        memory_controllers: Vec<(String, [u64; 2])>,
    }
}
