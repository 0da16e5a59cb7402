//! What can go wrong with a store, as a caller can act on it.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused: no space, no permission, a broken disk. Trying again later may help.
    #[error("{doing} {}: {cause}", path.display())]
    Io {
        /// What was being done, such as `opening`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process writes to this directory.
    #[error("{} is in use by process {holder}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Its process id as it wrote it down; `?` when it did not.
        holder: String,
    },
    /// A newer PerfWatch wrote this. Nothing was touched.
    #[error("{} has format {found}, and this version knows formats up to {known}: use the newer perfwatch", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The directory is not safe to keep data in.
    #[error("{}: {reason}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What was asked for would do harm, or cannot be done to what is there.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file or the directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A question beyond the limits.
    #[error("{0}")]
    TooMuch(String),
}

impl Error {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { doing, path, cause }
    }

    /// Whether it is about this one file, which will not be readable later either, and says nothing of the others: it is a
    /// link or a directory, it is somebody else's, or the disk is broken there.
    pub(crate) fn is_of_one_file(&self) -> bool {
        let Self::Io { cause, .. } = self else { return false };
        let errno = cause.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        let known = [
            rustix::io::Errno::LOOP,
            rustix::io::Errno::ISDIR,
            rustix::io::Errno::ACCESS,
            rustix::io::Errno::IO,
        ];
        errno.is_some_and(|errno| known.contains(&errno))
    }

    /// Whether a file that was there is not any more, as when its time had come.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;
