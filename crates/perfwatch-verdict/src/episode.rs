//! Since when a rule holds, and whether it still does: one walk over the steps, with a memory.

use crate::rule::{Reading, Role, Rule, Signal, Test};
use crate::window::{Series, Usual, Window};

/// What was not measured for so long ends what went on before, in milliseconds.
const MAX_HOLE_MS: i64 = 60_000;

/// How long events are added up for, in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// Days that the usual must rest on to say that something is far from it.
const MIN_DAYS: usize = 3;

/// A signal of a rule on this host.
#[derive(Debug)]
pub(crate) struct Tracked<'a> {
    pub(crate) signal: &'static Signal,
    pub(crate) series: &'a Series,
    /// What is compared with the thresholds, step by step.
    values: Vec<Option<f64>>,
    limits: Option<Limits>,
}

impl<'a> Tracked<'a> {
    pub(crate) fn new(signal: &'static Signal, series: &'a Series, window: &Window) -> Self {
        let values = match signal.reading {
            Reading::Events => per_minute(&series.values, window),
            Reading::Mean | Reading::Level => series.values.clone(),
        };
        Self { signal, series, values, limits: Limits::of(signal, series.usual, window.cpus) }
    }

    /// Whether it ever has a value.
    pub(crate) fn is_there(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }

    fn at(&self, step: usize) -> Option<f64> {
        self.values.get(step).copied().flatten().filter(|value| value.is_finite())
    }

    fn is_past(&self, step: usize) -> Option<bool> {
        Some(self.limits?.past(self.at(step)?))
    }

    fn is_back(&self, step: usize) -> Option<bool> {
        Some(self.limits?.back(self.at(step)?))
    }

    /// Whether it was past its threshold in any of these steps.
    pub(crate) fn was_past(&self, mut steps: std::ops::Range<usize>) -> bool {
        steps.any(|step| self.is_past(step) == Some(true))
    }

    /// Whether the usual is past the threshold as well.
    pub(crate) fn is_usually_past(&self) -> bool {
        let usual = self.series.usual.filter(|usual| usual.days >= MIN_DAYS);
        let Some((usual, limits)) = usual.zip(self.limits) else { return false };
        limits.past(if limits.upward { usual.high } else { usual.low })
    }

    /// Whether it usually is on the other side of the threshold.
    fn is_usually_back(&self) -> bool {
        let usual = self.series.usual.filter(|usual| usual.days >= MIN_DAYS);
        let Some((usual, limits)) = usual.zip(self.limits) else { return false };
        !limits.past(if limits.upward { usual.high } else { usual.low })
    }

    /// What is told of these steps.
    pub(crate) fn value(&self, steps: std::ops::Range<usize>) -> Option<f64> {
        let values = &self.series.values;
        let known = values.get(steps.start..steps.end.min(values.len()))?.iter().flatten().copied();
        let known: Vec<f64> = known.filter(|value| value.is_finite()).collect();
        let last = known.last().copied()?;
        Some(match self.signal.reading {
            Reading::Level => last,
            Reading::Events => known.iter().sum(),
            Reading::Mean => known.iter().sum::<f64>() / known.len() as f64,
        })
    }
}

/// Thresholds on this host, at this hour.
#[derive(Debug, Clone, Copy)]
struct Limits {
    enter: f64,
    leave: f64,
    upward: bool,
}

impl Limits {
    /// None when they need what is not known.
    fn of(signal: &Signal, usual: Option<Usual>, cpus: Option<usize>) -> Option<Self> {
        let usual = usual.filter(|usual| usual.days >= MIN_DAYS);
        let scale = if signal.per_cpu { cpus? as f64 } else { 1.0 };
        let limits = |enter: f64, leave: f64, upward| Self { enter, leave, upward };
        Some(match signal.test {
            Test::Above { enter, leave } => limits(enter * scale, leave * scale, true),
            Test::Below { enter, leave } => limits(enter * scale, leave * scale, false),
            Test::FarAbove { floor } => {
                let Usual { low, high, .. } = usual?;
                let far = (2.0 * (high - low)).max(high).max(floor);
                limits(high + far, high + far / 2.0, true)
            }
            Test::FarBelow { floor } => {
                let low = usual?.low;
                if low < floor {
                    return None;
                }
                limits(low / 10.0, low / 3.0, false)
            }
        })
    }

    fn past(&self, value: f64) -> bool {
        if self.upward { value >= self.enter } else { value <= self.enter }
    }

    fn back(&self, value: f64) -> bool {
        if self.upward { value < self.leave } else { value > self.leave }
    }
}

/// Increases added up over the minute that ends with each step; over a longer step, what a minute of it had.
fn per_minute(values: &[Option<f64>], window: &Window) -> Vec<Option<f64>> {
    let steps = steps_of_a_minute(window);
    let share = (MINUTE_MS as f64 / window.step_ms.max(1) as f64).min(1.0);
    let minute = |end: usize| {
        let known = values.get((end + 1).saturating_sub(steps)..=end)?;
        let sum = known.iter().flatten().sum::<f64>();
        known.iter().any(Option::is_some).then_some(sum * share)
    };
    (0..values.len()).map(minute).collect()
}

fn steps_of_a_minute(window: &Window) -> usize {
    usize::try_from(MINUTE_MS / window.step_ms.max(1)).unwrap_or(1).max(1)
}

/// A stretch in which a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Episode {
    /// Its first step.
    pub(crate) from: usize,
    /// Whether it is known to have begun there.
    pub(crate) begins: bool,
    /// The step after its last. None when it goes on.
    pub(crate) until: Option<usize>,
}

/// How a rule stands in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Past,
    Between,
    Back,
    Unknown,
}

/// The last stretch in which a rule holds on one object. None when it does not in what is spoken of.
pub(crate) fn last_episode(
    rule: &Rule,
    tracked: &[Tracked<'_>],
    window: &Window,
) -> Option<Episode> {
    let of =
        |role: Role| tracked.iter().filter(move |one| one.signal.role == role && one.is_there());
    let missing = |signal: &&Signal| {
        signal.role == Role::Must && !of(Role::Must).any(|one| std::ptr::eq(one.signal, *signal))
    };
    let wants_one = rule.signals.iter().any(|signal| signal.role == Role::OneOf);
    if rule.signals.iter().any(|signal| missing(&signal))
        || of(Role::Absent).next().is_some()
        || wants_one && of(Role::OneOf).next().is_none()
    {
        return None;
    }
    let all: Vec<_> = of(Role::Must).chain(of(Role::IfThere)).collect();
    let any: Vec<_> = of(Role::OneOf).collect();
    let stand = |step: usize| {
        let known = any.iter().filter_map(|one| Some((one.is_past(step)?, one.is_back(step)?)));
        let one_of: Vec<_> = known.collect();
        let back = all.iter().any(|one| one.is_back(step) == Some(true))
            || !one_of.is_empty() && one_of.iter().all(|(_, back)| *back);
        if back {
            Stand::Back
        } else if all.iter().any(|one| one.is_past(step).is_none())
            || wants_one && one_of.is_empty()
        {
            Stand::Unknown
        } else if all.iter().all(|one| one.is_past(step) == Some(true))
            && (!wants_one || one_of.iter().any(|(past, _)| *past))
        {
            Stand::Past
        } else {
            Stand::Between
        }
    };
    let episode = walk(rule, window, stand)?;
    let is_news = episode.begins || tracked.first().is_some_and(Tracked::is_usually_back);
    (!rule.news || is_news).then(|| narrowed(episode, &all, &any, window))
}

/// The last stretch, as the rule's times and what is spoken of will have it.
fn walk(rule: &Rule, window: &Window, stand: impl Fn(usize) -> Stand) -> Option<Episode> {
    let hold = window.steps_of(i64::from(rule.hold_s) * 1000);
    let calm = window.steps_of(i64::from(rule.calm_s) * 1000);
    let most_unknown = window.steps_of(MAX_HOLE_MS);
    let mut last: Option<Episode> = None;
    let mut open: Option<Episode> = None;
    // Where an unbroken run towards the other state began, and how many steps it has.
    let mut run: Option<(usize, usize)> = None;
    let mut last_known: Option<usize> = None;
    for step in 0..window.steps {
        let now = stand(step);
        if now == Stand::Unknown {
            let hole = last_known.map_or(0, |known| step - known);
            if hole > most_unknown {
                run = None;
                last = open
                    .take()
                    .map(|one| Episode { until: last_known.map(|known| known + 1), ..one })
                    .or(last);
            }
            continue;
        }
        let known_before = last_known.replace(step).is_some();
        let towards = if open.is_some() { now == Stand::Back } else { now == Stand::Past };
        if !towards {
            run = None;
            continue;
        }
        let (began, count) = run.map_or((step, 1), |(began, count)| (began, count + 1));
        run = Some((began, count));
        match open {
            None if count >= hold => {
                // What was so in the first step that is known may have been so for long.
                let begins = known_before && first_known(&stand, began).is_some();
                open = Some(Episode { from: began, begins, until: None });
                run = None;
            }
            Some(one) if count >= calm => {
                last = Some(Episode { until: Some(began), ..one });
                (open, run) = (None, None);
            }
            _ => {}
        }
    }
    open.or(last).filter(|one| one.until.is_none_or(|until| until > window.spoken_of()))
}

/// The first step before this one of which anything is known.
fn first_known(stand: &impl Fn(usize) -> Stand, before: usize) -> Option<usize> {
    (0..before).find(|step| stand(*step) != Stand::Unknown)
}

/// Of events, from the first to the last that there were: their sums are over a minute.
fn narrowed(
    episode: Episode,
    all: &[&Tracked<'_>],
    any: &[&Tracked<'_>],
    window: &Window,
) -> Episode {
    let mut events =
        all.iter().chain(any).filter(|one| one.signal.reading == Reading::Events).peekable();
    if events.peek().is_none() {
        return episode;
    }
    let series: Vec<_> = events.map(|one| one.series).collect();
    let happened = |step: &usize| {
        series
            .iter()
            .any(|one| one.values.get(*step).copied().flatten().is_some_and(|count| count > 0.0))
    };
    let earliest = (episode.from + 1).saturating_sub(steps_of_a_minute(window));
    let from = (earliest..=episode.from).find(happened).unwrap_or(episode.from);
    let end = episode.until.unwrap_or(window.steps);
    let last = (from..end).rev().find(happened).map_or(end, |last| last + 1);
    // They go on when there were some in the last two steps, and not only there.
    let goes_on = episode.until.is_none() && last + 2 > window.steps && last > from + 1;
    Episode { from, begins: episode.begins, until: (!goes_on).then_some(last) }
}
