//! A recorded host that is moved.

use std::fs;

use crate::answers::{copy_tree, roots};
use crate::process::fixture;

/// A host whose counters jump forward and fall back, whose devices come and go, and whose files cannot be made sense
/// of now and then.
pub(crate) struct RestlessHost {
    dir: tempfile::TempDir,
}

impl RestlessHost {
    pub(crate) fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        copy_tree(&fixture("server128").join("t0/proc"), &host.dir.path().join("proc"));
        host
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        roots(&self.dir.path().join("proc"), &fixture("server128").join("t0"))
    }

    pub(crate) fn write(&self, file: &str, text: &[u8]) {
        // In place: the files are held open.
        fs::write(self.dir.path().join("proc").join(file), text).unwrap();
    }

    pub(crate) fn recorded(file: &str, time: &str) -> Vec<u8> {
        fs::read(fixture("server128").join(time).join("proc").join(file)).unwrap()
    }

    /// How it stands at one moment. There are 24, which are all different.
    pub(crate) fn turn(&self, number: usize) {
        for (at, file) in ["stat", "net/dev", "diskstats", "vmstat", "meminfo"].iter().enumerate() {
            let mut text = Self::recorded(file, if (number >> at) & 1 == 0 { "t0" } else { "t1" });
            match (number + at) % 12 {
                // Objects go.
                5 if at < 3 => {
                    let half = text.len() / 2;
                    let end = text[..half].iter().rposition(|byte| *byte == b'\n').unwrap();
                    text.truncate(end + 1);
                }
                // Nothing can be read.
                8 => text = b"nonsense\n".to_vec(),
                _ => {}
            }
            self.write(file, &text);
        }
    }
}
