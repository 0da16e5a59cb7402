//! `perf stat` as a child process that is trusted with nothing.
//!
//! The program must be root's, as must be every directory on the way to it, so that nobody else decides what is run.
//! It gets no environment but `LC_ALL=C`, fixed arguments, a process group of its own, and dies with the thread that
//! started it. Whatever way it ends, it is killed with its group and reaped.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use perfwatch_metrics::perf::Event;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Trouble;
use crate::perf::Cpus;
use crate::perf::sys::die_with_parent;

/// Where distributions put perf.
pub const PROGRAMS: [&str; 3] = ["/usr/bin/perf", "/usr/sbin/perf", "/usr/local/bin/perf"];

/// Write permission of the group and of others, and the bit that keeps them from renaming what is not theirs.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A running `perf stat`.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    /// Counts, as CSV.
    pub(super) counts: ChildStdout,
    /// Messages.
    pub(super) messages: ChildStderr,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts `perf stat` for as long as the calling thread lasts. Its pipes do not block.
    #[expect(clippy::disallowed_methods, reason = "this process is what was asked for")]
    pub(super) fn start(
        program: Option<&Path>,
        interval: Duration,
        cpus: &Cpus,
    ) -> Result<Self, Trouble> {
        let program = match program {
            Some(program) => trusted(program)?,
            None => trusted(installed().ok_or(Trouble::NotInstalled)?)?,
        };
        let mut command = Command::new(&program);
        command.args(["stat", "-x,", "--log-fd", "1", "-I", &interval.as_millis().to_string()]);
        match cpus {
            Cpus::All => command.arg("-a"),
            Cpus::Listed(list) => command.args(["-C", &list.to_string()]),
        };
        command
            .args(["-e", &Event::ALL.map(Event::name).join(",")])
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let cannot = |error: io::Error| Trouble::NotStarted(program.clone(), error.to_string());
        let mut process = die_with_parent(&mut command).spawn().map_err(cannot)?;
        let pipes = (process.stdout.take(), process.stderr.take());
        let (Some(counts), Some(messages)) = pipes else {
            unreachable!("both are piped above");
        };
        let child = Self { process, counts, messages, ended: None };
        never_block(&child.counts).and_then(|()| never_block(&child.messages)).map_err(cannot)?;
        Ok(child)
    }

    /// Ends it and everything it started, and says how it ended.
    pub(super) fn end(mut self) -> Option<ExitStatus> {
        self.reap();
        self.ended
    }

    fn reap(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // Until it is waited for, its number is nobody else's. It may have ended by itself, and its group with it.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        self.ended = self.process.wait().ok();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.reap();
    }
}

fn never_block(pipe: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&pipe)?;
    Ok(fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?)
}

fn installed() -> Option<&'static Path> {
    PROGRAMS.iter().map(Path::new).find(|program| program.exists())
}

/// The program without symbolic links, if nobody but root can have put it there.
fn trusted(program: &Path) -> Result<PathBuf, Trouble> {
    let cannot = |error: io::Error| Trouble::NotStarted(program.to_owned(), error.to_string());
    let real = fs::canonicalize(program).map_err(cannot)?;
    for path in real.ancestors() {
        let about = fs::symlink_metadata(path).map_err(cannot)?;
        let shared = about.mode() & OTHERS_WRITE != 0;
        let guarded = about.is_dir() && about.mode() & STICKY != 0;
        if about.uid() != 0 || (shared && !guarded) {
            return Err(Trouble::Untrusted(path.to_owned()));
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    #[allow(clippy::print_stderr, reason = "a skip that is counted")]
    fn only_what_is_roots_all_the_way_is_run() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: whose perf is run: needs root");
        }
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("bin");
        fs::create_dir(&below).unwrap();
        let (program, link) = (below.join("perf"), dir.path().join("link"));
        fs::write(&program, "#!/bin/sh\n").unwrap();
        symlink(&program, &link).unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let refused = |path: &Path| Err(Trouble::Untrusted(path.to_owned()));
        mode(&program, 0o755);
        mode(&below, 0o755);
        assert_eq!(trusted(&link), Ok(program.clone()));
        mode(&program, 0o775);
        assert_eq!(trusted(&link), refused(&program));
        mode(&program, 0o755);
        mode(&below, 0o757);
        assert_eq!(trusted(&link), refused(&below));
        mode(&below, 0o1777);
        assert_eq!(trusted(&link), Ok(program.clone()), "as /tmp is");
        chown(&program, Some(65534), None).unwrap();
        assert_eq!(trusted(&link), refused(&program));
        fs::remove_file(&program).unwrap();
        assert!(matches!(trusted(&link), Err(Trouble::NotStarted(path, _)) if path == link));
    }
}
