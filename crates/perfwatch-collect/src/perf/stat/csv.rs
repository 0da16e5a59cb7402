//! What `perf stat -x, -I` prints: a line for each event and interval.
//!
//! ```text
//!      0.501145536,1002.65,msec,cpu-clock,1002649040,100.00,2.005,CPUs utilized
//!      0.501145536,<not supported>,,branches,0,100.00,,
//!      0.501145536,6766433,,cpu_core/cycles/,16067551558,100.00,0.000,GHz
//! ```
//!
//! Fields: time since perf began, count (scaled already), unit, event, nanoseconds the counter ran, percent of the time it was
//! enabled (whole percents, cut off), then metrics, which are computed here from the counts instead. Where the locale writes
//! decimals with commas, commas also part the fields; what stands before the event's name still has one reading.

use perfwatch_metrics::perf::{EVENTS, Event};

use crate::parse::number;

/// perf's own longest lines have some 100 bytes. A longer one is skipped up to its line feed.
pub const MAX_LINE_BYTES: usize = 512;

/// Fields up to and including the last one that is used, with commas as decimals.
const USED_FIELDS: usize = 10;

/// Counts of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Its length in nanoseconds, by perf's clock.
    pub length_ns: u64,
    /// By number of the event.
    pub counts: [Count; EVENTS],
}

/// What perf says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// No line of it.
    #[default]
    Missing,
    /// It could not be opened, on at least one kind of CPU.
    NotSupported,
    /// It was opened and never ran in this interval; it may in the next.
    NotCounted,
    /// It ran.
    Counted {
        /// As counted and scaled by perf; of a clock, nanoseconds.
        value: u64,
        /// Time that it ran, summed over CPUs.
        running_ns: u64,
        /// Time that it was to run, as far as whole percents tell.
        enabled_ns: u64,
        /// Whether the kernel was left out, as it is for a user who may not count it.
        user_only: bool,
    },
}

impl Count {
    /// Of the same event on another kind of CPU. A sum of which a part is missing is not a count of the system.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Missing, known) | (known, Self::Missing) => known,
            (Self::NotSupported, _) | (_, Self::NotSupported) => Self::NotSupported,
            (Self::NotCounted, _) | (_, Self::NotCounted) => Self::NotCounted,
            (
                Self::Counted { value, running_ns, enabled_ns, user_only },
                Self::Counted {
                    value: other_value,
                    running_ns: other_running_ns,
                    enabled_ns: other_enabled_ns,
                    user_only: other_user_only,
                },
            ) => Self::Counted {
                value: value.saturating_add(other_value),
                running_ns: running_ns.saturating_add(other_running_ns),
                enabled_ns: enabled_ns.saturating_add(other_enabled_ns),
                user_only: user_only || other_user_only,
            },
        }
    }
}

/// Puts lines together to intervals. Total on any bytes, and never larger than a line.
#[derive(Debug, Default)]
pub struct Intervals {
    /// The beginning of a line whose line feed has not come.
    line: Vec<u8>,
    /// The line is too long and lost, up to its line feed.
    lost: bool,
    /// End of the last interval that was handed out.
    ended_ns: u64,
    /// End and counts of the one whose lines are coming in.
    open: Option<(u64, [Count; EVENTS])>,
}

impl Intervals {
    /// Takes what perf wrote. `each` is called with every interval that a line of the next one shows to be complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Interval)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.lost |= self.line.len().saturating_add(text.len()) > MAX_LINE_BYTES;
            if !self.lost {
                self.line.extend_from_slice(text);
            }
            if ends {
                if let Some(line) = Line::parse(&self.line).filter(|_| !self.lost) {
                    self.add(&line, &mut each);
                }
                self.line.clear();
                self.lost = false;
            }
        }
    }

    /// The interval whose lines have come in, when perf has been quiet for a while: it writes them at once.
    pub fn settle(&mut self) -> Option<Interval> {
        let (end_ns, counts) = self.open.take()?;
        // Time that stands still or goes back makes no interval, and what follows is measured from there.
        let length_ns = end_ns.checked_sub(self.ended_ns).filter(|&length| length > 0);
        self.ended_ns = end_ns;
        length_ns.map(|length_ns| Interval { length_ns, counts })
    }

    /// Whether lines of an interval have come in that may not be complete.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn add(&mut self, line: &Line, each: &mut impl FnMut(Interval)) {
        if self.open.as_ref().is_some_and(|(end_ns, _)| *end_ns != line.end_ns)
            && let Some(interval) = self.settle()
        {
            each(interval);
        }
        let (_, counts) =
            self.open.get_or_insert_with(|| (line.end_ns, [Count::default(); EVENTS]));
        if let Some(count) = counts.get_mut(line.event) {
            *count = count.and(line.count);
        }
    }
}

/// One event in one interval.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    end_ns: u64,
    event: usize,
    count: Count,
}

impl Line {
    /// None for what is not a count of one of the events: metrics, messages, garbage.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = [&b""[..]; USED_FIELDS];
        fields.iter_mut().zip(line.split(|&byte| byte == b',')).for_each(|(to, from)| *to = from);
        let at = fields.iter().position(|field| event(field).is_some())?;
        let (event, user_only) = event(fields.get(at)?)?;
        let (before, after) = (fields.get(..at)?, fields.get(at.checked_add(1)?..)?);
        let (time, value, percent) = match (before, after) {
            ([time, value, _], [_, percent, ..]) => (point(time), point(value), point(percent)),
            ([time, tenths, value, _], [_, percent, hundredths, ..]) => {
                ((*time, *tenths), (*value, &b""[..]), (*percent, *hundredths))
            }
            ([time, tenths, value, hundredths, _], [_, percent, percent_hundredths, ..]) => {
                ((*time, *tenths), (*value, *hundredths), (*percent, *percent_hundredths))
            }
            _ => return None,
        };
        let (unit, running) = (before.last()?, after.first()?);
        let end_ns = decimal((time.0.trim_ascii_start(), time.1), 9)?;
        let count = match value.0 {
            b"<not supported>" => Count::NotSupported,
            b"<not counted>" => Count::NotCounted,
            _ => {
                let decimals = match *unit {
                    b"msec" => 6,
                    b"" => 0,
                    _ => return None,
                };
                let running_ns = number(running)?;
                Count::Counted {
                    value: decimal(value, decimals)?,
                    running_ns,
                    enabled_ns: enabled_ns(running_ns, decimal(percent, 2)?),
                    user_only,
                }
            }
        };
        Some(Self { end_ns, event, count })
    }
}

/// Number of an event, and whether it is counted in user space only: `cycles`, `cycles:u`, and on machines with CPUs of more
/// than one kind `cpu_core/cycles/` and `cpu_atom/cycles/u`.
fn event(field: &[u8]) -> Option<(usize, bool)> {
    let mut parts = field.split(|&byte| byte == b'/');
    let (name, modifiers) = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        (_, Some(name), Some(modifiers), None) => (name, modifiers),
        (name, None, None, None) => {
            let mut words = name.split(|&byte| byte == b':');
            (words.next()?, words.next().unwrap_or_default())
        }
        _ => return None,
    };
    let event = Event::ALL.iter().position(|known| known.name().as_bytes() == name)?;
    Some((event, modifiers.contains(&b'u') && !modifiers.contains(&b'k')))
}

/// The digits before and after a decimal point.
fn point(field: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b'.', field).unwrap_or(field.len());
    let (whole, rest) = field.split_at_checked(at).unwrap_or_default();
    (whole, rest.get(1..).unwrap_or_default())
}

/// A decimal number as a whole number of its units of 10^-`places`. None where there are more digits than that.
fn decimal((whole, fraction): (&[u8], &[u8]), places: usize) -> Option<u64> {
    let missing = places.checked_sub(fraction.len())?;
    let fraction = if fraction.is_empty() { 0 } else { number(fraction)? };
    let scale = |digits: usize| 10_u64.checked_pow(u32::try_from(digits).ok()?);
    number(whole)?.checked_mul(scale(places)?)?.checked_add(fraction.checked_mul(scale(missing)?)?)
}

/// Time enabled, from the time it ran and the hundredths of percents that this is. perf cuts to whole percents: 0 stands for
/// anything below 1, and is taken as 1.
fn enabled_ns(running_ns: u64, percent_hundredths: u64) -> u64 {
    let share = u128::from(percent_hundredths.clamp(100, 10_000));
    u64::try_from(u128::from(running_ns).saturating_mul(10_000) / share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
