//! When a file system will be full, from a slope that outliers do not move (Theil 1950, Sen 1968).

use crate::finding::{Finding, head};
use crate::rules::FILL_FORECAST;
use crate::sentence::{Evidence, Severity};
use crate::window::{Series, Window};
use crate::words;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A trend is carried on for at most so many times the time that it was seen for.
const CARRIED_ON: i64 = 4;

/// Nothing is said of what is further away.
const HORIZON_MS: i64 = 30 * DAY_MS;

/// The least time that a trend of the last half hour must have been seen for: what fills up in minutes.
const MIN_SHORT_MS: i64 = 5 * 60_000;

/// The least time that a trend of days must have been seen for.
const MIN_LONG_MS: i64 = DAY_MS;

/// Fewer points are no trend.
const MIN_POINTS: usize = 20;

/// More points are thinned out: the pairs of so many are computed in a millisecond.
const MAX_POINTS: usize = 200;

/// Pairs of points that must rise, less those that fall, by all: Kendall's tau. At 0.6 four of five rise.
const MIN_TAU: f64 = 0.6;

/// What fills up within the horizon, each file system once.
pub(crate) fn findings(window: &Window) -> Vec<Finding> {
    let of = |id: &str, mountpoint: &str| {
        window.series.iter().find(|one| one.id == id && one.label("mountpoint") == Some(mountpoint))
    };
    let used = window.series.iter().filter(|one| one.id == "disk.partitions.used_bytes");
    let found = used.filter_map(|used| {
        let mountpoint = used.label("mountpoint")?;
        let free = of("disk.partitions.free_bytes", mountpoint)?;
        let left = last(free)?;
        let points: Vec<(i64, f64)> = (0_usize..)
            .zip(&used.values)
            .filter_map(|(step, value)| Some((window.begin_ms(step), (*value)?)))
            .collect();
        let short = Fill::new(&points, left, MIN_SHORT_MS);
        let long = window.trends.iter().find(|trend| trend.mountpoint == mountpoint);
        let long = long.and_then(|trend| Fill::new(&trend.used, left, MIN_LONG_MS));
        let fill = short.or(long)?;
        Some(fill.finding(mountpoint, (used, free), left, window))
    });
    found.collect()
}

/// How a file system fills up.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fill {
    bytes_per_ms: f64,
    /// How long it will take.
    left_ms: i64,
    /// When the trend begins, and how long it was seen for.
    from_ms: i64,
    seen_ms: i64,
}

impl Fill {
    /// None when it does not fill up steadily, or too slowly to say when it will be full.
    fn new(points: &[(i64, f64)], left_bytes: f64, min_ms: i64) -> Option<Self> {
        let points: Vec<(i64, f64)> =
            points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
        let points: Vec<(i64, f64)> =
            points.iter().copied().step_by(points.len().div_ceil(MAX_POINTS).max(1)).collect();
        let (from_ms, seen_ms) =
            (points.first()?.0, points.last()?.0.saturating_sub(points.first()?.0));
        if points.len() < MIN_POINTS || seen_ms < min_ms {
            return None;
        }
        let (bytes_per_ms, tau) = slope(&points)?;
        let newest = points.get(points.len() - points.len() / 4..)?;
        let (newest_per_ms, _) = slope(newest)?;
        if tau < MIN_TAU || bytes_per_ms <= 0.0 || newest_per_ms <= 0.0 {
            return None;
        }
        let left_ms = (left_bytes.max(0.0) / bytes_per_ms).min(i64::MAX as f64) as i64;
        let horizon = HORIZON_MS.min(seen_ms.saturating_mul(CARRIED_ON));
        (left_ms <= horizon).then_some(Self { bytes_per_ms, left_ms, from_ms, seen_ms })
    }

    fn finding(
        &self,
        mountpoint: &str,
        (used, free): (&Series, &Series),
        left: f64,
        window: &Window,
    ) -> Finding {
        let at_ms = window.at_ms;
        let (per, unit) =
            if self.seen_ms < DAY_MS { ("an hour", HOUR_MS) } else { ("a day", DAY_MS) };
        let rate = words::value(self.bytes_per_ms * unit as f64, "bytes");
        let seen = match self.seen_ms {
            days if days >= 6 * DAY_MS => "this week's rate".to_owned(),
            shorter => format!("the rate of the last {}", words::duration(shorter)),
        };
        let evidence = |series: &Series, value: Option<f64>| Evidence {
            select: series.select.clone(),
            from_ms: self.from_ms,
            to_ms: at_ms,
            value,
            unit: series.unit.clone(),
            usual: None,
        };
        Finding {
            rule: &FILL_FORECAST,
            object: Some(mountpoint.to_owned()),
            severity: match self.left_ms {
                under if under < DAY_MS => Severity::Critical,
                under if under < 7 * DAY_MS => Severity::Warning,
                _ => Severity::Notice,
            },
            head: format!(
                "{} in {} at {seen}",
                head(&FILL_FORECAST, Some(mountpoint)),
                words::duration(self.left_ms)
            ),
            clauses: vec![
                format!("{rate} more are used {per}"),
                format!("{} are free", words::value(left, "bytes")),
            ],
            from_ms: self.from_ms,
            begins: false,
            until_ms: None,
            at_ms,
            weight: -(self.left_ms as f64),
            evidence: vec![evidence(used, last(used)), evidence(free, Some(left))],
        }
    }
}

fn last(series: &Series) -> Option<f64> {
    series.values.iter().rev().flatten().copied().find(|value| value.is_finite())
}

/// The median of the slopes of all pairs of points, and Kendall's tau. None without a pair at different times.
fn slope(points: &[(i64, f64)]) -> Option<(f64, f64)> {
    let mut slopes = Vec::new();
    let mut rising = 0.0;
    for (place, (before_ms, before)) in points.iter().enumerate() {
        for (after_ms, after) in points.get(place + 1..).unwrap_or_default() {
            let apart = after_ms.saturating_sub(*before_ms);
            if apart > 0 {
                slopes.push((after - before) / apart as f64);
                rising += f64::from(u8::from(after > before)) - f64::from(u8::from(after < before));
            }
        }
    }
    let middle = slopes.len() / 2;
    let tau = rising / slopes.len() as f64;
    (!slopes.is_empty()).then(|| (*slopes.select_nth_unstable_by(middle, f64::total_cmp).1, tau))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: f64 = (1_u64 << 30) as f64;

    /// So much used at each hour of a week.
    fn week(used: impl Fn(f64) -> f64) -> Vec<(i64, f64)> {
        (0..168).map(|hour| (hour * HOUR_MS, used(hour as f64))).collect()
    }

    fn days_left(points: &[(i64, f64)], free_gib: f64) -> Option<i64> {
        Fill::new(points, free_gib * GIB, MIN_LONG_MS).map(|fill| fill.left_ms / DAY_MS)
    }

    #[test]
    fn a_steady_rise_is_carried_on() {
        let points = week(|hour| 100.0 * GIB + hour * GIB / 12.0);
        assert_eq!(days_left(&points, 19.0), Some(9));
        assert_eq!(days_left(&points, 0.0), Some(0));
        assert_eq!(days_left(&points, 100.0), None, "further away than four weeks");
    }

    #[test]
    fn a_third_of_wild_points_does_not_move_it() {
        let points = week(|hour| match hour as u32 % 7 {
            0 => 400.0 * GIB,
            3 => 0.0,
            _ => 100.0 * GIB + hour * GIB / 2.0,
        });
        let (slope, _) = slope(&points).unwrap();
        let expected = GIB / 2.0 / HOUR_MS as f64;
        assert!((slope / expected - 1.0).abs() < 0.1, "{slope} instead of {expected}");
    }

    #[test]
    fn what_does_not_rise_steadily_has_no_forecast() {
        let flat = week(|_| 100.0 * GIB);
        let saw = week(|hour| 100.0 * GIB + hour % 24.0 * GIB);
        let falls = week(|hour| 100.0 * GIB - hour * GIB / 12.0);
        let was_freed =
            week(|hour| if hour < 140.0 { 100.0 * GIB + hour * GIB } else { 90.0 * GIB });
        let noise = week(|hour| 100.0 * GIB + (hour * 12.9898).sin() * GIB);
        for points in [flat, saw, falls, was_freed, noise] {
            assert_eq!(days_left(&points, 1.0), None, "{:?}", slope(&points));
        }
    }

    #[test]
    fn a_short_trend_is_not_carried_far() {
        let hours = |hours: usize| week(|hour| 100.0 * GIB + hour * GIB)[..hours].to_vec();
        assert_eq!(days_left(&hours(20), 1.0), None, "less than a day");
        assert_eq!(days_left(&hours(26), 90.0), Some(3), "a day, carried on for four");
        assert_eq!(days_left(&hours(26), 110.0), None);
    }

    #[test]
    fn odd_points_give_nothing() {
        for points in [vec![], vec![(0, 1.0)], vec![(5, 1.0); 50], vec![(i64::MIN, f64::NAN); 50]] {
            assert_eq!(Fill::new(&points, 1.0, 0), None);
        }
        let extremes: Vec<_> =
            (0..50_i64).map(|n| (i64::MIN + n * (i64::MAX / 50), f64::MAX * n as f64)).collect();
        assert_eq!(Fill::new(&extremes, f64::MAX, 0), None);
    }
}
