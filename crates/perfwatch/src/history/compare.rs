//! Two stretches of time side by side: today and yesterday, before and after.
//!
//! Both sides have the same steps. A step is paired with the one at the same local time on the other side, so that a
//! change of the clocks between the two moves nothing; a local time that one side does not have is paired with nothing.

mod threshold;

use std::collections::BTreeMap;

use jiff::Timestamp;
use perfwatch_collect::rate::thousandths;
use perfwatch_store::{Answer, MAX_POINTS, Reader, Resolution, Result, Summary, TIERS};
use serde::Serialize;

pub(crate) use threshold::Threshold;

use super::view::View;
use super::{MS, Selected, ask, bounds, meant_by, merged, resolution_ms, start, warnings};
use crate::recorder::nanoseconds;
use crate::selector::Selector;
use crate::when::{Range, Shift};

/// Steps that statistics are computed from, at most. A day gives minutes.
const FINE_POINTS: u64 = 2_000;

/// A base below this part of what it is compared with is near nothing, and a percentage of it says nothing.
const NEAR_NOTHING: f64 = 0.001;

/// What is to be compared.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Which series.
    pub(crate) selectors: &'a [Selector],
    /// The stretch that is looked at.
    pub(crate) range: Range,
    /// Where the one is that it is compared with.
    pub(crate) shift: &'a Shift,
    /// The one that it is compared with.
    pub(crate) other: Range,
    /// Points for each side, at most.
    pub(crate) points: u64,
}

/// Both sides of every series.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// When each step of this side begins, in milliseconds since the epoch.
    pub(crate) t: Vec<i64>,
    /// When the step begins that it is paired with. Null where the other side has no such local time.
    pub(crate) t_base: Vec<Option<i64>>,
    /// Length of a step, on both sides.
    pub(crate) step_ms: i64,
    /// Length of the steps whose means the median and the percentiles are of.
    pub(crate) statistics_step_ms: i64,
    /// How far apart the rows are that this side is made of.
    pub(crate) resolution_ms: Option<i64>,
    /// The series that either side has.
    pub(crate) series: Vec<Compared>,
    /// What may be missing, in words.
    pub(crate) warnings: Vec<String>,
}

/// One series on both sides.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// The metric.
    pub(crate) id: &'static str,
    /// What tells it from others of the metric.
    #[cfg_attr(test, schema(value_type = BTreeMap<String, String>))]
    pub(crate) labels: BTreeMap<&'static str, String>,
    /// Unit of its values. Counters are compared by their increase per second.
    pub(crate) unit: String,
    /// This side.
    pub(crate) now: Side,
    /// What it is compared with.
    pub(crate) base: Side,
    /// Mean of this side less that of the other. Null when either has none.
    pub(crate) change: Option<f64>,
    /// The change in percent of the other side's mean. Null also when that is near 0.
    pub(crate) change_percent: Option<f64>,
    /// Its name, as it is selected.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(skip)]
    key: perfwatch_metrics::SeriesKey,
}

/// One side of a series.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// Mean of each step.
    pub(crate) avg: Vec<Option<f64>>,
    /// Least value of each step.
    pub(crate) min: Vec<Option<f64>>,
    /// Greatest value of each step.
    pub(crate) max: Vec<Option<f64>>,
    /// Of the whole side.
    pub(crate) statistics: Statistics,
}

/// What is known of one side as a whole. Null without any value.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Statistics {
    /// Share of the time that there are values for, from 0 to 1.
    pub(crate) coverage: f64,
    /// Mean over all of it, exactly.
    pub(crate) mean: Option<f64>,
    /// The middle one of the steps' means.
    pub(crate) median: Option<f64>,
    /// 95 of 100 steps' means are not above it.
    pub(crate) p95: Option<f64>,
    /// 99 of 100 steps' means are not above it.
    pub(crate) p99: Option<f64>,
    /// Least value of any row.
    pub(crate) min: Option<f64>,
    /// Greatest value of any row.
    pub(crate) max: Option<f64>,
}

/// Compares.
pub(crate) fn compare(reader: &Reader, request: &Request<'_>) -> Result<Comparison> {
    let ask_for = |bounds, resolution| ask(reader, meant_by(request.selectors), bounds, resolution);
    let mut resolution = Resolution::Points(FINE_POINTS);
    let mut attempts = 0;
    // The same steps on both sides: where one has only a coarser tier left, so has the other.
    let ((answer, selected), (base, base_selected)) = loop {
        let now = ask_for(bounds(&request.range), resolution)?;
        let base = ask_for(bounds(&request.other), Resolution::Step(now.0.step))?;
        attempts += 1;
        if base.0.step == now.0.step || attempts == TIERS.len() {
            break (now, base);
        }
        resolution = Resolution::Step(base.0.step);
    };
    let starts: Vec<i64> = (0..answer.points).map(|point| start(&answer, point)).collect();
    let mut pairs = pairs(request, &starts, answer.step);
    let paired_range = pairs.range(answer.step).unwrap_or(bounds(&request.other));
    let mut overlay = ask_for(paired_range, Resolution::Step(pairs.step))?;
    if overlay.0.step != pairs.step {
        pairs = pairs.whole(answer.step);
        let range = pairs.range(answer.step).unwrap_or(bounds(&request.other));
        overlay = ask_for(range, Resolution::Step(pairs.step))?;
    }
    let (overlay, overlay_selected) = overlay;

    let size = answer.points.div_ceil(usize::try_from(request.points).unwrap_or(usize::MAX).max(1));
    let mut names: Vec<(String, &Selected)> = Vec::new();
    for one in selected.iter().chain(&base_selected) {
        let name = one.key.to_string();
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, one));
        }
    }
    let nothing = vec![Summary::default(); answer.points];
    let of = |(answer, selected): (&Answer, &[Selected]), name: &str| {
        let place = selected.iter().find(|other| other.key.to_string() == name)?.place;
        answer.series.get(place).map(|(_, summaries)| summaries.clone())
    };
    let mut series = Vec::new();
    for (name, any) in names {
        let now = of((&answer, &selected), &name).unwrap_or_else(|| nothing.clone());
        let base = of((&base, &base_selected), &name).unwrap_or_default();
        let paired = of((&overlay, &overlay_selected), &name).map_or_else(
            || nothing.clone(),
            |summaries| pairs.paired(&summaries, overlay.from, overlay.step, answer.step),
        );
        series.push(compared(name, any, (&now, &base, &paired), request, size));
    }
    let every =
        |list: &[Option<i64>]| list.iter().copied().step_by(size.max(1)).collect::<Vec<_>>();
    let shown: Vec<_> = starts.iter().map(|start| Some(*start)).collect();
    let mut notes = warnings(&answer);
    notes.extend(warnings(&base));
    notes.dedup();
    Ok(Comparison {
        t: every(&shown).into_iter().flatten().map(|start| start / MS).collect(),
        t_base: every(&pairs.starts)
            .into_iter()
            .map(|start| start.map(|start| start / MS))
            .collect(),
        step_ms: answer.step * size as i64 / MS,
        statistics_step_ms: answer.step / MS,
        resolution_ms: resolution_ms(&answer),
        series,
        warnings: notes,
    })
}

fn compared(
    name: String,
    any: &Selected,
    (now, base, paired): (&[Summary], &[Summary], &[Summary]),
    request: &Request<'_>,
    size: usize,
) -> Compared {
    let (view, unit) = match any.view {
        View::Counter => (View::Rate(1.0), format!("{}/s", any.key.def.unit.symbol())),
        view => (view, any.key.def.unit.symbol().to_owned()),
    };
    let now = side(view, (now, now), &request.range, size);
    let base = side(view, (base, paired), &request.other, size);
    let change = now.statistics.mean.zip(base.statistics.mean).map(|(now, base)| now - base);
    let change_percent = change
        .zip(base.statistics.mean)
        .and_then(|(change, base)| percent(base + change, base).map(thousandths));
    let change = change.map(thousandths);
    let labels = any.key.labels().map(|(name, value)| (name, value.to_owned())).collect();
    let key = any.key.clone();
    Compared { id: any.key.def.id, labels, unit, now, base, change, change_percent, name, key }
}

/// The change in percent of the base. None when that is near nothing.
fn percent(now: f64, base: f64) -> Option<f64> {
    let largest = now.abs().max(base.abs());
    let known = base.abs() > largest * NEAR_NOTHING && base != 0.0;
    known.then(|| (now - base) / base.abs() * 100.0)
}

/// `fine` is the whole side, of which the statistics are; `shown` the steps that are paired.
fn side(view: View, (fine, shown): (&[Summary], &[Summary]), range: &Range, size: usize) -> Side {
    let mut means: Vec<f64> = fine.iter().filter_map(|one| view.mean(one)).collect();
    means.sort_unstable_by(f64::total_cmp);
    let whole = merged(fine, usize::MAX).into_iter().next().unwrap_or_default();
    let extremes = view.extremes(&whole);
    let length = range.length().as_nanos().max(1) as f64;
    let statistics = Statistics {
        coverage: (whole.covered as f64 / length).min(1.0),
        mean: view.mean(&whole),
        median: quantile(&means, 0.5),
        p95: quantile(&means, 0.95),
        p99: quantile(&means, 0.99),
        min: extremes.map(|(min, _)| min),
        max: extremes.map(|(_, max)| max),
    };
    let steps = merged(shown, size);
    let (min, max) = steps
        .iter()
        .map(|one| view.extremes(one).map_or((None, None), |(min, max)| (Some(min), Some(max))))
        .unzip();
    Side { avg: steps.iter().map(|one| view.mean(one)).collect(), min, max, statistics }
}

/// The value that a share of the sorted values is not above: the nearest rank, so one that did occur.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// With which moment of the other side each step begins.
struct Pairs {
    starts: Vec<Option<i64>>,
    /// Steps of the other side that the paired ones are made of.
    step: i64,
}

/// Pairs each step with the one that begins at the same local time on the other side. Where that would need steps too
/// fine, with the nearest whole step.
fn pairs(request: &Request<'_>, starts: &[i64], step: i64) -> Pairs {
    let partner = |start: i64| {
        let at = Timestamp::from_nanosecond(start.into()).ok()?;
        // The first step may begin before the range does.
        let inside = at.max(request.range.from());
        let partner = request.shift.partner(&request.range, inside)?;
        nanoseconds(partner).checked_sub(nanoseconds(inside).checked_sub(start)?)
    };
    let starts: Vec<Option<i64>> = starts.iter().map(|start| partner(*start)).collect();
    let common = starts.iter().flatten().fold(step, |common, start| gcd(common, *start));
    let points = starts.len() as i64;
    let pairs = Pairs { starts, step: common };
    let few = points.saturating_mul(step / common.max(1)) <= MAX_POINTS as i64;
    if few { pairs } else { pairs.whole(step) }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1).max(1)
}

impl Pairs {
    /// With the nearest whole steps.
    fn whole(self, step: i64) -> Self {
        let nearest =
            |start: i64| start.saturating_add(step / 2).div_euclid(step).saturating_mul(step);
        Self { starts: self.starts.iter().map(|start| start.map(nearest)).collect(), step }
    }

    /// The stretch of the other side that is needed.
    fn range(&self, step: i64) -> Option<(i64, i64)> {
        let starts = || self.starts.iter().flatten().copied();
        Some((starts().min()?, starts().max()?.saturating_add(step)))
    }

    /// Summaries of the other side, one for each step of this one.
    fn paired(&self, base: &[Summary], from: i64, base_step: i64, step: i64) -> Vec<Summary> {
        let size = (step / base_step.max(1)).max(1) as usize;
        let at = |start: &Option<i64>| {
            let first = usize::try_from((*start)?.checked_sub(from)? / base_step.max(1)).ok()?;
            let parts = base.get(first..base.len().min(first.saturating_add(size)))?;
            merged(parts, size).into_iter().next()
        };
        self.starts.iter().map(|start| at(start).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.95), Some(95.0));
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
