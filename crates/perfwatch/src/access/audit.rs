//! `audit.jsonl` in the data directory: who logged in, who failed to, and who changed what. No secrets.
//!
//! Lines are written by a thread of their own: a disk that hangs keeps nobody from logging in.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use serde::Serialize;
use tracing::warn;

use crate::files;
use crate::source::Source;

const FILE: &str = "audit.jsonl";

/// The file before the one that is written to.
const EARLIER_FILE: &str = "audit.jsonl.1";

/// Bytes of a file; then another is begun, and the one before the last goes. Some 5,000 lines each.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Lines that wait for the disk. More are dropped.
const MAX_WAITING: usize = 256;

/// Something that somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Login,
    LoginFailed,
    Logout,
    Setup,
    PasswordChanged,
    UserAdded,
    UserRemoved,
    TokenMade,
    TokenRemoved,
    SettingsChanged,
}

/// A line.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    time: Timestamp,
    action: Action,
    /// Who did it. None: nobody who is known by name. What was typed for a name that does not exist may be a password.
    user: Option<String>,
    source: String,
    /// To what it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

impl Entry {
    /// Something that was done now.
    pub(crate) fn new(action: Action, user: Option<&str>, source: &impl ToString) -> Self {
        let (user, source) = (user.map(str::to_owned), source.to_string());
        Self { time: Timestamp::now(), action, user, source, subject: None }
    }

    /// With what it was done to.
    pub(crate) fn to(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Appends it: of a process that says little.
    pub(crate) fn append(&self, data: &Path) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        files::make_directory(data)?;
        files::open_to_append(&data.join(FILE))?.write_all(&line)
    }
}

/// Takes entries in without waiting for a disk.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    entries: SyncSender<Entry>,
}

impl Audit {
    /// Writes to a data directory until the last clone is dropped.
    pub(crate) fn start(data: &Path) -> io::Result<Self> {
        let (entries, waiting) = sync_channel(MAX_WAITING);
        let dir = data.to_owned();
        let write = move || write_all(&dir, &waiting);
        thread::Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Self { entries })
    }

    /// Takes an entry in.
    pub(crate) fn note(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            warn!("a line of the audit log was dropped: the disk does not keep up");
        }
    }

    /// As [`Audit::note`], of what `user` did from `source`.
    pub(crate) fn say(&self, action: Action, user: Option<&str>, source: Source) {
        self.note(Entry::new(action, user, &source));
    }
}

fn write_all(dir: &Path, entries: &Receiver<Entry>) {
    let (file, earlier): (PathBuf, PathBuf) = (dir.join(FILE), dir.join(EARLIER_FILE));
    let mut failing = false;
    for entry in entries {
        let full = fs::metadata(&file).is_ok_and(|found| found.len() >= MAX_FILE_BYTES);
        let rotated = if full { fs::rename(&file, &earlier) } else { Ok(()) };
        match rotated.and_then(|()| entry.append(dir)) {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "the audit log cannot be written");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, entries) = sync_channel(1);
        let user = "x".repeat(60_000);
        let write = {
            let dir = dir.path().to_owned();
            thread::spawn(move || write_all(&dir, &entries))
        };
        for _ in 0..50 {
            sender.send(Entry::new(Action::Login, Some(&user), &"local").to("x")).unwrap();
        }
        drop(sender);
        write.join().unwrap();
        let sizes =
            [FILE, EARLIER_FILE].map(|name| fs::metadata(dir.path().join(name)).unwrap().len());
        assert!(sizes.iter().all(|size| *size < MAX_FILE_BYTES + 70_000), "{sizes:?}");
        assert!(sizes[1] >= MAX_FILE_BYTES, "only what is full makes room: {sizes:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let is_whole = |line: &str| {
            line.contains(r#""action":"login""#)
                && line.ends_with(r#""source":"local","subject":"x"}"#)
        };
        assert!(text.lines().all(is_whole));
    }
}
