//! Memory: what waits for it, what was killed for it.

use crate::rule::{Rule, above, absent, must, one_of, told};
use crate::sentence::Kind::{Errors, Saturation, Utilisation};
use crate::sentence::Resource::Memory;
use crate::sentence::Severity::{Critical, Warning};

/// Reclaim reads and writes disks; that is not the disk's trouble.
const SHOWS_AS_DISK: &[&str] =
    &["memory-reclaim", "memory-low", "swapping", "disk-saturated", "disk-slow", "io-stalled"];

pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "oom-kill",
        (Memory, Errors, Critical),
        "The kernel killed processes for lack of memory",
        &[
            must("memory.oom_kills", above(1.0, 1.0), "{} kill{s}").events(),
            told("memory.available_bytes", "{} are available on the host"),
        ],
        "/proc/vmstat's oom_kill, which counts the kills of control groups too. One is one too many.",
    )
    .at_once()
    .hides(&["memory-pressure", "memory-reclaim", "memory-low", "swapping", "disk-saturated", "disk-slow", "io-stalled"]),
    Rule::new(
        "memory-pressure",
        (Memory, Saturation, Warning),
        "Memory is short",
        &[
            one_of("pressure.resources.full_percent", above(5.0, 2.0), "everything waits for memory {} of the time")
                .of("resource", "memory"),
            one_of("pressure.resources.some_percent", above(25.0, 10.0), "something waits for memory {} of the time")
                .of("resource", "memory"),
            told("memory.refaults_per_sec", "{} pages a second are read that were just dropped"),
            told("memory.direct_reclaims_per_sec", "{} allocations a second reclaim first"),
            told("memory.available_bytes", "{} are available on the host"),
        ],
        "PSI: full is the share of time in which all tasks that are not idle wait for memory, so it is lost work; some, in which any does. \
         systemd-oomd kills at 60 % over 30 s; a twentieth of all work, or a quarter of somebody's, is felt long before that.",
    )
    .hold(20)
    .critical(25.0)
    .hides(SHOWS_AS_DISK),
    Rule::new(
        "memory-reclaim",
        (Memory, Saturation, Warning),
        "Memory is short",
        &[
            must("memory.direct_reclaims_per_sec", above(20.0, 5.0), "{} allocations a second reclaim first"),
            told("memory.refaults_per_sec", "{} pages a second are read that were just dropped"),
            absent("pressure.resources.full_percent").of("resource", "memory"),
        ],
        "Direct reclaim (/proc/vmstat's allocstall) makes the process that allocates do the work of kswapd. Used where the \
         kernel has no PSI.",
    )
    .hides(&["memory-low", "disk-saturated", "disk-slow", "io-stalled"]),
    Rule::new(
        "swapping",
        (Memory, Saturation, Warning),
        "The host swaps",
        &[
            must("memory.pswpin_per_sec", above(100.0, 20.0), "{} pages a second come back from swap"),
            told("memory.pswpout_per_sec", "{} a second go there"),
            told("memory.swap_used_bytes", "{} are swapped out"),
        ],
        "Pages out are harmless once; pages that come back were needed. A hundred a second are 400 KB/s and, on a disk \
         of 10 ms, a whole second of waiting each second.",
    )
    .hides(&["memory-low", "disk-saturated", "disk-slow", "io-stalled"]),
    Rule::new(
        "memory-low",
        (Memory, Utilisation, Warning),
        "Memory is nearly used up",
        &[
            must("memory.usage_percent", above(95.0, 92.0), "{} in use").level(),
            told("memory.available_bytes", "{} available").level(),
        ],
        "MemAvailable is the kernel's estimate of what can be had without swapping. The last twentieth goes fast.",
    )
    .critical(99.0),
];
