//! The kernel and the host as a whole: small files, the clock, and memory controllers that report errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::kernel::KernelMetrics;

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile, SharedFile};
use crate::parse::{fill, number, shown, single_number, words};
use crate::perf::sys::ClockState;
use crate::rate::{percent, thousandths};
use crate::seldom::Seldom;

/// Most memory controllers whose errors are added up. A two-socket server has 4 to 24.
const MAX_CONTROLLERS: usize = 256;

/// What the kernel said of itself.
#[derive(Debug, Default)]
pub struct KernelReading {
    uptime_seconds: u64,
    texts: Arc<Texts>,
    /// Given out, and how many may be.
    files: Option<[u64; 2]>,
    threads: Option<u64>,
    threads_limit: Option<u64>,
    entropy_bits: Option<u64>,
    clock: Option<ClockState>,
    /// Of each memory controller: its name, corrected errors, uncorrected errors. None without any.
    controllers: Option<Vec<(String, [u64; 2])>>,
    problems: Vec<Problem>,
}

/// What does not change while the kernel runs. None where it could not be read.
#[derive(Debug, Default)]
struct Texts {
    boot_id: Option<String>,
    release: Option<String>,
    version: Option<String>,
    problems: Vec<Problem>,
}

/// Collects [`KernelMetrics`].
#[derive(Debug)]
pub struct Kernel {
    host: Arc<Host>,
    uptime: KernelFile,
    /// None before the first look.
    texts: Option<Arc<Texts>>,
    files: KernelFile,
    loadavg: SharedFile,
    threads_max: Seldom,
    pid_max: Seldom,
    entropy: KernelFile,
    controllers: Hardware<Vec<Controller>>,
}

/// The files of a memory controller.
#[derive(Debug)]
struct Controller {
    name: String,
    corrected: KernelFile,
    uncorrected: KernelFile,
}

impl Collector for Kernel {
    const NAME: &'static str = "kernel";
    type Reading = KernelReading;
    type Metrics = KernelMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self {
            uptime: host.procfs("uptime"),
            texts: None,
            files: host.procfs("sys/fs/file-nr"),
            loadavg: host.shared_procfs("loadavg"),
            threads_max: Seldom::new(host.procfs("sys/kernel/threads-max")),
            pid_max: Seldom::new(host.procfs("sys/kernel/pid_max")),
            entropy: host.procfs("sys/kernel/random/entropy_avail"),
            controllers: Hardware::unknown(),
            host: Arc::clone(host),
        }
    }

    fn read(&mut self, into: &mut KernelReading) -> Result<(), Error> {
        into.problems.clear();
        into.uptime_seconds = self.uptime.parse(parse_uptime)?;
        let host = &self.host;
        let texts = self.texts.get_or_insert_with(|| Arc::new(Texts::of(host)));
        into.texts = Arc::clone(texts);
        into.problems.extend_from_slice(&texts.problems);
        let mut said = |part, error| into.problems.push(Problem::new(part, &error));
        let files = self.files.parse(parse_file_nr);
        into.files = files.map_err(|error| said("open_files", error)).ok();
        let threads = self.loadavg.parse(parse_threads);
        into.threads = threads.map_err(|error| said("threads", error)).ok();
        let now = Instant::now();
        let limits = [self.threads_max.get(now), self.pid_max.get(now)];
        let known = limits.map(|limit| limit.map_err(|error| said("threads_limit", error)).ok());
        into.threads_limit = known.into_iter().flatten().min();
        let entropy = self.entropy.parse(single_number);
        into.entropy_bits = entropy.map_err(|error| said("entropy_bits", error)).ok();
        into.clock = host.clock().map_err(|error| said("clock_synchronized", error)).ok();
        let controllers = into.controllers.take();
        let controllers = self.read_controllers(now, controllers.unwrap_or_default());
        into.controllers = controllers
            .map_err(|error| into.problems.push(Problem::new("hardware_errors_corrected", &error)))
            .ok();
        Ok(())
    }

    fn derive(
        _before: Option<(&KernelReading, Duration)>,
        now: &KernelReading,
    ) -> Report<KernelMetrics> {
        let Texts { boot_id, release, version, .. } = now.texts.as_ref();
        let [open_files, open_files_limit] = now.files.map_or([None; 2], |files| files.map(Some));
        let clock = now.clock.as_ref();
        let errors = |which: fn(&[u64; 2]) -> u64| {
            let controllers = now.controllers.as_ref()?.iter();
            Some(controllers.map(|(_, counts)| which(counts)).fold(0, u64::saturating_add))
        };
        let share = |part: Option<u64>, whole: Option<u64>| percent(part?, whole?);
        let metrics = KernelMetrics {
            uptime_seconds: now.uptime_seconds,
            boot_id: boot_id.clone(),
            release: release.clone(),
            version: version.clone(),
            open_files,
            open_files_limit,
            open_files_percent: share(open_files, open_files_limit),
            threads: now.threads,
            threads_limit: now.threads_limit,
            threads_percent: share(now.threads, now.threads_limit),
            entropy_bits: now.entropy_bits,
            clock_synchronized: clock.map(|clock| clock.synchronized),
            clock_offset_ms: clock.map(|clock| thousandths(clock.offset_ns as f64 / 1e6)),
            clock_max_error_ms: clock.map(|clock| thousandths(clock.max_error_us as f64 / 1e3)),
            hardware_errors_corrected: errors(|[corrected, _]| *corrected),
            hardware_errors_uncorrected: errors(|[_, uncorrected]| *uncorrected),
            memory_controllers: now.controllers.clone().unwrap_or_default(),
        };
        Report { metrics, problems: now.problems.clone(), truncated: false }
    }
}

impl Texts {
    fn of(host: &Host) -> Self {
        let mut problems = Vec::new();
        let mut text = |part, path: &str| {
            let text = host.procfs(path).parse(|text| match text.trim_ascii() {
                [] => Err(Malformed::at(0, "nothing in it")),
                text => Ok(String::from_utf8_lossy(text).into_owned()),
            });
            text.map_err(|error| problems.push(Problem::new(part, &error))).ok()
        };
        Self {
            boot_id: text("boot_id", "sys/kernel/random/boot_id"),
            release: text("release", "sys/kernel/osrelease"),
            version: text("version", "sys/kernel/version"),
            problems,
        }
    }
}

impl Kernel {
    /// Errors by controller, in the memory of an earlier answer.
    fn read_controllers(
        &mut self,
        now: Instant,
        mut counts: Vec<(String, [u64; 2])>,
    ) -> Result<Vec<(String, [u64; 2])>, Error> {
        let host = &self.host;
        let found = self.controllers.find(now, || find_controllers(host))?;
        counts.resize_with(found.len(), Default::default);
        let read = found.iter_mut().zip(&mut counts).try_for_each(|(controller, count)| {
            let Controller { name, corrected, uncorrected } = controller;
            let (known, numbers) = count;
            known.clone_from(name);
            *numbers = [corrected.parse(single_number)?, uncorrected.parse(single_number)?];
            Ok(())
        });
        if read.is_err() {
            // Its driver was unloaded, or loaded anew.
            self.controllers.lose();
        }
        read.map(|()| counts)
    }
}

fn find_controllers(host: &Host) -> Result<Vec<Controller>, Error> {
    const DIR: &str = "devices/system/edac/mc";
    let names = host.sysfs_names(DIR)?;
    let file = |name: &str, file: &str| host.sysfs(&format!("{DIR}/{name}/{file}"));
    let found: Vec<_> = names
        .into_iter()
        .filter(|name| name.strip_prefix("mc").is_some_and(|n| number(n.as_bytes()).is_some()))
        .take(MAX_CONTROLLERS)
        .map(|name| Controller {
            corrected: file(&name, "ce_count"),
            uncorrected: file(&name, "ue_count"),
            name,
        })
        .collect();
    if found.is_empty() {
        return Err(Error::Unavailable(
            "no memory controller in /sys/devices/system/edac: no ECC memory, or no driver for it"
                .to_owned(),
        ));
    }
    Ok(found)
}

/// The whole seconds of /proc/uptime: `11994.23 4500.57`.
pub fn parse_uptime(text: &[u8]) -> Result<u64, Malformed> {
    let word = words(text).next().unwrap_or_default();
    let seconds = word.split(|byte| *byte == b'.').next().unwrap_or_default();
    number(seconds).ok_or_else(|| Malformed::at(0, format!("not a time: {}", shown(word))))
}

/// File handles given out and how many may be, of /proc/sys/fs/file-nr, whose second column is 0 since 2.6:
/// `327 0 2470938`.
pub fn parse_file_nr(text: &[u8]) -> Result<[u64; 2], Malformed> {
    let mut columns = [0; 3];
    fill(&mut columns, words(text), 0)?;
    let [open, _, limit] = columns;
    Ok([open, limit])
}

/// How many threads there are, of /proc/loadavg: `0.40 0.90 1.55 4/92 6170`.
pub fn parse_threads(text: &[u8]) -> Result<u64, Malformed> {
    let word = words(text).nth(3).unwrap_or_default();
    let threads = word.split(|byte| *byte == b'/').nth(1).and_then(number);
    threads.ok_or_else(|| Malformed::at(0, format!("not a number of threads: {}", shown(word))))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::collector::Tracker;

    #[test]
    fn small_files_are_read() {
        assert_eq!(parse_uptime(b"11994.23 4500.57\n"), Ok(11994));
        assert_eq!(parse_file_nr(b"327\t0\t9223372036854775807\n"), Ok([327, i64::MAX as u64]));
        assert_eq!(parse_threads(b"0.40 0.90 1.55 4/92 6170\n"), Ok(92));
        for bad in [&b""[..], b"\n", b"x y z a/b c", b"-1 -1 -1 -1/-1"] {
            assert!(parse_uptime(bad).is_err() && parse_file_nr(bad).is_err());
            assert!(parse_threads(bad).is_err(), "{}", shown(bad));
        }
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn errors_of_memory_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "proc/uptime", "5.00 1.00\n");
        let mc = "sys/devices/system/edac/mc";
        for (file, count) in [("mc0/ce_count", 3), ("mc0/ue_count", 0), ("mc1/ce_count", 4)] {
            write(root, &format!("{mc}/{file}"), &format!("{count}\n"));
        }
        write(root, &format!("{mc}/mc1/ue_count"), "1\n");
        write(root, &format!("{mc}/power/control"), "auto\n");
        let mut tracker = Tracker::<Kernel>::new(&Arc::new(Host::recorded(root)));
        let metrics = tracker.collect().unwrap().report.metrics;
        assert_eq!(metrics.hardware_errors_corrected, Some(7));
        assert_eq!(metrics.hardware_errors_uncorrected, Some(1));
        assert_eq!(metrics.memory_controllers[1], ("mc1".to_owned(), [4, 1]));
    }
}
