//! Faults of the host, on the real binary.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Running, Server, fixture, noise, perfwatch, quiet, skipped, twice_as_busy};

/// A FUSE mount that nobody serves: every question to it waits until the device is closed.
struct HungMount {
    device: Option<File>,
    at: PathBuf,
}

impl HungMount {
    fn new(at: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(at)?;
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount("hung", at, "fuse", MountFlags::empty(), &*CString::new(options)?)?;
        Ok(Self { device: Some(device), at: at.to_owned() })
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        // Closing the device ends every question with ENOTCONN.
        self.device = None;
        unmount(&self.at, UnmountFlags::DETACH).unwrap();
    }
}

/// A host whose mount table names dead disks and one that is well.
pub(crate) struct DeadDisks {
    hung: Vec<HungMount>,
    roots: [String; 3],
    dir: tempfile::TempDir,
}

impl DeadDisks {
    pub(crate) fn new(count: usize) -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let (procfs, rootfs) = (dir.path().join("proc"), dir.path().join("root"));
        fs::create_dir_all(rootfs.join("fine"))?;
        fs::create_dir_all(procfs.join("net"))?;
        fs::create_dir_all(procfs.join("1"))?;
        let recorded = fixture("vm").join("t0/proc");
        for file in
            ["stat", "interrupts", "cpuinfo", "meminfo", "vmstat", "diskstats", "filesystems"]
        {
            fs::copy(recorded.join(file), procfs.join(file))?;
        }
        for file in ["dev", "sockstat", "sockstat6", "tcp", "tcp6"] {
            fs::copy(recorded.join("net").join(file), procfs.join("net").join(file))?;
        }
        let at = |number: usize| rootfs.join(format!("hung{number}"));
        let hung =
            (0..count).map(|number| HungMount::new(&at(number))).collect::<Result<_, _>>()?;
        let lines = (0..count).map(|number| format!("/dev/vd{number} /hung{number} ext4 rw 0 0\n"));
        let table =
            lines.fold("/dev/vdz /fine ext4 rw 0 0\n".to_owned(), |table, line| table + &line);
        fs::write(procfs.join("1/mounts"), table)?;
        let roots = [
            format!("--path.procfs={}", procfs.display()),
            format!("--path.sysfs={}", dir.path().display()),
            format!("--path.rootfs={}", rootfs.display()),
        ];
        Ok(Self { hung, roots, dir })
    }

    /// What makes it the host.
    pub(crate) fn arguments(&self) -> [&str; 3] {
        self.roots.each_ref().map(String::as_str)
    }

    /// Where the disk is that is well.
    pub(crate) fn fine(&self) -> PathBuf {
        self.dir.path().join("root/fine")
    }
}

/// `perfwatch watch` and its lines.
fn watch(arguments: &[&str]) -> (Running, Lines<BufReader<ChildStdout>>) {
    let mut child = perfwatch()
        .args(["watch", "--interval", "500ms"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Running(child), lines)
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
}

#[test]
fn eight_hung_mounts_cost_themselves_alone() {
    let _quiet = quiet();
    let mut disks = match DeadDisks::new(8) {
        Ok(disks) => disks,
        Err(error) => {
            return skipped(
                "eight hung mounts",
                format!("no FUSE mount can be made here: {error}"),
            );
        }
    };
    let (process, mut lines) = watch(&disks.arguments());
    let first = next(&mut lines);
    let mut counts = Vec::new();
    let mut last_tick = 0;
    for _ in 0..8 {
        let snapshot = next(&mut lines);
        let tick = snapshot["tick"].as_u64().unwrap();
        assert_eq!(tick, last_tick + 1, "no tick is missed");
        last_tick = tick;
        for section in ["cpu", "memory", "network", "disk"] {
            assert_eq!(snapshot["status"][section]["state"], "ok", "{section} at tick {tick}");
        }
        let partitions = &snapshot["disk"]["partitions"];
        assert!(partitions["/fine"]["total_bytes"].is_number(), "tick {tick}");
        for number in 0..8 {
            let name = format!("/hung{number}");
            assert_eq!(partitions[&name]["total_bytes"], Value::Null);
            assert_eq!(partitions[&name]["fstype"], "ext4");
            let part = &snapshot["status"]["disk"]["parts"][format!("partitions.{name}")];
            assert_eq!(part["state"], "late");
            assert_eq!(part["since"], first["timestamp"], "it shows since when it is stuck");
        }
        counts.push((process.count("task"), process.count("fd")));
    }
    assert_eq!(counts.first(), counts.last(), "threads and descriptors are flat: {counts:?}");
    // The disks' driver gives up: the mounts answer, with an error.
    disks.hung.iter_mut().for_each(|mount| mount.device = None);
    let mut state = Value::Null;
    for _ in 0..6 {
        state = next(&mut lines)["status"]["disk"]["parts"]["partitions./hung0"]["state"].clone();
    }
    assert_eq!(state, "failed");
}

#[test]
fn more_hung_mounts_than_threads_to_spare_leave_the_rest_alone() {
    let _quiet = quiet();
    let disks = match DeadDisks::new(80) {
        Ok(disks) => disks,
        Err(error) => {
            return skipped(
                "eighty hung mounts",
                format!("no FUSE mount can be made here: {error}"),
            );
        }
    };
    let (process, mut lines) = watch(&disks.arguments());
    // Some are begun at each tick, until no more threads are spent on them.
    for tick in 0..10 {
        let snapshot = next(&mut lines);
        for section in ["cpu", "memory", "network", "disk"] {
            assert_eq!(snapshot["status"][section]["state"], "ok", "{section} at tick {tick}");
        }
        assert_eq!(snapshot["status"]["disk"]["parts"]["partitions./hung79"]["state"], "late");
        if tick > 2 {
            let fine = &snapshot["disk"]["partitions"]["/fine"];
            assert!(fine["total_bytes"].is_number(), "{}", snapshot["status"]["disk"]["parts"]);
            assert!(
                snapshot["cpu"]["frequency_mhz"][0].is_number(),
                "{}",
                snapshot["status"]["cpu"]
            );
        }
    }
    assert!(process.count("task") <= 75, "{} threads", process.count("task"));
}

#[test]
fn a_mount_that_took_the_place_of_a_hung_one_is_asked() {
    let disks = match DeadDisks::new(1) {
        Ok(disks) => disks,
        Err(error) => {
            return skipped(
                "a hung mount replaced",
                format!("no FUSE mount can be made here: {error}"),
            );
        }
    };
    // The mount table looks the same before and after; only the kernel's numbers of the mounts differ.
    let numbers = disks.dir.path().join("proc/1/mountinfo");
    let number_mounts = |id: u32| {
        fs::write(&numbers, format!("{id} 1 8:1 / /hung0 rw - ext4 /dev/vd0 rw\n")).unwrap();
    };
    number_mounts(1);
    let (_process, mut lines) = watch(&disks.arguments());
    let before = next(&mut lines)["disk"]["partitions"]["/hung0"].clone();
    assert_eq!(before["total_bytes"], Value::Null);
    // As after `umount -l` and a mount of the same disk, which answers again.
    unmount(&disks.hung[0].at, UnmountFlags::DETACH).unwrap();
    number_mounts(2);
    let mut partition = Value::Null;
    for _ in 0..4 {
        partition = next(&mut lines)["disk"]["partitions"]["/hung0"].clone();
    }
    assert_eq!(partition["device"], before["device"]);
    assert!(partition["total_bytes"].is_number(), "{partition}");
    mount_again(&disks);
}

/// So that dropping the disks finds something to unmount.
fn mount_again(disks: &DeadDisks) {
    mount("again", &disks.hung[0].at, "tmpfs", MountFlags::empty(), None).unwrap();
}

#[test]
fn a_file_system_that_was_remounted_read_only_shows() {
    let _quiet = quiet();
    // A bind mount is a partition where what it is a part of is on a device. In namespaces of its own, whose process 1 is the shell.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = "mount --bind \"$1\" \"$1\" && { \"$0\" watch --interval 500ms & read line && \
                  mount -o remount,bind,ro \"$1\" && wait; }";
    let mut child = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script])
        .args([OsStr::new(env!("CARGO_BIN_EXE_perfwatch")), dir.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let _process = Running(child);
    let place = dir.path().to_str().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let mut read_only = || {
        let snapshot: Value = serde_json::from_str(&lines.next()?.unwrap()).unwrap();
        snapshot["disk"]["partitions"][place]["read_only"].as_bool()
    };
    let Some(before) = read_only() else {
        return skipped("a remount", "no namespaces can be made here, or target/ is on no device");
    };
    assert!(!before);
    writeln!(stdin, "now").unwrap();
    // It comes between two ticks, or within one.
    assert!((0..4).any(|_| read_only().unwrap()));
}

#[test]
fn a_hung_mount_does_not_hold_up_the_end() {
    let disks = match DeadDisks::new(8) {
        Ok(disks) => disks,
        Err(error) => {
            return skipped("stopping beside hung mounts", format!("no FUSE mount: {error}"));
        }
    };
    let mut server = Server::start(&disks.arguments());
    server.snapshot();
    server.process.signal(Signal::TERM);
    assert!(server.process.end(Duration::from_secs(2)).expect("still running after 2 s").success());
}

#[test]
fn a_process_that_was_stopped_makes_up_for_no_tick() {
    let _quiet = quiet();
    let (process, mut lines) = watch(&[]);
    let mut before = next(&mut lines);
    for _ in 0..2 {
        before = next(&mut lines);
    }
    process.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(2300));
    process.signal(Signal::CONT);
    let woken = Instant::now();
    let ticks: Vec<u64> = (0..3).map(|_| next(&mut lines)["tick"].as_u64().unwrap()).collect();
    assert!(
        woken.elapsed() > Duration::from_millis(450),
        "no burst: {ticks:?} in {:?}",
        woken.elapsed()
    );
    assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
    let before = before["tick"].as_u64().unwrap();
    assert!(
        (4..=9).contains(&(ticks[2] - before)),
        "a hole for what was missed: {before}, {ticks:?}"
    );
}

#[test]
fn beside_twice_as_many_busy_processes_as_cpus_ticks_stay_in_order() {
    let _alone = noise();
    let busy = twice_as_busy();
    let (_process, mut lines) = watch(&[]);
    let mut last = next(&mut lines);
    for _ in 0..6 {
        let snapshot = next(&mut lines);
        assert!(snapshot["tick"].as_u64() > last["tick"].as_u64());
        assert!(snapshot["lateness_ms"].is_number());
        assert!(snapshot["cpu"]["usage_percent"].is_number(), "{}", snapshot["status"]["cpu"]);
        last = snapshot;
    }
    assert!(last["cpu"]["usage_percent"].as_f64() > Some(50.0));
    drop(busy);
}

#[test]
fn memory_threads_and_descriptors_stay_flat() {
    let server = Server::start(&[]);
    let figures = || (server.process.count("task"), server.process.count("fd"));
    // The last connection may be on its way out.
    let least = || {
        (0..20)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                figures()
            })
            .min()
    };
    let rounds = |count: usize| {
        for _ in 0..count {
            server.snapshot();
        }
    };
    rounds(300);
    let (before, rss_kib) = (least(), server.process.memory_kib("RssAnon"));
    rounds(1500);
    assert_eq!(least(), before);
    let grown = server.process.memory_kib("RssAnon").saturating_sub(rss_kib);
    assert!(grown <= 1024, "grew by {grown} KiB over 1500 requests");
    assert!(
        server.process.memory_kib("RssAnon") <= 8 * 1024,
        "{} KiB",
        server.process.memory_kib("RssAnon")
    );
}
