//! What is left after merging, after a failure at any change, and of damaged files.

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
                    rows.push(format!("{} {} {values:?}", group.times[row], group.covered[row]));
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
