//! What `perfwatch query` says when there is nothing to print.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::process::perfwatch;

/// A row a minute from 03:34:05 on the first day to 23:59:05 on the third, so that the first hour and the first minute are
/// kept in part, also in the rollups.
fn history() -> tempfile::TempDir {
    let minutes = 3 * 60 + 34..3 * 24 * 60;
    let rows = minutes.fold("{\"perfwatch_export\":1}\n".to_owned(), |text, minute| {
        let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
        let time = format!("2026-01-{day:02}T{hour:02}:{minute:02}:05Z");
        let values = "{\"memory.total_bytes\":1024}";
        let section = "\"section\":\"memory\",\"covered_ns\":60000000000";
        format!("{text}{{\"time\":\"{time}\",{section},\"values\":{values}}}\n")
    });
    let dir = tempfile::tempdir().unwrap();
    let export = tempfile::NamedTempFile::new().unwrap();
    fs::write(export.path(), rows).unwrap();
    let output = run(dir.path(), "import", &[export.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    dir
}

/// In Greenwich's time.
fn run(data: &Path, command: &str, arguments: &[&str]) -> Output {
    let mut program = perfwatch();
    program.env("TZ", "UTC").arg(command).arg("--data").arg(data).args(arguments);
    program.output().unwrap()
}

/// What is said in each format: in a table, and beside what is for programs or is nothing but a line.
fn check(data: &Path, select: &str, (from, to): (&str, &str), says: &str) {
    for format in ["table", "sparkline", "csv"] {
        let arguments = [select, "--from", from, "--to", to, "--format", format];
        let output = run(data, "query", &arguments);
        assert!(output.status.success(), "{format}: {output:?}");
        let (printed, said) = match format {
            "table" => (format!("{says}\n"), String::new()),
            "csv" => {
                let header = "time,series,avg,min,max,last,increase,count\n";
                (header.to_owned(), format!("perfwatch: {says}\n"))
            }
            _ => (String::new(), format!("perfwatch: {says}\n")),
        };
        assert_eq!(String::from_utf8(output.stdout).unwrap(), printed, "{format}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), said, "{format}");
    }
}

#[test]
fn why_nothing_is_found_is_told_in_every_format() {
    let data = history();
    let within = ("2026-01-01T04:00", "2026-01-01T05:00");
    check(data.path(), "disk.devices.sdz.read_iops", within, "no such series in this range");
    for (from, to) in [
        ("2026-01-01 03:10:00", "2026-01-01 03:20:00"),
        ("2026-01-04 06:00:00", "2026-01-04 07:00:00"),
    ] {
        let whole = "the history begins 2026-01-01 03:34:05 and ends 2026-01-03 23:59:05";
        let says = format!("nothing was kept from {from} to {to}: {whole}");
        check(data.path(), "memory.total_bytes", (from, to), &says);
    }
}

#[test]
fn a_question_of_no_metric_fails_and_says_which_was_perhaps_meant() {
    let data = history();
    let meant = "cpu.usage: no such metric; did you mean cpu.usage_percent?";
    for (command, format) in [
        ("query", "table"),
        ("query", "sparkline"),
        ("query", "csv"),
        ("query", "json"),
        ("compare", "table"),
    ] {
        let output = run(data.path(), command, &["cpu.usage", "no.such", "--format", format]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{command}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("perfwatch: {meant}; no.such: no such metric\n"));
    }
    // Beside one that there is, it is a warning.
    let range = ["--from", "2026-01-01T04:00", "--to", "2026-01-01T05:00"];
    let select = ["cpu.usage", "memory.total_bytes"];
    let output = run(data.path(), "query", &[&select[..], &range].concat());
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("memory.total_bytes  in bytes"), "{table}");
    assert!(table.ends_with(&format!("\nwarning: {meant}\n")), "{table}");
}
