//! What the commands print.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::access::{PASSWORD, user};
use crate::process::{Running, Server, fixture, perfwatch, skipped, stdout};

/// The ids of a snapshot's fields, by the list of all: what is not in it on the way to an id is the name of an object, such as an
/// interface.
fn ids(snapshot: &Value, golden: &BTreeSet<&str>) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, golden: &BTreeSet<&str>, ids: &mut BTreeSet<String>) {
        let leads_on = |path: &str| golden.iter().any(|id| id.starts_with(&format!("{path}.")));
        match value {
            Value::Object(fields) if !golden.contains(path) => {
                for (name, value) in fields {
                    let below = format!("{path}.{name}");
                    let is_field = golden.contains(&*below) || leads_on(&below);
                    match value {
                        Value::Object(_) if !is_field => walk(value, path, golden, ids),
                        _ => walk(value, &below, golden, ids),
                    }
                }
            }
            _ => drop(ids.insert(path.to_owned())),
        }
    }
    let mut ids = BTreeSet::new();
    for (section, value) in snapshot.as_object().unwrap() {
        if golden.iter().any(|id| id.split('.').next() == Some(section)) {
            walk(value, section, golden, &mut ids);
        }
    }
    ids
}

/// What a host may not have: sections, and objects in them.
const MAYBE: [&str; 6] =
    ["power", "memory_bandwidth", "resctrl", "memory.nodes", "memory.zram", "cgroups.slices"];

#[test]
fn a_snapshot_holds_every_metric_by_its_name() {
    let snapshot: Value =
        serde_json::from_str(&stdout(perfwatch().args(["snapshot", "--json"]))).unwrap();
    if snapshot["perf_events"]["derived"].is_null() {
        return skipped("every metric of a snapshot", &snapshot["perf_events"]["error"]);
    }
    let golden: BTreeSet<_> =
        include_str!("../../../perfwatch-metrics/golden_ids.txt").lines().collect();
    let ids = ids(&snapshot, &golden);
    let may_lack = |id: &str| {
        MAYBE.iter().any(|maybe| {
            let absent = maybe.split('.').fold(&snapshot, |value, name| &value[name]);
            let is_empty = absent.is_null() || absent.as_object().is_some_and(|all| all.is_empty());
            is_empty && id.strip_prefix(maybe).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let missing: Vec<_> = golden.iter().filter(|id| !ids.contains(**id) && !may_lack(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let absent = |id: &&String| MAYBE.contains(&id.as_str()) && snapshot[id.as_str()].is_null();
    let unknown: Vec<_> =
        ids.iter().filter(|id| !golden.contains(id.as_str()) && !absent(id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let is_null = |section: &&&str| snapshot.get(section).is_some_and(Value::is_null);
    for section in MAYBE.iter().filter(is_null) {
        let state = &snapshot["status"][section]["state"];
        assert!(["unavailable", "denied"].map(Value::from).contains(state), "{section}: {state}");
        assert!(snapshot["status"][section]["reason"].is_string(), "{section}");
    }
    assert!(snapshot["perf_events"]["status"].is_string());
    assert!(snapshot["cpu"]["usage_percent"].is_number(), "rates are there");
    assert!(snapshot["memory"]["pgfault_per_sec"].is_number());
}

#[test]
fn a_table_holds_a_line_for_each_series() {
    let table = stdout(perfwatch().args(["snapshot", "--over", "100ms"]));
    for id in [
        "cpu.usage_percent ",
        "cpu.per_core{core=\"0\"} ",
        "memory.total_bytes ",
        "perf_events.status ",
    ] {
        assert!(table.contains(id), "{id}\n{table}");
    }
    assert!(!table.contains('\x1b'));
}

/// What makes PerfWatch see a recorded host.
fn roots(host: &str) -> [String; 3] {
    let dir = fixture(host).join("t0");
    [("procfs", dir.join("proc")), ("sysfs", dir.join("sys")), ("rootfs", dir)]
        .map(|(root, path)| format!("--path.{root}={}", path.display()))
}

/// Counters of another host's PMUs are never this host's.
#[test]
fn a_recorded_host_shows_its_own_meters() {
    let table = |host: &str| {
        let table = stdout(perfwatch().args(["snapshot", "--over", "100ms"]).args(roots(host)));
        table
            .split('\n')
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    let server = table("intel2s");
    for line in [
        "power.source powercap",
        "power.packages_watts 0.00 W",
        "power.domains.energy_joules{domain=\"package-1\"} 123456 J",
        "memory_bandwidth.source uncore_imc",
        "resctrl.monitors.llc_occupancy_bytes{monitor=\"web/mon_L3_00\"} 4.50 MiB",
        "resctrl.monitors.web/mon_L3_01.mbm_total_bytes: unavailable: the kernel says Unavailable",
    ] {
        assert!(server.iter().any(|shown| shown == line), "{line}\n{server:#?}");
    }
    assert!(table("zen4").contains(&"power.source power PMU".to_owned()));
}

#[test]
fn watch_prints_a_line_of_json_a_tick_and_ends_with_its_reader() {
    let mut child =
        perfwatch().args(["watch", "--interval", "500ms"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut child = Running(child);
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let (first, second) = (next(), next());
    assert_eq!(first["cpu"]["usage_percent"], Value::Null, "no rate on the first tick");
    assert!(second["cpu"]["usage_percent"].is_number());
    assert!(second["tick"].as_u64() > first["tick"].as_u64());
    drop(lines);
    assert!(child.end(std::time::Duration::from_secs(5)).unwrap().success());
}

#[test]
fn roots_may_lie_elsewhere() {
    let host = fixture("server128").join("t1");
    let root = |name: &str, dir: &str| format!("--path.{name}={}", host.join(dir).display());
    let arguments = [root("procfs", "proc"), root("sysfs", "sys"), root("rootfs", "")];
    let text = stdout(perfwatch().args(["snapshot", "--json", "--over", "100ms"]).args(arguments));
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot["cpu"]["per_core"].as_array().unwrap().len(), 128);
    assert_eq!(snapshot["memory"]["total_bytes"], 810_636_709_888_u64);
    assert!(snapshot["disk"]["partitions"]["/mnt/Old Archive\\2019"].is_object());
    assert!(snapshot["network"]["connections"]["tcp_listen"].as_u64() > Some(0));
}

#[test]
fn what_was_captured_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    stdout(perfwatch().arg("capture").arg(&recording));
    for instant in ["t0", "t1"] {
        for file in
            ["proc/stat", "proc/meminfo", "proc/net/dev", "proc/diskstats", "statvfs", "page_size"]
        {
            assert!(recording.join(instant).join(file).is_file(), "{instant}/{file}");
        }
    }
    let procfs = format!("--path.procfs={}", recording.join("t1/proc").display());
    let text = stdout(perfwatch().args(["snapshot", "--json", "--over", "100ms", &procfs]));
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    let meminfo = fs::read_to_string(recording.join("t1/proc/meminfo")).unwrap();
    let total_kib: u64 = meminfo.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(snapshot["memory"]["total_bytes"], total_kib * 1024);
    let again = perfwatch().arg("capture").arg(&recording).output().unwrap();
    assert!(!again.status.success(), "a recording is not written over");
}

#[test]
fn a_recording_that_lacks_something_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        perfwatch().arg("capture").arg(dir.path()).arg("--path.procfs=/etc").output().unwrap();
    assert!(output.status.success(), "what this host has not is not missed");
    fs::create_dir(dir.path().join("proc")).unwrap();
    fs::write(dir.path().join("proc/stat"), "garbage").unwrap();
    let procfs = format!("--path.procfs={}", dir.path().join("proc").display());
    let output =
        perfwatch().arg("capture").arg(dir.path().join("again")).arg(procfs).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("cpu: "), "{error}");
}

#[test]
fn the_doctor_says_what_is_missing_and_what_to_do() {
    let output = perfwatch().args(["doctor", "--path.procfs=/nowhere"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("unavailable  cpu  reading /nowhere/stat: No such file"), "{text}");
    assert!(text.contains("→ mount the kernel's file system"), "{text}");
    let broken = fixture("vm").join("elapsed_ms");
    let output = perfwatch().arg("doctor").arg("--config").arg(broken).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("failed       settings") && text.contains("  cpu  in "), "{text}");
    let server = Server::start(&[]);
    let text = stdout(perfwatch().args(["doctor", "--listen", &server.address]));
    assert!(text.contains("is served by a running PerfWatch"), "{text}");
    let well = stdout(perfwatch().args(["doctor", "--listen", "127.0.0.1:0"]));
    for line in ["  cpu  in ", "  disk  in ", "perf_events  "] {
        assert!(well.contains(line), "{well}");
    }
}

#[test]
fn the_doctor_tells_a_part_from_a_whole() {
    let doctor = ["doctor", "--listen", "127.0.0.1:0"];
    let text = stdout(perfwatch().args(doctor).args(roots("vm")));
    for lines in [
        "partly       cpu  in ",
        "ok           memory  in ",
        "unavailable  cpu.frequency_limit_mhz, cpu.governor  this host has no cpufreq\n",
    ] {
        assert!(text.contains(lines), "{lines}\n{text}");
    }
}

#[test]
fn the_doctor_looks_at_logins_and_history_and_makes_neither() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let doctor = |code, all: &[&str]| {
        let mut command = perfwatch();
        command.args(["doctor", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        let output = command.args(roots("vm")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for lines in all {
            assert!(text.contains(lines), "{lines}\n{text}");
        }
    };
    let nobody = "login  nobody can log in yet\n             → perfwatch user add NAME\n";
    doctor(0, &[nobody, &format!("unavailable  history  opening {}: ", data.display())]);
    assert!(!data.exists());

    user(&data, &["add", "ada"], PASSWORD);
    // The accounts beside it are less than is shown.
    fs::write(data.join("raw-00000001.seg"), vec![0; 4 << 20]).unwrap();
    let history = format!("ok           history  {}, 4.00 MiB\n", data.display());
    doctor(0, &["ok           login  users: 1\n", &history]);
    fs::write(data.join("accounts.json"), "{").unwrap();
    doctor(1, &["failed       login  "]);
}

#[test]
fn a_start_ends_with_where_it_serves_and_how_to_log_in() {
    let roots = roots("vm");
    let server =
        Server::guarded(tempfile::tempdir().unwrap(), &roots.each_ref().map(String::as_str));
    let last = server.logged("nobody can log in yet");
    assert!(last.contains("setup-link"), "{last}");
    let said = server.said();
    let until = said.find(&last).unwrap();
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}\n{said}"));
    let serving = place("serving at http");
    assert!(serving < until, "{said}");
    let grouped = "not collected section=\"cpu.frequency_limit_mhz, cpu.governor\"";
    for missing in [grouped, "not collected section=\"power\""] {
        assert!(place(missing) < serving, "{said}");
    }
}

#[test]
fn a_list_without_users_says_so_beside_what_programs_read() {
    let data = tempfile::tempdir().unwrap();
    let list = || {
        let output =
            perfwatch().args(["user", "list", "--data"]).arg(data.path()).output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "nobody can log in yet: perfwatch user add NAME\n");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(list(), "");
    user(data.path(), &["token", "backup", "--scope", "read"], "");
    assert!(list().starts_with("read    backup, token "));
}

#[test]
fn the_catalog_describes_every_metric() {
    let catalog: Value =
        serde_json::from_str(&stdout(perfwatch().args(["catalog", "--json"]))).unwrap();
    let ids: BTreeSet<_> = catalog["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, include_str!("../../../perfwatch-metrics/golden_ids.txt").lines().collect());
    assert!(stdout(perfwatch().args(["catalog", "--markdown"])).starts_with("# Metrics"));
}

#[test]
fn packagers_get_completions_and_a_man_page() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(perfwatch().args(["completions", shell])).contains("snapshot"), "{shell}");
    }
    assert!(stdout(perfwatch().arg("man")).contains(".TH perfwatch"));
}

#[test]
fn a_wrong_setting_is_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("perfwatch.toml");
    fs::write(&file, "intervall = '1s'\n").unwrap();
    let file = format!("--config={}", file.display());
    for (arguments, says) in [
        (&["watch", "--interval", "100ms"][..], "must be from 500ms to 60s"),
        (&["serve", "--listen", "localhost"], "`localhost` is no address with a port"),
        (&["snapshot", "--over", "2h"], "must be from 100ms to 60s"),
        (&["snapshot", &file], "unknown field `intervall`"),
        (&["snapshot", "--config=/nowhere.toml"], "reading /nowhere.toml"),
    ] {
        let output = perfwatch().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn settings_come_from_flags_then_environment_then_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("perfwatch.toml");
    fs::write(&file, "interval = '3s'\npath.procfs = '/nowhere'\n").unwrap();
    let first_line = |command: &mut std::process::Command| {
        let mut child = Running(command.arg("watch").stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let filed = first_line(perfwatch().arg("--config").arg(&file));
    assert_eq!((&filed["interval_ms"], &filed["cpu"]), (&3000.into(), &Value::Null));
    let from_environment = |command: &mut std::process::Command| {
        first_line(command.env("PERFWATCH_CONFIG", &file).env("PERFWATCH_INTERVAL", "2s"))
    };
    assert_eq!(from_environment(&mut perfwatch())["interval_ms"], 2000);
    assert_eq!(from_environment(perfwatch().args(["--interval", "1s"]))["interval_ms"], 1000);
}

#[test]
fn a_second_server_on_the_same_port_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child =
        perfwatch().args(["serve", "--listen", &address]).stderr(Stdio::piped()).spawn().unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(error.contains(&format!("listening on {address}")), "{error}");
}
