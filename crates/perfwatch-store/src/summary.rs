//! What is known of a series over a stretch of time, and how it comes from rows.
//!
//! Everything here is additive: the summary of a day is that of its hours merged, and merging loses nothing. So a
//! bucket of a rollup equals what the raw rows give, whatever order they came in.

use std::time::Duration;

use crate::axis::Axis;
use crate::column::{Column, Values};
use crate::layout::Kind;
use crate::opener::Columns;

/// A fall of a 32-bit counter is a wrap when it grew by less than this across 2^32, else a reset.
const WRAP_WINDOW: u64 = 1 << 28;

/// Columns of a series in a rollup.
const GAUGE_COLUMNS: usize = 5;
const COUNTER_COLUMNS: usize = 7;

/// A series over a stretch of time. Without a value in it, `count` is 0 and nothing else means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Values of a gauge, readings of a counter, units of a ratio's denominator.
    pub count: u64,
    /// Of a counter: steps from one reading to the next whose increase is known.
    pub increments: u64,
    /// Least value of a gauge; least rate of a counter, in thousandths per second; least ratio, in thousandths. Of a
    /// counter without increments, nothing.
    pub min: i64,
    /// As `min`, the greatest.
    pub max: i64,
    /// Sum of a gauge's values; increase of a counter; of a ratio, a thousand times the increase of its numerator.
    pub sum: i128,
    /// Nanoseconds that the values stand for. For a counter, those of its increments.
    pub covered: u64,
    /// The last reading of a counter. Gauges and ratios have none.
    pub last: i64,
}

impl Summary {
    /// Takes in what was measured later.
    pub fn merge(&mut self, later: &Self) {
        if self.count == 0 || later.count == 0 {
            if later.count > 0 {
                *self = *later;
            }
            return;
        }
        // Of a counter without increments, the least is the greatest number there is, and the greatest the least.
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.count = self.count.saturating_add(later.count);
        self.increments = self.increments.saturating_add(later.increments);
        self.sum = self.sum.saturating_add(later.sum);
        self.covered = self.covered.saturating_add(later.covered);
        self.last = later.last;
    }

    fn of_gauge(value: i64, covered: u64) -> Self {
        Self { count: 1, min: value, max: value, sum: value.into(), covered, ..Self::default() }
    }

    fn of_counter(last: i64, increase: Option<u64>, covered: u64) -> Self {
        let reading = Self { count: 1, last, min: i64::MAX, max: i64::MIN, ..Self::default() };
        match increase {
            Some(increase) if covered > 0 => {
                let rate = rate_thousandths(increase, covered);
                Self {
                    increments: 1,
                    min: rate,
                    max: rate,
                    sum: increase.into(),
                    covered,
                    ..reading
                }
            }
            _ => reading,
        }
    }

    fn of_ratio(numerator: u64, denominator: u64, covered: u64) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let ratio = thousandths(numerator as f64 / denominator as f64);
        let sum = i128::from(numerator) * 1000;
        Some(Self { count: denominator, min: ratio, max: ratio, sum, covered, ..Self::default() })
    }
}

/// Increase per second, in thousandths: computed as one would by hand, so that it equals what was shown when it was
/// measured.
fn rate_thousandths(increase: u64, covered: u64) -> i64 {
    thousandths(increase as f64 / Duration::from_nanos(covered).as_secs_f64())
}

fn thousandths(value: f64) -> i64 {
    (value * 1000.0).round() as i64
}

/// How much a counter grew. None when it was reset.
fn increase(kind: &Kind, before: i64, now: i64) -> Option<u64> {
    const WRAP: u64 = 1 << 32;
    let (before, now) = (before as u64, now as u64);
    let wrapped = || {
        let grown = WRAP.checked_sub(before)?.checked_add(now)?;
        (*kind == Kind::Counter32 && grown < WRAP_WINDOW).then_some(grown)
    };
    now.checked_sub(before).or_else(wrapped)
}

/// Shows each raw row's summary of a gauge or a counter. `values` begin with the lead if there is one.
pub(crate) fn each_row(
    kind: &Kind,
    axis: &Axis,
    lead: bool,
    values: &Values,
    mut each: impl FnMut(usize, Summary),
) {
    let rows = values.iter().skip(usize::from(lead));
    for (row, (value, covered)) in rows.zip(&axis.covered).enumerate() {
        let Some(value) = *value else { continue };
        each(
            row,
            match kind {
                Kind::Counter | Kind::Counter32 => {
                    let before = before(values, lead, row).filter(|_| *covered > 0);
                    let grown = before.and_then(|before| increase(kind, before, value));
                    Summary::of_counter(value, grown, *covered)
                }
                _ => Summary::of_gauge(value, *covered),
            },
        );
    }
}

/// A counter that a ratio is made of.
pub(crate) struct Term<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) values: &'a Values,
}

impl Term<'_> {
    fn increase(&self, lead: bool, row: usize) -> Option<u64> {
        let now = (*self.values.get(row + usize::from(lead))?)?;
        increase(self.kind, before(self.values, lead, row)?, now)
    }
}

/// Shows each raw row's summary of a ratio. `marks` say which rows have it.
pub(crate) fn each_ratio(
    axis: &Axis,
    lead: bool,
    marks: &Values,
    (numerator, denominator): (Term<'_>, Term<'_>),
    mut each: impl FnMut(usize, Summary),
) {
    for (row, covered) in axis.covered.iter().enumerate().filter(|(_, covered)| **covered > 0) {
        let marked = marks.get(row + usize::from(lead)).copied().flatten();
        let terms = numerator.increase(lead, row).zip(denominator.increase(lead, row));
        let terms = terms.filter(|_| marked.is_some());
        if let Some(summary) = terms.and_then(|(n, d)| Summary::of_ratio(n, d, *covered)) {
            each(row, summary);
        }
    }
}

/// The value of the row before a row.
fn before(values: &Values, lead: bool, row: usize) -> Option<i64> {
    let position = (row + usize::from(lead)).checked_sub(1)?;
    values.get(position).copied().flatten()
}

/// How many columns a series of this kind has in a rollup.
pub(crate) fn rollup_columns(kind: &Kind) -> usize {
    match kind {
        Kind::Counter | Kind::Counter32 => COUNTER_COLUMNS,
        _ => GAUGE_COLUMNS,
    }
}

/// The columns of a series' summaries, one summary for each row of the axis. Each column is what differs from what can be
/// expected, so that most are zero throughout. A summary too large for 64 bits is left out.
pub(crate) fn to_columns(kind: &Kind, axis: &Axis, summaries: &[Summary]) -> Vec<Values> {
    let counter = rollup_columns(kind) == COUNTER_COLUMNS;
    let mut columns = vec![Values::with_capacity(summaries.len()); rollup_columns(kind)];
    let mut last = 0_i64;
    for (row, summary) in summaries.iter().enumerate() {
        let rows = axis.rows_of(row);
        let missed = rows.wrapping_sub(summary.count) as i64;
        let covered = axis.covered.get(row).copied().unwrap_or_default();
        let uncovered = covered.wrapping_sub(summary.covered) as i64;
        let cells: Option<Vec<Option<i64>>> = if summary.count == 0 {
            None
        } else if counter {
            u64::try_from(summary.sum).ok().map(|increase| {
                let expected = last.wrapping_add(increase as i64);
                last = summary.last;
                let moved = summary.increments > 0;
                vec![
                    Some(missed),
                    Some(summary.count.wrapping_sub(summary.increments) as i64),
                    Some(increase as i64),
                    Some(last.wrapping_sub(expected)),
                    moved.then_some(summary.min),
                    moved.then(|| summary.max.wrapping_sub(summary.min)),
                    moved.then_some(uncovered),
                ]
            })
        } else {
            let least = i128::from(summary.min) * i128::from(summary.count);
            i64::try_from(summary.sum - least).ok().map(|above| {
                let spread = summary.max.wrapping_sub(summary.min);
                vec![Some(missed), Some(summary.min), Some(spread), Some(above), Some(uncovered)]
            })
        };
        for (index, column) in columns.iter_mut().enumerate() {
            column.push(cells.as_ref().and_then(|cells| cells.get(index).copied().flatten()));
        }
    }
    columns
}

/// What [`to_columns`] was given, from the columns that begin at `first`. None when they make no sense.
pub(crate) fn from_columns(
    kind: &Kind,
    axis: &Axis,
    columns: &Columns,
    first: usize,
) -> Option<Vec<Summary>> {
    let rows = axis.times.len();
    match kind {
        Kind::Counter | Kind::Counter32 => counters(&cells(columns, first, rows)?, axis),
        _ => gauges(&cells(columns, first, rows)?, axis),
    }
}

fn cells<const COUNT: usize>(
    columns: &Columns,
    first: usize,
    rows: usize,
) -> Option<[Column; COUNT]> {
    let cells: Option<Vec<_>> =
        (first..first + COUNT).map(|index| columns.column(index, rows)).collect();
    cells?.try_into().ok()
}

fn gauges(cells: &[Column; GAUGE_COLUMNS], axis: &Axis) -> Option<Vec<Summary>> {
    let [missed, least, spread, above, uncovered] = cells;
    let mut summaries = Vec::with_capacity(axis.times.len());
    for (row, covered) in axis.covered.iter().enumerate() {
        let Some(missed) = missed.get(row) else {
            summaries.push(Summary::default());
            continue;
        };
        let count = axis.rows_of(row).wrapping_sub(missed as u64);
        let (min, above) = (least.get(row)?, above.get(row)?);
        summaries.push(Summary {
            count,
            min,
            max: min.wrapping_add(spread.get(row)?),
            sum: i128::from(min) * i128::from(count) + i128::from(above),
            covered: covered.wrapping_sub(uncovered.get(row)? as u64),
            ..Summary::default()
        });
    }
    Some(summaries)
}

fn counters(cells: &[Column; COUNTER_COLUMNS], axis: &Axis) -> Option<Vec<Summary>> {
    let [missed, unmoved, increase, jump, least, spread, uncovered] = cells;
    let mut last = 0_i64;
    let mut summaries = Vec::with_capacity(axis.times.len());
    for (row, covered) in axis.covered.iter().enumerate() {
        let Some(missed) = missed.get(row) else {
            summaries.push(Summary::default());
            continue;
        };
        let count = axis.rows_of(row).wrapping_sub(missed as u64);
        let increments = count.wrapping_sub(unmoved.get(row)? as u64);
        let increase = increase.get(row)?;
        last = last.wrapping_add(increase).wrapping_add(jump.get(row)?);
        let moved = least.get(row).zip(spread.get(row)).zip(uncovered.get(row));
        let (min, max, covered) = match moved {
            Some(((min, spread), uncovered)) => {
                (min, min.wrapping_add(spread), covered.wrapping_sub(uncovered as u64))
            }
            None => (i64::MAX, i64::MIN, 0),
        };
        let sum = i128::from(increase as u64);
        summaries.push(Summary { count, increments, min, max, sum, covered, last });
    }
    Some(summaries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_fall_is_a_wrap_of_32_bits_alone_and_within_the_window() {
        const WRAP: u64 = 1 << 32;
        for (before, now, of_32_bits, of_64_bits) in [
            (7, 9, Some(2), Some(2)),
            (WRAP - 1, 0, Some(1), None),
            (WRAP - 10, WRAP_WINDOW - 11, Some(WRAP_WINDOW - 1), None),
            (WRAP - 10, WRAP_WINDOW - 10, None, None),
            (WRAP + 1, 0, None, None),
            // Above 2^63.
            (i64::MAX as u64, i64::MAX as u64 + 2, Some(2), Some(2)),
            (u64::MAX, 0, None, None),
        ] {
            let grown = |kind| increase(&kind, before as i64, now as i64);
            let known = (grown(Kind::Counter32), grown(Kind::Counter));
            assert_eq!(known, (of_32_bits, of_64_bits), "{before} to {now}");
        }
    }

    #[test]
    fn a_reading_without_an_increase_has_no_part_in_least_and_greatest() {
        let rate = |increase| Summary::of_counter(1, Some(increase), SECOND);
        let reading = Summary::of_counter(2, None, 0);
        for parts in [[rate(5), rate(3), reading], [rate(5), reading, rate(3)]] {
            for turn in 0..3 {
                let mut whole = Summary::default();
                parts.iter().cycle().skip(turn).take(3).for_each(|part| whole.merge(part));
                let Summary { count, increments, min, max, sum, covered, last } = whole;
                assert_eq!((count, increments, min, max), (3, 2, 3_000, 5_000));
                assert_eq!((sum, covered, last), (8, 2 * SECOND, parts[(turn + 2) % 3].last));
            }
        }
    }
}
