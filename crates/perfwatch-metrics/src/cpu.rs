//! CPU: how the time of the processors was spent, their frequency and temperature.

use crate::catalog::metrics;

metrics! {
    /// The processors of the host. Shares are of the time between two samples, so they are null on the first.
    pub struct CpuMetrics("cpu") {
        /// CPU utilisation
        ///
        /// Share of time that all CPUs together were neither idle nor waiting for I/O.
        /// A hyper-thread counts as a CPU.
        usage_percent: Option<f64> = Gauge(Percent) from "/proc/stat" better lower,
        /// CPU utilisation per core
        ///
        /// As cpu.usage_percent, for each logical CPU by its number in the kernel.
        /// Null for a CPU that is offline or came online since the last sample.
        per_core: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat" better lower,
        /// User time
        ///
        /// Share of time in user space at normal priority, virtual CPUs of guests included.
        /// Processes with a raised nice value count elsewhere.
        user: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// System time
        ///
        /// Share of time in the kernel on behalf of processes, interrupts left out.
        system: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// Idle time
        ///
        /// Share of time with nothing to run and no I/O outstanding.
        idle: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// I/O wait
        ///
        /// Share of time a CPU was idle while a task that last ran on it waited for a disk. It is idle time:
        /// low does not mean that I/O is fast, only that the CPUs had something else to do.
        iowait: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// Hardware interrupts
        ///
        /// Share of time serving hardware interrupts. Some kernels do not account it and show 0.
        irq: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// Software interrupts
        ///
        /// Share of time in soft interrupts, of which most is network receive and timers.
        softirq: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// Nice time
        ///
        /// Share of time in user space of processes with a raised nice value: work that gives way to other work. cpu.user is without it.
        nice: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// Steal time
        ///
        /// Share of time in which this virtual machine had something to run and its host ran something else. Always 0 on hardware, and where the
        /// hypervisor does not tell. It counts as used in cpu.usage_percent.
        steal: Option<f64> = Gauge(Percent) from "/proc/stat" better lower,
        /// Guest time
        ///
        /// Share of time in virtual CPUs of guests that this host runs, nice ones included. It is a part of cpu.user and cpu.nice, not beside them.
        guest: Option<f64> = Gauge(Percent) from "/proc/stat",
        /// User time per core
        ///
        /// As cpu.user, for each logical CPU by its number in the kernel. Null as in cpu.per_core.
        per_core_user: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat",
        /// System time per core
        ///
        /// As cpu.system, for each logical CPU.
        per_core_system: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat",
        /// I/O wait per core
        ///
        /// As cpu.iowait, for each logical CPU. A task that waits is on no CPU, so which core has it says little.
        per_core_iowait: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat",
        /// Hardware interrupts per core
        ///
        /// As cpu.irq, for each logical CPU.
        per_core_irq: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat",
        /// Software interrupts per core
        ///
        /// As cpu.softirq, for each logical CPU. One core near 100 while others idle is a network queue that is served by that core alone.
        per_core_softirq: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat",
        /// Steal time per core
        ///
        /// As cpu.steal, for each logical CPU.
        per_core_steal: Vec<Option<f64>> = Gauge(Percent) by "core" from "/proc/stat" better lower,
        /// CPU frequency
        ///
        /// Current frequency of each logical CPU by its number in the kernel. From /proc/cpuinfo where it
        /// lists as many CPUs as cpufreq has policies, or where there is no cpufreq (what the hardware ran
        /// at, on x86); else from cpufreq (what the governor asked for). A CPU without a figure is null; a host that tells no frequency has an empty list.
        frequency_mhz: Option<Vec<Option<f64>>> = Gauge(Megahertz) by "core"
            from "/proc/cpuinfo, /sys/devices/system/cpu/cpufreq",
        /// CPU temperature
        ///
        /// Readings of the processors' own sensors: of each core where the chip has one for each, else of
        /// what it has. cpu.temperature_sensors names them in the same order. A host without such sensors,
        /// as most virtual machines, has an empty list.
        temperature_celsius: Option<Vec<Option<f64>>> = Gauge(Celsius) by "sensor"
            from "/sys/class/hwmon, /sys/class/thermal" better lower,
        /// Temperature sensors
        ///
        /// Chip and label of each reading of cpu.temperature_celsius, in the same order.
        temperature_sensors: Option<Vec<String>> = Info(Text) by "sensor"
            from "/sys/class/hwmon, /sys/class/thermal",
        /// Frequency limit
        ///
        /// The most that each logical CPU may run at now, by its number in the kernel: what was asked for, lowered by what firmware or cooling
        /// allows. Read once a minute. Null, as cpu.governor, on a host without cpufreq, as most virtual machines.
        frequency_limit_mhz: Option<Vec<Option<f64>>> = Gauge(Megahertz) by "core"
            from "/sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq",
        /// Governor
        ///
        /// What decides the frequency of each logical CPU, by its number in the kernel: performance, powersave, schedutil. Read once a minute.
        governor: Option<Vec<Option<String>>> = Info(Text) by "core"
            from "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
        /// Thermal throttles
        ///
        /// How often cores and packages were slowed down because they were too hot, each core and each package counted once, since boot. Null on processors
        /// that do not count it: it is a feature of Intel's.
        throttles: Option<u64> = Counter(Count)
            from "/sys/devices/system/cpu/cpu*/thermal_throttle/{core,package}_throttle_count" better lower,
        /// Interrupts
        ///
        /// Interrupts of every kind since boot, the sum of all per-CPU columns of /proc/interrupts. Unlike
        /// intr of /proc/stat it holds the TLB shootdowns too, and it falls when a CPU goes offline and takes
        /// its column along.
        interrupts: Option<u64> = Counter(Count) from "/proc/interrupts",
    }
    raw {
        /// By the kernel's number of the CPU; None for one that is offline. idle and iowait, which the kernel lets fall
        /// by a little, stay where they were until it has caught up.
        times: Vec<Option<CpuTimes>>,
        /// What /proc/stat says after the CPUs.
        activity: Activity,
        /// Thermal throttles by core, and by package. Empty on processors that do not count them.
        throttled: Vec<Throttled>,
    }
}

/// How often one core or one package was slowed down because it was too hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// The package.
    pub package: u64,
    /// The core in it. None for the package as a whole.
    pub core: Option<u64>,
    /// Since boot. None when it could not be read.
    pub count: Option<u64>,
}

/// Time of a CPU in ticks since boot by what it was spent on: user, nice, system, idle, iowait, irq, softirq, steal,
/// guest, guest_nice. Guest time is part of user too, guest_nice of nice.
pub type CpuTimes = [u64; 10];

/// Ticks of [`CpuTimes`] in a second: USER_HZ, which is 100 on every architecture that is left.
pub const TICKS_PER_SECOND: u64 = 100;

/// The lines of /proc/stat after the CPUs. None where there is no such line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// `intr`: interrupts since boot, those between CPUs left out.
    pub interrupts: Option<u64>,
    /// `ctxt`: context switches since boot.
    pub context_switches: Option<u64>,
    /// `btime`: when the host was booted, in seconds since the epoch.
    pub boot_time: Option<u64>,
    /// `processes`: processes and threads made since boot.
    pub forks: Option<u64>,
    /// `procs_running`: threads that run or could.
    pub running: Option<u64>,
    /// `procs_blocked`: threads that wait for a disk.
    pub blocked: Option<u64>,
}
