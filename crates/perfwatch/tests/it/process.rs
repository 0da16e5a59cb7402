//! The binary as a child process that never outlives its test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The binary, with nothing of this machine's configuration.
pub(crate) fn perfwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PERFWATCH_") {
            command.env_remove(name);
        }
    }
    // A debug build on a busy machine takes more than the default grants.
    command.env("PERFWATCH_BUDGET_CPU_PERCENT", "100");
    command
}

/// The binary, run by another program.
pub(crate) fn perfwatch_under(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_perfwatch"));
    for (name, value) in perfwatch().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// What a command printed; it must have succeeded.
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A recorded host of perfwatch-collect's.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../perfwatch-collect/fixtures").join(name)
}

/// Says that a test could not be had here, in words that the test command counts.
pub(crate) fn skipped(test: &str, why: impl std::fmt::Display) {
    eprintln!("SKIPPED: {test}: {why}");
}

/// Tests that burn CPUs or look at all sockets of the machine run alone; those that ask for time or use sockets, beside
/// each other.
static NOISE: RwLock<()> = RwLock::new(());

/// Nobody makes noise while this is held. Not to be taken twice by one test: a writer may come between.
pub(crate) fn quiet() -> RwLockReadGuard<'static, ()> {
    NOISE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Alone while this is held.
pub(crate) fn noise() -> RwLockWriteGuard<'static, ()> {
    NOISE.write().unwrap_or_else(PoisonError::into_inner)
}

/// A process that is killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < within {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Entries in a directory of its /proc, such as its threads.
    pub(crate) fn count(&self, directory: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{directory}", self.0.id())).unwrap().count()
    }

    /// Memory in KiB, by its name in /proc/PID/status. `RssAnon` is without code, of which a build for tests has several
    /// times as much.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Twice as many processes as CPUs, each of which takes all it gets. They end when dropped.
pub(crate) fn twice_as_busy() -> Vec<Running> {
    let cpus = available_parallelism().unwrap().get();
    let mut shell = Command::new("sh");
    shell.args(["-c", "while :; do :; done"]);
    (0..2 * cpus).map(|_| Running(shell.spawn().unwrap())).collect()
}

/// `perfwatch serve` on a port of its own.
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) address: String,
    /// Where its history is.
    pub(crate) data: tempfile::TempDir,
    /// Everything that it printed and logged.
    said: Arc<Mutex<Vec<u8>>>,
    _beside: Beside,
}

/// Who may run at the same time.
enum Beside {
    Quiet { _guard: RwLockReadGuard<'static, ()> },
    Nobody { _guard: RwLockWriteGuard<'static, ()> },
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// On a history that may be there.
    pub(crate) fn start_in(data: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::start_as(perfwatch(), data, arguments)
    }

    /// As this command, which ends with the program's name and becomes it.
    pub(crate) fn start_as(command: Command, data: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::launch(command, data, &[&["--no-auth", "--interval", "500ms"], arguments].concat())
    }

    /// One that asks who is there, and logs all there is to log.
    pub(crate) fn guarded(data: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::launch(
            perfwatch(),
            data,
            &[&["--log", "debug", "--interval", "500ms"], arguments].concat(),
        )
    }

    /// As [`Server::guarded`], with nobody else beside it.
    pub(crate) fn guarded_alone(data: tempfile::TempDir) -> Self {
        Self::alone(data, &["--log", "debug", "--interval", "500ms"])
    }

    /// With nobody else beside it.
    pub(crate) fn alone(data: tempfile::TempDir, arguments: &[&str]) -> Self {
        let alone = Beside::Nobody { _guard: noise() };
        Self::launch_beside(alone, perfwatch(), data, arguments)
    }

    /// With the interval that was saved.
    pub(crate) fn start_saved(data: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::launch(perfwatch(), data, &[&["--no-auth"], arguments].concat())
    }

    fn launch(command: Command, data: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::launch_beside(Beside::Quiet { _guard: quiet() }, command, data, arguments)
    }

    fn launch_beside(
        beside: Beside,
        mut command: Command,
        data: tempfile::TempDir,
        arguments: &[&str],
    ) -> Self {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let stdout = child.stdout.take().unwrap();
        let process = Running(child);
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = |said: &Arc<Mutex<Vec<u8>>>, bytes: &[u8]| {
            said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        };
        let mut line = String::new();
        while !line.contains("serving at http") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "perfwatch ended before it served");
            keep(&said, line.as_bytes());
        }
        let address =
            line.split("://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        // Both must go on being read, or it blocks.
        let streams: [Box<dyn Read + Send>; 2] = [Box::new(log), Box::new(stdout)];
        for mut stream in streams {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    keep(&said, &bytes[..count]);
                }
            });
        }
        Self { process, address, data, said, _beside: beside }
    }

    /// Waits for a line of the log that says this, and returns it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let log = self.said();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "`{text}` is not logged: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Killed, as by the kernel out of memory. What is left is its history.
    pub(crate) fn killed(self) -> tempfile::TempDir {
        self.process.signal(Signal::KILL);
        self.data
    }

    /// Asked to stop; it must do so within two seconds. What is left is its history.
    pub(crate) fn stopped(mut self) -> tempfile::TempDir {
        self.process.signal(Signal::TERM);
        let ended = self.process.end(Duration::from_secs(2)).expect("still running after 2 s");
        assert!(ended.success(), "{ended}");
        self.data
    }

    /// Everything that it printed and logged so far.
    pub(crate) fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream
    }

    /// Status, head and body of a request with these headers.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String, String) {
        self.request("GET", path, &format!("Host: {}\r\n", self.address))
    }

    /// The newest snapshot, waiting for the first.
    pub(crate) fn snapshot(&self) -> Value {
        loop {
            let (status, _, body) = self.get("/api/v1/snapshot");
            if status == 200 {
                return serde_json::from_str(&body).unwrap();
            }
        }
    }

    /// The newest snapshot, waiting for one of which this holds.
    pub(crate) fn snapshot_that(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let snapshot = self.snapshot();
            if is_it(&snapshot) {
                return snapshot;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{snapshot}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
