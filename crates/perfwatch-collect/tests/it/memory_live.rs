//! A shortage of memory, made on the kernel that this runs on.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use perfwatch_collect::collector::Tracker;
use perfwatch_collect::memory::Memory;
use perfwatch_collect::{Host, Roots};
use rustix::process::Signal;

/// A control group of memory, gone when dropped.
struct Group(PathBuf);

impl Group {
    /// One whose processes may have 16 MiB between them, none of it swapped. Where there is cgroup v2, only its root can say
    /// that its children may be limited.
    fn new() -> io::Result<Self> {
        const LIMIT: &str = "16777216";
        let name = format!("perfwatch-test-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit, swap) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes", "memory.swappiness")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max", "memory.swap.max")
        };
        fs::create_dir(root.join(&name))?;
        let group = Self(root.join(name));
        fs::write(group.0.join(limit), LIMIT)?;
        // Absent where there is no swap.
        let _ = fs::write(group.0.join(swap), "0");
        Ok(group)
    }

    /// Runs a program in it that takes all the memory it can have.
    fn run(&self) -> io::Result<ExitStatus> {
        let mut shell = Command::new("sh");
        // A file without an end of line is a line that never ends.
        shell.args(["-c", "echo $$ > \"$0\" && exec tail /dev/zero"]);
        shell.arg(self.0.join("cgroup.procs")).status()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_kill_in_a_memory_cgroup_is_counted() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(error) => {
            eprintln!("SKIPPED: OOM kills: no memory cgroup can be made here: {error}");
            return;
        }
    };
    let mut memory = Tracker::<Memory>::new(&Arc::new(Host::new(Roots::default())));
    let mut oom_kills = || memory.collect().unwrap().report.metrics.host.oom_kills;
    let before = oom_kills().expect("kernels since 4.13 count them");
    let status = group.run().unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
    assert!(oom_kills() > Some(before));
}
