//! Files cut off anywhere and bits flipped anywhere: a store always opens, never says anything wrong, still has what was
//! not touched, and deletes nothing it cannot read. What a newer version wrote is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use perfwatch_store::{Error, Event, FORMAT, Query, Reader, Resolution, Store};

use crate::load::{Load, SECOND};
use crate::model::{PATIENCE, eager};
use crate::rng::Rng;
use crate::sim::SimDisk;
use crate::truth::Truth;

type Files = BTreeMap<String, Vec<u8>>;

/// So that a segment, which holds a day, has two blocks of 720 rows.
const EVERY: i64 = 120 * SECOND;
const ROWS: u64 = 3_800;

const FILE_HEADER_BYTES: usize = 16;

/// A store with several segments of every tier, hot files and events.
fn whole() -> (Load, Files) {
    let disk = SimDisk::new();
    let mut load = Load::new(5, 2).steady(EVERY);
    for run in 0..2 {
        let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
        while load.rows() < ROWS - (1 - run) * 100 {
            store.append(load.row());
            if load.rows().is_multiple_of(20) {
                assert!(store.flush(PATIENCE));
            }
            if load.rows().is_multiple_of(1000) {
                store.event(event(load.rows() as i64));
                load.change_layout();
            }
        }
        assert!(store.close(PATIENCE));
        load.truth.restarted();
    }
    (load, disk.files())
}

fn event(number: i64) -> Event {
    Event { time: number, kind: "thousand".to_owned(), detail: format!("rows: {number}") }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    CutTo(usize),
    FlipBit(usize),
}

impl Damage {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::CutTo(length) => content.truncate(length),
            Self::FlipBit(bit) => content[bit / 8] ^= 1 << (bit % 8),
        }
    }

    /// What is done to a file of so many bytes, to be tried one by one.
    fn of(length: usize, rng: &mut Rng) -> Vec<Self> {
        let mut all = Vec::new();
        let few = length <= 600;
        let lengths: BTreeSet<usize> = match few {
            true => (0..length).collect(),
            false => (0..20).chain((0..30).map(|_| rng.below(length as u64) as usize)).collect(),
        };
        all.extend(lengths.into_iter().map(Self::CutTo));
        let bits = if few { length } else { 60 };
        all.extend((0..bits).map(|_| Self::FlipBit(rng.below(8 * length as u64) as usize)));
        all
    }
}

/// Whether a reader says nothing wrong. Returns the raw rows of which nothing is missing.
fn check(reader: &Reader, truth: &Truth) -> BTreeSet<i64> {
    let whole = truth.check_rows(reader).unwrap();
    let (from, to) = (truth.rows[0].time, truth.rows.last().unwrap().time + 1);
    for step in [EVERY, EVERY + SECOND, 3600 * SECOND] {
        let query = Query { from, to, resolution: Resolution::Step(step) };
        let answer = reader.query(&query, |_, _| true).unwrap();
        assert_eq!(answer.trouble, None);
        truth.check_at_most(&answer).unwrap();
    }
    let events = reader.events((i64::MIN, i64::MAX)).unwrap().0;
    for (number, one) in events.iter().enumerate() {
        assert_eq!(*one, event(one.time));
        assert!(number == 0 || events[number - 1].time < one.time, "an event twice");
    }
    whole
}

fn try_one(load: &Load, files: &Files, name: &str, damage: Damage, rest: &BTreeSet<i64>, on: bool) {
    let mut files = files.clone();
    damage.apply(files.get_mut(name).unwrap());
    let left = files[name].len();
    let disk = SimDisk::holding(files);
    let reader = Reader::on(disk.arc());
    let whole = check(&reader, &load.truth);
    assert!(rest.is_subset(&whole), "a reader misses rows of other files");

    let began = Instant::now();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "opened in {:?}", began.elapsed());
    assert_eq!(store.health().trouble, None);
    let there = disk.files();
    let aside = there.keys().any(|other| other.starts_with(&format!("{name}.corrupt-")));
    assert!(
        aside || there.contains_key(name) || left <= FILE_HEADER_BYTES || name.contains(".hot"),
        "gone"
    );
    let whole = check(store.reader(), &load.truth);
    assert!(rest.is_subset(&whole), "rows of other files are lost");
    if !on {
        return;
    }
    // Goes on, until what is hot now is in a block.
    let mut load = load.clone();
    let from = load.now;
    for _ in 0..800 {
        store.append(load.row());
    }
    assert!(store.flush(PATIENCE), "{:?}", store.health());
    let whole = check(store.reader(), &load.truth);
    assert!(rest.is_subset(&whole), "rows of other files are lost later");
    let new = load.truth.rows.iter().map(|row| row.time).filter(|time| *time > from);
    assert!(new.into_iter().all(|time| whole.contains(&time)), "new rows are lost");
    assert!(store.close(PATIENCE));
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let again = check(store.reader(), &load.truth);
    assert_eq!(again.len(), whole.len());
}

#[test]
fn damage_costs_what_it_touches_and_makes_nothing_up() {
    let (load, files) = whole();
    let mut rng = Rng::new(3);
    let mut all = Vec::new();
    for (name, content) in &files {
        let mut others = files.clone();
        others.remove(name);
        let rest = check(&Reader::on(SimDisk::holding(others).arc()), &load.truth);
        println!("{name}: {} bytes, {} of {ROWS} rows elsewhere", content.len(), rest.len());
        for damage in Damage::of(content.len(), &mut rng) {
            let on = rng.one_in(if name.ends_with(".hot") { 2 } else { 8 });
            all.push((name, damage, rest.clone(), on));
        }
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some((name, damage, rest, on)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = AssertUnwindSafe(|| try_one(&load, &files, name, *damage, rest, *on));
            if catch_unwind(one).is_err() {
                println!("{name}: {damage:?}");
                failed.lock().unwrap().push((*name, *damage));
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failed = failed.into_inner().unwrap();
    println!("{} damages", all.len());
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), all.len());
}

#[test]
fn a_file_in_which_nothing_can_be_read_is_set_aside() {
    let (load, mut files) = whole();
    let name = files.keys().find(|name| name.ends_with(".seg")).unwrap().clone();
    let garbage: Vec<u8> = (0..5_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    files.insert(name.clone(), garbage.clone());
    let disk = SimDisk::holding(files);
    let (tell, told) = std::sync::mpsc::channel();
    let store = Store::on(disk.arc(), eager(), move |found, _| {
        tell.send(found.clone()).unwrap();
        Vec::new()
    });
    let store = store.unwrap();
    let found = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(found.set_aside.len(), 1);
    assert!(found.set_aside[0].starts_with(&format!("{name}.corrupt-")), "{found:?}");
    assert_eq!(disk.files()[&found.set_aside[0]], garbage);
    check(store.reader(), &load.truth);
}

/// A file header of another format.
fn header(format: u32) -> Vec<u8> {
    let mut header = b"PerfWtch".to_vec();
    header.extend(format.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_left_alone() {
    let (mut load, files) = whole();
    for name in files.keys() {
        let mut files = files.clone();
        files.get_mut(name).unwrap()[..FILE_HEADER_BYTES].copy_from_slice(&header(FORMAT + 1));
        let disk = SimDisk::holding(files.clone());
        let refused = Reader::on(disk.arc())
            .query(&Query { from: 0, to: 1, resolution: Resolution::Step(1) }, |_, _| true);
        assert!(
            matches!(refused, Err(Error::Newer { found, known, .. }) if (found, known) == (FORMAT + 1, FORMAT)),
            "{name}: {refused:?}"
        );
        let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
        load.truth.restarted();
        let before = load.truth.rows.len();
        for _ in 0..3 {
            store.append(load.row());
        }
        assert!(!store.flush(Duration::from_millis(1)));
        let (_, trouble) = store.health().trouble.unwrap();
        assert!(trouble.contains("newer"), "{trouble}");
        // The rows since are answered from memory.
        let (from, to) = (load.truth.rows[before].time, load.now + 1);
        let query = Query { from, to, resolution: Resolution::Step(1000 * EVERY) };
        let answer = store.reader().query(&query, |_, series| &*series.name == "numbers.row");
        let answer = answer.unwrap();
        let count: u64 = answer.series[0].1.iter().map(|point| point.count).sum();
        assert_eq!(count, 3);
        assert!(answer.trouble.is_some());
        store.close(PATIENCE);
        assert!(disk.files() == files, "{name}: the directory was touched");
    }
}
