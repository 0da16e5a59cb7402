//! Random programs against the truth: whatever was appended, in whatever way the store ended in between, every bucket of
//! every answer is what the rows add up to, from whichever tier it came.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use perfwatch_store::{Error, Options, Query, Reader, Resolution, Series, Store};

use crate::load::{Load, NUMBERS, SECOND};
use crate::rng::Rng;
use crate::sim::SimDisk;
use crate::truth::each_group;

const PROGRAMS: u64 = 1_000;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Commits as soon as there is something.
pub(crate) fn eager() -> Options {
    Options { commit_interval: Duration::from_millis(1), ..Options::default() }
}

/// A run of a store.
struct World {
    load: Load,
    disk: SimDisk,
    store: Option<Store>,
    /// So many rows are acknowledged.
    acknowledged: usize,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xabcd);
        let load = Load::new(seed, 1 + rng.below(4));
        let disk = SimDisk::new();
        let store = Some(Store::on(disk.arc(), eager(), |_, _| Vec::new()).unwrap());
        Self { load, disk, store, acknowledged: 0, log: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn append(&mut self, count: u64) {
        self.note("append", count);
        for _ in 0..count {
            let row = self.load.row();
            self.store().append(row);
        }
    }

    fn note(&mut self, what: &str, how: impl Debug) {
        self.log.push(format!("{what} {how:?}"));
    }

    fn flush(&mut self) {
        self.note("flush", ());
        assert!(self.store().flush(PATIENCE), "flush: {:?}", self.store().health());
        self.acknowledged = self.load.truth.rows.len();
    }

    /// One step. False when the program ends with it.
    fn step(&mut self) -> bool {
        match self.load.rng.below(40) {
            0..=9 => {
                let count = 1 + self.load.rng.below(20);
                self.append(count);
            }
            10..=13 => {
                let count = 100 + self.load.rng.below(500);
                self.append(count);
            }
            14..=17 => {
                self.note("change layout", ());
                self.load.change_layout();
            }
            18 if self.load.rng.one_in(4) => {
                self.note("grow", ());
                self.load.grow();
                let count = 1 + self.load.rng.below(20);
                self.append(count);
                self.load.shrink();
            }
            18 | 19 => self.load.gap = true,
            20 | 21 => {
                self.load.step_clock();
                self.note("clock", self.load.now);
            }
            22 | 23 => {
                let all = [SECOND / 4, SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE];
                self.load.interval = *self.load.rng.pick(&all);
                self.note("interval", self.load.interval);
            }
            24..=27 => self.flush(),
            28..=33 => self.query(),
            34 | 35 => self.reopen(),
            36 | 37 => self.crash(),
            38 => {
                self.flush();
                self.cut_power();
            }
            _ => {
                self.cut_power();
                return false;
            }
        }
        true
    }

    fn open(&mut self) {
        self.store = Some(Store::on(self.disk.arc(), eager(), |_, _| Vec::new()).unwrap());
        self.load.truth.restarted();
        assert_eq!(self.store().health().trouble, None, "after opening");
    }

    fn reopen(&mut self) {
        self.note("reopen", ());
        let closed = self.store.take().unwrap().close(PATIENCE);
        assert!(closed, "close");
        self.acknowledged = self.load.truth.rows.len();
        self.open();
    }

    fn crash(&mut self) {
        self.note("crash", ());
        self.disk = self.disk.crash();
        self.open();
        let there = numbers(self.store().reader());
        self.keep(&there);
    }

    fn cut_power(&mut self) {
        let seed = self.load.rng.next();
        self.note("cut power", seed);
        self.disk = self.disk.power_cut(seed);
        self.open();
        let there = numbers(self.store().reader());
        if self.acknowledged == self.load.truth.rows.len() {
            self.keep(&there);
            return;
        }
        // Of a commit that was under way, any part may be there; what is later is for another test.
        let twice: BTreeSet<_> = there.iter().collect();
        assert_eq!(twice.len(), there.len(), "rows are there twice");
        for row in &self.load.truth.rows[..self.acknowledged] {
            let number = row.part(NUMBERS).unwrap().values[0].unwrap();
            assert!(twice.contains(&number), "acknowledged row {number} is lost");
        }
    }

    /// Checks that the rows with these numbers are what may be there after a crash, and forgets the others.
    fn keep(&mut self, there: &[i64]) {
        let rows = &mut self.load.truth.rows;
        let all: Vec<i64> =
            rows.iter().map(|row| row.part(NUMBERS).unwrap().values[0].unwrap()).collect();
        assert!(all.starts_with(there), "rows there are not the first ones, once each: {there:?}");
        assert!(there.len() >= self.acknowledged, "{} rows of {}", there.len(), self.acknowledged);
        rows.truncate(there.len());
        self.acknowledged = there.len();
    }

    fn query(&mut self) {
        let rng = &mut self.load.rng;
        let times = || self.load.truth.rows.iter().map(|row| row.time);
        let (Some(min), Some(max)) = (times().min(), times().max()) else { return };
        let (one, other) = (rng.between(min, max + MINUTE), rng.between(min - MINUTE, max));
        let (mut from, mut to) = (one.min(other), one.max(other) + 1);
        if rng.one_in(3) {
            (from, to) = (min, max + 1);
        }
        let resolution = if rng.one_in(3) {
            Resolution::Points(1 + rng.below(300))
        } else {
            let steps = [SECOND, 7 * SECOND, 60 * SECOND, 300 * SECOND, HOUR, 2 * HOUR, 24 * HOUR];
            Resolution::Step(*rng.pick(&steps))
        };
        if let Resolution::Step(step) = resolution {
            to = to.min(from.saturating_add(step.saturating_mul(5_000)));
        }
        let part = rng.below(4);
        let group = format!("g{}", rng.below(4));
        let select = |name: &str, series: &Series| match part {
            0 => true,
            1 => name == group,
            _ => series.name.len() as u64 % 3 == part % 3,
        };
        self.note("query", (from, to, resolution, part));
        self.check(Query { from, to, resolution }, &select);
    }

    /// Asks, in two halves where one answer would be too large.
    fn check(&self, query: Query, select: &dyn Fn(&str, &Series) -> bool) {
        let answer = match self.store().reader().query(&query, select) {
            Err(Error::TooMuch(_)) => {
                let Resolution::Step(step) = query.resolution else { return };
                let middle = query.from + (query.to - query.from) / 2;
                let middle = middle.div_euclid(step) * step;
                assert!(middle > query.from, "{query:?}: too much for a step");
                self.check(Query { to: middle, ..query }, select);
                return self.check(Query { from: middle, ..query }, select);
            }
            other => other.unwrap(),
        };
        assert!(answer.from <= query.from);
        let end = i128::from(answer.from) + answer.points as i128 * i128::from(answer.step);
        assert!(end >= query.to.into());
        match query.resolution {
            Resolution::Step(step) => assert_eq!(answer.step, step),
            Resolution::Points(points) => assert!(answer.points as u64 <= points + 1),
        }
        if let Err(wrong) = self.load.truth.check(&answer, select) {
            panic!("{query:?}: {wrong}");
        }
    }

    /// Everything, in every tier.
    fn check_all(&self) {
        let times = || self.load.truth.rows.iter().map(|row| row.time);
        let (Some(min), Some(max)) = (times().min(), times().max()) else { return };
        for step in [7 * SECOND, MINUTE, HOUR] {
            let most = step.saturating_mul(10_000);
            let mut from = min;
            while from <= max {
                let to = (max + 1).min(from + most);
                let query = Query { from, to, resolution: Resolution::Step(step) };
                self.check(query, &|_, _| true);
                from = to.div_euclid(step) * step;
                if to > max {
                    break;
                }
            }
        }
    }
}

/// The numbers of the rows there are, in order.
pub(crate) fn numbers(reader: &Reader) -> Vec<i64> {
    let mut numbers = Vec::new();
    let all = each_group(reader, |group| {
        if &*group.group == NUMBERS {
            numbers.extend(group.series[0].1.iter().flatten());
        }
    });
    all.unwrap();
    numbers
}

fn run(seed: u64) -> Result<(), Vec<String>> {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let steps = 10 + world.load.rng.below(30);
        for _ in 0..steps {
            if !world.step() {
                return;
            }
        }
        world.flush();
        world.check_all();
        world.reopen();
        world.check_all();
    }));
    outcome.map_err(|_| world.log)
}

#[test]
fn every_answer_is_what_the_rows_add_up_to() {
    let only = std::env::var("PROGRAM").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..PROGRAMS, |seed: u64| seed..seed + 1);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) || failed.len() > 10 {
                return failed;
            }
            if let Err(log) = run(seed) {
                println!("program {seed}: {log:#?}");
                failed.push(seed);
            }
        }
    };
    let failed: Vec<u64> = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "programs {failed:?} failed; PROGRAM=<n> runs one alone");
}
