//! Tables of the kernel that can be full, its clock, and the hardware's errors.

use crate::rule::{Rule, above, below, must, told};
use crate::sentence::Kind::{Errors, Utilisation};
use crate::sentence::Resource::Kernel;
use crate::sentence::Severity::{Critical, Notice, Warning};

pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "open-files",
        (Kernel, Utilisation, Warning),
        "The kernel's table of open files is nearly full",
        &[
            must("kernel.open_files_percent", above(80.0, 70.0), "{} used").level(),
            told("kernel.open_files", "{} open").level(),
        ],
        "/proc/sys/fs/file-nr. When it is full, every open fails with ENFILE.",
    )
    .at_once()
    .critical(95.0),
    Rule::new(
        "threads",
        (Kernel, Utilisation, Warning),
        "There is hardly a number left for new threads",
        &[
            must("kernel.threads_percent", above(80.0, 70.0), "{} used").level(),
            told("kernel.threads", "{} threads").level(),
        ],
        "The lesser of kernel.threads-max and kernel.pid_max. When they are used up, every fork fails with EAGAIN.",
    )
    .at_once()
    .critical(95.0),
    Rule::new(
        "clock-unsynchronized",
        (Kernel, Errors, Notice),
        "The clock is not synchronized any more",
        &[
            must("kernel.clock_synchronized", below(0.5, 0.5), "").level(),
            told("kernel.clock_max_error_ms", "it may be wrong by {}").level(),
        ],
        "adjtimex's STA_UNSYNC. Told when it was synchronized in the last half hour, or usually is.",
    )
    .hold(60)
    .news(),
    Rule::new(
        "hardware-errors",
        (Kernel, Errors, Critical),
        "Memory has errors that could not be corrected",
        &[must("kernel.hardware_errors_uncorrected", above(1.0, 1.0), "{} error{s}").events()],
        "EDAC's ue_count. One is one too many.",
    )
    .at_once()
    .hides(&["hardware-corrects"]),
    Rule::new(
        "hardware-corrects",
        (Kernel, Errors, Notice),
        "Memory has errors that were corrected",
        &[must("kernel.hardware_errors_corrected", above(10.0, 1.0), "{} error{s}").events()],
        "EDAC's ce_count. One now and then is a cosmic ray; ten within a minute are a module that fails.",
    )
    .at_once(),
];
