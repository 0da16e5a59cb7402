//! A store that is written to: rows in, durable a few seconds later.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::disk::{Directory, Disk};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::reader::Reader;
use crate::recent::{Health, Recent};
use crate::recover::{Found, recover};
use crate::retention::Options;
use crate::row::Row;

/// How long after a failed attempt to open the directory the next one is made.
const RETRY: Duration = Duration::from_secs(2);

/// Where the files are to be read: nowhere yet, when the directory could not be opened.
pub(crate) type SharedDisk = Arc<RwLock<Option<Arc<dyn Disk>>>>;

/// Takes rows in. Without a disk it keeps the last minutes in memory and goes on trying.
#[derive(Debug)]
pub struct Store {
    recent: Arc<Recent>,
    reader: Arc<Reader>,
}

/// Where a store is.
enum Place {
    Path(PathBuf),
    Disk(Arc<dyn Disk>),
}

impl Place {
    fn open(&self) -> Result<Arc<dyn Disk>> {
        match self {
            Self::Path(path) => Ok(Arc::new(Directory::own(path)?)),
            Self::Disk(disk) => Ok(Arc::clone(disk)),
        }
    }
}

impl Store {
    /// Opens the store of a directory, which is made where there is none. Fails when another process has it, or when
    /// there is no thread to be had; any other trouble is in [`Store::health`], and opening is tried again by itself.
    ///
    /// `opened` is called once, when the files are open, and says what is to be recorded of that.
    pub fn open(
        path: &Path,
        options: Options,
        opened: impl FnOnce(&Found, &Reader) -> Vec<Event> + Send + 'static,
    ) -> Result<Self> {
        Self::start(Place::Path(path.to_owned()), options, opened)
    }

    /// As [`Store::open`], on a disk of one's own.
    pub fn on(
        disk: Arc<dyn Disk>,
        options: Options,
        opened: impl FnOnce(&Found, &Reader) -> Vec<Event> + Send + 'static,
    ) -> Result<Self> {
        Self::start(Place::Disk(disk), options, opened)
    }

    fn start(
        place: Place,
        options: Options,
        opened: impl FnOnce(&Found, &Reader) -> Vec<Event> + Send + 'static,
    ) -> Result<Self> {
        let recent = Arc::new(Recent::new(options.commit_interval));
        let shared = SharedDisk::default();
        let first = Some(open(&place, &recent, &options, &shared));
        if let Some(Err(Error::InUse { path, holder })) = first {
            return Err(Error::InUse { path, holder });
        }
        if let Some(Err(error)) = &first {
            recent.report(Some(error.to_string()));
        }
        let reader = Arc::new(Reader::new(Arc::clone(&shared), Some(Arc::clone(&recent))));
        let store = Self { recent: Arc::clone(&recent), reader: Arc::clone(&reader) };
        let ending = Arc::clone(&recent);
        let write = move || {
            let (mut first, mut opened) = (first, Some((opened, reader)));
            loop {
                let attempt =
                    first.take().unwrap_or_else(|| open(&place, &recent, &options, &shared));
                match attempt {
                    Err(error) => recent.report(Some(error.to_string())),
                    Ok((writer, found)) => {
                        recent.report(None);
                        if let Some((opened, reader)) = opened.take() {
                            let events = opened(&found, &reader);
                            events.into_iter().for_each(|event| recent.event(event));
                        }
                        if writer.run() {
                            return;
                        }
                        // Whoever held it would keep the next opening from locking what may be the same directory.
                        *shared.write().unwrap_or_else(PoisonError::into_inner) = None;
                        continue;
                    }
                }
                let state = recent.wait_for_work(Some(RETRY));
                if state.stopping {
                    return;
                }
            }
        };
        let run = move || {
            let ending = Ending(ending);
            // Lets go of the directory before it says so.
            write();
            drop(ending);
        };
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(run);
        spawned.map_err(Error::io("starting a thread to write to", "the store"))?;
        Ok(store)
    }

    /// Takes a row in and returns its number. Never waits for a disk.
    pub fn append(&self, row: Row) -> u64 {
        self.recent.append(row)
    }

    /// Takes an event in. Never waits for a disk.
    pub fn event(&self, event: Event) {
        self.recent.event(event);
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        self.recent.lock().health.clone()
    }

    /// Changes what is kept, from the next commit on; the interval of commits stays as it was. Never waits for a disk.
    /// What is too much then goes at once, what is too old bit by bit, as it does otherwise.
    pub fn keep(&self, options: Options) {
        self.recent.keep(options);
    }

    /// Writes everything that was taken in, and waits for it. False when that took too long.
    pub fn flush(&self, patience: Duration) -> bool {
        self.recent.flush(patience)
    }

    /// Writes everything and ends. False when that took too long: then some rows may be lost.
    pub fn close(&self, patience: Duration) -> bool {
        let stopped = self.recent.stop(patience);
        stopped && self.health().trouble.is_none()
    }

    /// For questions: sees rows as soon as they were taken in.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// Says that the writer has ended, however it did.
struct Ending(Arc<Recent>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.report(Some("the thread that writes has panicked".to_owned()));
        }
        self.0.ended();
    }
}

/// A store that is dropped writes what it has and ends by itself.
impl Drop for Store {
    fn drop(&mut self) {
        self.recent.stop(Duration::ZERO);
    }
}

/// Opens the files, to write if possible, else to read.
fn open(
    place: &Place,
    recent: &Arc<Recent>,
    options: &Options,
    shared: &SharedDisk,
) -> Result<(crate::writer::Writer, Found)> {
    let share = |disk: Arc<dyn Disk>| {
        *shared.write().unwrap_or_else(PoisonError::into_inner) = Some(disk);
    };
    let opened = place.open().and_then(|disk| {
        share(Arc::clone(&disk));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        recover(&disk, recent, options, now.as_secs())
    });
    match opened {
        Ok((writer, adopted, found)) => {
            recent.lock().adopt(adopted);
            Ok((writer, found))
        }
        Err(error) => {
            if let Ok(disk) = place.read() {
                share(disk);
            }
            Err(error)
        }
    }
}

impl Place {
    /// To read only, for when it cannot be written to.
    fn read(&self) -> io::Result<Arc<dyn Disk>> {
        match self {
            Self::Path(path) => Directory::read(path)
                .map(|disk| Arc::new(disk) as Arc<dyn Disk>)
                .map_err(io::Error::other),
            Self::Disk(disk) => Ok(Arc::clone(disk)),
        }
    }
}
