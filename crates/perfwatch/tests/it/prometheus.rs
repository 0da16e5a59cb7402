//! `/metrics`, read by what nobody here wrote.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::access::{log_in, make_token, with_users};
use crate::process::{Server, fixture, skipped};

/// Runs a check, unless what it needs is missing.
fn check(name: &str, needs: Option<&str>, arguments: &[&str]) {
    let is_missing = |program: &&str| Command::new(program).arg("--version").output().is_err();
    if let Some(program) = needs.filter(is_missing) {
        return skipped(&format!("/metrics: {name}"), format!("{program} is missing"));
    }
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = Command::new(crate_dir.join("../../scripts/venv")).output().unwrap();
    if !venv.status.success() {
        let why = String::from_utf8_lossy(&venv.stderr);
        return skipped(&format!("/metrics: {name}"), why.trim());
    }
    let python = String::from_utf8(venv.stdout).unwrap();
    let output = Command::new(python.trim())
        .arg(crate_dir.join("tests/prometheus/check.py"))
        .arg(name)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}\n{said}\n{error}");
    eprintln!("{name}: {said}");
}

fn url(server: &Server) -> String {
    // The second sample has rates.
    while server.snapshot()["tick"].as_u64() < Some(1) {}
    format!("http://{}", server.address)
}

/// Serves a recorded host.
fn serving(tree: &Path, arguments: &[&str]) -> Server {
    let root = |name: &str, dir: &str| format!("--path.{name}={}", tree.join(dir).display());
    let roots = [root("procfs", "proc"), root("sysfs", "sys"), root("rootfs", "")];
    Server::start(&[&roots.each_ref().map(String::as_str)[..], arguments].concat())
}

#[test]
fn both_formats_say_what_the_snapshot_says() {
    check("parse", None, &[&url(&Server::start(&[]))]);
    check("parse", None, &[&url(&serving(&fixture("server128").join("t1"), &[]))]);
}

#[test]
fn promtool_has_nothing_to_remark() {
    let server = serving(&fixture("server128").join("t1"), &[]);
    check("promtool", Some("promtool"), &[&url(&server)]);
    let server = serving(&fixture("server128").join("t1"), &["--metrics.node-names=false"]);
    check("promtool", Some("promtool"), &[&url(&server), "--own"]);
    assert!(!server.get("/metrics").2.contains("\nnode_"));
}

#[test]
fn names_and_values_are_those_of_node_exporter() {
    check("node", Some("prometheus-node-exporter"), &[&url(&Server::start(&[]))]);
}

/// A token that may scrape and nothing else; a recorded server beside this host, for what this host does not have.
#[test]
fn prometheus_scrapes_what_was_sampled() {
    let server = Server::guarded(with_users(&[("ada", "admin")]), &[]);
    let admin = log_in(&server, "ada");
    let [read, scrape] = ["read", "scrape"].map(|scope| {
        let header = make_token(&server, &admin, scope);
        header.trim().rsplit(' ').next().unwrap().to_owned()
    });
    let other = serving(&fixture("server128").join("t1"), &[]);
    let here = format!("http://{}", server.address);
    let tokens = ["--token", &read, "--scrape-token", &scrape];
    let urls = [here.as_str(), &url(&other)];
    check("scrape", Some("prometheus"), &[&urls[..], &tokens].concat());
}

/// Interfaces and mount points of any name that the kernel may have.
#[test]
fn no_name_can_break_out_of_its_label() {
    let tree = tempfile::tempdir().unwrap();
    let proc = tree.path().join("proc");
    fs::create_dir_all(proc.join("1")).unwrap();
    fs::create_dir_all(proc.join("net")).unwrap();
    for file in ["stat", "meminfo", "vmstat", "diskstats", "filesystems", "net/sockstat"] {
        fs::copy(fixture("vm").join("t1/proc").join(file), proc.join(file)).unwrap();
    }
    let mut runner = TestRunner::deterministic();
    let mut some = |strategy: BoxedStrategy<Vec<u8>>, count: usize| {
        let sets = proptest::collection::btree_set(strategy, count);
        sets.new_tree(&mut runner).unwrap().current()
    };
    let hostile = || prop_oneof![4 => proptest::sample::select(&b"\"\\\n\r{}=,<>\x0b\x1c\x85#"[..]), 3 => any::<u8>()];
    // An interface has 15 bytes, and neither blanks nor slashes.
    let in_name =
        |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, 0 | b'/' | b':' | 0x0b);
    let name = proptest::collection::vec(hostile().prop_filter("illegal", in_name), 1..15);
    let mut dev = b"Inter-|   Receive\n face |bytes\n".to_vec();
    for name in some(name.boxed(), 200).into_iter().chain([b"<img onerror>".to_vec()]) {
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b' ').collect();
        dev.extend_from_slice(&name);
        dev.extend_from_slice(b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    }
    fs::write(proc.join("net/dev"), dev).unwrap();
    // A mount point has anything but NUL; the kernel's table has blanks, line feeds and backslashes in octal.
    let place = proptest::collection::vec(hostile().prop_filter("NUL", |byte| *byte != 0), 1..30);
    let mut mounts = String::new();
    for place in some(place.boxed(), 200) {
        let octal = place.iter().fold(String::new(), |mut octal, byte| {
            // Writing to a string cannot fail.
            let _ = write!(octal, "\\{byte:03o}");
            octal
        });
        writeln!(mounts, "/dev/vdb /{octal} ext4 rw 0 0").unwrap();
    }
    fs::write(proc.join("1/mounts"), mounts).unwrap();
    let server = serving(tree.path(), &[]);
    let snapshot = server.snapshot();
    assert!(snapshot["network"]["interfaces"].as_object().unwrap().len() > 150, "{snapshot}");
    assert!(snapshot["disk"]["partitions"].as_object().unwrap().len() > 150, "{snapshot}");
    check("parse", None, &[&url(&server)]);
    check("promtool", Some("promtool"), &[&url(&server)]);
}
