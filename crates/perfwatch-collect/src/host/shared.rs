//! A file that several collectors need: the kernel is asked once a tick, and each parses for itself.
//!
//! Writing /proc/interrupts takes the kernel twenty times as long as reading it takes a parser.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{KernelFile, in_file};
use crate::error::{Error, Malformed};

/// For so long a text serves whoever has not had it yet. Collectors run in a row, and ticks are 250 ms apart at least: what is
/// shared is of one tick, and little older than the moment that rates are computed for.
const SHARED_FOR: Duration = Duration::from_millis(5);

/// The files of a host that are shared, as long as somebody holds them.
pub(super) type SharedFiles = Mutex<BTreeMap<PathBuf, Weak<Mutex<Common>>>>;

/// One collector's hold on the file. What it has read, it is not given again.
#[derive(Debug)]
pub struct SharedFile {
    common: Arc<Mutex<Common>>,
    /// The number of the reading that it had last.
    had: u64,
}

#[derive(Debug)]
pub(super) struct Common {
    file: KernelFile,
    /// Readings that succeeded.
    readings: u64,
    /// When the last one began. None after one that failed.
    read_at: Option<Instant>,
}

impl SharedFile {
    /// The file of this path, opened by `open` unless somebody has it.
    pub(super) fn new(files: &SharedFiles, path: &Path, open: impl FnOnce() -> KernelFile) -> Self {
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.get(path).and_then(Weak::upgrade);
        let common = known.unwrap_or_else(|| {
            let common = Common { file: open(), readings: 0, read_at: None };
            let common = Arc::new(Mutex::new(common));
            files.insert(path.to_owned(), Arc::downgrade(&common));
            common
        });
        Self { common, had: 0 }
    }

    /// As [`KernelFile::parse`]. While another collector hangs in reading the file, this one waits with it.
    pub fn parse<T>(
        &mut self,
        parser: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        // A parser that panicked has not touched the text.
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = common.read_at.is_some_and(|at| at.elapsed() < SHARED_FOR);
        if !is_fresh || common.readings == self.had {
            read(&mut common)?;
        }
        self.had = common.readings;
        in_file(common.file.path(), parser(common.file.text()))
    }
}

fn read(common: &mut MutexGuard<'_, Common>) -> Result<(), Error> {
    common.read_at = None;
    let began = Instant::now();
    common.file.read()?;
    common.read_at = Some(began);
    common.readings = common.readings.saturating_add(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Host;
    use crate::error::Malformed;

    #[test]
    fn a_file_is_read_once_for_all_and_anew_for_whoever_had_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        let host = Host::recorded(dir.path());
        let say = |text: &str| std::fs::write(dir.path().join("proc/stat"), text).unwrap();
        let (mut one, mut other) = (host.shared_procfs("stat"), host.shared_procfs("stat"));
        let text = |text: &[u8]| Ok::<_, Malformed>(text.to_vec());
        assert!(one.parse(text).is_err() && other.parse(text).is_err());
        say("1");
        assert_eq!(one.parse(text).unwrap(), b"1");
        say("2");
        let shared = other.parse(text).unwrap();
        assert_eq!(one.parse(text).unwrap(), b"2");
        // A host that was held up for longer than it is shared has read it anew.
        assert!(shared == b"1" || shared == b"2");
    }
}
