//! Claims of the documentation that no random program comes by, one small case each.

use std::sync::Arc;
use std::time::Duration;

use perfwatch_store::{
    Event, GroupRow, Kind, Layout, MAX_NAME_BYTES, MAX_SERIES, Options, Query, Reader, Resolution,
    Row, Store,
};

use crate::load::{BEGIN, Load, SECOND, series};
use crate::model::{PATIENCE, eager, numbers};
use crate::sim::{EIO, Op, SimDisk};
use crate::truth::each_group;

fn open(disk: &SimDisk) -> Store {
    Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap()
}

fn append(store: &Store, load: &mut Load) {
    store.append(load.row());
}

fn event(number: i64) -> Event {
    Event { time: BEGIN + number, kind: "edge".to_owned(), detail: number.to_string() }
}

fn row(time: i64, layout: &Arc<Layout>, values: &[i64]) -> Row {
    let values = values.iter().copied().map(Some).collect();
    Row { time, groups: vec![GroupRow { layout: Arc::clone(layout), covered: 0, values }] }
}

fn minute() -> Query {
    Query { from: BEGIN, to: BEGIN + 60 * SECOND, resolution: Resolution::Step(60 * SECOND) }
}

#[test]
fn a_row_taken_in_before_the_files_were_open_is_not_acknowledged_before_it_is_durable() {
    let disk = SimDisk::new();
    let mut load = Load::new(1, 1);
    let store = open(&disk);
    (0..100).for_each(|_| append(&store, &mut load));
    assert!(store.close(PATIENCE));
    disk.fail(&[Op::List], 0, 1, EIO);
    let store = open(&disk);
    store.append(load.row());
    disk.block(&[Op::Sync]);
    assert!(!store.flush(Duration::from_millis(300)), "acknowledged, and not synced");
    disk.release();
    assert!(store.flush(PATIENCE));
}

#[test]
fn events_outlast_many_restarts() {
    let disk = SimDisk::new();
    for number in 0..40 {
        let store = open(&disk);
        store.event(event(number));
        assert!(store.close(PATIENCE));
    }
    assert_eq!(open(&disk).reader().events((i64::MIN, i64::MAX)).unwrap().0.len(), 40);
}

#[test]
fn of_too_many_waiting_events_the_oldest_are_lost() {
    let disk = SimDisk::new();
    let store = open(&disk);
    disk.block(&[Op::Sync]);
    store.event(event(0));
    assert!(disk.wait_until_blocked());
    (1..=1024).for_each(|number| store.event(event(number)));
    disk.release();
    assert!(store.flush(PATIENCE));
    let events = store.reader().events((i64::MIN, i64::MAX)).unwrap().0;
    let missing: Vec<_> = (1..=1024).filter(|number| !events.contains(&event(*number))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_foreign_file_with_a_similar_name_stops_nothing() {
    for name in ["1.events", "+0000001.events", "raw-7.hot", "raw-0000000000007.seg"] {
        let disk = SimDisk::holding([(name.to_owned(), b"mine".to_vec())].into());
        let store = open(&disk);
        assert!(store.flush(Duration::ZERO) && store.health().trouble.is_none(), "{name}");
        assert_eq!(disk.files()[name], b"mine");
    }
}

#[test]
fn groups_with_the_same_series_are_told_apart() {
    let store = open(&SimDisk::new());
    let layouts = ["a", "b"].map(|group| Layout::new(group, [series("x", Kind::Gauge)]));
    let group = |(layout, value): (&Arc<Layout>, i64)| GroupRow {
        layout: Arc::clone(layout),
        covered: 0,
        values: vec![Some(value)],
    };
    let groups = layouts.iter().zip([1, 2]).map(group).collect();
    store.append(Row { time: BEGIN, groups });
    let answer = store.reader().query(&minute(), |group, _| group == "b").unwrap();
    let sums: Vec<i128> = answer.series.iter().map(|(_, points)| points[0].sum).collect();
    assert_eq!(sums, [2]);
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let store = open(&SimDisk::new());
    let layout = Layout::new("a", [series("x".repeat(MAX_NAME_BYTES + 1), Kind::Gauge)]);
    store.append(row(BEGIN, &layout, &[1]));
    let answer = store.reader().query(&minute(), |_, _| true).unwrap();
    assert_eq!((answer.series.len(), store.health().left_out_series), (0, 1));
}

#[test]
fn of_too_many_series_the_groups_that_do_not_fit_are_left_out() {
    let store = open(&SimDisk::new());
    let group = |name: &str, count: usize| GroupRow {
        layout: Layout::new(name, (0..count).map(|n| series(n.to_string(), Kind::Gauge))),
        covered: 0,
        values: vec![Some(1); count],
    };
    let groups = vec![group("a", MAX_SERIES - 1), group("b", 2), group("c", 1)];
    store.append(Row { time: BEGIN, groups });
    assert_eq!(store.health().left_out_series, 2);
    let known = |name: &str| {
        let answer =
            store.reader().query(&minute(), |group, series| group == name && &*series.name == "0");
        answer.unwrap().series.len()
    };
    assert_eq!(["a", "b", "c"].map(known), [1, 0, 1]);
}

#[test]
fn rows_are_read_while_hot_files_become_a_block() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut load = Load::new(1, 1).steady(10 * SECOND);
    for _ in 0..3 {
        (0..20).for_each(|_| append(&store, &mut load));
        assert!(store.flush(PATIENCE));
    }
    let mut went_on = false;
    let read = each_group(store.reader(), |_| {
        if !std::mem::replace(&mut went_on, true) {
            (0..1500).for_each(|_| append(&store, &mut load));
            assert!(store.flush(PATIENCE));
        }
    });
    assert_eq!(read.unwrap(), 0);
    assert_eq!(numbers(store.reader()).len(), 1560);
}

#[test]
fn a_directory_can_be_opened_as_soon_as_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..200 {
        let store = Store::open(directory.path(), eager(), |_, _| Vec::new());
        let store = store.unwrap_or_else(|error| panic!("open {number}: {error}"));
        assert!(store.close(PATIENCE));
    }
}

/// Where a file's first list of series begins: its mark and its kind.
fn first_list(file: &[u8]) -> usize {
    let begin = [0xd7, b'P', b'W', 0x1a, 1];
    file.windows(begin.len()).position(|bytes| bytes == begin).unwrap()
}

#[test]
fn rows_whose_list_of_series_is_damaged_are_joined_with_that_of_another_file() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let layout = Layout::new("group", [series("gauge", Kind::Gauge)]);
    let mut appended = 0;
    let mut append_until = |store: &Store, rows: i64| {
        while appended < rows {
            store.append(row(BEGIN + appended * 5 * SECOND, &layout, &[appended]));
            appended += 1;
            if appended % 100 == 0 {
                assert!(store.flush(PATIENCE));
            }
        }
        assert!(store.flush(PATIENCE));
    };
    // A block, and rows that are in none.
    append_until(&store, 1000);
    assert!(store.close(PATIENCE));
    drop(store);
    let mut files = disk.files();
    let hot = files.iter_mut().find(|(name, _)| name.starts_with("raw-") && name.ends_with(".hot"));
    let (_, hot) = hot.unwrap();
    let list = first_list(hot);
    hot[list + 30] ^= 1;
    let disk = SimDisk::holding(files);
    let store = open(&disk);
    // Enough for another block.
    append_until(&store, 2000);
    assert!(store.close(PATIENCE));
    let mut rows = 0;
    let read = each_group(&Reader::on(disk.arc()), |group| {
        rows += group.series.iter().flat_map(|(_, values)| values).flatten().count();
    });
    assert_eq!(read.unwrap(), 0);
    assert_eq!(rows, 2000);
}

#[test]
fn there_are_never_more_points_than_asked_for() {
    let store = open(&SimDisk::new());
    for from in [0, 1, 299, 3_599, 604_799] {
        for (seconds, points) in [(300, 300), (86_400, 1), (86_399, 2), (30 * 86_400, 720)] {
            let (from, resolution) = ((1_000_000 + from) * SECOND, Resolution::Points(points));
            let query = Query { from, to: from + seconds * SECOND, resolution };
            let answer = store.reader().query(&query, |_, _| true).unwrap();
            assert!(answer.points as u64 <= points, "{query:?}: {} points", answer.points);
            assert!(answer.from <= query.from);
            assert!(answer.from + answer.step * answer.points as i64 >= query.to);
        }
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_fill_memory() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut load = Load::new(1, 1).steady(10 * SECOND);
    (0..100).for_each(|_| append(&store, &mut load));
    load.now -= 86_400 * SECOND;
    for _ in 0..100 {
        (0..60).for_each(|_| append(&store, &mut load));
        assert!(store.flush(PATIENCE));
    }
    disk.fail(&[Op::List], 0, u64::MAX, EIO);
    let query = Query { from: 0, to: 2 * BEGIN, resolution: Resolution::Step(BEGIN) };
    let answer = store.reader().query(&query, |_, one| &*one.name == "numbers.row").unwrap();
    assert!(answer.trouble.is_some());
    let rows: u64 = answer.series[0].1.iter().map(|point| point.count).sum();
    assert!(rows < 2_000, "{rows} rows are in memory");
}

#[test]
fn without_minutes_there_are_no_hours() {
    let disk = SimDisk::new();
    let mut options = eager();
    options.keep[1] = Duration::ZERO;
    let store = Store::on(disk.arc(), Options { ..options }, |_, _| Vec::new()).unwrap();
    let mut load = Load::new(1, 1).steady(60 * SECOND);
    (0..3_000).for_each(|_| append(&store, &mut load));
    assert!(store.flush(PATIENCE));
    let tiers: Vec<_> = store.reader().extent().unwrap().iter().map(|tier| tier.0).collect();
    assert_eq!(tiers, ["raw"]);
}
