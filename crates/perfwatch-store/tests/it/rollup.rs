//! The rollups: a bucket of a minute or an hour says what the raw rows of that time say together.

use perfwatch_store::{Query, Resolution, Store};

use crate::load::{Load, SECOND};
use crate::model::{PATIENCE, eager};
use crate::sim::SimDisk;

const DAYS: i64 = 4;
const EVERY: i64 = 10 * SECOND;

/// How many buckets of a tier were compared.
fn compare(load: &Load, store: &Store, width: i64, end: i64) -> usize {
    let resolution = Resolution::Step(width);
    let from = load.truth.rows[0].time;
    let query = Query { from, to: end, resolution };
    let answer = store.reader().query(&query, |_, _| true).unwrap();
    assert_eq!(answer.tier_width, width);
    load.truth.check(&answer, |_, _| true).unwrap()
}

#[test]
fn a_bucket_of_a_rollup_is_the_sum_of_its_rows() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(7, 12).steady(EVERY);
    for number in 0..DAYS * 86_400 * SECOND / EVERY {
        store.append(load.row());
        match number % 6000 {
            3000 => load.change_layout(),
            4000 => load.gap = true,
            _ => {}
        }
        if number % 500 == 0 {
            assert!(store.flush(PATIENCE));
        }
    }
    assert!(store.flush(PATIENCE));
    let end = load.now;
    let minutes = compare(&load, &store, 60 * SECOND, end);
    let hours = compare(&load, &store, 3600 * SECOND, end);
    println!("{minutes} buckets of a minute, {hours} of an hour");
    assert!(minutes >= 10_000);
    // Not only what was still in memory or raw: the rollups have files of their own, with blocks.
    let names: Vec<String> = disk.files().into_keys().collect();
    for tier in ["1m-", "1h-"] {
        assert!(names.iter().any(|name| name.starts_with(tier)), "{names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("1m-") && name.ends_with(".seg")));
    let raw = Query { from: load.truth.rows[0].time, to: end, resolution: Resolution::Points(800) };
    let answer = store.reader().query(&raw, |_, _| true).unwrap();
    load.truth.check(&answer, |_, _| true).unwrap();
}

/// So many rows that two threads work at it.
#[test]
fn a_long_question_is_answered_in_order_though_the_clock_was_set() {
    let disk = SimDisk::new();
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    let mut load = Load::new(11, 3).steady(60 * SECOND);
    for number in 0..12_000 {
        store.append(load.row());
        if number % 700 == 0 {
            load.step_clock();
        }
        if number % 500 == 0 {
            assert!(store.flush(PATIENCE));
        }
    }
    assert!(store.flush(PATIENCE));
    let times = || load.truth.rows.iter().map(|row| row.time);
    let (from, to) = (times().min().unwrap(), times().max().unwrap() + 1);
    for step in [300 * SECOND, 1800 * SECOND, 86_400 * SECOND] {
        let query = Query { from, to, resolution: Resolution::Step(step) };
        let answer = store.reader().query(&query, |_, _| true).unwrap();
        load.truth.check(&answer, |_, _| true).unwrap();
    }
}
