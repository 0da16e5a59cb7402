//! What is looked at: series in steps, events, and how full file systems were over days.

/// So much before the moment in question is spoken of, in milliseconds. What was over before is not told.
pub const WINDOW_MS: i64 = 300_000;

/// So much before the moment in question is looked at, in milliseconds: since when something goes on is known up to here.
pub const LOOKBACK_MS: i64 = 1_800_000;

/// Steps that those are looked at in, where the history is that fine: ten seconds each.
pub const LOOKBACK_STEPS: u64 = 180;

/// So much before is looked at in coarse steps, in milliseconds, to know since when what has gone on for so long does.
pub const LONGER_MS: i64 = 86_400_000;

/// Length of those steps, in milliseconds.
pub const LONGER_STEP_MS: i64 = 300_000;

/// How far back events are looked at, in milliseconds: what hangs was told of when it began.
pub const EVENTS_MS: i64 = 7 * 86_400_000;

/// A stretch of history that ends at the moment in question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// When the first step begins, in milliseconds since the epoch.
    pub from_ms: i64,
    /// Length of a step.
    pub step_ms: i64,
    /// How many there are.
    pub steps: usize,
    /// The moment in question, in milliseconds since the epoch: the last step ends there, or holds it.
    pub at_ms: i64,
    /// CPUs of the host. None when it is not known: rules that count for each CPU are silent.
    pub cpus: Option<usize>,
    /// Values, in any order.
    pub series: Vec<Series>,
    /// What happened in the last [`EVENTS_MS`], oldest first.
    pub events: Vec<Event>,
    /// How full file systems were over the last days.
    pub trends: Vec<Trend>,
    /// The last [`LONGER_MS`] of what [`crate::wants_longer`] named. None when that was nothing.
    pub longer: Option<Box<Self>>,
}

impl Window {
    /// When a step begins; of the one after the last, the moment in question.
    pub(crate) fn begin_ms(&self, step: usize) -> i64 {
        self.from_ms.saturating_add(self.step_ms.saturating_mul(step as i64)).min(self.at_ms)
    }

    /// How many whole steps so many milliseconds are; never fewer than one.
    pub(crate) fn steps_of(&self, milliseconds: i64) -> usize {
        usize::try_from(
            milliseconds.max(1).unsigned_abs().div_ceil(self.step_ms.max(1).unsigned_abs()),
        )
        .unwrap_or(usize::MAX)
        .max(1)
    }

    /// The first step that is spoken of.
    pub(crate) fn spoken_of(&self) -> usize {
        self.steps.saturating_sub(self.steps_of(WINDOW_MS))
    }
}

/// One series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Id of the metric.
    pub id: String,
    /// Names and values of its labels.
    pub labels: Vec<(String, String)>,
    /// How it is asked for: `disk.devices.read_iops{device="sda"}`.
    pub select: String,
    /// Unit of its values.
    pub unit: String,
    /// For each step the mean, or of a counter the increase. None where nothing is known.
    pub values: Vec<Option<f64>>,
    /// What is usual at this hour. None when it was not asked for, or is not known.
    pub usual: Option<Usual>,
}

impl Series {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// What is usual: from the minutes of the same clock hour of the last seven days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// A tenth of the minutes were below.
    pub low: f64,
    /// A tenth of the minutes were above.
    pub high: f64,
    /// Days that it rests on.
    pub days: usize,
}

impl Usual {
    /// Minutes of an hour that must be known for a day to count.
    const ENOUGH: usize = 10;

    /// From the minutes of each day. None while no day has enough of them.
    pub fn of<'a>(days: impl IntoIterator<Item = &'a [Option<f64>]>) -> Option<Self> {
        let mut all = Vec::new();
        let mut counted = 0;
        for day in days {
            let known = || day.iter().flatten().copied().filter(|value| value.is_finite());
            if known().count() >= Self::ENOUGH {
                counted += 1;
                all.extend(known());
            }
        }
        all.sort_by(f64::total_cmp);
        // The nearest rank: a value that did occur.
        let quantile =
            |tenths: usize| all.get((all.len() * tenths).div_ceil(10).max(1) - 1).copied();
        Some(Self { low: quantile(1)?, high: quantile(9)?, days: counted })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub what: Happening,
}

/// What can happen, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// PerfWatch started: what was missing before is told again if it still is.
    Start,
    /// A section of the snapshot, or a part of one (`disk.partitions./mnt`), is missing from now on, or is there again.
    Part {
        /// Which.
        part: String,
        /// In which way: `late`, `failed`, or `ok` when it is there.
        state: String,
        /// Why it is missing.
        reason: String,
    },
    /// History cannot be written from now on, or can again.
    History {
        /// Why not. None when it can.
        problem: Option<String>,
    },
}

/// How full a file system was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trend {
    /// Where it is mounted.
    pub mountpoint: String,
    /// When each step begins, in milliseconds since the epoch, and the bytes in use.
    pub used: Vec<(i64, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_lies_between_the_first_and_the_ninth_tenth_of_enough_minutes() {
        let day: Vec<_> = (1..=60).map(|minute| Some(f64::from(minute))).collect();
        let few = [Some(500.0), None, Some(600.0)];
        let usual = Usual::of([&day[..], &few[..], &[]]);
        assert_eq!(usual, Some(Usual { low: 6.0, high: 54.0, days: 1 }));
        assert_eq!(Usual::of([&few[..]]), None);
        assert_eq!(Usual::of([&[None; 60][..]]), None);
    }
}
