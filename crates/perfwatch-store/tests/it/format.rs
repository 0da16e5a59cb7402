//! The format of files: a store written by each released format is still read, value by value. `UPDATE_GOLDEN=1` writes
//! the files of the newest format anew; that is for a format that was never released.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use perfwatch_store::disk::Directory;
use perfwatch_store::{
    Event, FORMAT, GroupRow, Kind, Layout, Query, Reader, Resolution, Row, Store,
};

use crate::load::{BEGIN, SECOND, series};
use crate::model::{PATIENCE, eager};
use crate::sim::SimDisk;
use crate::truth::{Bucket, each_group};

const ROWS: i64 = 560;
const EVERY: i64 = 30 * SECOND;
const EXPECTED: &str = "expected.txt";

fn golden(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{format}"))
}

/// Everything a store says.
fn listing(reader: &Reader) -> String {
    let mut out = String::new();
    let read = each_group(reader, |group| {
        for (index, time) in group.times.iter().enumerate() {
            write!(out, "{} {time} {}", group.group, group.covered[index]).unwrap();
            for (series, values) in &group.series {
                match values[index] {
                    Some(value) => write!(out, " {}={value}", series.name).unwrap(),
                    None => write!(out, " {}", series.name).unwrap(),
                }
            }
            out.push('\n');
        }
    });
    assert_eq!(read.unwrap(), 0);
    for step in [600 * SECOND, 7200 * SECOND] {
        let (from, to) = (BEGIN, BEGIN + ROWS * EVERY);
        let query = Query { from, to, resolution: Resolution::Step(step) };
        let answer = reader.query(&query, |_, _| true).unwrap();
        assert_eq!((answer.damaged, answer.trouble), (0, None));
        for (series, points) in answer.series {
            for (number, point) in points.iter().enumerate() {
                let bucket = Bucket::of(&series.kind, point);
                writeln!(out, "{} {step} {number} {bucket:?}", series.name).unwrap();
            }
        }
    }
    for event in reader.events((i64::MIN, i64::MAX)).unwrap().0 {
        writeln!(out, "{event:?}").unwrap();
    }
    out
}

fn write_anew() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let ratio = Kind::Ratio { numerator: "counter".into(), denominator: "wrapping".into() };
    let mut all = vec![
        series("gauge", Kind::Gauge),
        series("counter", Kind::Counter),
        series("wrapping", Kind::Counter32),
        series("ratio", ratio),
    ];
    let mut layout = Layout::new("group", all.clone());
    for number in 0..ROWS {
        if number == 300 {
            all.push(series("later", Kind::Gauge));
            layout = Layout::new("group", all.clone());
        }
        let mut values = vec![
            (number % 11 != 0).then_some(number * 37 % 101 - 50),
            Some((u64::MAX - 1_000_000) as i64 + number * 13 % 7 + number * 10),
            Some((4_294_000_000 + number * 5_000) % (1 << 32)),
            None,
        ];
        values.resize(all.len(), Some(-number));
        let covered = if number % 100 == 0 { 0 } else { EVERY as u64 };
        let group = GroupRow { layout: layout.clone(), covered, values };
        store.append(Row { time: BEGIN + number * EVERY, groups: vec![group] });
        if number % 10 == 0 {
            assert!(store.flush(PATIENCE));
        }
    }
    let detail = "a detail".to_owned();
    store.event(Event { time: BEGIN, kind: "golden".to_owned(), detail });
    assert!(store.flush(PATIENCE));
    let directory = golden(FORMAT);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    for (name, content) in disk.files() {
        fs::write(directory.join(name), content).unwrap();
    }
    fs::write(directory.join(EXPECTED), listing(store.reader())).unwrap();
}

#[test]
fn every_format_is_still_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        write_anew();
    }
    for format in 1..=FORMAT {
        let directory = golden(format);
        let expected = fs::read_to_string(directory.join(EXPECTED)).unwrap();
        let mut files = std::collections::BTreeMap::new();
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            files.insert(name, fs::read(entry.path()).unwrap());
        }
        for end in [".hot", ".seg", ".events"] {
            assert!(files.keys().any(|name| name.ends_with(end)), "no {end}");
        }
        let disk = SimDisk::holding(files.clone());
        assert!(listing(&Reader::on(disk.arc())) == expected, "format {format}, read");
        let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
        assert!(listing(store.reader()) == expected, "format {format}, opened");
        go_on(&store);
        let is_longer = |(name, before): (&String, &Vec<u8>)| {
            disk.files().get(name).is_some_and(|now| now.len() > before.len())
        };
        // Whoever knows the format that an older file says it has must be able to read all of it.
        assert_eq!(files.iter().any(is_longer), format == FORMAT, "format {format}, written to");
    }
}

/// Enough rows for a block, which goes to the end of the newest segment if it may.
fn go_on(store: &Store) {
    let layout = Layout::new("group", [series("gauge", Kind::Gauge)]);
    for number in ROWS..3 * ROWS {
        let values = vec![Some(number * 7919 % 101)];
        let group = GroupRow { layout: layout.clone(), covered: 0, values };
        store.append(Row { time: BEGIN + number * EVERY, groups: vec![group] });
    }
    assert!(store.flush(PATIENCE));
}

#[test]
fn a_golden_store_is_read_from_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(FORMAT)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let expected = fs::read_to_string(golden(FORMAT).join(EXPECTED)).unwrap();
    let reader = Reader::on(std::sync::Arc::new(Directory::read(directory.path()).unwrap()));
    assert!(listing(&reader) == expected);
}
