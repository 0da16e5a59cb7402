//! One series over the rows of a chunk, as bytes.
//!
//! A column is a tag, then, where values are missing, runs of present and absent ones, then the values: nothing at all
//! for a column without values, one number for one that does not change, else one of three: the first value and the
//! differences, the differences of the differences, or the least value and what each is above it. The one that promises to
//! compress best is taken. All are divided by their greatest common divisor, so that pages, kibibytes and milliseconds cost no
//! more than ones. Arithmetic wraps, so every 64-bit number comes back, counters above 2^63 included.

use crate::bytes::{Input, put, zigzag};

/// Values of a column; None where the row has none.
pub(crate) type Values = Vec<Option<i64>>;

const MODE: u8 = 0b1_0011;
const EMPTY: u8 = 0;
const CONSTANT: u8 = 1;
const DELTA: u8 = 2;
const DELTA_OF_DELTA: u8 = 3;
/// Since format 2: what each value is above the least, for what has no memory of the value before.
const ABOVE_LEAST: u8 = 0b1_0000;
/// Some values are missing: runs follow.
const HOLES: u8 = 0b0100;
/// A divisor of the differences follows.
const DIVISOR: u8 = 0b1000;

/// Appends the column of these values.
pub(crate) fn encode(values: &[Option<i64>], out: &mut Vec<u8>) {
    let present = || values.iter().copied().flatten();
    let (Some(first), Some(least)) = (present().next(), present().min()) else {
        out.push(EMPTY);
        return;
    };
    let mut steps: Vec<u64> = present().map(|value| value.wrapping_sub(least) as u64).collect();
    let holes = if steps.len() < values.len() { HOLES } else { 0 };
    let divisor = steps.iter().fold(0, |divisor, step| gcd(divisor, *step));
    if divisor == 0 {
        out.push(CONSTANT | holes);
        put_holes(values, holes, out);
        put(out, zigzag(first));
        return;
    }
    steps.iter_mut().for_each(|step| *step /= divisor);
    let deltas = || steps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64);
    let ways = [
        (DELTA, first, bytes(deltas().map(zigzag))),
        (DELTA_OF_DELTA, first, bytes(second_differences(deltas()).map(zigzag))),
        (ABOVE_LEAST, least, bytes(steps.iter().copied())),
    ];
    let ways = ways.map(|(mode, start, numbers)| (bits(&numbers), mode, start, numbers));
    let best = ways.into_iter().min_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let Some((_, mode, start, numbers)) = best else { return };
    out.push(mode | holes | if divisor > 1 { DIVISOR } else { 0 });
    put_holes(values, holes, out);
    put(out, zigzag(start));
    if divisor > 1 {
        put(out, divisor);
    }
    out.extend(numbers);
}

/// A column, decoded.
#[derive(Debug)]
pub(crate) enum Column {
    /// The same in every row: most columns of a rollup are.
    Constant(Option<i64>),
    /// A value in every row.
    Whole(Vec<i64>),
    /// A value in some rows.
    Holed(Values),
}

impl Column {
    /// What [`encode`] wrote for so many rows. None when it makes no sense.
    pub(crate) fn decode(bytes: &[u8], rows: usize) -> Option<Self> {
        let mut input = Input(bytes);
        let tag = input.byte()?;
        if tag & MODE == EMPTY {
            return Some(Self::Constant(None));
        }
        let runs = if tag & HOLES == 0 { None } else { Some(take_holes(&mut input, rows)?) };
        let count = runs.as_ref().map_or(rows, |runs| runs.iter().step_by(2).sum());
        let first = input.signed()?;
        if tag & (MODE | HOLES) == CONSTANT {
            return Some(Self::Constant(Some(first)));
        }
        let divisor = if tag & DIVISOR == 0 { 1 } else { input.varint()? as i64 };
        let values = decode_values(&mut input, tag & MODE, (first, divisor), count)?;
        Some(match runs {
            None => Self::Whole(values),
            Some(runs) => Self::Holed(with_holes(&values, &runs, rows)),
        })
    }

    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Constant(value) => *value,
            Self::Whole(values) => values.get(row).copied(),
            Self::Holed(values) => values.get(row).copied().flatten(),
        }
    }

    /// The value of each row.
    pub(crate) fn into_values(self, rows: usize) -> Values {
        match self {
            Self::Constant(value) => vec![value; rows],
            Self::Whole(values) => values.into_iter().map(Some).collect(),
            Self::Holed(values) => values,
        }
    }
}

/// The values that are there. None when they make no sense.
fn decode_values(
    input: &mut Input<'_>,
    mode: u8,
    (first, divisor): (i64, i64),
    count: usize,
) -> Option<Vec<i64>> {
    let mut values = Vec::with_capacity(count);
    // The first value stands by itself, but where each is above the least.
    values.extend((count > 0 && mode != ABOVE_LEAST).then_some(first));
    let (mut value, mut delta) = (first, 0_i64);
    match mode {
        CONSTANT => values.resize(count, first),
        DELTA => {
            while values.len() < count {
                value = value.wrapping_add(input.signed()?.wrapping_mul(divisor));
                values.push(value);
            }
        }
        DELTA_OF_DELTA => {
            while values.len() < count {
                delta = delta.wrapping_add(input.signed()?);
                value = value.wrapping_add(delta.wrapping_mul(divisor));
                values.push(value);
            }
        }
        ABOVE_LEAST => {
            while values.len() < count {
                let above = (input.varint()? as i64).wrapping_mul(divisor);
                values.push(first.wrapping_add(above));
            }
        }
        _ => return None,
    }
    Some(values)
}

/// The values in their rows. The runs are as [`put_holes`] wrote them.
fn with_holes(values: &[i64], runs: &[usize], rows: usize) -> Values {
    let mut all = Values::with_capacity(rows);
    let mut values = values.iter().copied().map(Some);
    for (number, run) in runs.iter().enumerate() {
        match number % 2 {
            0 => all.extend(values.by_ref().take(*run)),
            _ => all.resize(all.len() + run, None),
        }
    }
    all
}

fn second_differences(deltas: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    let mut before = 0_i64;
    deltas.map(move |delta| delta.wrapping_sub(std::mem::replace(&mut before, delta)))
}

fn bytes(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * numbers.size_hint().0);
    numbers.for_each(|number| put(&mut out, number));
    out
}

/// What an ideal coder of single bytes would make of these: zstd's is close to one, where nothing is repeated.
fn bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    let share = |count: f64| count * (all / count).log2();
    counts.iter().filter(|count| **count > 0).map(|count| share(f64::from(*count))).sum()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 && a != 1 {
        (a, b) = (b, a % b);
    }
    if b == 0 { a } else { 1 }
}

/// Lengths of runs, by turns present and absent, the first present.
fn put_holes(values: &[Option<i64>], holes: u8, out: &mut Vec<u8>) {
    if holes == 0 {
        return;
    }
    let mut runs = Vec::new();
    let mut present = true;
    let mut length = 0_u64;
    for value in values {
        if value.is_some() != present {
            runs.push(length);
            (present, length) = (value.is_some(), 0);
        }
        length += 1;
    }
    runs.push(length);
    put(out, runs.len() as u64);
    runs.into_iter().for_each(|run| put(out, run));
}

fn take_holes(input: &mut Input<'_>, rows: usize) -> Option<Vec<usize>> {
    let count = input.length()?;
    if count > rows.checked_add(1)? {
        return None;
    }
    let mut left = rows;
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let run = input.length()?;
        left = left.checked_sub(run)?;
        runs.push(run);
    }
    (left == 0).then_some(runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(values: &[Option<i64>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, &mut out);
        let rows = values.len();
        let decoded = Column::decode(&out, rows).unwrap();
        (0..rows).for_each(|row| assert_eq!(decoded.get(row), values[row]));
        assert_eq!(decoded.into_values(rows), values);
        out
    }

    #[test]
    fn what_does_not_change_costs_next_to_nothing() {
        assert_eq!(bytes(&[None; 512]).len(), 1);
        assert_eq!(bytes(&[Some(0); 512]).len(), 2);
        assert_eq!(bytes(&[Some(7), None, Some(7)]).len(), 6);
        assert_eq!(bytes(&[]).len(), 1);
    }

    #[test]
    fn a_step_of_pages_costs_a_byte() {
        let pages: Vec<_> = (0..100_i64).map(|n| Some((n * n % 60) * 4096)).collect();
        assert!(bytes(&pages).len() <= 104);
    }

    #[test]
    fn noise_is_kept_as_it_is() {
        let mixed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise = |n: u64| mixed(mixed(n) ^ mixed(n) >> 29) >> 58;
        let values: Vec<_> = (0..500).map(|n| Some(1_000_000 + noise(n) as i64)).collect();
        let bytes = bytes(&values);
        assert_eq!((bytes[0], bytes.len()), (ABOVE_LEAST, 504));
    }

    #[test]
    fn a_steady_counter_takes_differences_of_differences() {
        let steady: Vec<_> = (0..100_i64).map(|n| Some(n * 1_000_003 + n % 2)).collect();
        assert!(bytes(&steady).len() < 110);
    }

    #[test]
    fn extremes_come_back() {
        for values in [
            vec![Some(i64::MIN), Some(0), Some(i64::MIN)],
            vec![Some(i64::MIN), Some(i64::MAX), Some(i64::MIN), Some(i64::MAX)],
            vec![Some(0), Some(i64::MIN), Some(0), Some(i64::MIN)],
            vec![Some(-1), Some(u64::MAX as i64), Some(1 << 62)],
        ] {
            bytes(&values);
        }
    }

    proptest! {
        #[test]
        fn every_column_comes_back(values: Vec<Option<i64>>) {
            bytes(&values);
        }

        #[test]
        fn small_multiples_come_back(
            values in prop::collection::vec(prop::option::weighted(0.9, 0_i64..50), 0..600),
            unit in prop::sample::select(vec![1_i64, 1024, 4096, 1_000_000]),
        ) {
            let values: Vec<_> = values.iter().map(|value| value.map(|value| value * unit)).collect();
            bytes(&values);
        }

        #[test]
        fn nonsense_is_refused_or_has_as_many_rows(bytes: Vec<u8>, rows in 0_usize..700) {
            if let Some(column) = Column::decode(&bytes, rows) {
                assert_eq!(column.into_values(rows).len(), rows);
            }
        }
    }
}
