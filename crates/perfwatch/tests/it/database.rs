//! What becomes of the files: checked, counted, copied, merged, exported and imported.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::answers::Recording;
use crate::process::{Server, perfwatch, skipped, stdout};

/// Nanoseconds of the first generated row: 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

/// So many rows of every kind of series, every five seconds.
fn generated(rows: i64) -> String {
    let mut text = "{\"perfwatch_export\":1}\n".to_owned();
    for row in 0..rows {
        let at = jiff_like(START + row * 5);
        let covered = if row == 0 { 0 } else { 5_000_000_000_i64 + row % 7 * 1000 };
        let mut section = |name: &str, values: &str| {
            text.push_str(&format!(
                "{{\"time\":\"{at}\",\"section\":\"{name}\",\"covered_ns\":{covered},\"values\":{{{values}}}}}\n"
            ));
        };
        let usage = format!("{}.{}", row % 100, row % 9 + 1);
        section("cpu", &format!("\"cpu.interrupts\":{},\"cpu.usage_percent\":{usage}", row * 1000));
        let device = |name: &str, value: i64| {
            format!("\"disk.devices.{name}{{device=\\\"sd\\\\\\\"a\\\"}}\":{value}")
        };
        section(
            "disk",
            &[
                device("read_bytes", row * 4096),
                device("read_count", row),
                device("read_time_ms", row * 3),
            ]
            .join(","),
        );
        section("memory", &format!("\"memory.pgpgin\":{},\"memory.total_bytes\":1024", row * 7));
    }
    text
}

/// A second as `perfwatch export` writes it.
fn jiff_like(second: i64) -> String {
    let output = second - START;
    let (day, rest) = (output / 86_400, output % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("2026-01-{:02}T{hour:02}:{minute:02}:{second:02}.000Z", day + 1)
}

/// A command on a history.
fn on(data: &Path, arguments: &[&str]) -> Command {
    let mut command = perfwatch();
    command.args(arguments).arg("--data").arg(data);
    command
}

fn import(data: &Path, text: &str) -> Output {
    let mut child = on(data, &["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writing = std::thread::spawn(move || {
        // An import that fails reads no further.
        let _ = input.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

#[track_caller]
fn imported(data: &Path, text: &str) -> String {
    let output = import(data, text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A history of so many generated rows.
fn history(rows: i64) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let said = imported(data.path(), &generated(rows));
    assert_eq!(
        said,
        format!("{} rows imported, 0 skipped because they are there already\n", rows * 3)
    );
    data
}

fn files(data: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

#[test]
fn what_is_exported_and_imported_is_the_same() {
    let data = history(2000);
    assert_eq!(stdout(&mut on(data.path(), &["export"])), generated(2000));
    for format in ["ndjson", "csv"] {
        let export = |data: &Path| stdout(&mut on(data, &["export", "--format", format]));
        let before = export(data.path());
        let other = tempfile::tempdir().unwrap();
        imported(other.path(), &before);
        assert!(export(other.path()) == before, "{format}");
        let again = imported(other.path(), &before);
        assert_eq!(again, "0 rows imported, 6000 skipped because they are there already\n");
        assert!(export(other.path()) == before, "{format}, imported twice");
        let query = ["query", "*", "--from", "2026-01-01", "--to", "2026-01-02", "--format=csv"];
        assert_eq!(stdout(&mut on(other.path(), &query)), stdout(&mut on(data.path(), &query)));
    }
}

#[test]
fn what_was_recorded_goes_through_every_format() {
    let server = Server::start(&[]);
    Recording::start(&server).wait_for(6);
    let data = server.stopped();
    for format in ["ndjson", "csv", "openmetrics"] {
        let export = |data: &Path| stdout(&mut on(data, &["export", "--format", format]));
        let before = export(data.path());
        assert!(before.lines().count() > 10, "{before}");
        let other = tempfile::tempdir().unwrap();
        imported(other.path(), &before);
        let after = export(other.path());
        assert!(after == before, "{format}");
    }
}

#[test]
fn a_part_is_exported() {
    let data = history(100);
    let range = ["--from", "2026-01-01T00:01:00Z", "--to", "2026-01-01T00:01:20Z", "--format=csv"];
    let mut command =
        on(data.path(), &["export", "disk.devices.*.read_bytes_per_sec", "cpu.usage_percent"]);
    let text = stdout(command.args(range));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 + 2 * 4, "{text}");
    assert_eq!(
        lines[3],
        "2026-01-01T00:01:00.000Z,disk,0,\"disk.devices.read_bytes{device=\"\"sd\\\"\"a\"\"}\",49152"
    );
    assert!(lines[5].contains(",disk,5000006000,"), "{text}");
}

#[test]
fn prometheus_takes_the_export() {
    let data = history(2000);
    let text = stdout(&mut on(data.path(), &["export", "--format=openmetrics"]));
    assert!(text.contains("# TYPE perfwatch_disk_devices_read_bytes counter\n"), "{text}");
    let sample =
        "perfwatch_disk_devices_read_bytes_total{device=\"sd\\\"a\"} 4096 1767225605.000\n";
    assert!(text.contains(sample) && text.ends_with("# EOF\n"), "{text}");
    let other = tempfile::tempdir().unwrap();
    imported(other.path(), &text);
    assert!(stdout(&mut on(other.path(), &["export", "--format=openmetrics"])) == text);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.om");
    fs::write(&file, &text).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(&file)
        .arg(dir.path().join("blocks"));
    match promtool.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => skipped("prometheus_takes_the_export", format!("promtool: {error}")),
    }
}

#[test]
fn a_line_that_makes_no_sense_ends_the_import() {
    let data = tempfile::tempdir().unwrap();
    let good = generated(10);
    let output = import(data.path(), &format!("{good}nonsense\n{}", generated(20)));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("importing -: line 32: expected"), "{error}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "30 rows imported, 0 skipped because they are there already\n"
    );
    assert_eq!(stdout(&mut on(data.path(), &["export"])), good);
    let far = good.replace("2026-", "2126-");
    let error = String::from_utf8(import(data.path(), &far).stderr).unwrap();
    assert!(error.contains("more than a day ahead"), "{error}");
}

#[test]
fn a_backup_beside_a_server_answers_like_the_directory() {
    let data = history(2000);
    let server = Server::start_in(data, &[]);
    server.snapshot();
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    let back_up = |extra: &[&str]| {
        on(server.data.path(), &["db", "backup"]).arg(&backup).args(extra).output().unwrap()
    };
    let output = back_up(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let error = String::from_utf8(back_up(&[]).stderr).unwrap();
    assert!(error.contains("is there already"), "{error}");
    assert!(back_up(&["--force"]).status.success());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft stays");
    let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
    for arguments in [
        &["query", "*", "--format=csv"][..],
        &["query", "*", "--points=3", "--format=json"],
        &["compare", "*", "--vs=prev", "--format=json"],
        &["export"],
    ] {
        let ask = |data: &Path| stdout(on(data, arguments).args(range));
        assert!(ask(&backup) == ask(server.data.path()), "{arguments:?}");
    }
    let checked = stdout(&mut on(&backup, &["db", "check"]));
    assert!(checked.starts_with("1 files") && checked.ends_with("all sound\n"), "{checked}");
    let live = stdout(&mut on(server.data.path(), &["db", "check"]));
    assert!(live.ends_with("all sound\n"), "{live}");
    let info: Value =
        serde_json::from_str(&stdout(&mut on(&backup, &["db", "info", "--format=json"]))).unwrap();
    assert!(info["tiers"][0]["rows"].as_u64() >= Some(2000), "{info}");
    for arguments in [
        &["db", "compact"][..],
        &["import", "/dev/null"],
        &["db", "restore", backup.to_str().unwrap()],
    ] {
        let output = on(server.data.path(), arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let holder = format!("is in use by process {}", server.process.0.id());
        assert!(!output.status.success() && error.contains(&holder), "{arguments:?}: {error}");
    }
}

#[test]
fn a_restored_history_goes_on() {
    let data = history(2000);
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    stdout(on(data.path(), &["db", "backup"]).arg(&backup));
    let error = on(data.path(), &["db", "restore"]).arg(&backup).output().unwrap().stderr;
    assert!(String::from_utf8(error).unwrap().contains("there is history in it already"));
    let restored = tempfile::tempdir().unwrap();
    stdout(on(restored.path(), &["db", "restore"]).arg(&backup));
    let export = |data: &Path| stdout(&mut on(data, &["export", "--to", "2026-01-02"]));
    let before = export(data.path());
    assert!(export(restored.path()) == before);
    let server = Server::start_in(restored, &[]);
    Recording::start(&server).wait_for(2);
    let restored = server.stopped();
    assert!(export(restored.path()) == before);
    assert!(stdout(&mut on(restored.path(), &["export"])).len() > before.len());
    assert!(stdout(&mut on(restored.path(), &["db", "check"])).ends_with("all sound\n"));
    let query = ["query", "*", "--from", "2026-01-01", "--to", "2026-01-01T02:00", "--format=csv"];
    assert_eq!(stdout(&mut on(restored.path(), &query)), stdout(&mut on(data.path(), &query)));
}

#[test]
fn a_flipped_bit_is_found() {
    let data = history(1500);
    let mut looked_at = 0;
    for extension in ["seg", "hot"] {
        for path in files(data.path(), extension) {
            let bytes = fs::read(&path).unwrap();
            for offset in (0..bytes.len()).step_by((bytes.len() / 12).max(1)) {
                let mut flipped = bytes.clone();
                flipped[offset] ^= 0x10;
                fs::write(&path, &flipped).unwrap();
                let output = on(data.path(), &["db", "check"]).output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                assert_eq!(output.status.code(), Some(1), "{name} at {offset}: {text}");
                assert!(text.starts_with(&format!("{name}: at byte ")), "{text}");
                looked_at += 1;
            }
            fs::write(&path, &bytes).unwrap();
        }
    }
    assert!(looked_at > 20);
    let path = &files(data.path(), "seg")[0];
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    let output = on(data.path(), &["db", "check", "--format=json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["damaged"].as_u64(), Some(found["damage"].as_array().unwrap().len() as u64));
    assert!(found["damage"][0]["offset"].as_u64() <= Some(middle as u64), "{found}");
}

#[test]
fn compacting_keeps_every_value_and_drops_what_is_damaged() {
    let data = tempfile::tempdir().unwrap();
    // Segments of a raw tier that is kept for an hour hold two minutes each.
    let rows = generated(6000);
    let mut command = on(data.path(), &["import", "-", "--keep-raw", "3h"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let export = || stdout(&mut on(data.path(), &["export"]));
    let query = || {
        let range = ["--from", "2026-01-01", "--to", "2026-01-01T10:00", "--format=csv"];
        stdout(on(data.path(), &["query", "*"]).args(range))
    };
    let (before, answer, count) = (export(), query(), files(data.path(), "seg").len());
    assert!(count > 4, "{count}");
    let said = stdout(&mut on(data.path(), &["db", "compact"]));
    assert!(said.contains("before") && files(data.path(), "seg").len() < count, "{said}");
    assert!(export() == before && query() == answer);
    assert!(stdout(&mut on(data.path(), &["db", "check"])).ends_with("all sound\n"));
    stdout(&mut on(data.path(), &["db", "compact"]));
    assert!(export() == before);
    let path = &files(data.path(), "seg")
        .into_iter()
        .find(|path| path.to_str().unwrap().contains("raw-"))
        .unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    assert_eq!(on(data.path(), &["db", "check"]).output().unwrap().status.code(), Some(1));
    let damaged = on(data.path(), &["export"]).output().unwrap();
    assert_eq!(damaged.status.code(), Some(1), "what is left out is said");
    let said = stdout(&mut on(data.path(), &["db", "compact"]));
    assert!(said.contains("damaged pieces were dropped"), "{said}");
    assert!(stdout(&mut on(data.path(), &["db", "check"])).ends_with("all sound\n"));
    assert_eq!(export().into_bytes(), damaged.stdout);
}

#[test]
fn what_is_no_history_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "hello, this is some other file, of no use here at all").unwrap();
    for (data, arguments, says) in [
        (&*file, &["db", "check"][..], "is no directory and no backup"),
        (&file, &["db", "info"], "is no directory and no backup"),
        (Path::new("/nowhere/at/all"), &["db", "compact"], "opening /nowhere/at/all"),
        (dir.path(), &["db", "restore", "/nowhere"], "opening the backup: opening /nowhere"),
        (dir.path(), &["import", "/nowhere"], "opening /nowhere"),
    ] {
        let output = on(data, arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(says), "{arguments:?}: {error}");
    }
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let output = on(empty.path(), &["db", "backup", "--force"]).arg(&link).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("is there and is no file"), "{error}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("hello"));
    let info = stdout(&mut on(empty.path(), &["db", "info"]));
    assert!(info.contains("nothing can be said of a day"), "{info}");
}
