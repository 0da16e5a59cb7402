//! Numbers that an administrator sets, and hardly ever: read once a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::host::KernelFile;
use crate::parse::single_number;

/// How long a number is taken for what it was.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// A number in a file of its own.
#[derive(Debug)]
pub(crate) struct Seldom {
    file: KernelFile,
    read: Option<(Instant, Result<u64, Arc<Error>>)>,
}

impl Seldom {
    /// Not read yet.
    pub(crate) const fn new(file: KernelFile) -> Self {
        Self { file, read: None }
    }

    /// What it is, or was within the last minute; `now` is the time.
    pub(crate) fn get(&mut self, now: Instant) -> Result<u64, Error> {
        let fresh = |at: Instant| now.saturating_duration_since(at) < READ_AGAIN;
        let read = self.read.take().filter(|(at, _)| fresh(*at));
        let read = read.unwrap_or_else(|| (now, self.file.parse(single_number).map_err(Arc::new)));
        let (_, value) = self.read.insert(read);
        value.clone().map_err(Error::Before)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::Host;

    #[test]
    fn a_number_is_read_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proc/limit");
        fs::create_dir(dir.path().join("proc")).unwrap();
        let mut limit = Seldom::new(Host::recorded(dir.path()).procfs("limit"));
        let start = Instant::now();
        let found =
            [(0, "1\n"), (59, "2\n"), (60, "3\n"), (119, ""), (120, "")].map(|(at, text)| {
                fs::write(&file, text).unwrap();
                limit.get(start + Duration::from_secs(at)).ok()
            });
        assert_eq!(found, [Some(1), Some(1), Some(3), Some(3), None]);
    }
}
