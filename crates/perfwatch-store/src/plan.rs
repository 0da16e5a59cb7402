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
    pub(crate) fn from_step_of(&self, time: i64) -> Self {
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
