//! The few things a store asks of a file system. Everything goes through [`Disk`], so that a test can put one in its
//! place that loses power, fills up or lies.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, FlockOperation, fadvise, flock, statvfs};

use crate::error::{Error, Result};
use crate::file::FileName;

/// Name of the file that whoever writes holds a lock on. It holds the process id.
const LOCK_FILE: &str = "lock";

/// Is there while a backup is restored: until that is done, nothing else in the directory counts.
const RESTORING_FILE: &str = "restoring";

/// Files that stay open to be read again, so that the next question does not wait for the disk to find them.
const KEPT_OPEN: usize = 16;

/// A flat directory of files.
pub trait Disk: Send + Sync + Debug {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// Where a file is, for messages.
    fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
    /// Names of its files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file to read.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>>;
    /// Makes a file to append to, and the directory's entry of it durable. Fails when there is one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Sink>>;
    /// Opens a file to append to.
    fn append(&self, name: &str) -> io::Result<Box<dyn Sink>>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames a file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Bytes that may still be written, and bytes there are in all.
    fn space(&self) -> io::Result<(u64, u64)>;
    /// Whether its path still leads to it. Not so once it was removed or renamed: then it is to be opened anew.
    fn is_in_place(&self) -> bool {
        true
    }
}

/// A file that is read.
pub trait Source: Send + Sync + Debug {
    /// Its length now.
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer from this offset. Fails with `UnexpectedEof` when there is not so much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Says that this range will be read soon.
    fn will_need(&self, offset: u64, length: u64);
}

/// A file that is appended to.
pub trait Sink: Send + Debug {
    /// Appends all of it; after a failure, maybe a part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when what was appended would survive a power cut. After a failure nobody knows what would.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file off.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// None for what is not there or cannot be read where the disk is broken: that is damage, as a wrong checksum is.
pub(crate) fn unless_broken<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// A real directory: its own, with mode 0700, its files 0600, nothing through a symbolic link.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Open, so that its entries can be synced.
    handle: File,
    /// Held while this lives, by one process at a time. None for whoever only reads.
    _lock: Option<File>,
    /// Files that were opened to read, the one that was wanted last at the end.
    open: Mutex<VecDeque<(String, Arc<File>)>>,
}

impl Directory {
    /// To write. Makes the directory where there is none, and locks it against a second writer. What a restoring that was cut
    /// off has left there is removed: the backup still has it.
    pub fn own(path: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(Error::io("making", path))?;
        let mut directory = Self::read(path)?;
        directory._lock = Some(directory.lock()?);
        if directory.is_restoring() {
            directory.remove_restored().map_err(Error::io("cleaning up", path))?;
        }
        Ok(directory)
    }

    /// From here on until [`Directory::restored`], the directory counts as empty.
    pub(crate) fn begin_restoring(&self) -> io::Result<()> {
        self.create(RESTORING_FILE).map(drop)
    }

    /// What was restored counts from here on, all at once.
    pub(crate) fn restored(&self) -> io::Result<()> {
        self.remove(RESTORING_FILE)?;
        self.handle.sync_all()
    }

    /// Removes what was restored so far.
    pub(crate) fn remove_restored(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| FileName::parse(name).is_some()) {
            self.remove(name)?;
        }
        self.restored()
    }

    fn is_restoring(&self) -> bool {
        fs::symlink_metadata(self.path.join(RESTORING_FILE)).is_ok()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    /// To read, beside whoever writes.
    pub fn read(path: &Path) -> Result<Self> {
        let link = fs::symlink_metadata(path).map_err(Error::io("opening", path))?;
        // systemd makes one for a unit with a dynamic user; anybody else's may lead anywhere.
        if link.is_symlink() && link.uid() != 0 {
            return Err(unsafe_because(path, "is a symbolic link"));
        }
        let handle = File::open(path).map_err(Error::io("opening", path))?;
        let metadata = handle.metadata().map_err(Error::io("opening", path))?;
        if !metadata.is_dir() {
            return Err(unsafe_because(path, "is no directory"));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            return Err(unsafe_because(path, "others may write to it (chmod 700 mends that)"));
        }
        Ok(Self { path: path.to_owned(), handle, _lock: None, open: Mutex::default() })
    }

    fn kept_open(&self) -> MutexGuard<'_, VecDeque<(String, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes a file, for what is removed keeps its space until then.
    fn close(&self, name: &str) {
        self.kept_open().retain(|(open, _)| open != name);
    }

    fn lock(&self) -> Result<File> {
        let path = self.path.join(LOCK_FILE);
        let mut file = options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = holder.trim().parse::<u32>().map_or("?".to_owned(), |pid| pid.to_string());
            return Err(Error::InUse { path: self.path.clone(), holder });
        }
        // For the other's message alone: a full disk is no reason not to start.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(file)
    }
}

fn unsafe_because(path: &Path, reason: &'static str) -> Error {
    Error::Unsafe { path: path.to_owned(), reason }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    options
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = if self.is_restoring() { Vec::new() } else { self.names()? };
        self.kept_open().retain(|(open, _)| names.contains(open));
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let known = self.kept_open().iter().find(|(open, _)| open == name).cloned();
        let file = match known {
            Some((_, file)) => file,
            None => Arc::new(options().read(true).open(self.path.join(name))?),
        };
        let mut open = self.kept_open();
        open.retain(|(open, _)| open != name);
        if open.len() >= KEPT_OPEN {
            open.pop_front();
        }
        open.push_back((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        let file = options().append(true).create_new(true).open(self.path.join(name))?;
        if let Err(error) = self.handle.sync_all() {
            // An entry that may not last is no place for data.
            let _ = self.remove(name);
            return Err(error);
        }
        Ok(Box::new(file))
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(options().append(true).open(self.path.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.close(name);
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.close(from);
        self.close(to);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let space = statvfs(&self.path)?;
        Ok((
            space.f_bavail.saturating_mul(space.f_frsize),
            space.f_blocks.saturating_mul(space.f_frsize),
        ))
    }

    fn is_in_place(&self) -> bool {
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match fs::metadata(&self.path) {
            Ok(there) => self.handle.metadata().is_ok_and(|own| place(own) == place(there)),
            // Of what cannot be looked at nobody knows.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn will_need(&self, offset: u64, length: u64) {
        // Advice: whether it is taken changes nothing but the time.
        let _ = fadvise(self, offset, length.try_into().ok(), Advice::WillNeed);
    }
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()?;
        // What is written to a file without a name is lost when it is closed.
        if self.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed"));
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below a path that this process has open.
    fn open_below(path: &Path) -> Vec<PathBuf> {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let files = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        files.filter(|file| file.starts_with(path) && file != path).collect()
    }

    #[test]
    fn few_files_stay_open_and_none_that_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::read(place.path()).unwrap();
        let names: Vec<String> = (0..2 * KEPT_OPEN).map(|number| number.to_string()).collect();
        for name in &names {
            directory.create(name).unwrap();
            directory.open(name).unwrap();
        }
        assert_eq!(open_below(place.path()).len(), KEPT_OPEN);

        let [.., renamed, theirs, ours] = &*names else { panic!("{names:?}") };
        directory.remove(ours).unwrap();
        directory.rename(renamed, ours).unwrap();
        fs::remove_file(place.path().join(theirs)).unwrap();
        directory.list().unwrap();
        assert_eq!(open_below(place.path()).len(), KEPT_OPEN - 3);
        assert!(directory.open(theirs).is_err());
        assert_eq!(directory.open(ours).unwrap().length().unwrap(), 0);
    }
}
