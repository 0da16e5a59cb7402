//! What PerfWatch tells Prometheus of itself and of how the snapshot came about.

use perfwatch_metrics::{Part, Section, Snapshot, State};

use super::name::shifted;
use super::text::{Family, Page, Type, label};
use crate::footprint::{self, Footprint, Meter};

/// Writes it.
pub(super) fn write(page: &mut Page, snapshot: &Snapshot, seq: u64) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.family("perfwatch_build", Type::Info, "The program that answers.", |family| {
        family.sample(&labels(&version), "1");
    });
    write_process(page);

    let help = "Samples taken since PerfWatch started.";
    page.single("perfwatch_samples", Type::Counter, help, &seq.to_string());
    let missed = snapshot.tick.saturating_add(1).saturating_sub(seq);
    let help = "Ticks at which no sample was taken, because the host was overloaded or asleep.";
    page.single("perfwatch_missed_ticks", Type::Counter, help, &missed.to_string());
    for (name, help, millis) in [
        (
            "perfwatch_sample_timestamp_seconds",
            "When the sample was taken, since the epoch. All values are of this moment.",
            snapshot.timestamp.as_millisecond().to_string(),
        ),
        (
            "perfwatch_sample_lateness_seconds",
            "How much later than planned the sample was taken.",
            snapshot.lateness_ms.to_string(),
        ),
        (
            "perfwatch_interval_seconds",
            "Time between samples that was asked for.",
            snapshot.interval_ms.to_string(),
        ),
    ] {
        page.single(name, Type::Gauge, help, &seconds(&millis));
    }

    let help = "1 when the section was collected, 0 when it is missing. Those that are switched off are left out.";
    page.family("perfwatch_section_up", Type::Gauge, help, |family| {
        each_section(snapshot, family, |section| {
            Some(u8::from(section.state == State::Ok).to_string())
        });
    });
    let help =
        "Parts of the section that failed or are late, such as a file system that does not answer.";
    page.family("perfwatch_section_missing_parts", Type::Gauge, help, |family| {
        // What this host does not have is not missing.
        let is_missing = |part: &&Part| matches!(part.state, State::Failed | State::Late);
        each_section(snapshot, family, |section| {
            Some(section.parts.values().filter(is_missing).count().to_string())
        });
    });
    let help = "1 when there was more than PerfWatch's limits allow and the rest was summed up.";
    page.family("perfwatch_section_truncated", Type::Gauge, help, |family| {
        each_section(snapshot, family, |section| Some(u8::from(section.truncated).to_string()));
    });
    let help = "How long collecting the section took. Absent when it did not end in time.";
    page.family("perfwatch_section_duration_seconds", Type::Gauge, help, |family| {
        each_section(snapshot, family, |section| Some(seconds(&section.duration_ms?.to_string())));
    });
}

/// By the names that Prometheus' own libraries give them.
fn write_process(page: &mut Page) {
    let cpu = footprint::cpu_time().as_secs_f64().to_string();
    let help = "Processor time, user and system, that PerfWatch has used.";
    page.single("process_cpu_seconds", Type::Counter, help, &cpu);
    let Footprint { rss_bytes, threads, descriptors, .. } = Meter::new().look();
    for (name, help, value) in [
        ("process_open_fds", "File descriptors that PerfWatch has open.", descriptors),
        ("process_resident_memory_bytes", "Memory that PerfWatch has resident.", rss_bytes),
        ("process_threads", "Threads of PerfWatch.", threads),
    ] {
        page.single(name, Type::Gauge, help, &value.to_string());
    }
}

/// A sample for each section that was to be collected.
fn each_section(
    snapshot: &Snapshot,
    family: &mut Family<'_>,
    value: impl Fn(&Section) -> Option<String>,
) {
    for (name, section) in snapshot.status.sections() {
        if section.state == State::Disabled {
            continue;
        }
        if let Some(value) = value(section) {
            family.sample(&labels(&[("section", name)]), &value);
        }
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let mut written = String::new();
    for (name, value) in pairs {
        label(&mut written, name, value);
    }
    written
}

fn seconds(millis: &str) -> String {
    shifted(millis, -3).unwrap_or_else(|| millis.to_owned())
}
