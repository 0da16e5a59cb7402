//! What a store must answer, worked out from what it was given and from the documentation alone: every row is kept, and
//! every bucket is added up anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfwatch_store::{Answer, GroupRow, GroupRows, Kind, Layout, Reader, Row, Series, Summary};

/// A group's series, and the layout made of them.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) group: Arc<str>,
    pub(crate) series: Vec<Series>,
    layout: Arc<Layout>,
}

impl Shape {
    pub(crate) fn new(group: &str, series: Vec<Series>) -> Arc<Self> {
        let layout = Layout::new(group, series.iter().cloned());
        Arc::new(Self { group: group.into(), series, layout })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.series.iter().position(|series| &*series.name == name)
    }
}

/// One group of a row.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) shape: Arc<Shape>,
    pub(crate) covered: u64,
    pub(crate) values: Vec<Option<i64>>,
}

/// A row, and what it says of every series.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) time: i64,
    /// `covered` is what counts: 0 where the row continues none.
    pub(crate) parts: Vec<Part>,
    says: Vec<Vec<Bucket>>,
}

/// What is expected of a series in a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) count: u64,
    pub(crate) increments: u64,
    /// Least and greatest.
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) sum: i128,
    pub(crate) covered: u64,
    pub(crate) last: i64,
}

impl Bucket {
    pub(crate) fn add(&mut self, later: &Self) {
        if later.count == 0 {
            return;
        }
        self.count += later.count;
        self.increments += later.increments;
        self.sum += later.sum;
        self.covered += later.covered;
        self.last = later.last;
        self.range = match (self.range, later.range) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
    }

    /// Whether it may be what is left of another when rows are lost.
    fn is_part_of(&self, whole: &Self) -> bool {
        if self.count == 0 {
            return true;
        }
        if (self.count, self.increments) == (whole.count, whole.increments) {
            // A row that follows a lost one covers nothing.
            return Self { covered: whole.covered, ..*self } == *whole
                && self.covered <= whole.covered;
        }
        let within = match (self.range, whole.range) {
            (Some(one), Some(all)) => all.0 <= one.0 && one.1 <= all.1,
            (one, _) => one.is_none(),
        };
        self.count <= whole.count
            && self.increments <= whole.increments
            && self.covered <= whole.covered
            && within
    }

    /// What a summary says, of those fields that mean something.
    pub(crate) fn of(kind: &Kind, summary: &Summary) -> Self {
        if summary.count == 0 {
            return Self::default();
        }
        let range = Some((summary.min, summary.max));
        let Summary { count, increments, sum, covered, last, .. } = *summary;
        match kind {
            Kind::Counter | Kind::Counter32 => {
                let range = range.filter(|_| increments > 0);
                Self { count, increments, range, sum, covered, last }
            }
            _ => Self { count, increments: 0, range, sum, covered, last: 0 },
        }
    }
}

/// Shows all raw rows there are, group by group. Returns how much could not be read.
pub(crate) fn each_group(
    reader: &Reader,
    mut each: impl FnMut(&GroupRows),
) -> perfwatch_store::Result<u64> {
    let all = (i64::MIN, i64::MAX);
    reader.chunks(
        all,
        |_| true,
        |chunk| {
            chunk.groups.iter().for_each(&mut each);
            ControlFlow::Continue(())
        },
    )
}

/// What was worked out already, by what was asked.
type Known = HashMap<(usize, i64, i64, usize), Arc<Expected>>;

/// Every row, in the order in which it was taken in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    pub(crate) rows: Vec<Arc<Measured>>,
    /// The last row that had each group.
    before: BTreeMap<Arc<str>, Arc<Measured>>,
    /// What [`Truth::check_at_most`] worked out before, for so many rows and these steps. Shared by clones, which are to
    /// go on with the same rows.
    known: Arc<Mutex<Known>>,
}

type Expected = HashMap<Series, Vec<Bucket>>;

impl Truth {
    /// Takes a row in, and returns it for the store.
    pub(crate) fn append(&mut self, time: i64, mut parts: Vec<Part>) -> Row {
        let group = |part: &Part| GroupRow {
            layout: Arc::clone(&part.shape.layout),
            covered: part.covered,
            values: part.values.clone(),
        };
        let row = Row { time, groups: parts.iter().map(group).collect() };
        let mut says = Vec::new();
        for part in &mut parts {
            let before = self.before.get(&*part.shape.group);
            let before = before.and_then(|row| row.part(&part.shape.group));
            if before.is_none() {
                part.covered = 0;
            }
            says.push(part.says(before));
        }
        let measured = Arc::new(Measured { time, parts, says });
        for part in &measured.parts {
            self.before.insert(Arc::clone(&part.shape.group), Arc::clone(&measured));
        }
        self.rows.push(measured);
        row
    }

    /// The next row is the first of a run.
    pub(crate) fn restarted(&mut self) {
        self.before.clear();
    }

    /// Compares an answer with the rows.
    pub(crate) fn check(
        &self,
        answer: &Answer,
        select: impl Fn(&str, &Series) -> bool,
    ) -> Result<usize, String> {
        if answer.damaged > 0 || answer.trouble.is_some() {
            return Err(format!("damaged {}, trouble {:?}", answer.damaged, answer.trouble));
        }
        let mut expected = self.expected(answer, select);
        let mut compared = 0;
        for (series, points) in &answer.series {
            let empty = || vec![Bucket::default(); answer.points];
            let wanted = expected.remove(series).unwrap_or_else(empty);
            if points.len() != answer.points {
                return Err(format!("{}: {} points", series.name, points.len()));
            }
            for (number, (point, wanted)) in points.iter().zip(&wanted).enumerate() {
                let got = Bucket::of(&series.kind, point);
                if got != *wanted {
                    let time = answer.from + number as i64 * answer.step;
                    return Err(format!(
                        "{series:?} at {time} ({} from tier {}):\n  got      {got:?}\n  expected {wanted:?}",
                        answer.step, answer.tier_width
                    ));
                }
                compared += usize::from(wanted.count > 0);
            }
        }
        let missing = expected.iter().find(|(_, points)| points.iter().any(|one| one.count > 0));
        missing.map_or(Ok(compared), |(series, _)| Err(format!("{series:?} is not answered")))
    }

    /// Checks that an answer says nothing that is wrong, though rows may be missing in it: a bucket that has as many values as
    /// it should has the right ones, and no bucket has more. Returns how many buckets are empty that
    /// should not be.
    pub(crate) fn check_at_most(&self, answer: &Answer) -> Result<usize, String> {
        let steps = (self.rows.len(), answer.from, answer.step, answer.points);
        let known = self.known.lock().unwrap().get(&steps).cloned();
        let expected = known.unwrap_or_else(|| {
            let expected = Arc::new(self.expected(answer, |_, _| true));
            self.known.lock().unwrap().insert(steps, Arc::clone(&expected));
            expected
        });
        let nothing = vec![Bucket::default(); answer.points];
        let mut answered = 0;
        for (series, points) in &answer.series {
            let wanted = expected.get(series).unwrap_or(&nothing);
            for (number, (point, wanted)) in points.iter().zip(wanted).enumerate() {
                let got = Bucket::of(&series.kind, point);
                answered += usize::from(got.count > 0);
                if !got.is_part_of(wanted) {
                    let time = answer.from + number as i64 * answer.step;
                    return Err(format!(
                        "{series:?} at {time} ({} from tier {}):\n  got      {got:?}\n  expected {wanted:?} or less",
                        answer.step, answer.tier_width
                    ));
                }
            }
        }
        let all = expected.values().flatten().filter(|bucket| bucket.count > 0).count();
        Ok(all - answered)
    }

    /// Checks that the raw rows there are, are rows that were taken in, and none is there twice. Rows are told apart by
    /// their times. Returns those of which nothing is missing.
    pub(crate) fn check_rows(&self, reader: &Reader) -> Result<BTreeSet<i64>, String> {
        let rows: HashMap<i64, &Arc<Measured>> =
            self.rows.iter().map(|row| (row.time, row)).collect();
        let mut seen = BTreeSet::new();
        let mut whole: BTreeMap<i64, usize> = BTreeMap::new();
        let mut wrong = None;
        let read = each_group(reader, |group| {
            let columns: HashMap<&Series, &Vec<Option<i64>>> =
                group.series.iter().map(|(series, values)| (series, values)).collect();
            for (index, time) in group.times.iter().enumerate() {
                let row = rows.get(time);
                let Some(part) = row.and_then(|row| row.part(&group.group)) else {
                    wrong = Some(format!("{} at {time} was never taken in", group.group));
                    continue;
                };
                if !seen.insert((Arc::clone(&group.group), *time)) {
                    wrong = Some(format!("{} at {time} is there twice", group.group));
                }
                let value = |series: &Series| columns.get(series)?.get(index).copied().flatten();
                let covered = group.covered[index];
                let all = part.shape.series.iter().zip(&part.values);
                let missing = all.filter(|(series, wanted)| {
                    let got = value(series);
                    if got.is_some() && got != **wanted {
                        wrong = Some(format!("{series:?} at {time}: {got:?}, not {wanted:?}"));
                    }
                    got.is_none() && wanted.is_some()
                });
                let missing = missing.count();
                if covered != 0 && covered != part.covered {
                    wrong = Some(format!("{} at {time} covers {covered}", group.group));
                }
                if missing == 0 && covered == part.covered {
                    *whole.entry(*time).or_default() += 1;
                }
            }
        });
        read.map_err(|error| error.to_string())?;
        let whole = whole.into_iter().filter(|(time, parts)| rows[time].parts.len() == *parts);
        wrong.map_or_else(|| Ok(whole.map(|(time, _)| time).collect()), Err)
    }

    /// What an answer with these steps has to say.
    pub(crate) fn expected(
        &self,
        answer: &Answer,
        select: impl Fn(&str, &Series) -> bool,
    ) -> Expected {
        let mut expected: Vec<(Series, Vec<Bucket>)> = Vec::new();
        // Where in that each series of a shape is, and which of them are wanted.
        let mut places: HashMap<*const Shape, Vec<Option<usize>>> = HashMap::new();
        let mut known: HashMap<Series, usize> = HashMap::new();
        for row in &self.rows {
            let point = (row.time - answer.from).div_euclid(answer.step);
            let Ok(point) = usize::try_from(point) else { continue };
            if point >= answer.points {
                continue;
            }
            for (part, says) in row.parts.iter().zip(&row.says) {
                let places = places.entry(Arc::as_ptr(&part.shape)).or_insert_with(|| {
                    let mut place = |series: &Series| {
                        let new = known.len();
                        let place = *known.entry(series.clone()).or_insert(new);
                        if place == new {
                            expected.push((series.clone(), vec![Bucket::default(); answer.points]));
                        }
                        place
                    };
                    let all = part.shape.series.iter();
                    let group = &part.shape.group;
                    all.map(|series| select(group, series).then(|| place(series))).collect()
                });
                for (place, bucket) in places.iter().zip(says) {
                    if let Some(place) = place {
                        expected[*place].1[point].add(bucket);
                    }
                }
            }
        }
        expected.into_iter().collect()
    }
}

impl Measured {
    pub(crate) fn part(&self, group: &str) -> Option<&Part> {
        self.parts.iter().find(|part| &*part.shape.group == group)
    }
}

impl Part {
    fn says(&self, before: Option<&Self>) -> Vec<Bucket> {
        let earlier: Vec<Option<i64>> = match before {
            None => vec![None; self.values.len()],
            Some(before) if Arc::ptr_eq(&before.shape, &self.shape) => before.values.clone(),
            Some(before) => {
                let known: HashMap<&Series, Option<i64>> =
                    before.shape.series.iter().zip(before.values.iter().copied()).collect();
                self.shape.series.iter().map(|series| known.get(series).copied()?).collect()
            }
        };
        let increase = |index: usize| {
            let kind = &self.shape.series[index].kind;
            increase(kind, earlier[index]?, self.values[index]?).filter(|_| self.covered > 0)
        };
        let one = |(index, series): (usize, &Series)| match &series.kind {
            Kind::Gauge => self.values[index].map(|value| gauge(value, self.covered)),
            Kind::Counter | Kind::Counter32 => {
                self.values[index].map(|value| counter(value, increase(index), self.covered))
            }
            Kind::Ratio { numerator, denominator } => {
                let numerator = increase(self.shape.position(numerator)?)?;
                let denominator = increase(self.shape.position(denominator)?)?;
                ratio(numerator, denominator, self.covered)
            }
        };
        let series = self.shape.series.iter().enumerate();
        series.map(|series| one(series).unwrap_or_default()).collect()
    }
}

fn gauge(value: i64, covered: u64) -> Bucket {
    let (range, sum) = (Some((value, value)), value.into());
    Bucket { count: 1, range, sum, covered, ..Bucket::default() }
}

fn counter(last: i64, increase: Option<u64>, covered: u64) -> Bucket {
    let Some(increase) = increase else { return Bucket { count: 1, last, ..Bucket::default() } };
    let rate = increase as f64 / Duration::from_nanos(covered).as_secs_f64();
    let rate = (rate * 1000.0).round() as i64;
    let (range, sum) = (Some((rate, rate)), increase.into());
    Bucket { count: 1, increments: 1, range, sum, covered, last }
}

fn ratio(numerator: u64, denominator: u64, covered: u64) -> Option<Bucket> {
    let ratio = (numerator as f64 / denominator as f64 * 1000.0).round() as i64;
    let (range, sum) = (Some((ratio, ratio)), i128::from(numerator) * 1000);
    let bucket = Bucket { count: denominator, range, sum, covered, ..Bucket::default() };
    (denominator > 0).then_some(bucket)
}

/// How much a counter grew; None when it was set back.
fn increase(kind: &Kind, before: i64, now: i64) -> Option<u64> {
    let (before, now) = (before as u64, now as u64);
    if now >= before {
        return Some(now - before);
    }
    let wraps = *kind == Kind::Counter32 && before <= 1 << 32;
    let grown = wraps.then(|| (1_u64 << 32) - before + now)?;
    (grown < 1 << 28).then_some(grown)
}
