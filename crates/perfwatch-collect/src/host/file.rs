//! A file of the kernel's that is opened once and read at every tick into memory that is kept.
//!
//! Opening costs more than reading: 3–9 µs against 1–7 for most files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{MAX_FILE_BYTES, in_file};
use crate::cost;
use crate::error::{Error, Malformed};

/// First size of a buffer: most files of /proc fit.
const FIRST_BUFFER_BYTES: usize = 4096;

/// One file. Reading it again asks the kernel again.
#[derive(Debug)]
pub struct KernelFile {
    path: PathBuf,
    copy_to: Option<PathBuf>,
    live: bool,
    file: Option<File>,
    buffer: Vec<u8>,
    /// Of what was read last.
    length: usize,
}

impl KernelFile {
    pub(super) fn new(path: PathBuf, copy_to: Option<PathBuf>, live: bool) -> Self {
        Self { path, copy_to, live, file: None, buffer: Vec::new(), length: 0 }
    }

    /// What the kernel says now. After an error the file is opened anew next time: its device may be back.
    pub fn read(&mut self) -> Result<&[u8], Error> {
        self.length = 0;
        match self.read_whole() {
            Ok(length) => {
                self.length = length;
                let text = self.buffer.get(..length).unwrap_or_default();
                if let Some(copy_to) = &self.copy_to {
                    copy(text, copy_to)
                        .map_err(|source| Error::Read { path: copy_to.clone(), source })?;
                }
                Ok(text)
            }
            Err(source) => {
                self.file = None;
                self.buffer = Vec::new();
                let path = self.path.clone();
                Err(match source.kind() {
                    io::ErrorKind::FileTooLarge => Error::TooLarge { path, limit: MAX_FILE_BYTES },
                    _ => Error::Read { path, source },
                })
            }
        }
    }

    /// What it said when it was last read. Nothing after an error.
    pub(super) fn text(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and parses. A text that makes no sense becomes an error that names this file.
    pub fn parse<T>(
        &mut self,
        parser: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        let parsed = parser(self.read()?);
        in_file(&self.path, parsed)
    }

    /// Whether the kernel says that a mount table changed since it was last asked (proc(5): poll gives
    /// POLLPRI). True when it cannot be known.
    pub fn changed(&self) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.live) else { return true };
        let mut fds = [PollFd::new(file, PollFlags::PRI)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) => false,
            Ok(_) | Err(_) => true,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn read_whole(&mut self) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(File::open(&self.path)?);
        }
        let Some(file) = &self.file else { return Ok(0) };
        let mut length = 0_usize;
        loop {
            if length == self.buffer.len() {
                if length >= MAX_FILE_BYTES {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                self.buffer.resize(length.saturating_mul(2).max(FIRST_BUFFER_BYTES), 0);
            }
            let free = self.buffer.get_mut(length..).unwrap_or_default();
            match file.read_at(free, length as u64) {
                Ok(0) => {
                    cost::note_read(length);
                    return Ok(length);
                }
                Ok(read) => length = length.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn copy(text: &[u8], to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, text)
}
