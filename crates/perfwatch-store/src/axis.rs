//! The rows of a group of a chunk: when each was, and what it covers. As columns, they are a frame like any other.

use crate::column::Values;
use crate::opener::Columns;

/// The rows of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Nanoseconds since the epoch. Of a rollup: when the bucket begins.
    pub(crate) times: Vec<i64>,
    /// Nanoseconds that lie between a row and the one it continues; 0 for one that continues none. Of a rollup: the sum.
    pub(crate) covered: Vec<u64>,
    /// Of a rollup: raw rows in each bucket. Empty for raw rows.
    pub(crate) rows: Vec<u64>,
}

impl Axis {
    /// Raw rows that row `row` stands for.
    pub(crate) fn rows_of(&self, row: usize) -> u64 {
        self.rows.get(row).copied().unwrap_or(1)
    }

    /// Covered time is kept as what it differs from the time between the rows.
    pub(crate) fn columns(&self) -> Vec<Values> {
        let expected = differences(&self.times);
        let covered = self.covered.iter().zip(expected);
        let mut columns = vec![
            self.times.iter().copied().map(Some).collect::<Values>(),
            covered
                .map(|(covered, gap)| (*covered > 0).then(|| (*covered as i64).wrapping_sub(gap)))
                .collect(),
        ];
        if !self.rows.is_empty() {
            columns.push(self.rows.iter().map(|rows| Some(*rows as i64)).collect());
        }
        columns
    }

    /// What [`Axis::columns`] made. None when it makes no sense.
    pub(crate) fn from_columns(columns: &Columns, rows: usize) -> Option<Self> {
        let all = |values: Values| values.into_iter().collect::<Option<Vec<i64>>>();
        let times = all(columns.values(0, rows)?)?;
        let covered = columns.values(1, rows)?.into_iter().zip(differences(&times));
        let covered = covered
            .map(|(kept, gap)| kept.map_or(0, |kept| kept.wrapping_add(gap) as u64))
            .collect();
        let rows = match columns.values(2, rows) {
            Some(rows) => all(rows)?.into_iter().map(|rows| rows as u64).collect(),
            None => Vec::new(),
        };
        Some(Self { times, covered, rows })
    }
}

/// From each to the one before; for the first, as for the second.
fn differences(times: &[i64]) -> Vec<i64> {
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    gaps.insert(0, gaps.first().copied().unwrap_or_default());
    gaps
}
