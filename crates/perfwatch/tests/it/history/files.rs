//! Data directories and files that are not as they should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{numbers, quiet_history};
use crate::answers::{COMMIT_EVERY_SECOND, Recording, STEP_MS, ask, config, query, step_of};
use crate::process::Server;

#[test]
fn the_command_line_names_what_is_wrong_with_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |path: &Path, says: &str| {
        let output = query(path, &["cpu.user"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says) && said.contains(&*path.to_string_lossy()), "{said}");
        assert!(output.stdout.is_empty());
    };
    fails(&dir.path().join("missing"), "No such file or directory");
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    fails(&file, "is no directory");
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        fails(&open, "others may write to it");
    }
    let empty = tempfile::tempdir().unwrap();
    let output = query(empty.path(), &["cpu.user"]);
    assert!(output.status.success(), "an empty history is none, and no error");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with(": there is no history yet\n"), "{said}");
}

#[test]
fn a_link_among_the_files_is_not_followed() {
    let (server, snapshots) = quiet_history(2);
    let data = server.stopped();
    let hot = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path());
    let hot =
        hot.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "hot")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join(hot.file_name().unwrap());
    fs::rename(&hot, &target).unwrap();
    let before = fs::read(&target).unwrap();
    std::os::unix::fs::symlink(&target, &hot).unwrap();
    let output = query(data.path(), &["memory.total_bytes"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(!printed.contains("memory.total_bytes  in bytes"), "{printed}");
    let server = Server::start_in(data, &[]);
    let first = step_of(&snapshots[0]);
    let question =
        format!("series?select=memory.total_bytes&from={first}&to={}&step=500ms", first + STEP_MS);
    assert_eq!(ask(&server, &question)["series"], json!([]));
    server.snapshot();
    server.process.signal(Signal::TERM);
    let mut server = server;
    assert!(server.process.end(Duration::from_secs(2)).is_some());
    assert_eq!(fs::read(&target).unwrap(), before);
}

/// The checksum of a file's header: CRC-32 as in zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

fn contents(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let mut files: BTreeMap<_, _> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.remove("lock");
    files
}

#[test]
fn files_of_a_newer_version_are_left_as_they_are_and_serving_goes_on_in_memory() {
    let newer: u32 = perfwatch_store::FORMAT + 1;
    let (server, _) = quiet_history(2);
    let data = server.stopped();
    for (name, mut bytes) in
        contents(data.path()).into_iter().filter(|(name, _)| name.ends_with("hot"))
    {
        assert_eq!(bytes[12..16], crc32(&bytes[..12]).to_le_bytes());
        bytes[8..12].copy_from_slice(&newer.to_le_bytes());
        let checksum = crc32(&bytes[..12]).to_le_bytes();
        bytes[12..16].copy_from_slice(&checksum);
        fs::write(data.path().join(name), bytes).unwrap();
    }
    let before = contents(data.path());
    let output = query(data.path(), &["cpu.user"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("format {newer}")) && said.contains("use the newer perfwatch"),
        "{said}"
    );
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start_in(data, &["--config", config.path().to_str().unwrap()]);
    let recording = Recording::start(&server);
    // Longer than a commit and another attempt to open.
    recording.wait_for(7);
    recording.assert_without_holes();
    let newest = recording.newest_ms();
    let question = format!(
        "series?select=memory.total_bytes&from={}&to={}&step=500ms",
        newest - 2000,
        newest + 1
    );
    let answer = ask(&server, &question);
    assert!(numbers(&answer["series"][0]["avg"]).len() >= 4, "{answer}");
    assert!(answer["warnings"][0].as_str().unwrap().contains("newer"), "{answer}");
    assert_eq!(contents(server.data.path()), before);
    let events = ask(&server, "events");
    assert!(events["warnings"][0].as_str().unwrap().contains("newer"), "{events}");
    let mut server = server;
    server.process.signal(Signal::TERM);
    assert!(server.process.end(Duration::from_secs(2)).is_some());
    assert_eq!(contents(server.data.path()), before);
}
