//! Which steps a question is answered in, and from which tier.

use crate::answer::Query;
use crate::error::{Error, Result};
use crate::file::TIERS;
use crate::reader::MAX_POINTS;
use crate::summary::Summary;

const SECOND: i64 = 1_000_000_000;

/// Steps that people can read an axis by, in seconds. Each of a minute or more is made of whole minutes, and each of an
/// hour or more of whole hours.
const STEPS: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800,
];

/// How fine an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// As fine as possible with at most so many points, and no finer than the rows are.
    Points(u64),
    /// Steps of so many nanoseconds.
    Step(i64),
}

/// The steps and the tier of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) step: i64,
    pub(crate) points: u64,
    pub(crate) tier: u8,
}

impl Plan {
    /// `oldest` says when the data of a tier begins.
    pub(crate) fn new(query: &Query, oldest: impl Fn(u8) -> Option<i64>) -> Result<Self> {
        let step = match query.resolution {
            Resolution::Step(step) => step,
            Resolution::Points(points) => step_for(query, points, 0),
        };
        let mut plan = Self::with_step(query, step)?;
        plan.tier = (0..TIERS.len() as u8)
            .rev()
            .find(|tier| divides(*tier, plan.step) && (*tier == 0 || oldest(*tier).is_some()))
            .unwrap_or_default();
        // What is older than a tier's data may be there in a coarser one.
        for tier in plan.tier + 1..TIERS.len() as u8 {
            let width = width(tier);
            let begins = oldest(plan.tier).unwrap_or(i64::MAX);
            let further = oldest(tier).is_some_and(|oldest| oldest.saturating_add(width) <= begins);
            if plan.from < begins && further {
                let step = match query.resolution {
                    Resolution::Points(points) => step_for(query, points, width),
                    Resolution::Step(step) => step.saturating_add(width - 1) / width * width,
                };
                plan = Self { tier, ..Self::with_step(query, step)? };
            }
        }
        Ok(plan)
    }

    /// The same with steps that are no shorter than the time from one row to the next.
    pub(crate) fn no_finer_than(self, query: &Query, interval: i64) -> Result<Self> {
        // Rows come a little early or late.
        let least = interval - interval / 10;
        if self.step >= least {
            return Ok(self);
        }
        let step = STEPS.iter().map(|step| step * SECOND).find(|step| *step >= least);
        Ok(Self { tier: self.tier, ..Self::with_step(query, step.unwrap_or(self.step))? })
    }

    fn with_step(query: &Query, step: i64) -> Result<Self> {
        let nonsense =
            || Error::TooMuch("the range ends before it begins, or a step is nothing".to_owned());
        if step <= 0 || query.to <= query.from {
            return Err(nonsense());
        }
        let from = query.from.div_euclid(step).saturating_mul(step);
        let points = i128::from(query.to) - i128::from(from);
        let points = points.unsigned_abs().div_ceil(step.unsigned_abs().into());
        let points = u64::try_from(points).map_err(|_| nonsense())?;
        if points > MAX_POINTS + 1 {
            return Err(Error::TooMuch(format!(
                "{points} points: at most {MAX_POINTS}; ask for longer steps or a shorter range"
            )));
        }
        let to = i128::from(from) + i128::from(points) * i128::from(step);
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        Ok(Self { from, to, step, points, tier: 0 })
    }

    /// Whether rows from one time to another may be in it.
    pub(crate) fn overlaps(&self, min: i64, max: i64) -> bool {
        min < self.to && max >= self.from
    }

    /// Its points, as long as nothing is known of them.
    pub(crate) fn nothing(&self) -> Vec<Summary> {
        vec![Summary::default(); self.points as usize]
    }

    /// The last of its steps alone, from the one that a time is in.
    pub(crate) fn rest_from(&self, time: i64) -> Self {
        match self.step_of(time) {
            Some((begins, number)) if (number as u64) < self.points => {
                Self { from: begins, points: self.points - number as u64, ..*self }
            }
            _ => *self,
        }
    }

    /// Merges what rows say into the points.
    pub(crate) fn put(&self, points: &mut [Summary], times: &[i64], summaries: &[Summary]) {
        let mut step: Option<(i64, usize)> = None;
        for (time, summary) in times.iter().zip(summaries).filter(|(_, one)| one.count > 0) {
            // Most rows are in the step of the row before, and to divide costs as much as to merge.
            let is_in = |begins: i64| (begins..begins.saturating_add(self.step)).contains(time);
            step = step.filter(|(begins, _)| is_in(*begins)).or_else(|| self.step_of(*time));
            if let Some(point) = step.and_then(|(_, place)| points.get_mut(place)) {
                point.merge(summary);
            }
        }
    }

    /// When the step begins that a time is in, and its number.
    fn step_of(&self, time: i64) -> Option<(i64, usize)> {
        let since = time.checked_sub(self.from).filter(|since| *since >= 0)?;
        Some((time - since % self.step, usize::try_from(since / self.step).ok()?))
    }
}

fn width(tier: u8) -> i64 {
    TIERS.get(usize::from(tier)).map_or(0, |tier| tier.width)
}

fn divides(tier: u8, step: i64) -> bool {
    tier == 0 || step % width(tier) == 0
}

/// The shortest step with at most so many points that is made of whole buckets of this width. The range counts as widened to
/// whole steps.
fn step_for(query: &Query, points: u64, width: i64) -> i64 {
    let points = i128::from(points.clamp(1, MAX_POINTS));
    let fits = |step: &i64| {
        let begins = i128::from(query.from.div_euclid(*step)) * i128::from(*step);
        let range = i128::from(query.to) - begins;
        i128::from(*step) * points >= range && (width == 0 || step % width == 0)
    };
    let known = STEPS.iter().map(|step| step * SECOND).find(fits);
    // Beyond a year in 52 points: whole weeks, twice as many each time.
    const WEEK: i64 = 604_800 * SECOND;
    known.unwrap_or_else(|| {
        let range = i128::from(query.to) - i128::from(query.from);
        let weeks = (range / points / i128::from(WEEK)).saturating_add(1);
        let mut step = i64::try_from(weeks).unwrap_or(i64::MAX).saturating_mul(WEEK);
        while !fits(&step) && step <= i64::MAX / 2 {
            step *= 2;
        }
        step
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    const ALL: [Option<i64>; 3] = [Some(0); 3];

    /// Plans a question, where the tiers begin at these times.
    fn plan(range: (i64, i64), resolution: Resolution, oldest: [Option<i64>; 3]) -> Result<Plan> {
        let query = Query { from: range.0, to: range.1, resolution };
        Plan::new(&query, |tier| oldest[usize::from(tier)])
    }

    /// Step in seconds and tier of an answer of at most so many points about the time before a midnight.
    fn steps(range: i64, points: u64) -> (i64, u8) {
        let to = 20_000 * DAY;
        let plan = plan((to - range, to), Resolution::Points(points), ALL).unwrap();
        assert!(plan.points <= points, "{plan:?}");
        assert!(plan.from <= to - range && plan.to >= to, "{plan:?}");
        assert_eq!(plan.to, plan.from + plan.step * plan.points as i64);
        (plan.step / SECOND, plan.tier)
    }

    #[test]
    fn the_shortest_step_that_fits_is_taken_from_the_coarsest_tier_that_has_it() {
        assert_eq!(steps(HOUR / 4, 1_000), (1, 0));
        assert_eq!(steps(HOUR, 1_000), (5, 0));
        assert_eq!(steps(8 * HOUR, 1_000), (30, 0));
        assert_eq!(steps(DAY, 1_000), (120, 1));
        assert_eq!(steps(7 * DAY, 1_000), (900, 1));
        assert_eq!(steps(20 * DAY, 1_000), (1_800, 1));
        assert_eq!(steps(30 * DAY, 1_000), (3_600, 2));
        assert_eq!(steps(30 * DAY, 31), (86_400, 2));
        // Exactly as many as are asked for.
        assert_eq!(steps(1_000 * SECOND, 1_000), (1, 0));
        assert_eq!(steps(1_001 * SECOND, 1_000), (2, 0));
    }

    #[test]
    fn years_are_answered_in_whole_weeks() {
        let week = 604_800;
        assert_eq!(steps(364 * DAY, 53), (week, 2));
        assert_eq!(steps(3_650 * DAY, 100), (6 * week, 2));
        // The range counts as widened, which may take twice as many.
        let (step, _) = steps(15_000 * DAY, 1);
        assert_eq!(step % week, 0);
    }

    #[test]
    fn a_range_is_widened_to_whole_steps() {
        let plan = plan((61 * SECOND, 119 * SECOND), Resolution::Step(60 * SECOND), ALL).unwrap();
        assert_eq!((plan.from, plan.to, plan.points), (60 * SECOND, 120 * SECOND, 1));
        assert_eq!((plan.step, plan.tier), (60 * SECOND, 1));
        let before = plan_of_step(-1, 1, 10 * SECOND);
        assert_eq!((before.from, before.to, before.points), (-10 * SECOND, 10 * SECOND, 2));
    }

    fn plan_of_step(from: i64, to: i64, step: i64) -> Plan {
        plan((from, to), Resolution::Step(step), ALL).unwrap()
    }

    #[test]
    fn a_step_of_part_of_a_bucket_is_made_of_rows() {
        assert_eq!(plan_of_step(0, HOUR, 90 * SECOND).tier, 0);
        assert_eq!(plan_of_step(0, HOUR, 120 * SECOND).tier, 1);
        assert_eq!(plan_of_step(0, DAY, 90 * 60 * SECOND).tier, 1);
        assert_eq!(plan_of_step(0, DAY, 2 * HOUR).tier, 2);
    }

    #[test]
    fn a_tier_that_has_nothing_is_not_asked() {
        let hours = Resolution::Step(HOUR);
        let tier = |oldest| plan((0, DAY), hours, oldest).unwrap().tier;
        assert_eq!(tier([Some(0), Some(0), None]), 1);
        assert_eq!(tier([Some(0), None, None]), 0);
        assert_eq!(tier([None, None, None]), 0);
    }

    #[test]
    fn what_is_older_than_a_tier_comes_from_a_coarser_one() {
        let seconds = Resolution::Step(30 * SECOND);
        let of = |range, resolution, oldest: [i64; 3]| {
            let plan = plan(range, resolution, oldest.map(Some)).unwrap();
            (plan.step / SECOND, plan.tier)
        };
        let day = (0, DAY);
        assert_eq!(of(day, seconds, [20 * HOUR, HOUR, HOUR]), (60, 1));
        assert_eq!(of(day, seconds, [20 * HOUR, 10 * HOUR, HOUR]), (3_600, 2));
        // Points stay as few as they are to be.
        assert_eq!(of(day, Resolution::Points(12), [20 * HOUR, HOUR, 0]), (7_200, 2));
        assert_eq!(of(day, Resolution::Points(1_440), [20 * HOUR, HOUR, 0]), (3_600, 2));
        // A step is made of whole buckets.
        assert_eq!(of(day, Resolution::Step(90 * SECOND), [20 * HOUR, 0, 0]), (120, 1));
        // Not what a finer tier has as well, or all but a part of a bucket of.
        assert_eq!(of((20 * HOUR, DAY), seconds, [20 * HOUR, 0, 0]), (30, 0));
        assert_eq!(of(day, seconds, [HOUR, HOUR, HOUR]), (30, 0));
        assert_eq!(of(day, seconds, [HOUR, HOUR - 59 * SECOND, HOUR]), (30, 0));
        assert_eq!(of(day, seconds, [HOUR, HOUR - 60 * SECOND, HOUR]), (60, 1));
    }

    #[test]
    fn steps_are_no_shorter_than_from_row_to_row() {
        let query = Query { from: 0, to: 900 * SECOND, resolution: Resolution::Points(1_000) };
        let plan = Plan::new(&query, |_| None).unwrap();
        let step = |interval| {
            let coarser = plan.no_finer_than(&query, interval).unwrap();
            assert_eq!((coarser.from, coarser.to, coarser.tier), (0, 900 * SECOND, 0));
            coarser.step / SECOND
        };
        assert_eq!(step(SECOND), 1);
        assert_eq!(step(5 * SECOND), 5);
        // Rows that come a little early or late.
        assert_eq!(step(5 * SECOND + SECOND / 2), 5);
        assert_eq!(step(6 * SECOND), 10);
        // Longer than any step that is known.
        assert_eq!(step(4_000 * DAY), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let step = |range, step| plan(range, Resolution::Step(step), ALL);
        for (range, width) in [((0, 0), 1), ((1, 0), 1), ((0, 1), 0), ((0, 1), -1)] {
            assert!(matches!(step(range, width), Err(Error::TooMuch(_))), "{range:?} by {width}");
        }
        assert!(step((0, 1), 1).is_ok());
        // One more, for a range that begins and ends within a step.
        let most = MAX_POINTS as i64 + 1;
        assert_eq!(step((0, most), 1).unwrap().points, MAX_POINTS + 1);
        assert!(matches!(step((0, most + 1), 1), Err(Error::TooMuch(_))));
        assert!(step((i64::MIN, i64::MAX), i64::MAX).is_ok());
        assert!(plan((i64::MIN, i64::MAX), Resolution::Points(1), ALL).is_ok());
    }

    #[test]
    fn a_range_has_its_begin_and_not_its_end() {
        let plan = plan_of_step(100, 200, 100);
        for (min, max, overlaps) in
            [(0, 99, false), (0, 100, true), (199, 300, true), (200, 300, false), (0, 300, true)]
        {
            assert_eq!(plan.overlaps(min, max), overlaps, "{min} to {max}");
        }
    }

    fn of(value: i64) -> Summary {
        Summary { count: 1, min: value, max: value, sum: value.into(), ..Summary::default() }
    }

    #[test]
    fn rows_are_put_into_their_steps() {
        let plan = plan_of_step(100, 400, 100);
        let mut points = plan.nothing();
        // Out of order, as after a clock was set back; and some that are not in the range, or empty.
        let times = [99, 100, 199, 250, 200, 399, 400, 120, 300];
        let mut rows: Vec<_> = (1..=9).map(of).collect();
        rows[8] = Summary { min: 70, max: 70, ..Summary::default() };
        plan.put(&mut points, &times, &rows);
        let sums: Vec<_> = points.iter().map(|point| (point.count, point.sum)).collect();
        assert_eq!(sums, [(3, 2 + 3 + 8), (2, 4 + 5), (1, 6)]);
        assert_eq!((points[0].min, points[0].max, points[2].max), (2, 8, 6));
    }

    #[test]
    fn the_last_of_its_steps_are_a_plan_too() {
        let plan = plan_of_step(100, 400, 100);
        let later = |time| {
            let later = plan.rest_from(time);
            assert_eq!((later.to, later.step), (plan.to, plan.step));
            (later.from, later.points, later.nothing().len())
        };
        assert_eq!(later(299), (200, 2, 2));
        assert_eq!(later(300), (300, 1, 1));
        assert_eq!(later(399), (300, 1, 1));
        // Not in the range.
        assert_eq!(later(400), (100, 3, 3));
        assert_eq!(later(99), (100, 3, 3));
    }
}
