//! Power cuts at any moment, in sectors that were written, half written or not: every start succeeds, what was
//! acknowledged is there, once, and nothing that is there is wrong. Also when power fails again while a start cleans up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use perfwatch_store::{Query, Resolution, Store};

use crate::load::{Load, SECOND};
use crate::model::{PATIENCE, eager};
use crate::sim::{Picture, SimDisk};
use crate::truth::Truth;

const PROGRAMS: u64 = 80;
const PICTURES: u64 = 12;

/// Opens what a power cut left and looks at everything.
fn verify(disk: &SimDisk, truth: &Truth, acknowledged: u64) -> Store {
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    assert_eq!(store.health().trouble, None);
    let acknowledged = &truth.rows[..acknowledged as usize];
    let whole = truth.check_rows(store.reader()).unwrap();
    for (number, row) in acknowledged.iter().enumerate() {
        assert!(whole.contains(&row.time), "acknowledged row {number} of {}", acknowledged.len());
    }
    let (Some(first), Some(last)) = (acknowledged.first(), acknowledged.last()) else {
        return store;
    };
    for step in [13 * SECOND, 60 * SECOND, 3600 * SECOND] {
        let resolution = Resolution::Step(step);
        let end = (last.time + 1).div_euclid(step) * step;
        if end > first.time {
            let query = Query { from: first.time, to: end, resolution };
            let answer = store.reader().query(&query, |_, _| true).unwrap();
            if answer.damaged > 0 || answer.trouble.is_some() {
                panic!("{} damaged, {:?}", answer.damaged, answer.trouble);
            }
            truth.check(&answer, |_, _| true).unwrap();
        }
        // What was not acknowledged may be there or not.
        let to = truth.rows.last().unwrap().time + 1;
        let query = Query { from: end, to: to.max(end + 1), resolution };
        let answer = store.reader().query(&query, |_, _| true).unwrap();
        truth.check_at_most(&answer).unwrap();
    }
    store
}

/// Runs a store and takes pictures of its disk.
fn program(seed: u64) -> (Truth, Vec<Picture>) {
    let mut load = Load::new(seed, 2);
    let interval = load.interval;
    load = load.steady(interval);
    let disk = SimDisk::new();
    let pictures: Vec<u64> = (0..PICTURES).map(|_| load.rng.below(160)).collect();
    disk.take_pictures(pictures);
    let store = Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap();
    while disk.changes() < 160 && load.rows() < 3_000 {
        for _ in 0..1 + load.rng.below(60) {
            if load.rng.one_in(200) {
                load.change_layout();
            }
            store.append(load.row());
        }
        assert!(store.flush(PATIENCE));
        disk.acknowledge(load.rows());
    }
    (load.truth, disk.pictures())
}

/// Cuts power at each picture, and once more while a start cleans up. Returns how many states that made.
fn run(seed: u64) -> usize {
    let (truth, pictures) = program(seed);
    let mut states = 0;
    for picture in pictures {
        let seed = seed << 20 | picture.change << 4;
        let disk = picture.power_cut(seed);
        let at = AtomicU64::new(picture.change);
        disk.take_pictures([at.load(Ordering::Relaxed) % 3]);
        let store = verify(&disk, &truth, picture.acknowledged);
        assert!(store.close(PATIENCE));
        states += 1;
        for again in disk.pictures() {
            let disk = again.power_cut(seed + 1);
            verify(&disk, &truth, picture.acknowledged);
            states += 1;
        }
        // And after what the start did of its own.
        let disk = disk.power_cut(seed + 2);
        verify(&disk, &truth, picture.acknowledged);
        states += 1;
    }
    states
}

#[test]
fn a_power_cut_costs_nothing_acknowledged_and_makes_nothing_up() {
    let only = std::env::var("PROGRAM").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..PROGRAMS, |seed: u64| seed..seed + 1);
    let (next, states) = (AtomicU64::new(seeds.start), AtomicUsize::new(0));
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return failed;
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(count) => drop(states.fetch_add(count, Ordering::Relaxed)),
                Err(_) => failed.push(seed),
            }
        }
    };
    let failed: Vec<u64> = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let states = states.load(Ordering::Relaxed);
    println!("{states} states");
    assert!(failed.is_empty(), "programs {failed:?} failed; PROGRAM=<n> runs one alone");
    assert!(only.is_some() || states >= 2_000, "{states} states are too few");
}
