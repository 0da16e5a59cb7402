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
mod tests {
    use super::*;

    const NO_PMU: &[u8] = include_bytes!("../../../fixtures/perf/host_vm_nopmu_root.csv");
    const AARCH64: &[u8] = include_bytes!("../../../fixtures/perf/aarch64_tcg_perf_6.1.txt");
    const HYBRID: &[u8] = include_bytes!("../../../fixtures/perf/alderlake_hybrid_lkml.csv");

    fn intervals(text: impl AsRef<[u8]>) -> Vec<Interval> {
        let (mut parser, mut found) = (Intervals::default(), Vec::new());
        parser.feed(text.as_ref(), |interval| found.push(interval));
        found.extend(parser.settle());
        found
    }

    fn count(interval: &Interval, event: &str) -> Count {
        interval.counts[Event::ALL.iter().position(|known| known.name() == event).unwrap()]
    }

    fn counted(value: u64, running_ns: u64) -> Count {
        Count::Counted { value, running_ns, enabled_ns: running_ns, user_only: false }
    }

    fn check(line: &str, event: &str, expected: Option<Count>) {
        let parsed = Line::parse(line.as_bytes());
        assert_eq!(parsed.as_ref().map(|line| line.count), expected, "{line}");
        assert!(parsed.is_none_or(|line| Event::ALL[line.event].name() == event), "{line}");
    }

    #[test]
    fn a_machine_without_a_pmu_counts_4_of_17() {
        let found = intervals(NO_PMU);
        let lengths: Vec<_> = found.iter().map(|interval| interval.length_ns).collect();
        assert_eq!(lengths, [1_001_061_019, 1_001_311_122, 1_002_192_738, 497_305_860]);
        let first = &found[0];
        assert_eq!(count(first, "cpu-clock"), counted(2_002_320_000, 2_002_318_468));
        assert_eq!(count(first, "context-switches"), counted(13396, 2_002_317_879));
        assert_eq!(count(first, "cpu-migrations"), counted(182, 2_002_317_247));
        assert_eq!(count(first, "page-faults"), counted(53116, 2_002_315_795));
        let rest = first.counts.iter().filter(|count| **count == Count::NotSupported).count();
        assert_eq!(rest, 13);
    }

    #[test]
    fn an_arm_guest_counts_cycles() {
        let found = intervals(AARCH64);
        assert_eq!(found[0].length_ns, 501_145_536);
        assert_eq!(count(&found[0], "cycles"), counted(1_002_602_836, 1_002_619_184));
        assert_eq!(count(&found[0], "page-faults"), counted(0, 1_002_628_592));
        assert_eq!(count(&found[0], "iTLB-load-misses"), Count::NotSupported);
    }

    #[test]
    fn counters_that_took_turns_say_how_much_they_ran() {
        let section = "     0.503730720,1017500190,,cycles,539818704,52.00,0.994,GHz";
        assert!(AARCH64.windows(section.len()).any(|window| window == section.as_bytes()));
        let expected = Count::Counted {
            value: 1_017_500_190,
            running_ns: 539_818_704,
            enabled_ns: 539_818_704 * 100 / 52,
            user_only: false,
        };
        check(section, "cycles", Some(expected));
    }

    #[test]
    fn both_kinds_of_cpu_are_summed() {
        // Recorded without -I, whose times are put before the lines here.
        let timed: Vec<u8> = crate::parse::lines(HYBRID)
            .flat_map(|(_, line)| [b"     1.000500000,", line, b"\n"].concat())
            .collect();
        let found = intervals(&timed);
        assert_eq!(found.len(), 1);
        let (value, running_ns) = (6_766_433 + 256_500_230, 16_067_551_558 + 8_695_757_391);
        let enabled_ns = 16_067_551_558 + 8_695_757_391 * 100 / 54;
        let expected = Count::Counted { value, running_ns, enabled_ns, user_only: false };
        assert_eq!(count(&found[0], "cycles"), expected);
        assert_eq!(count(&found[0], "context-switches"), counted(225, 32_139_342_672));
        assert_eq!(count(&found[0], "L1-dcache-loads"), Count::Missing);
    }

    #[test]
    fn a_sum_lacks_nothing_or_is_none() {
        let core = "     1.0,100,,cpu_core/cycles/,500,100.00,,\n";
        for (atom, expected) in [
            ("<not supported>,,cpu_atom/cycles/,0,100.00,,", Count::NotSupported),
            ("<not counted>,,cpu_atom/cycles/,0,0.00,,", Count::NotCounted),
            ("11,,cpu_atom/cycles/,50,100.00,,", counted(111, 550)),
        ] {
            let found = intervals(format!("{core}     1.0,{atom}\n"));
            assert_eq!(count(&found[0], "cycles"), expected);
            let found = intervals(format!("     1.0,{atom}\n{core}"));
            assert_eq!(count(&found[0], "cycles"), expected);
        }
    }

    #[test]
    fn what_did_not_count_says_which_way() {
        for (line, event, expected) in [
            ("     1.0,<not supported>,,LLC-loads,0,100.00,,", "LLC-loads", Count::NotSupported),
            ("     1.0,<not counted>,,cycles,0,100.00,,", "cycles", Count::NotCounted),
            ("     1.0,<not counted>,msec,cpu-clock,0,0.00,,", "cpu-clock", Count::NotCounted),
        ] {
            check(line, event, Some(expected));
        }
    }

    #[test]
    fn time_enabled_follows_from_whole_percents() {
        for (percent, enabled_ns) in [("100.00", 540), ("54.00", 1000), ("0.00", 54_000)] {
            let line = format!("     1.0,7,,cycles,540,{percent},,");
            let (value, running_ns, user_only) = (7, 540, false);
            check(
                &line,
                "cycles",
                Some(Count::Counted { value, running_ns, enabled_ns, user_only }),
            );
        }
    }

    #[test]
    fn user_space_alone_is_told_apart() {
        for (name, user_only) in [
            ("cycles:u", true),
            ("cpu_core/cycles/u", true),
            ("cycles:uk", false),
            ("cycles", false),
            ("cpu_atom/cycles/", false),
        ] {
            let line = format!("     1.0,7,,{name},9,100.00,,");
            let (value, running_ns, enabled_ns) = (7, 9, 9);
            check(
                &line,
                "cycles",
                Some(Count::Counted { value, running_ns, enabled_ns, user_only }),
            );
        }
    }

    #[test]
    fn decimals_with_commas_have_one_reading() {
        for (german, english) in [
            (
                "     0,501145536,1002,65,msec,cpu-clock,1002649040,100,00,2,005,CPUs utilized\n",
                "     0.501145536,1002.65,msec,cpu-clock,1002649040,100.00,2.005,CPUs utilized\n",
            ),
            (
                "     0,501145536,21,,context-switches,1002645472,52,00,20,945,/sec\n",
                "     0.501145536,21,,context-switches,1002645472,52.00,20.945,/sec\n",
            ),
            (
                "     0,501145536,<not supported>,,branches,0,100,00,,\n",
                "     0.501145536,<not supported>,,branches,0,100.00,,\n",
            ),
        ] {
            let found = intervals(german);
            assert_eq!(found.len(), 1);
            assert_eq!(found, intervals(english));
        }
    }

    #[test]
    fn what_is_no_count_of_an_event_is_passed_over() {
        for line in [
            "",
            ",16067494476,100.00,,,,TopdownL1 (cpu_core)",
            "     1.0,,,,,,%  tma_backend_bound",
            "     0.500514752,CPU0,507904740,,cycles,507912768,100.00,1.000,GHz",
            "     0.500514752,S0-D0-C0,1,507919782,,cycles,507927808,100.00,1.000,GHz",
            "     1.0,7,,r11,9,100.00,,",
            "     1.0,7,Joules,cycles,9,100.00,,",
            "     1.0,-7,,cycles,9,100.00,,",
            "     1.0,1e9,,cycles,9,100.00,,",
            "     1.0,18446744073709551616,,cycles,9,100.00,,",
            "     1.0,7.5,,cycles,9,100.00,,",
            "     99999999999.0,7,,cycles,9,100.00,,",
            "     1.0000000001,7,,cycles,9,100.00,,",
            "     1\u{66b}0,7,,cycles,9,100\u{66b}00,,",
            "     1.0,7,,cycles/,9,100.00,,",
            "     1.0,7,,a/b/cycles/,9,100.00,,",
            "cycles,cycles,cycles,cycles,cycles,cycles",
            "WARNING: perf not found for kernel 6.18",
            r#"{"interval" : 0.503818464, "counter-value" : "1018156951.0", "event" : "cycles"}"#,
        ] {
            check(line, "cycles", None);
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_no_other_count() {
        let line = "     0.501145536,1002602836,,cycles,1002619184,100.00,1.000,GHz";
        for end in 0..=line.len() {
            let cut = &line[..end];
            assert_eq!(intervals(cut), [], "a line needs its line feed");
            for interval in intervals(format!("{cut}\n")) {
                let Count::Counted { value, running_ns, .. } = count(&interval, "cycles") else {
                    panic!("{interval:?}")
                };
                assert_eq!((value, running_ns), (1_002_602_836, 1_002_619_184), "{cut}");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same_intervals() {
        let whole = intervals(NO_PMU);
        for size in [1, 7, 64, 4096] {
            let (mut parser, mut found) = (Intervals::default(), Vec::new());
            for piece in NO_PMU.chunks(size) {
                parser.feed(piece, |interval| found.push(interval));
            }
            found.extend(parser.settle());
            assert_eq!(found, whole, "{size}");
        }
    }

    #[test]
    fn a_flood_without_line_feeds_is_not_kept() {
        let (mut parser, mut found) = (Intervals::default(), Vec::new());
        for _ in 0..1000 {
            parser.feed(&[b'x'; 4096], |interval| found.push(interval));
        }
        assert!(parser.line.capacity() <= 2 * MAX_LINE_BYTES);
        parser.feed(b"\n     1.0,7,,cycles,9,100.00,,\n", |interval| found.push(interval));
        found.extend(parser.settle());
        assert_eq!(found.len(), 1, "what follows is read");
    }

    #[test]
    fn time_that_stands_or_goes_back_makes_no_interval() {
        let text: String =
            ["5.0", "2.0", "3.5"].map(|time| format!("  {time},1,,cycles,9,100.00,,\n")).concat();
        let lengths: Vec<_> = intervals(text).iter().map(|interval| interval.length_ns).collect();
        assert_eq!(lengths, [5_000_000_000, 1_500_000_000]);
    }
}
