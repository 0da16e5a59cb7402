//! A virtual machine whose PMU is real enough to be counted by: QEMU's of an Arm CPU, with Debian's kernel. Its one program is
//! `examples/pmu_guest.rs`, built for it.
//!
//! Its time is made of the instructions it runs (`-icount`), so what it counts does not depend on how busy this machine is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

const TARGET: &str = "aarch64-unknown-linux-musl";

/// What the guest takes at most, by the clock on the wall: it takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(180);

/// What the guest printed, by name. None where there can be no guest, and then it was said why.
pub(crate) fn results() -> Option<&'static BTreeMap<String, Vec<Value>>> {
    static RESULTS: LazyLock<Option<BTreeMap<String, Vec<Value>>>> =
        LazyLock::new(|| match prepare() {
            Ok(machine) => Some(machine.run()),
            Err(why) => {
                eprintln!(
                    "SKIPPED: counters of a real PMU and waiting, in a virtual machine: {why}"
                );
                None
            }
        });
    RESULTS.as_ref()
}

/// What QEMU is to boot.
struct Machine {
    kernel: PathBuf,
    init: PathBuf,
}

/// Gets everything that the machine is made of.
fn prepare() -> Result<Machine, String> {
    let found = Command::new("qemu-system-aarch64").arg("--version").output();
    found.map_err(|error| format!("qemu-system-aarch64 (Debian: qemu-system-arm): {error}"))?;
    let library =
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let library = library.map_err(|error| format!("rustc: {error}"))?.stdout;
    if !Path::new(String::from_utf8_lossy(&library).trim()).exists() {
        return Err(format!("no standard library for it (rustup target add {TARGET})"));
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = project.join("target/guest");
    let mut fetching = Command::new(project.join("scripts/guest-kernel"));
    succeed(&mut fetching).map_err(|why| format!("no kernel for it: {why}"))?;
    let mut building = Command::new(env!("CARGO"));
    building
        .args(["build", "--quiet", "--locked", "--package", env!("CARGO_PKG_NAME")])
        .args(["--example", "pmu_guest", "--target", TARGET, "--target-dir"])
        .arg(dir.join("build"))
        .current_dir(&project)
        // What comes with the toolchain links it, without a C compiler for the target.
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    succeed(&mut building).expect("what is tested builds for the guest");
    let init = dir.join("build").join(TARGET).join("debug/examples/pmu_guest");
    Ok(Machine { kernel: dir.join("vmlinuz-arm64"), init })
}

/// Runs a command. What it said last, when it failed.
fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it failed and said nothing").to_owned();
    output.status.success().then_some(()).ok_or(last)
}

impl Machine {
    fn run(&self) -> BTreeMap<String, Vec<Value>> {
        let files = tempfile::tempdir().unwrap();
        let initrd = files.path().join("initrd");
        fs::write(&initrd, archive(&fs::read(&self.init).unwrap())).unwrap();
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-M", "virt", "-cpu", "neoverse-n1", "-smp", "2", "-m", "512"])
            // An instruction takes 2 ns, and nobody waits for the time in which there is nothing to do.
            .args(["-icount", "shift=1,sleep=off"])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"])
            .args(["-append", "console=ttyAMA0 quiet panic=-1"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&initrd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running(qemu.spawn().unwrap());
        let console = BufReader::new(running.0.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            console.split(b'\n').flatten().try_for_each(|line| sender.send(line))
        });
        let (mut results, mut said) = (BTreeMap::<String, Vec<Value>>::new(), String::new());
        while let Ok(line) = lines.recv_timeout(DEADLINE) {
            let line = String::from_utf8_lossy(&line);
            said.push_str(&format!("{}\n", line.trim_end()));
            let mut words = line.trim_end().splitn(3, ' ');
            if let (Some("RESULT"), Some(name), Some(json)) =
                (words.next(), words.next(), words.next())
            {
                let value = serde_json::from_str(json).unwrap();
                results.entry(name.to_owned()).or_default().push(value);
            }
        }
        assert!(results.contains_key("end"), "the guest did not come to its end:\n{said}");
        results
    }
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An archive as the kernel unpacks it into its first file system (cpio, "newc"): `/init`, and where to mount what it needs.
fn archive(init: &[u8]) -> Vec<u8> {
    const FILE: usize = 0o100_755;
    const DIRECTORY: usize = 0o040_755;
    let mut archive = Vec::new();
    let entries = [
        ("proc", DIRECTORY, &b""[..]),
        ("sys", DIRECTORY, b""),
        ("init", FILE, init),
        ("TRAILER!!!", 0, b""),
    ];
    for (number, (name, mode, content)) in entries.into_iter().enumerate() {
        archive.extend(b"070701");
        // Number, mode, owner, group, links, time, size, four of devices, length of the name, checksum.
        for field in [number, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            archive.extend(format!("{field:08x}").bytes());
        }
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}
