//! A host that makes rows up: groups that come and go, series that appear and vanish, counters that are reset, wrap or
//! are huge, a clock that is set.

use std::sync::Arc;

use perfwatch_store::{Kind, Row, Series};

use crate::rng::Rng;
use crate::truth::{Part, Shape, Truth};

pub(crate) const SECOND: i64 = 1_000_000_000;

/// The group that every row has: one gauge, the row's number.
pub(crate) const NUMBERS: &str = "numbers";

/// 2023-11-14 22:13:20, away from the end of an hour.
pub(crate) const BEGIN: i64 = 1_700_000_000 * SECOND;

/// The host.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) rng: Rng,
    pub(crate) truth: Truth,
    /// Time of the last row.
    pub(crate) now: i64,
    pub(crate) interval: i64,
    /// The next row continues none.
    pub(crate) gap: bool,
    /// Each row is a little early or late.
    pub(crate) jitter: bool,
    groups: Vec<Group>,
    numbers: Arc<Shape>,
    number: i64,
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    shape: Arc<Shape>,
    now: Vec<Meter>,
    made: u64,
    /// Once in so many rows it is not there.
    fails: u64,
}

/// Where a series stands.
#[derive(Debug, Clone)]
struct Meter {
    value: i64,
    /// The greatest increase, or step of a gauge.
    pace: u64,
    /// Once in so many rows there is no value.
    misses: u64,
}

pub(crate) fn series(name: impl AsRef<str>, kind: Kind) -> Series {
    Series { name: name.as_ref().into(), kind }
}

impl Load {
    pub(crate) fn new(seed: u64, groups: u64) -> Self {
        let mut rng = Rng::new(seed);
        let groups = (0..groups).map(|number| Group::new(format!("g{number}"), &mut rng)).collect();
        Self {
            truth: Truth::default(),
            now: BEGIN + rng.between(0, 7200) * SECOND,
            interval: *rng.pick(&[SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND]),
            gap: false,
            jitter: rng.one_in(2),
            numbers: Shape::new(NUMBERS, vec![series("numbers.row", Kind::Gauge)]),
            number: 0,
            groups,
            rng,
        }
    }

    /// Only what is simple: nothing is missing and the clock runs evenly.
    pub(crate) fn steady(mut self, interval: i64) -> Self {
        (self.jitter, self.interval) = (false, interval);
        for group in &mut self.groups {
            group.fails = u64::MAX;
        }
        self
    }

    /// How many rows there were.
    pub(crate) fn rows(&self) -> u64 {
        self.number as u64
    }

    /// The next row.
    pub(crate) fn row(&mut self) -> Row {
        let early = if self.jitter { self.rng.between(0, self.interval / 20) } else { 0 };
        self.now += self.interval;
        let gap = std::mem::take(&mut self.gap);
        let covered = if gap { 0 } else { self.interval as u64 - early as u64 };
        let numbers =
            Part { shape: Arc::clone(&self.numbers), covered, values: vec![Some(self.number)] };
        let mut parts = vec![numbers];
        self.number += 1;
        for group in &mut self.groups {
            let values = group.values(&mut self.rng);
            if !self.rng.one_in(group.fails) {
                let late = self.rng.one_in(50);
                let covered = if late { covered + 1_000_000 } else { covered };
                parts.push(Part { shape: Arc::clone(&group.shape), covered, values });
            }
        }
        self.truth.append(self.now - early, parts)
    }

    /// Some series of some group appear or vanish.
    pub(crate) fn change_layout(&mut self) {
        let number = self.rng.below(self.groups.len() as u64) as usize;
        self.groups[number].change(&mut self.rng);
    }

    /// A group has so many series for a while that it takes several pages.
    pub(crate) fn grow(&mut self) {
        let number = self.rng.below(self.groups.len() as u64) as usize;
        let count = 257 + self.rng.below(400);
        let group = &mut self.groups[number];
        group.shape_of(count, &mut self.rng);
    }

    /// That group has few series again.
    pub(crate) fn shrink(&mut self) {
        for group in self.groups.iter_mut().filter(|group| group.now.len() > 100) {
            group.shape_of(5, &mut self.rng);
        }
    }

    /// The clock is set.
    pub(crate) fn step_clock(&mut self) {
        let by = match self.rng.below(4) {
            0 => self.rng.between(-2, 2),
            1 => self.rng.between(-120, 120),
            2 => self.rng.between(-7200, 7200),
            _ => self.rng.between(-86_400, 86_400),
        };
        self.now += by * SECOND;
    }
}

impl Group {
    fn new(name: String, rng: &mut Rng) -> Self {
        let fails = *rng.pick(&[u64::MAX, u64::MAX, 40, 5]);
        let shape = Shape::new(&name, Vec::new());
        let mut group = Self { name, shape, now: Vec::new(), made: 0, fails };
        let count = rng.below(10);
        group.shape_of(count, rng);
        group
    }

    /// Begins anew with so many series.
    fn shape_of(&mut self, count: u64, rng: &mut Rng) {
        let mut all = Vec::new();
        self.now.clear();
        for _ in 0..count {
            self.add(&mut all, rng);
        }
        self.shape = Shape::new(&self.name, all);
    }

    fn add(&mut self, all: &mut Vec<Series>, rng: &mut Rng) {
        self.made += 1;
        // Names come back now and then, some with another kind.
        let number = if rng.one_in(4) { rng.below(self.made) } else { self.made };
        let name = format!("{}.s{number}", self.name);
        if all.iter().any(|series| *series.name == *name) {
            return;
        }
        let (kind, pace, value) = match rng.below(8) {
            0 | 1 => (Kind::Gauge, *rng.pick(&[0, 1, 1000, 1 << 40]), rng.between(-9, 9) << 30),
            2 | 3 => (Kind::Counter, *rng.pick(&[0, 1, 1000, 1 << 30]), rng.between(0, 1 << 40)),
            // Under a name of its own: what grows by 2^64 in an hour is no counter, and left out of rollups.
            4 => {
                all.push(series(format!("{}.h{}", self.name, self.made), Kind::Counter));
                let value = (u64::MAX - rng.below(1 << 20)) as i64;
                return self.now.push(Meter { value, pace: 1000, misses: 50 });
            }
            5 | 6 => (Kind::Counter32, *rng.pick(&[1, 1 << 10, 1 << 27]), (1 << 32) - (1 << 20)),
            _ => return self.add_ratio(all, rng),
        };
        all.push(series(name, kind));
        let misses = *rng.pick(&[u64::MAX, u64::MAX, 3, 50]);
        self.now.push(Meter { value, pace, misses });
    }

    /// A ratio and the two counters it is made of, whose kinds never change.
    fn add_ratio(&mut self, all: &mut Vec<Series>, rng: &mut Rng) {
        let name = |what: &str| -> Arc<str> { format!("{}.{what}{}", self.name, self.made).into() };
        let (numerator, denominator) = (name("n"), name("d"));
        let kind = Kind::Ratio { numerator: numerator.clone(), denominator: denominator.clone() };
        let misses = *rng.pick(&[u64::MAX, 20]);
        for one in [
            series(numerator, Kind::Counter),
            series(name("r"), kind),
            series(denominator, if rng.one_in(3) { Kind::Counter32 } else { Kind::Counter }),
        ] {
            all.push(one);
            let value = rng.between(0, 1 << 20);
            self.now.push(Meter { value, pace: *rng.pick(&[3, 1 << 20]), misses });
        }
    }

    fn change(&mut self, rng: &mut Rng) {
        let mut all = self.shape.series.clone();
        for _ in 0..1 + rng.below(3) {
            if rng.one_in(2) && !all.is_empty() {
                // Any but what a ratio is made of.
                let gone = rng.below(all.len() as u64) as usize;
                let name = Arc::clone(&all[gone].name);
                let needed = all.iter().any(|series| match &series.kind {
                    Kind::Ratio { numerator, denominator } => {
                        *numerator == name || *denominator == name
                    }
                    _ => false,
                });
                if !needed {
                    all.remove(gone);
                    self.now.remove(gone);
                }
            } else {
                self.add(&mut all, rng);
            }
        }
        if rng.one_in(4) {
            all.reverse();
            self.now.reverse();
        }
        self.shape = Shape::new(&self.name, all);
    }

    fn values(&mut self, rng: &mut Rng) -> Vec<Option<i64>> {
        let series = self.shape.series.iter().zip(&mut self.now);
        series.map(|(series, meter)| meter.read(&series.kind, rng)).collect()
    }
}

impl Meter {
    fn read(&mut self, kind: &Kind, rng: &mut Rng) -> Option<i64> {
        let step = rng.below(self.pace + 1) as i64;
        let reset = rng.one_in(60);
        match kind {
            Kind::Ratio { .. } => return None,
            Kind::Gauge => self.value += if rng.one_in(2) { step } else { -step },
            _ if reset => self.value = rng.between(0, 1000),
            Kind::Counter => self.value = self.value.wrapping_add(step),
            // A source that has more than 32 bits after all, for once.
            Kind::Counter32 if rng.one_in(200) => self.value += 1 << 32,
            Kind::Counter32 => self.value = (self.value + step) % (1 << 32),
        }
        (!rng.one_in(self.misses)).then_some(self.value)
    }
}
