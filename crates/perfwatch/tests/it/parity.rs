//! Every value beside psutil's, which nobody here wrote.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::process::{fixture, skipped};

/// Live comparisons hold the machine's sockets still while they look: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the comparison, unless there is no psutil to be had.
fn compare(arguments: &[&str]) {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = Command::new(crate_dir.join("../../scripts/venv")).output().unwrap();
    if !venv.status.success() {
        return skipped("parity with psutil", String::from_utf8_lossy(&venv.stderr).trim());
    }
    let python = String::from_utf8(venv.stdout).unwrap();
    let output = Command::new(python.trim())
        .arg(crate_dir.join("tests/parity/parity.py"))
        .args(["--perfwatch", env!("CARGO_BIN_EXE_perfwatch")])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}\n{said}\n{error}");
}

#[test]
fn of_this_host() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    compare(&[]);
}

#[test]
fn of_this_host_under_load() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !rustix::process::geteuid().is_root() {
        return skipped("parity with psutil under load", "making the load needs root");
    }
    compare(&["--load"]);
    compare(&["--load", "--unprivileged"]);
}

#[test]
fn of_recorded_hosts() {
    for host in ["vm", "server128", "oldkernel", "kernel418", "container"] {
        compare(&["--fixture", fixture(host).to_str().unwrap()]);
    }
}
