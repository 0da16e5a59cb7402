//! Faults of the disk that history is on: sampling and the live view go on, and history does once it can.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::answers::{
    COMMIT_EVERY_SECOND, Recording, ask, assert_on_disk, config, now_ms, recorded, rows_on_disk,
    time_ms, within,
};
use crate::process::{Server, perfwatch_under, skipped};

/// How often a disk is filled and emptied again, on so many servers at a time.
const FILLINGS: usize = 10;
const FILLED_SERVERS: usize = 5;

/// History is on disk again so soon after there is room.
pub(crate) const RESUMES_WITHIN: Duration = Duration::from_secs(10);

/// A small file system of its own.
pub(crate) struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn new(size: &str) -> std::io::Result<Self> {
        let at = tempfile::tempdir()?;
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        mount("small", at.path(), "tmpfs", MountFlags::empty(), Some(&*options))?;
        Ok(Self { at })
    }

    /// A directory for history.
    pub(crate) fn data(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.at.path()).unwrap()
    }

    fn filler(&self) -> PathBuf {
        self.at.path().join("filler")
    }

    /// Fills it to the last page.
    pub(crate) fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn set_read_only(&self, read_only: bool) -> rustix::io::Result<()> {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        mount_remount(self.at.path(), flags, "")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(self.at.path(), UnmountFlags::DETACH).unwrap();
    }
}

fn bytes_of(data: &Path, is_counted: impl Fn(&str) -> bool) -> u64 {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let counted = entries.filter(|entry| is_counted(&entry.file_name().to_string_lossy()));
    counted.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

fn hot_bytes(data: &Path) -> u64 {
    bytes_of(data, |name| name.ends_with(".hot"))
}

/// Newest row on disk of the last minute.
pub(crate) fn newest_on_disk(data: &Path) -> i64 {
    rows_on_disk(data, now_ms() - 60_000, now_ms()).last_key_value().map_or(0, |(t, _)| *t)
}

/// Fails unless the newest rows can be asked for.
#[track_caller]
fn assert_newest_is_answered(server: &Server, recording: &Recording) {
    let newest = recording.newest_ms();
    let answer = ask(
        server,
        &format!(
            "series?select=memory.total_bytes&from={}&to={}&step=500ms",
            newest - 1500,
            newest + 1
        ),
    );
    let values = answer["series"][0]["avg"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(values.iter().filter(|value| value.is_number()).count() >= 3, "{answer}");
}

#[test]
fn a_disk_that_fills_up_again_and_again_costs_no_row_and_no_tick() {
    let disks: std::io::Result<Vec<SmallDisk>> =
        (0..FILLED_SERVERS).map(|_| SmallDisk::new("2m")).collect();
    let disks = match disks {
        Ok(disks) => disks,
        Err(error) => return skipped("a full disk", format!("no tmpfs can be mounted: {error}")),
    };
    std::thread::scope(|scope| {
        for disk in &disks {
            scope.spawn(|| fill_and_empty(disk));
        }
    });
}

fn fill_and_empty(disk: &SmallDisk) {
    let config = config(COMMIT_EVERY_SECOND);
    let host = recorded("server128");
    let mut arguments: Vec<&str> = host.iter().map(String::as_str).collect();
    arguments.extend(["--config", config.path().to_str().unwrap()]);
    let server = Server::start_in(disk.data(), &arguments);
    let recording = Recording::start(&server);
    recording.wait_for(3);
    let data = server.data.path();
    within(RESUMES_WITHIN, "the first commit", || hot_bytes(data) > 0);
    for cycle in 0..FILLINGS {
        disk.fill();
        // What was under way may still be in; then nothing is.
        let mut since = (hot_bytes(data), Instant::now());
        within(Duration::from_secs(20), "nothing being written", || {
            disk.fill();
            if hot_bytes(data) != since.0 {
                since = (hot_bytes(data), Instant::now());
            }
            since.1.elapsed() > Duration::from_millis(1700)
        });
        assert_newest_is_answered(&server, &recording);
        let before = recording.newest_ms();
        disk.empty();
        let resumed =
            within(RESUMES_WITHIN, "history being written again", || hot_bytes(data) > since.0);
        if cycle % 3 == 0 {
            within(RESUMES_WITHIN - resumed, "the rows that waited", || {
                newest_on_disk(data) >= before / 1000 * 1000
            });
        }
    }
    recording.wait_for(1);
    recording.assert_without_holes();
    let data = server.stopped();
    assert_on_disk(data.path(), &recording.end());
}

#[test]
fn a_directory_that_is_read_only_at_start_is_written_to_once_it_can_be() {
    let disk = match SmallDisk::new("2m") {
        Ok(disk) => disk,
        Err(error) => {
            return skipped("a read-only disk", format!("no tmpfs can be mounted: {error}"));
        }
    };
    let config = config(COMMIT_EVERY_SECOND);
    let arguments = ["--config", config.path().to_str().unwrap()];
    // With something to read in it.
    let server = Server::start_in(disk.data(), &arguments);
    let recording = Recording::start(&server);
    recording.wait_for(4);
    let data = server.stopped();
    let earlier = recording.end();
    disk.set_read_only(true).unwrap();
    let server = Server::start_in(data, &arguments);
    let recording = Recording::start(&server);
    recording.wait_for(6);
    assert_newest_is_answered(&server, &recording);
    assert_on_disk(server.data.path(), &earlier);
    let (from, to) = (time_ms(&earlier[0]), time_ms(&earlier[earlier.len() - 1]));
    let answer = ask(&server, &format!("series?select=memory.total_bytes&from={from}&to={to}"));
    assert_eq!(answer["series"].as_array().unwrap().len(), 1, "what is there is shown: {answer}");
    disk.set_read_only(false).unwrap();
    let before = recording.newest_ms();
    within(RESUMES_WITHIN, "history being written", || {
        newest_on_disk(server.data.path()) >= before / 1000 * 1000
    });
    recording.assert_without_holes();
    let data = server.stopped();
    assert_on_disk(data.path(), &recording.end());
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let config = config(COMMIT_EVERY_SECOND);
    let outer = tempfile::tempdir().unwrap();
    let server = Server::start_in(
        tempfile::tempdir_in(outer.path()).unwrap(),
        &["--config", config.path().to_str().unwrap()],
    );
    let recording = Recording::start(&server);
    recording.wait_for(4);
    fs::remove_dir_all(server.data.path()).unwrap();
    let removed = recording.newest_ms();
    within(RESUMES_WITHIN, "history being written again", || {
        // Until it is made again there is nothing to ask.
        let data = server.data.path();
        hot_bytes(data) > 0 && newest_on_disk(data) > removed
    });
    recording.wait_for(4);
    assert_newest_is_answered(&server, &recording);
    recording.assert_without_holes();
    let data = server.stopped();
    // What was in memory is there again, too.
    assert_on_disk(data.path(), &recording.end());
}

#[test]
fn files_that_are_removed_are_followed_by_new_ones() {
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start(&["--config", config.path().to_str().unwrap()]);
    let recording = Recording::start(&server);
    recording.wait_for(4);
    for entry in fs::read_dir(server.data.path()).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    let removed = recording.newest_ms();
    within(RESUMES_WITHIN, "history being written again", || {
        server.data.path().exists() && newest_on_disk(server.data.path()) > removed
    });
    recording.assert_without_holes();
    let data = server.stopped();
    let snapshots = recording.end();
    let since: Vec<Value> = snapshots.into_iter().filter(|one| time_ms(one) > removed).collect();
    assert_on_disk(data.path(), &since);
}

/// As /proc/net/dev of 500 interfaces whose counters grow by numbers that nothing foretells.
fn busy_interfaces(tick: u64) -> String {
    let mut random = tick + 1;
    let mut grown = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (tick << 50) + (random >> 14)
    };
    let mut text = "Inter-|   Receive\n face |bytes\n".to_owned();
    for number in 0..500 {
        text += &format!(" if{number}:");
        (0..16).for_each(|_| text += &format!(" {}", grown()));
        text.push('\n');
    }
    text
}

#[test]
fn files_never_take_much_more_than_they_may() {
    let config = config(&format!("{COMMIT_EVERY_SECOND}storage.max_bytes = '1MiB'\n"));
    let procfs = tempfile::tempdir().unwrap();
    let dev = procfs.path().join("net/dev");
    fs::create_dir(procfs.path().join("net")).unwrap();
    fs::write(&dev, busy_interfaces(0)).unwrap();
    let procfs = format!("--path.procfs={}", procfs.path().display());
    let server = Server::start(&["--config", config.path().to_str().unwrap(), &procfs]);
    let recording = Recording::start(&server);
    for tick in 1..40 {
        recording.wait_for(1);
        fs::write(&dev, busy_interfaces(tick)).unwrap();
        let bytes = bytes_of(server.data.path(), |_| true);
        assert!(bytes < (1 << 20) + (256 << 10), "{bytes} bytes at tick {tick}");
    }
}

/// strace with an injection for one system call, and where it writes what it saw. None where it does not work.
fn strace(test: &str, injection: &[&str]) -> Option<(Command, tempfile::NamedTempFile)> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let out = log.path().to_str().unwrap();
    // The program is the child, and strace its grandchild.
    let mut arguments = vec!["-D", "-f", "-qq", "--seccomp-bpf", "-o", out];
    arguments.extend(injection);
    let trial = Command::new("strace")
        .args(&arguments)
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !trial.is_ok_and(|status| status.success()) {
        skipped(test, "strace is missing or may not trace");
        return None;
    }
    Some((perfwatch_under("strace", &arguments), log))
}

fn injected(log: &tempfile::NamedTempFile) -> usize {
    fs::read_to_string(log.path())
        .unwrap()
        .lines()
        .filter(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)"))
        .count()
}

#[test]
fn rows_whose_sync_failed_are_written_anew() {
    let injection = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3..7+2"];
    let Some((command, log)) = strace("a failing fdatasync", &injection) else { return };
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start_as(
        command,
        tempfile::tempdir().unwrap(),
        &["--config", config.path().to_str().unwrap()],
    );
    let recording = Recording::start(&server);
    let start = Instant::now();
    within(Duration::from_secs(40), "three failures", || injected(&log) >= 3);
    assert_newest_is_answered(&server, &recording);
    let seen = injected(&log);
    within(RESUMES_WITHIN, "a sync that works", || {
        let text = fs::read_to_string(log.path()).unwrap();
        text.lines()
            .rfind(|line| line.contains("fdatasync"))
            .is_some_and(|line| line.ends_with("= 0"))
    });
    recording.wait_for(4);
    recording.assert_without_holes();
    let data = server.stopped();
    let snapshots = recording.end();
    assert!(snapshots.len() as u64 >= start.elapsed().as_secs(), "{seen}");
    assert_on_disk(data.path(), &snapshots);
    // A file whose sync failed is not appended to again: each failure has begun another, with the next number.
    let names = fs::read_dir(data.path()).unwrap().flatten();
    let numbers = names.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split('.').next()?.rsplit('-').next()?;
        stem.parse::<u64>().ok()
    });
    assert!(numbers.max() > Some(3));
}

#[test]
fn a_sync_that_takes_half_a_minute_holds_up_neither_sampling_nor_the_end() {
    let injection =
        ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=30000000:when=3+"];
    let Some((command, _log)) = strace("a slow fdatasync", &injection) else { return };
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start_as(
        command,
        tempfile::tempdir().unwrap(),
        &["--config", config.path().to_str().unwrap()],
    );
    let tracer = Tracer::of(&server);
    let recording = Recording::start(&server);
    recording.wait_for(12);
    let lag = recording.newest_ms() - newest_on_disk(server.data.path());
    assert!(lag > 2500, "nothing was slow: {lag} ms");
    assert_newest_is_answered(&server, &recording);
    recording.assert_without_holes();
    let mut server = server;
    server.process.signal(Signal::TERM);
    // strace holds the thread in its call also when the process has ended, which the first thread's state shows. So
    // does a kernel whose disk does not answer: beyond that nobody can do anything.
    let id = server.process.0.id();
    let has_ended = || {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    let start = Instant::now();
    while !has_ended() && server.process.end(Duration::from_millis(20)).is_none() {
        assert!(start.elapsed() < Duration::from_secs(2), "still running after 2 s");
    }
    drop(tracer);
    assert!(server.process.end(Duration::from_secs(2)).is_some());
    // What was synced is there, and the rest maybe.
    assert!(!rows_on_disk(server.data.path(), now_ms() - 60_000, now_ms()).is_empty());
}

/// strace, which is killed when this is dropped.
struct Tracer(Option<Pid>);

impl Tracer {
    fn of(server: &Server) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", server.process.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        Self(Pid::from_raw(line.trim().parse().unwrap()))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_disk_that_turns_read_only_is_gone_on_with_in_a_new_file() {
    // Which a mounted file system with a file open for writing does only by itself, after an error.
    let data = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (1..=8)
        .map(|number| data.path().join(format!("raw-{number:08}.hot")).display().to_string())
        .collect();
    let mut injection: Vec<&str> = paths.iter().flat_map(|path| ["-P", path]).collect();
    let calls = "write,ftruncate,openat";
    let (trace, inject) =
        (format!("trace={calls}"), format!("inject={calls}:error=EROFS:when=6..12"));
    injection.extend(["-e", &trace, "-e", &inject]);
    let Some((command, log)) = strace("a disk that turns read-only", &injection) else { return };
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start_as(command, data, &["--config", config.path().to_str().unwrap()]);
    let recording = Recording::start(&server);
    within(Duration::from_secs(30), "three failures", || injected(&log) >= 3);
    recording.wait_for(2);
    assert_newest_is_answered(&server, &recording);
    within(Duration::from_secs(30), "all failures", || injected(&log) >= 7);
    let before = recording.newest_ms();
    within(RESUMES_WITHIN, "history being written again", || {
        newest_on_disk(server.data.path()) >= before / 1000 * 1000
    });
    recording.assert_without_holes();
    let data = server.stopped();
    assert_on_disk(data.path(), &recording.end());
}
