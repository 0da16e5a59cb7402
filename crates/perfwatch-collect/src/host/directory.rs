//! A directory of sysfs whose directories come and go.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::MAX_DIRECTORY_ENTRIES;

/// One directory, not opened.
#[derive(Debug)]
pub struct Directory {
    pub(super) path: PathBuf,
}

impl Directory {
    /// The directories in it, in the order of their bytes. None in one that is not there.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn directories(&self) -> Vec<OsString> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let directories = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_type().ok()?.is_dir().then(|| entry.file_name())
        });
        let mut names: Vec<_> = directories.take(MAX_DIRECTORY_ENTRIES).collect();
        names.sort_unstable();
        names
    }

    /// How many links it has: the kernel's grow and fall with the directories in it. None when it is not there.
    pub fn links(&self) -> Option<u32> {
        let answer = statx(CWD, &self.path, AtFlags::empty(), StatxFlags::NLINK).ok()?;
        Some(answer.stx_nlink)
    }
}
