//! Disks that are full, fail to sync, or hang; and the limits of the store itself. Sampling never waits, and what was not
//! written is written later.

use std::time::{Duration, Instant};

use perfwatch_store::{Error, Options, Query, Reader, Resolution, Store};

use crate::load::{Load, SECOND};
use crate::model::{PATIENCE, eager, numbers};
use crate::sim::{CHANGES, EIO, ENOSPC, Op, SimDisk};

fn append(store: &Store, load: &mut Load) {
    store.append(load.row());
}

/// Waits for a flush without waiting for the store's own next attempt.
fn flush_soon(store: &Store) {
    let began = Instant::now();
    while !store.flush(Duration::from_millis(5)) {
        assert!(began.elapsed() < PATIENCE, "{:?}", store.health());
    }
}

/// Appends enough for a block and its rollup, on a disk where something fails, and looks at what is there in the end.
/// False when nothing failed.
fn run(ops: &[Op], after: u64, times: u64, errno: i32) -> bool {
    let disk = SimDisk::new();
    let mut load = Load::new(4, 1).steady(20 * SECOND);
    disk.fail(ops, after, times, errno);
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    for _ in 0..25 {
        for _ in 0..20 {
            let began = Instant::now();
            store.append(load.row());
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        flush_soon(&store);
        disk.acknowledge(load.rows());
    }
    let failed = disk.failures() > 0;
    assert_eq!(store.health().lost_rows, 0);
    let all: Vec<i64> = (0..load.rows() as i64).collect();
    let check = |store: &Store| {
        assert_eq!(numbers(store.reader()), all);
        let (from, to) = (load.truth.rows[0].time, load.now + 1);
        for step in [20 * SECOND, 60 * SECOND] {
            let query = Query { from, to, resolution: Resolution::Step(step) };
            let answer = store.reader().query(&query, |_, _| true).unwrap();
            load.truth.check(&answer, |_, _| true).unwrap();
        }
    };
    check(&store);
    let disk = disk.power_cut(after);
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    check(&store);
    failed
}

fn at_every(ops: &[Op], times: u64, errno: i32) {
    let mut count = 0;
    while run(ops, count, times, errno) {
        count += 1;
    }
    println!("failed at each of {count} operations, {times} times");
    assert!(count > 20);
}

#[test]
fn a_disk_that_is_full_at_any_operation_costs_nothing() {
    at_every(&CHANGES, 1, ENOSPC);
    at_every(&CHANGES, 4, ENOSPC);
}

#[test]
fn what_a_failed_sync_was_for_is_written_elsewhere() {
    at_every(&[Op::Sync], 1, EIO);
    at_every(&[Op::Sync], 2, EIO);
}

#[test]
fn history_goes_on_when_there_is_space_again() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(4, 2).steady(10 * SECOND);
    (0..200).for_each(|_| append(&store, &mut load));
    assert!(store.flush(PATIENCE));
    let durable = store.health().durable_seq;
    disk.limit(0);
    (0..300).for_each(|_| append(&store, &mut load));
    assert!(!store.flush(Duration::from_millis(50)));
    assert!(store.health().trouble.is_some());
    assert_eq!(store.health().durable_seq, durable);
    assert_eq!(numbers(store.reader()).len(), 500, "answers from memory");
    disk.heal();
    // By itself.
    let began = Instant::now();
    while store.health().trouble.is_some() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    flush_soon(&store);
    let disk = disk.power_cut(1);
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    assert_eq!(numbers(store.reader()), (0..500).collect::<Vec<_>>());
}

#[test]
fn a_sync_that_hangs_delays_nothing_but_itself() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(4, 2).steady(10 * SECOND);
    disk.block(&[Op::Sync]);
    store.append(load.row());
    assert!(disk.wait_until_blocked());
    let began = Instant::now();
    (0..500).for_each(|_| append(&store, &mut load));
    assert_eq!(numbers(store.reader()).len(), 501);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(store.health().durable_seq, 0);
    let began = Instant::now();
    assert!(!store.close(Duration::from_millis(100)));
    assert!(began.elapsed() < Duration::from_secs(1));
    disk.release();
}

#[test]
fn a_cap_of_bytes_is_kept() {
    const CAP: u64 = 1 << 20;
    let disk = SimDisk::new();
    let options = Options { max_bytes: CAP, ..eager() };
    let store = Store::on(disk.arc(), options, |_, _| Vec::new()).unwrap();
    let mut load = Load::new(8, 8).steady(5 * SECOND);
    let mut largest = 0;
    for _ in 0..300 {
        (0..100).for_each(|_| append(&store, &mut load));
        assert!(store.flush(PATIENCE));
        let blocks = disk.files().into_iter().filter(|(name, _)| name.ends_with(".hot"));
        largest = largest.max(blocks.map(|(_, content)| content.len() as u64).sum());
    }
    println!("{} of {CAP} bytes, hot files {largest}", disk.most_bytes());
    // A block is about as large as the hot files that it is made of.
    assert!(disk.most_bytes() > CAP * 3 / 4);
    assert!(disk.most_bytes() <= CAP + largest, "{}", disk.most_bytes());
    // The newest are there.
    assert_eq!(numbers(store.reader()).last().copied(), Some(load.rows() as i64 - 1));
}

#[test]
fn a_cap_that_is_lowered_holds_at_once_and_a_rollup_that_is_wanted_again_has_no_holes() {
    const CAP: u64 = 1 << 20;
    let disk = SimDisk::new();
    let mut options = Options { max_bytes: 8 * CAP, ..eager() };
    options.keep[1] = Duration::ZERO;
    let store = Store::on(disk.arc(), options.clone(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(8, 8).steady(5 * SECOND);
    let total = || disk.files().values().map(|content| content.len() as u64).sum::<u64>();
    let fill = |load: &mut Load, rows: u64| {
        for _ in 0..rows / 100 {
            (0..100).for_each(|_| append(&store, load));
            assert!(store.flush(PATIENCE));
        }
    };
    fill(&mut load, 10_000);
    let rolled = || store.reader().info().unwrap().tiers[1].rows;
    assert_eq!(rolled(), 0);
    options.keep[1] = Duration::from_secs(86_400 * 180);
    store.keep(options.clone());
    fill(&mut load, 100);
    let (minutes, began) = (10_000 * 5 / 60, Instant::now());
    // It catches up after it has committed.
    while rolled() <= minutes - 60 {
        assert!(began.elapsed() < PATIENCE, "{} of {minutes}", rolled());
    }
    while total() < 2 * CAP {
        fill(&mut load, 1000);
    }
    store.keep(Options { max_bytes: CAP, ..options });
    fill(&mut load, 100);
    assert!(total() < CAP + CAP / 2, "{}", total());
    assert_eq!(numbers(store.reader()).last().copied(), Some(load.rows() as i64 - 1));
}

#[test]
fn what_is_too_old_goes() {
    let disk = SimDisk::new();
    let mut options = eager();
    options.keep = [1, 2, 3].map(|days| Duration::from_secs(days * 86_400));
    let mut load = Load::new(8, 1).steady(60 * SECOND);
    // Age removes a segment an hour: each start begins a new one.
    for _ in 0..12 {
        let store = Store::on(disk.arc(), options.clone(), |_, _| Vec::new()).unwrap();
        (0..800).for_each(|_| append(&store, &mut load));
        assert!(store.close(PATIENCE));
    }
    let store = Store::on(disk.arc(), options, |_, _| Vec::new()).unwrap();
    let there = numbers(store.reader());
    assert!(there[0] > 800, "{}", there[0]);
    assert!(there.len() >= 1_440);
}

#[test]
fn a_second_store_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), eager(), |_, _| Vec::new()).unwrap();
    match Store::open(directory.path(), eager(), |_, _| Vec::new()) {
        Err(Error::InUse { holder, .. }) => assert_eq!(holder, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    // Whoever only reads is welcome.
    Reader::open(directory.path()).unwrap().extent().unwrap();
    drop(store);
}

#[test]
fn a_disk_nobody_may_write_to_is_read() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(8, 1).steady(SECOND);
    (0..100).for_each(|_| append(&store, &mut load));
    assert!(store.close(PATIENCE));
    let before = disk.files();
    disk.make_read_only();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    (0..100).for_each(|_| append(&store, &mut load));
    assert!(!store.flush(Duration::from_millis(50)));
    assert_eq!(numbers(store.reader()), (0..200).collect::<Vec<_>>());
    assert!(store.health().trouble.is_some());
    assert!(disk.files() == before);
    disk.heal();
    flush_soon(&store);
}
