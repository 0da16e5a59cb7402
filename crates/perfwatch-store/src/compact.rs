//! Small segments to large ones, without what is damaged, what is there twice and what need not be kept any more.
//!
//! What is new is written and durable before what it replaces is removed; a crash between the two leaves rows twice,
//! which have the same numbers. New files get greater numbers in the order of their rows, and the newest is written
//! first, so that at every moment the later of two files has the greater number.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::backup::{COPY_BYTES, Opened, Place, copy, distinct};
use crate::chunk::{BLOCK_LEVEL, COMMIT_LEVEL, Chunk, ChunkBuilder};
use crate::disk::{Directory, Disk};
use crate::error::{Error, Result};
use crate::file::{FileKind, FileName, TIERS};
use crate::opener::{Body, Opener};
use crate::output::Output;
use crate::recent::Recent;
use crate::recover::recover;
use crate::retention::Options;
use crate::writer::Writer;

/// What compacting did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the whole directory before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Files before.
    pub files_before: u64,
    /// And after.
    pub files_after: u64,
    /// Chunks that stood for rows which others stand for too.
    pub duplicates: u64,
    /// Frames and lists of series that could not be read.
    pub damaged: u64,
    /// Segments whose time was over, or for which there was no more room.
    pub expired: u64,
}

/// Compacts a directory. Fails when another process has it.
pub fn compact(path: &Path, options: &Options) -> Result<Compacted> {
    compact_on(&(Arc::new(Directory::own(path)?) as Arc<dyn Disk>), options)
}

fn compact_on(disk: &Arc<dyn Disk>, options: &Options) -> Result<Compacted> {
    let mut done = Compacted::default();
    (done.files_before, done.bytes_before) = size(&**disk)?;
    let recent = Arc::new(Recent::new(options.commit_interval));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut writer, _, found) = recover(disk, &recent, options, now.as_secs())?;
    // A clock that was wrong for a while, then or now, must not cost the history.
    let newest = found.newest.unwrap_or_default().min(now.as_nanos() as i64);
    let (files, _) = size(&**disk)?;
    writer.expire(newest)?;
    writer.make_room(0, newest)?;
    done.expired = files.saturating_sub(size(&**disk)?.0);
    for tier in 0..TIERS.len() as u8 {
        merge(&mut writer, tier, &mut done)?;
    }
    (done.files_after, done.bytes_after) = size(&**disk)?;
    Ok(done)
}

/// Files of a directory and their bytes.
fn size(disk: &dyn Disk) -> Result<(u64, u64)> {
    let doing = || Error::io("reading", disk.path());
    let (mut files, mut bytes) = (0, 0);
    for name in disk.list().map_err(doing())? {
        if FileName::parse(&name).is_some() {
            files += 1;
            bytes += disk.open(&name).and_then(|file| file.length()).map_err(doing())?;
        }
    }
    Ok((files, bytes))
}

/// What becomes one segment: the files it replaces, and the chunks of them that are kept.
#[derive(Default)]
struct Run {
    files: Vec<usize>,
    chunks: Vec<Place>,
    bytes: u64,
    is_damaged: bool,
}

/// Merges the segments of a tier.
fn merge(writer: &mut Writer, tier: u8, done: &mut Compacted) -> Result<()> {
    let disk = Arc::clone(&writer.disk);
    let mut files = Opened::all(&*disk)?;
    files.retain(|file| file.name.kind == FileKind::Segment(tier));
    let all: usize = files.iter().map(|file| file.index.chunks.len()).sum();
    let kept = distinct(&files, tier);
    done.duplicates += (all - kept.len()) as u64;
    let mut opener = Opener::new().map_err(Error::io("reading", disk.path()))?;
    let runs = runs(writer, tier, &files, &kept, &mut opener)?;
    // What comes after a new file must be newer by number too.
    let first = runs.iter().position(|run| run.files.len() != 1 || run.is_damaged);
    let Some(first) = first else { return Ok(()) };
    let new = runs.get(first..).unwrap_or_default();
    let number = writer.next_number;
    writer.next_number = number.saturating_add(new.len() as u64);
    let mut names: Vec<_> = (number..).zip(new).collect();
    while let Some((number, run)) = names.pop() {
        if !run.chunks.is_empty() {
            let name = FileName { number, kind: FileKind::Segment(tier) };
            let output = Output::create(&*disk, name)?;
            let written = write(output, &*disk, &files, run, &mut opener, done);
            if written.is_err() {
                // It is a copy as far as it goes.
                let _ = disk.remove(&name.to_string());
            }
            written?;
        }
        for file in run.files.iter().filter_map(|number| files.get(*number)) {
            let text = file.name.to_string();
            disk.remove(&text).map_err(Error::io("removing", disk.path_of(&text)))?;
        }
    }
    writer.forget(tier);
    Ok(())
}

/// Cuts the segments of a tier into runs that become one each.
fn runs(
    writer: &Writer,
    tier: u8,
    files: &[Opened],
    kept: &[Place],
    opener: &mut Opener,
) -> Result<Vec<Run>> {
    let doing = || Error::io("reading", writer.disk.path());
    let mut order: Vec<usize> = (0..files.len()).collect();
    let first_seq = |number: &usize| {
        let chunks = kept.iter().filter(|(of, _)| of == number);
        chunks.map(|(_, meta)| meta.first_seq).min()
    };
    order.sort_by_cached_key(first_seq);
    let mut runs: Vec<Run> = Vec::new();
    for number in order {
        let Some(file) = files.get(number) else { continue };
        let chunks: Vec<Place> = kept.iter().filter(|(of, _)| *of == number).copied().collect();
        let bytes = chunks.iter().map(|(_, meta)| meta.head_length + meta.body_length).sum();
        let mut is_damaged = chunks.len() < file.index.chunks.len()
            || file.index.damaged_bytes + file.index.loose_bytes > 0;
        for (_, meta) in &chunks {
            is_damaged |= damage(file, meta, opener).map_err(doing())? > 0;
        }
        let times = |run: &Run| {
            let all = || run.chunks.iter().chain(&chunks).map(|(_, meta)| meta);
            let (min, max) =
                (all().map(|meta| meta.min_time).min(), all().map(|meta| meta.max_time).max());
            max.zip(min).map_or(0, |(max, min)| max.saturating_sub(min))
        };
        let fits = |run: &&mut Run| {
            run.bytes + bytes <= writer.limits.segment_bytes()
                && times(run) <= writer.limits.segment_span(tier)
        };
        match runs.last_mut().filter(fits) {
            Some(run) => {
                run.files.push(number);
                run.chunks.extend(chunks);
                run.bytes += bytes;
                run.is_damaged |= is_damaged;
            }
            None => runs.push(Run { files: vec![number], chunks, bytes, is_damaged }),
        }
    }
    Ok(runs)
}

/// How much of a chunk cannot be read.
fn damage(file: &Opened, meta: &crate::index::Meta, opener: &mut Opener) -> std::io::Result<u64> {
    let Some((head, offset)) = meta.head(&*file.file)? else { return Ok(1) };
    let mut damaged = opener.verify(&Body::File { file: &*file.file, offset }, &head)?;
    for id in head.groups.iter().flat_map(|group| group.pages()) {
        damaged += u64::from(file.index.page(&*file.file, id)?.is_none());
    }
    Ok(damaged)
}

fn write(
    mut output: Output,
    disk: &dyn Disk,
    files: &[Opened],
    run: &Run,
    opener: &mut Opener,
    done: &mut Compacted,
) -> Result<()> {
    let doing = || Error::io("reading", disk.path());
    let mut piece: Vec<Place> = Vec::new();
    let mut bytes = 0;
    for (number, meta) in &run.chunks {
        let Some(file) = files.get(*number) else { continue };
        let damaged = damage(file, meta, opener).map_err(doing())?;
        if damaged == 0 {
            piece.push((*number, *meta));
            bytes += meta.head_length + meta.body_length;
        }
        if damaged > 0 || bytes >= COPY_BYTES {
            copy(disk, &mut output, files, &piece)?;
            piece.clear();
            bytes = 0;
        }
        if damaged > 0 {
            done.damaged += damaged;
            if let Some(chunk) = salvage(file, meta, opener).map_err(doing())? {
                output.append(disk, [&chunk])?;
            }
        }
    }
    copy(disk, &mut output, files, &piece)?;
    output.finish(disk)
}

/// A chunk of what can be read of one. None when that is nothing.
fn salvage(
    file: &Opened,
    meta: &crate::index::Meta,
    opener: &mut Opener,
) -> std::io::Result<Option<Chunk>> {
    let Some((head, offset)) = meta.head(&*file.file)? else { return Ok(None) };
    let body = Body::File { file: &*file.file, offset };
    let level = if file.name.kind == FileKind::Hot(0) { COMMIT_LEVEL } else { BLOCK_LEVEL };
    let mut builder = ChunkBuilder::new(head.tier, (head.first_seq, head.last_seq), level)?;
    let mut any = false;
    for group in &head.groups {
        let Some(axis) = opener.axis(&body, group)? else { continue };
        builder.group(&group.name, &axis, group.lead)?;
        any = true;
        for (number, id) in group.pages().enumerate() {
            let page = file.index.page(&*file.file, id)?;
            let opened = opener.page(&body, group, number)?;
            let Some((page, columns)) = page.zip(opened) else { continue };
            let values: Option<Vec<_>> =
                (0..columns.count()).map(|index| columns.values(index, group.height())).collect();
            if let Some(values) = values {
                builder.page(&Arc::new(page), &values)?;
            }
        }
    }
    Ok(any.then(|| builder.finish()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;
    use crate::disk::{Sink, Source};
    use crate::layout::{Kind, Layout, Series};
    use crate::reader::Reader;
    use crate::row::{GroupRow, Row};
    use crate::store::Store;

    const SECOND: i64 = 1_000_000_000;
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A disk that takes so many changes and no more.
    #[derive(Debug)]
    struct Failing {
        on: Directory,
        left: Arc<AtomicUsize>,
    }

    #[derive(Debug)]
    struct FailingSink {
        on: Box<dyn Sink>,
        left: Arc<AtomicUsize>,
    }

    fn spend(left: &AtomicUsize) -> io::Result<()> {
        let spent = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| io::Error::other("the disk is gone"))
    }

    impl Failing {
        fn sink(&self, on: Box<dyn Sink>) -> Box<dyn Sink> {
            Box::new(FailingSink { on, left: Arc::clone(&self.left) })
        }
    }

    impl Disk for Failing {
        fn path(&self) -> &Path {
            self.on.path()
        }
        fn list(&self) -> io::Result<Vec<String>> {
            self.on.list()
        }
        fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
            self.on.open(name)
        }
        fn create(&self, name: &str) -> io::Result<Box<dyn Sink>> {
            spend(&self.left)?;
            self.on.create(name).map(|sink| self.sink(sink))
        }
        fn append(&self, name: &str) -> io::Result<Box<dyn Sink>> {
            self.on.append(name).map(|sink| self.sink(sink))
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            spend(&self.left)?;
            self.on.remove(name)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            spend(&self.left)?;
            self.on.rename(from, to)
        }
        fn space(&self) -> io::Result<(u64, u64)> {
            self.on.space()
        }
    }

    impl Sink for FailingSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            if let Err(error) = spend(&self.left) {
                // Half of it is there.
                self.on.write(&bytes[..bytes.len() / 2])?;
                return Err(error);
            }
            self.on.write(bytes)
        }
        fn sync(&mut self) -> io::Result<()> {
            spend(&self.left)?;
            self.on.sync()
        }
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            spend(&self.left)?;
            self.on.truncate(length)
        }
    }

    fn options(raw_hours: u64) -> Options {
        let mut options = Options::default();
        options.keep[0] = Duration::from_secs(raw_hours * 3600);
        options
    }

    /// A history of so many rows, five seconds apart, in many small segments.
    fn history(rows: i64) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path(), options(7), |_, _| Vec::new()).unwrap();
        let series = |name: &str, kind| Series { name: name.into(), kind };
        let layout = Layout::new("g", [series("a", Kind::Gauge), series("b", Kind::Counter)]);
        for row in 0..rows {
            let values = vec![Some(row * row % 1000), Some(row * 100)];
            let covered = if row == 0 { 0 } else { 5_000_000_000 };
            let groups = vec![GroupRow { layout: Arc::clone(&layout), covered, values }];
            store.append(Row { time: row * 5 * SECOND, groups });
            if row % 300 == 299 {
                assert!(store.flush(PATIENCE));
            }
        }
        assert!(store.close(PATIENCE));
        data
    }

    fn copy_of(data: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(data).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    /// Every row, and everything in hours.
    fn content(data: &Path) -> (Vec<String>, String) {
        let reader = Reader::open(data).unwrap();
        let mut rows = Vec::new();
        let read = reader.chunks(
            (i64::MIN, i64::MAX),
            |_| true,
            |chunk| {
                for group in chunk.groups {
                    for row in 0..group.times.len() {
                        let values: Vec<_> =
                            group.series.iter().map(|(_, values)| values[row]).collect();
                        rows.push(format!(
                            "{} {} {values:?}",
                            group.times[row], group.covered[row]
                        ));
                    }
                }
                std::ops::ControlFlow::Continue(())
            },
        );
        assert_eq!(read.unwrap(), 0);
        let query = crate::Query {
            from: 0,
            to: 10 * 3600 * SECOND,
            resolution: crate::Resolution::Step(3600 * SECOND),
        };
        let answer = reader.query(&query, |_, _| true).unwrap();
        (rows, format!("{:?}", answer.series))
    }

    fn segments(data: &Path) -> usize {
        let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".seg")).count()
    }

    #[test]
    fn segments_are_merged_and_every_row_stays() {
        let data = history(5000);
        let (before, count) = (content(data.path()), segments(data.path()));
        assert_eq!(before.0.len(), 5000);
        let done = compact(data.path(), &options(720)).unwrap();
        assert!(segments(data.path()) < count && done.files_after < done.files_before);
        assert_eq!((done.damaged, done.duplicates, done.expired), (0, 0, 0));
        assert!(content(data.path()) == before);
        let again = compact(data.path(), &options(720)).unwrap();
        assert_eq!(again.bytes_after, again.bytes_before, "there is nothing left to do");
    }

    #[test]
    fn whatever_a_failure_leaves_has_every_row() {
        let data = history(5000);
        let before = content(data.path());
        let mut failures = 0;
        for changes in 0.. {
            let copy = copy_of(data.path());
            let left = Arc::new(AtomicUsize::new(changes));
            let on = Directory::own(copy.path()).unwrap();
            let disk: Arc<dyn Disk> = Arc::new(Failing { on, left });
            let failed = compact_on(&disk, &options(720)).is_err();
            drop(disk);
            assert!(content(copy.path()) == before, "after {changes} changes");
            if !failed {
                break;
            }
            failures += 1;
            compact(copy.path(), &options(720)).unwrap();
            assert!(content(copy.path()) == before, "after {changes} changes and compacting anew");
        }
        assert!(failures > 10, "{failures}");
    }

    #[test]
    fn what_need_not_be_kept_goes() {
        let data = history(5000);
        let done = compact(data.path(), &options(1)).unwrap();
        assert!(done.expired > 0, "{done:?}");
        let (rows, _) = content(data.path());
        let oldest: i64 = rows[0].split(' ').next().unwrap().parse().unwrap();
        let newest = 4999 * 5 * SECOND;
        assert!(newest - oldest >= 3600 * SECOND && newest - oldest < 3 * 3600 * SECOND);
    }

    #[test]
    fn what_is_sound_of_a_damaged_block_stays() {
        let data = history(5000);
        let before = content(data.path()).0;
        let names = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> =
            names.filter(|path| path.to_str().unwrap().contains("raw-")).collect();
        segments.sort();
        let mut bytes = fs::read(&segments[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&segments[0], bytes).unwrap();
        let reader = Reader::open(data.path()).unwrap();
        assert_eq!(reader.check(|_| {}).unwrap().damaged, 1);
        let done = compact(data.path(), &options(720)).unwrap();
        assert_eq!(done.damaged, 1);
        assert_eq!(Reader::open(data.path()).unwrap().check(|_| {}).unwrap().damaged, 0);
        let after = content(data.path()).0;
        assert!(after.len() >= before.len() - 1440 && after.last() == before.last());
    }

    #[test]
    fn a_backup_is_restored_whole_whatever_was_in_hot_files() {
        for rows in [1, 100, 719, 721, 1500, 5000] {
            let data = history(rows);
            let before = content(data.path());
            let dir = tempfile::tempdir().unwrap();
            let backup = dir.path().join("backup");
            let copied = Reader::open(data.path()).unwrap().backup(&backup, false).unwrap();
            assert_eq!((copied.rows[0], copied.damaged), (rows as u64, 0));
            assert!(content(&backup) == before);
            let restored = dir.path().join("restored");
            Reader::open(&backup).unwrap().restore(&restored, &options(720)).unwrap();
            assert!(content(&restored) == before, "{rows}");
            // A start rolls up and joins what is to be.
            let store = Store::open(&restored, options(720), |_, _| Vec::new()).unwrap();
            assert!(store.close(PATIENCE));
            assert!(content(&restored) == before, "{rows}, after a start");
        }
    }
}
