//! What a start finds, and how it goes on from there.
//!
//! Whatever the directory holds, a start succeeds: what can be read is kept, what cannot is set aside under another name or
//! left where it is. Only a newer format stops it, before anything is touched.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::disk::{Disk, Source};
use crate::error::{Error, Result};
use crate::file::{FileKind, FileName, TIERS};
use crate::index::{FileIndex, Meta};
use crate::opener::{Body, Opener};
use crate::output::Output;
use crate::recent::{Adopted, Recent};
use crate::record::{FILE_HEADER_BYTES, FORMAT};
use crate::retention::{Limits, Options, Segment};
use crate::writer::{TierFiles, Writer};

/// What a start found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Time of the newest row, in nanoseconds since the epoch. None in an empty store.
    pub newest: Option<i64>,
    /// Files in which nothing could be read, under their new names.
    pub set_aside: Vec<String>,
    /// Bytes that could not be read, in files of which other parts can.
    pub damaged_bytes: u64,
}

/// A file and what is in it.
type Indexed = (FileName, FileIndex);

/// Looks at everything and makes the writer.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    recent: &Arc<Recent>,
    options: &Options,
    suffix: u64,
) -> Result<(Writer, Adopted, Found)> {
    let mut found = Found::default();
    let names = disk.list().map_err(Error::io("reading", disk.path()))?;
    let mut names: Vec<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
    names.sort_unstable();
    let next_number = names.last().map_or(1, |name| name.number.saturating_add(1));
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for name in names {
        match FileIndex::load(&**disk, name) {
            Ok((index, _)) => files.push((name, index)),
            Err(error) if error.is_gone() => {}
            Err(error) if error.is_of_one_file() => unreadable.push(name),
            Err(error) => return Err(error),
        }
    }
    // What an earlier run wrote and did not sync is in the page cache, and looks as durable as the rest. It is to be, before
    // anything is removed because of it.
    let unfinished = |(_, index): &&Indexed| !index.finished && !index.chunks.is_empty();
    for (name, _) in files.iter().filter(unfinished) {
        let synced = disk.append(&name.to_string()).and_then(|mut sink| sink.sync());
        synced.map_err(Error::io("syncing", disk.path().join(name.to_string())))?;
    }
    // From here on things are changed.
    for name in unreadable {
        set_aside(&**disk, name, suffix, &mut found);
    }
    files.retain(|file| keep(&**disk, file, suffix, &mut found));
    let of = |kind: FileKind| {
        files.iter().filter(move |(name, _)| name.kind == kind).cloned().collect::<Vec<Indexed>>()
    };
    let mut tiers: [TierFiles; TIERS.len()] = Default::default();
    let mut open = VecDeque::new();
    let mut below = Vec::new();
    for (number, tier) in (0_u8..).zip(&mut tiers) {
        let mut hot = of(FileKind::Hot(number));
        let mut segments = of(FileKind::Segment(number));
        cut_unfinished(&**disk, &rows_of(&hot), &mut segments)?;
        // What was rolled up is rolled up again.
        cut_unfinished(&**disk, &below, &mut hot)?;
        below = rows_of(&segments);
        *tier = files_of(&**disk, segments, &hot)?;
        if number == 0 {
            open = read_open(&**disk, &hot, tier.reaches)?;
        }
    }
    let events = of(FileKind::Events);
    let mut newest_events = None;
    if let Some((name, index)) = events.last().filter(|(_, index)| can_go_on(index)) {
        newest_events = Some(Output::reopen(&**disk, *name, index.clone())?);
    }
    let newest =
        files.iter().flat_map(|(_, index)| &index.chunks).max_by_key(|chunk| chunk.last_seq);
    found.newest = newest_time(&files, suffix);
    let adopted = Adopted {
        next_seq: newest.map_or(1, |chunk| chunk.last_seq.saturating_add(1)),
        sealed_seq: tiers[0].reaches,
        chunks: open,
    };
    let writer = Writer {
        disk: Arc::clone(disk),
        recent: Arc::clone(recent),
        limits: Limits::new(options.clone()),
        next_number,
        tiers,
        events: newest_events,
        event_files: events.into_iter().map(|(name, _)| name).collect(),
        caught_up: false,
    };
    Ok((writer, adopted, found))
}

/// The latest time of any row that is not in the future: what was taken in last may be older, as after an import. Where
/// all are in the future, that of what was taken in last.
fn newest_time(files: &[Indexed], now_seconds: u64) -> Option<i64> {
    let chunks = || files.iter().flat_map(|(_, index)| &index.chunks);
    let now = i64::try_from(now_seconds).unwrap_or(i64::MAX).saturating_add(1);
    let now = now.saturating_mul(1_000_000_000);
    let latest = chunks().map(|chunk| chunk.max_time).filter(|time| *time <= now).max();
    latest.or_else(|| chunks().max_by_key(|chunk| chunk.last_seq).map(|chunk| chunk.max_time))
}

/// Whether there is something in a file. If not, it is removed when it is empty and else set aside.
fn keep(disk: &dyn Disk, (name, index): &Indexed, suffix: u64, found: &mut Found) -> bool {
    found.damaged_bytes += index.damaged_bytes;
    if index.walked > FILE_HEADER_BYTES {
        return true;
    }
    let text = name.to_string();
    if index.loose_bytes == 0 {
        // A crash came between making and filling it. One that stays does no harm.
        let _ = disk.remove(&text);
        return false;
    }
    set_aside(disk, *name, suffix, found);
    false
}

/// Renames a file so that it is no file of the store any more. One that stays is left out.
fn set_aside(disk: &dyn Disk, name: FileName, suffix: u64, found: &mut Found) {
    let aside = format!("{name}.corrupt-{suffix}");
    if disk.rename(&name.to_string(), &aside).is_ok() {
        found.set_aside.push(aside);
    }
}

/// Numbers of the rows that each chunk of some files stands for.
fn rows_of(files: &[Indexed]) -> Vec<(u64, u64)> {
    let chunks = files.iter().flat_map(|(_, index)| &index.chunks);
    chunks.map(|chunk| (chunk.first_seq, chunk.last_seq)).collect()
}

/// Cuts off the last chunk of a file if it is not whole and was made from rows that are still there, as when power failed
/// while it was written. It goes with its lists of series, of which one may be what is not whole.
fn cut_unfinished(disk: &dyn Disk, sources: &[(u64, u64)], files: &mut [Indexed]) -> Result<()> {
    let is_there = |seq: u64| sources.iter().any(|(first, last)| (*first..=*last).contains(&seq));
    for (name, index) in files {
        let Some((last, before)) = index.chunks.split_last() else { continue };
        if !is_there(last.first_seq) || !is_there(last.last_seq) {
            continue;
        }
        let path = disk.path().join(name.to_string());
        let file = disk.open(&name.to_string()).map_err(Error::io("reading", &path))?;
        if is_whole(&*file, index, last).map_err(Error::io("reading", &path))? {
            continue;
        }
        let end = before.last().map_or(FILE_HEADER_BYTES, Meta::end);
        let cut = disk.append(&name.to_string()).and_then(|mut sink| sink.truncate(end));
        cut.map_err(Error::io("mending", &path))?;
        *index = FileIndex::load(disk, *name)?.0;
    }
    Ok(())
}

fn is_whole(file: &dyn Source, index: &FileIndex, meta: &Meta) -> io::Result<bool> {
    let Some((head, offset)) = meta.head(file)? else { return Ok(false) };
    for id in head.groups.iter().flat_map(|group| group.pages()) {
        if index.page(file, id)?.is_none() {
            return Ok(false);
        }
    }
    Ok(Opener::new()?.verify(&Body::File { file, offset }, &head)? == 0)
}

/// Whether a file can be appended to: it is of the format that is written, ends with a whole record, and nothing in it is
/// damaged.
fn can_go_on(index: &FileIndex) -> bool {
    let is_current = index.format == Some(FORMAT);
    is_current && index.loose_bytes == 0 && index.damaged_bytes == 0 && !index.finished
}

/// Whether every list of series of a file can be read. One that cannot is not written anew where it is thought to be.
fn has_lists(disk: &dyn Disk, (name, index): &Indexed) -> Result<bool> {
    let path = disk.path().join(name.to_string());
    let file = disk.open(&name.to_string()).map_err(Error::io("reading", &path))?;
    for id in index.pages.keys() {
        if index.page(&*file, *id).map_err(Error::io("reading", &path))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files of one tier. Hot files of which everything is in blocks are removed.
fn files_of(disk: &dyn Disk, segments: Vec<Indexed>, hot: &[Indexed]) -> Result<TierFiles> {
    let mut files = TierFiles::default();
    let newest = segments.last().map(|(name, _)| *name);
    for (name, index) in segments {
        let length = index.walked + index.loose_bytes;
        let segment = Segment::of(&index, length);
        files.reaches = files.reaches.max(segment.last_seq);
        let goes_on = Some(name) == newest && can_go_on(&index);
        if goes_on && has_lists(disk, &(name, index.clone()))? {
            files.segment = Some(Output::reopen(disk, name, index)?);
        } else {
            files.segments.insert(name, segment);
        }
    }
    let in_blocks = files.reaches;
    for (name, index) in hot {
        let last = index.chunks.iter().map(|chunk| chunk.last_seq).max().unwrap_or_default();
        if last <= in_blocks {
            // One that stays is seen to be done at the next start.
            let _ = disk.remove(&name.to_string());
            continue;
        }
        files.hot_files.insert(*name, last);
        files.hot_rows += index.chunks.iter().map(|chunk| chunk.rows).sum::<u64>();
        if name.kind != FileKind::Hot(0) {
            files.reaches = files.reaches.max(last);
        }
    }
    Ok(files)
}

/// Raw rows that are in no block.
fn read_open(disk: &dyn Disk, hot: &[Indexed], sealed: u64) -> Result<VecDeque<Arc<Chunk>>> {
    let mut chunks = BTreeMap::new();
    for (name, index) in hot {
        if index.chunks.iter().all(|chunk| chunk.last_seq <= sealed) {
            continue;
        }
        let doing = || Error::io("reading", disk.path().join(name.to_string()));
        let file = disk.open(&name.to_string()).map_err(doing())?;
        for meta in index.chunks.iter().filter(|chunk| chunk.first_seq > sealed) {
            let chunk = index.chunk(&*file, meta, disk).map_err(doing())?;
            chunks.extend(chunk.map(|chunk| (chunk.head.first_seq, Arc::new(chunk))));
        }
    }
    Ok(chunks.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::layout::{Kind, Layout, Series};
    use crate::retention::Options;
    use crate::row::{GroupRow, Row};
    use crate::store::Store;

    #[test]
    fn the_newest_row_is_not_always_the_last_that_came() {
        const SECOND: i64 = 1_000_000_000;
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::new("g", [Series { name: "a".into(), kind: Kind::Gauge }]);
        // The second is of a clock that was far ahead.
        for (time, newest) in [
            (1_000_000 * SECOND, Some(1_000_000 * SECOND)),
            (i64::MAX / SECOND * SECOND, Some(1_000_000 * SECOND)),
            (500_000 * SECOND, Some(1_000_000 * SECOND)),
            (2_000_000 * SECOND, Some(2_000_000 * SECOND)),
        ] {
            let store = Store::open(data.path(), Options::default(), |_, _| Vec::new()).unwrap();
            let (layout, values) = (std::sync::Arc::clone(&layout), vec![Some(1)]);
            store.append(Row { time, groups: vec![GroupRow { layout, covered: 0, values }] });
            assert!(store.close(Duration::from_secs(60)));
            drop(store);
            let (say, said) = mpsc::channel();
            let store = Store::open(data.path(), Options::default(), move |found, _| {
                say.send(found.newest).unwrap();
                Vec::new()
            });
            let store = store.unwrap();
            assert_eq!(said.recv(), Ok(newest), "after {time}");
            assert!(store.close(Duration::from_secs(60)));
        }
    }
}
