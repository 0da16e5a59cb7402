//! How a series of the store becomes series of the catalog: a counter is itself and its rate; what is kept as
//! integers gets its decimals back.

use perfwatch_collect::rate::thousandths;
use perfwatch_metrics::{Kept, SeriesKey, catalog};
use perfwatch_store::{Kind, Series, Summary};

use super::Points;
use crate::recorder::decimals;

/// What is made of a series' summaries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum View {
    /// Values of a gauge or a ratio, with so many decimals.
    Values(u32),
    /// What was counted from row to row, with so many decimals.
    Amounts(u32),
    /// A counter's readings.
    Counter,
    /// A counter's increase per second, times a scale.
    Rate(f64),
}

/// The catalog's series that come from one of the store's. None for one of a metric that is not known any more.
pub(crate) fn views(series: &Series) -> Vec<(SeriesKey, View)> {
    let Some(key) = SeriesKey::parse(&series.name) else { return Vec::new() };
    match series.kind {
        Kind::Gauge | Kind::Ratio { .. } => {
            let decimals = decimals(key.def);
            let view = match key.def.kept {
                Kept::Amount { .. } => View::Amounts(decimals),
                _ => View::Values(decimals),
            };
            vec![(key, view)]
        }
        Kind::Counter | Kind::Counter32 => {
            let derived = catalog().filter_map(|def| {
                let view = match def.kept {
                    _ if def.id == key.def.id => View::Counter,
                    Kept::Rate { of, scale } if of == key.def.id => View::Rate(scale),
                    _ => return None,
                };
                Some((SeriesKey { def, labels: key.labels.clone() }, view))
            });
            derived.collect()
        }
    }
}

impl View {
    /// The mean: the same arithmetic as where the snapshot's values are made, so that one row gives the snapshot's value.
    pub(crate) fn mean(self, summary: &Summary) -> Option<f64> {
        match self {
            _ if summary.count == 0 => None,
            Self::Values(decimals) | Self::Amounts(decimals) => {
                let scale = 10_f64.powi(decimals as i32);
                let digits = scale.max(1000.0);
                let count = i128::from(summary.count);
                if summary.sum % count == 0 {
                    return Some(unscaled(summary.sum / count, decimals));
                }
                let mean = summary.sum as f64 / summary.count as f64;
                Some((mean / scale * digits).round() / digits)
            }
            Self::Counter => None,
            Self::Rate(scale) => (summary.increments > 0).then(|| {
                let seconds = std::time::Duration::from_nanos(summary.covered).as_secs_f64();
                thousandths(summary.sum as f64 * scale / seconds)
            }),
        }
    }

    /// The least and the greatest value.
    pub(crate) fn extremes(self, summary: &Summary) -> Option<(f64, f64)> {
        let decimals = match self {
            _ if summary.count == 0 => return None,
            Self::Values(decimals) | Self::Amounts(decimals) => decimals,
            Self::Counter => return None,
            Self::Rate(_) if summary.increments == 0 => return None,
            // Kept to the thousandth before the scale: of a single one, the mean knows more digits.
            Self::Rate(scale) if scale != 1.0 => {
                let scaled = |rate: i64| thousandths(rate as f64 / 1000.0 * scale);
                return match self.mean(summary) {
                    Some(mean) if summary.increments == 1 => Some((mean, mean)),
                    _ => Some((scaled(summary.min), scaled(summary.max))),
                };
            }
            Self::Rate(_) => 3,
        };
        Some((unscaled(summary.min.into(), decimals), unscaled(summary.max.into(), decimals)))
    }

    /// The points of a series.
    pub(crate) fn points(self, summaries: &[Summary]) -> Points {
        let each = || summaries.iter();
        if self == Self::Counter {
            let some = |summary: &Summary| summary.count > 0;
            return Points::Counter {
                last: each().map(|one| some(one).then_some(one.last as u64)).collect(),
                increase: each()
                    .map(|one| u64::try_from(one.sum).ok().filter(|_| one.increments > 0))
                    .collect(),
                count: each().map(|one| one.count).collect(),
            };
        }
        let (min, max) = each()
            .map(|one| self.extremes(one).map_or((None, None), |(min, max)| (Some(min), Some(max))))
            .unzip();
        let count =
            |one: &Summary| if matches!(self, Self::Rate(_)) { one.increments } else { one.count };
        let increase = |decimals: u32| {
            let sum = |one: &Summary| (one.count > 0).then(|| unscaled(one.sum, decimals));
            each().map(sum).collect()
        };
        Points::Values {
            avg: each().map(|one| self.mean(one)).collect(),
            min,
            max,
            increase: match self {
                Self::Amounts(decimals) => Some(increase(decimals)),
                _ => None,
            },
            count: each().map(count).collect(),
        }
    }
}

/// A number that was kept as an integer. A whole one stays whole, where digits of a float would not suffice for both.
fn unscaled(number: i128, decimals: u32) -> f64 {
    let scale = 10_i128.pow(decimals);
    if number % scale == 0 { (number / scale) as f64 } else { number as f64 / scale as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_cpus_come_back_to_the_last_digit() {
        // 256 CPUs at 5 GHz and 4 instructions per cycle for a minute.
        let count = 307_200_000_000_001_i64;
        let value = i128::from(count) * 1000;
        let summary = Summary {
            count: 2,
            min: count * 1000,
            max: count * 1000,
            sum: 2 * value,
            ..Summary::default()
        };
        let view = View::Amounts(3);
        assert_eq!(view.mean(&summary), Some(count as f64));
        assert_eq!(view.extremes(&summary), Some((count as f64, count as f64)));
        let Points::Values { increase, .. } = view.points(&[summary]) else { panic!() };
        assert_eq!(increase, Some(vec![Some(614_400_000_000_002.0)]));
    }

    #[test]
    fn a_scaled_rate_of_one_row_is_the_snapshot_s_to_the_last_digit() {
        // 123,457 µs of 2.000001 s.
        let summary = Summary {
            count: 2,
            increments: 1,
            sum: 123_457,
            covered: 2_000_001_000,
            min: 61_728_469,
            max: 61_728_469,
            ..Summary::default()
        };
        let view = View::Rate(1e-4);
        assert_eq!(view.mean(&summary), Some(6.173));
        assert_eq!(view.extremes(&summary), Some((6.173, 6.173)));
        let two = Summary { increments: 2, max: 99_999_999, ..summary };
        assert_eq!(view.extremes(&two), Some((6.173, 10.0)));
    }
}
