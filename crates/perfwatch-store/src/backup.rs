//! Everything that is committed as one file, which is read like a directory.
//!
//! Every file is opened before any is read, so that nothing is missing of what the writer joins or removes meanwhile. The
//! backup is written under another name beside its own, synced and renamed: there is a whole one or none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with, statvfs};
use rustix::io::Errno;

use crate::disk::{Disk, Sink, Source};
use crate::error::{Error, Result};
use crate::event::{Event, each_event};
use crate::file::{BUNDLE, FileKind, FileName, TIERS};
use crate::index::{FileIndex, Meta};
use crate::opener::{Body, Opener};
use crate::output::Output;
use crate::reader::{ATTEMPTS, Reader};
use crate::record::FILE_HEADER_BYTES;

/// Chunks are copied in pieces of about so many bytes, each synced, so that the system never has much to write at once.
pub(crate) const COPY_BYTES: u64 = 4 << 20;

/// What a backup, or a restored one, holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that were written.
    pub bytes: u64,
    /// Rows of each tier.
    pub rows: [u64; TIERS.len()],
    /// Events.
    pub events: u64,
    /// Frames that are damaged where they come from, and in the copy as well, and chunks that were left out because
    /// nothing of them can be read.
    pub damaged: u64,
}

/// A file of any name as a disk that has one file.
#[derive(Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
    /// To read from. None while it is being made.
    file: Option<Arc<dyn Source>>,
    /// What it is called while it is being made.
    draft: PathBuf,
}

impl Bundle {
    /// To read. Fails when nothing in the file is a store's.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("opening", path))?;
        let bundle =
            Self { path: path.to_owned(), file: Some(Arc::new(file)), draft: PathBuf::new() };
        let name = FileName { number: 0, kind: FileKind::Bundle };
        let (index, _) = FileIndex::load(&bundle, name)?;
        if index.walked <= FILE_HEADER_BYTES && index.damaged_bytes > 0 {
            let reason = "is no directory and no backup".to_owned();
            return Err(Error::Refused { path: path.to_owned(), reason });
        }
        Ok(bundle)
    }

    /// To write.
    fn make(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| Error::Refused {
            path: path.to_owned(),
            reason: "is no name for a file".to_owned(),
        })?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.tmp", std::process::id()));
        Ok(Self { path: path.to_owned(), file: None, draft: path.with_file_name(draft) })
    }

    /// Gives what was made its own name.
    fn publish(&self, replace: bool) -> io::Result<()> {
        if replace {
            fs::rename(&self.draft, &self.path)?;
        } else {
            let flags = RenameFlags::NOREPLACE;
            match renameat_with(CWD, &self.draft, CWD, &self.path, flags) {
                // This file system does not know how; nobody was there when we looked.
                Err(Errno::INVAL | Errno::NOSYS) => fs::rename(&self.draft, &self.path)?,
                other => other?,
            }
        }
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// What was not published is removed.
impl Drop for Bundle {
    fn drop(&mut self) {
        if self.file.is_none() {
            // It was published, or there is no more to be done about it.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

impl Disk for Bundle {
    fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, _: &str) -> PathBuf {
        self.path.clone()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(vec![BUNDLE.to_owned()])
    }

    fn open(&self, _: &str) -> io::Result<Arc<dyn Source>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn Sink>> {
        let mut options = fs::OpenOptions::new();
        options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        Ok(Box::new(options.append(true).create_new(true).open(&self.draft)?))
    }

    fn append(&self, _: &str) -> io::Result<Box<dyn Sink>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        fs::remove_file(&self.draft)
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let space = statvfs(&self.path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok((bytes(space.f_bavail), bytes(space.f_blocks)))
    }
}

/// A file that stays readable when its name goes.
pub(crate) struct Opened {
    pub(crate) name: FileName,
    pub(crate) index: FileIndex,
    pub(crate) file: Arc<dyn Source>,
}

impl Opened {
    /// Every file of a disk, at one moment.
    pub(crate) fn all(disk: &dyn Disk) -> Result<Vec<Self>> {
        for _ in 0..ATTEMPTS {
            match Self::once(disk) {
                // It was joined or its time had come.
                Err(error) if error.is_gone() => {}
                other => return other,
            }
        }
        Err(Error::TooMuch("files go faster than they can be opened".to_owned()))
    }

    fn once(disk: &dyn Disk) -> Result<Vec<Self>> {
        let names = disk.list().map_err(Error::io("reading", disk.path()))?;
        let mut names: Vec<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
        names.sort_unstable();
        let mut opened = Vec::new();
        for name in names {
            match FileIndex::load(disk, name) {
                Ok((index, file)) => opened.push(Self { name, index, file }),
                // The rest is all the more worth having.
                Err(error) if error.is_of_one_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }
}

/// A chunk, and the number of the file that it is in.
pub(crate) type Place = (usize, Meta);

/// The chunks of a tier, oldest first, each raw row by one of them: blocks before what they were made from, and of two
/// that stand for the same rows the one that was written later.
pub(crate) fn distinct(files: &[Opened], tier: u8) -> Vec<Place> {
    let mut chosen: BTreeMap<u64, Place> = BTreeMap::new();
    for hot in [false, true] {
        let each = files.iter().enumerate().rev();
        for (number, file) in
            each.filter(|(_, file)| matches!(file.name.kind, FileKind::Hot(_)) == hot)
        {
            for meta in file.index.chunks.iter().rev().filter(|meta| meta.tier == tier) {
                let before = chosen.range(..=meta.first_seq).next_back();
                if before.is_none_or(|(_, (_, before))| before.last_seq < meta.first_seq) {
                    chosen.insert(meta.first_seq, (number, *meta));
                }
            }
        }
    }
    chosen.into_values().collect()
}

/// Every event of these files, oldest first.
pub(crate) fn events(disk: &dyn Disk, files: &[Opened]) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for file in files {
        if matches!(file.name.kind, FileKind::Events | FileKind::Bundle) {
            let path = disk.path_of(&file.name.to_string());
            let read = each_event(&*file.file, |event| events.push(event));
            read.map_err(Error::io("reading", path))?;
        }
    }
    events.sort_by_key(|event| event.time);
    Ok(events)
}

/// Cuts chunks into pieces of about [`COPY_BYTES`].
pub(crate) fn pieces(chunks: &[Place]) -> Vec<&[Place]> {
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0_u64);
    for (number, (_, meta)) in chunks.iter().enumerate() {
        bytes = bytes.saturating_add(meta.head_length + meta.body_length);
        if bytes >= COPY_BYTES || number + 1 == chunks.len() {
            pieces.extend(chunks.get(start..=number));
            (start, bytes) = (number + 1, 0);
        }
    }
    pieces
}

/// Appends chunks of these files.
pub(crate) fn copy(
    disk: &dyn Disk,
    output: &mut Output,
    files: &[Opened],
    chunks: &[Place],
) -> Result<u64> {
    let sources = chunks.iter().filter_map(|(number, meta)| {
        let file = files.get(*number)?;
        Some((&*file.file, &file.index, meta))
    });
    output.copy(disk, sources)
}

/// How many frames of these chunks are damaged.
fn damaged(files: &[Opened], chunks: &[Place], opener: &mut Opener) -> io::Result<u64> {
    let mut damaged = 0;
    for (number, meta) in chunks {
        let Some(file) = files.get(*number) else { continue };
        if let Some((head, offset)) = meta.head(&*file.file)? {
            damaged += opener.verify(&Body::File { file: &*file.file, offset }, &head)?;
        }
    }
    Ok(damaged)
}

impl Reader {
    /// Writes everything that is committed to a file, which is to be new unless `replace`. Works beside whoever writes
    /// the history. What is damaged is copied as it is, and counted.
    pub fn backup(&self, path: &Path, replace: bool) -> Result<Copied> {
        let disk = self.disk()?;
        let refused =
            |reason: &str| Error::Refused { path: path.to_owned(), reason: reason.to_owned() };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("opening", path)(error)),
            Ok(found) if !found.is_file() => return Err(refused("is there and is no file")),
            Ok(_) if !replace => return Err(refused("is there already")),
            Ok(_) => {}
        }
        let files = Opened::all(&*disk)?;
        let bundle = Bundle::make(path)?;
        let name = FileName { number: 0, kind: FileKind::Bundle };
        let mut output = Output::create(&bundle, name)?;
        let mut copied = Copied::default();
        let mut opener = Opener::new().map_err(Error::io("reading", disk.path()))?;
        let events = events(&*disk, &files)?;
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.put(&mut bytes));
        output.write(&bundle, &bytes)?;
        copied.events = events.len() as u64;
        for (tier, rows) in (0_u8..).zip(&mut copied.rows) {
            let chunks = distinct(&files, tier);
            *rows = chunks.iter().map(|(_, meta)| meta.rows).sum();
            for piece in pieces(&chunks) {
                copied.damaged += copy(&bundle, &mut output, &files, piece)?;
                let damaged = damaged(&files, piece, &mut opener);
                copied.damaged += damaged.map_err(Error::io("reading", disk.path()))?;
            }
        }
        output.finish(&bundle)?;
        bundle.publish(replace).map_err(Error::io("writing", path))?;
        copied.bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Ok(copied)
    }
}
