//! CPUs: what waits for them, and what takes them away.

use crate::rule::{Rule, above, absent, if_there, must, told};
use crate::sentence::Kind::{Errors, Saturation};
use crate::sentence::Resource::Cpu;
use crate::sentence::Severity::Warning;

pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "fork-storm",
        (Cpu, Saturation, Warning),
        "Processes are started in a storm",
        &[
            must("scheduler.forks_per_sec", above(400.0, 200.0), "{} a second on {cpus} CPUs").per_cpu(),
            must("cpu.system", above(25.0, 15.0), "the kernel takes {} of the CPU time"),
            told("scheduler.run_queue_wait", "{} threads wait for a CPU"),
        ],
        "A fork and an exec take about a millisecond of a CPU: 400 a second on each is most of what it can do in the kernel. \
         A parallel build starts some tens a second on each.",
    )
    .hides(&["cpu-saturated", "cpu-pressure"]),
    Rule::new(
        "cgroup-throttled",
        (Cpu, Saturation, Warning),
        "Control group {} is held back by its CPU quota",
        &[
            must("cgroups.slices.throttled_percent", above(10.0, 5.0), "kept from {} of a CPU"),
            told("cgroups.slices.cpu_percent", "using {}"),
        ],
        "cpu.stat's throttled_usec. Threads that are throttled for a tenth of the time miss every deadline shorter than the \
         quota's period (100 ms).",
    )
    .each("slice")
    .hides(&["cpu-saturated", "cpu-pressure"]),
    Rule::new(
        "cpu-saturated",
        (Cpu, Saturation, Warning),
        "CPU is saturated",
        &[
            must("scheduler.run_queue_wait", above(1.0, 0.5), "{} threads wait for {cpus} CPUs").per_cpu(),
            must("cpu.usage_percent", above(90.0, 75.0), "which are busy {} of the time"),
            if_there("pressure.resources.some_percent", above(40.0, 20.0), "something waits {} of the time")
                .of("resource", "cpu"),
        ],
        "USE method: saturation is the run queue. With one thread waiting for each CPU everything takes twice as long; a build \
         with as many jobs as CPUs stays below.",
    )
    .hides(&["cpu-pressure"]),
    Rule::new(
        "cpu-pressure",
        (Cpu, Saturation, Warning),
        "CPU is saturated",
        &[
            must("pressure.resources.some_percent", above(80.0, 60.0), "something waits for a CPU {} of the time")
                .of("resource", "cpu"),
            must("cpu.usage_percent", above(95.0, 80.0), "CPUs are busy {} of the time"),
            must("scheduler.running", above(2.0, 1.5), "{} threads want one of {cpus} CPUs").per_cpu(),
            absent("scheduler.run_queue_wait"),
        ],
        "PSI (Documentation/accounting/psi.rst): some is the share of time in which at least one task was runnable and waited, however many there \
         are, so at two runnable ones for each CPU. Used where the kernel has no /proc/schedstat, which tells how long all of them waited.",
    ),
    Rule::new(
        "cpu-stolen",
        (Cpu, Saturation, Warning),
        "The hypervisor withholds CPU time",
        &[must("cpu.steal", above(10.0, 5.0), "{} of the time that was wanted")],
        "proc(5): steal is time in which a virtual CPU was ready and did not run. Above a tenth, timings on this host mean \
         little.",
    )
    .critical(50.0)
    .hides(&["cpu-saturated", "cpu-pressure"]),
    Rule::new(
        "cpu-overheats",
        (Cpu, Errors, Warning),
        "CPUs throttle themselves for their temperature",
        &[must("cpu.throttles", above(10.0, 1.0), "throttled {} time{s}").events()],
        "Intel SDM, thermal monitor: the counter grows each time that a core or package slows down. Some happen at bursts of \
         load; ten within a minute are a cooling problem.",
    )
    .at_once(),
];
