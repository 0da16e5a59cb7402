//! Every value beside psutil's, which nobody here wrote.

use std::path::Path;
use std::process::Command;

use crate::process::{fixture, noise, skipped};

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
    let _alone = noise();
    compare(&[]);
}

#[test]
fn of_this_host_under_load() {
    let _alone = noise();
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
