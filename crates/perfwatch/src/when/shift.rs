//! What a range is compared with: the parameter `vs`.
//!
//! - `prev`: as long a range, just before. The one before a day in which the clocks changed is 23 or 25 hours too.
//! - `-1d`, `-7d`, `-1w`, `-1M`, `-1y`: the same local time on another date. `yesterday` is `-1d`, `last-week` and
//!   `lastweek` are `-7d`.
//! - `-36h`, `-90m`, `-30s`: so much earlier, whatever the clocks showed
//! - `now-3h..now-2h`, `2026-11-22..2026-11-23`: a range of its own

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::Range;
use super::error::{Error, MAX_LENGTH_BYTES, out_of_range, shown};
use super::local::{Edge, Unit, day, moment};
use super::relative::quantity;

/// How to get from a range to what it is compared with, the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shift {
    /// Back by the length of the range.
    Previous,
    /// Back by a length of time.
    Exact(SignedDuration),
    /// Back by so many days, weeks, months or years, by the clocks of `zone`.
    Calendar { amount: i64, unit: Unit, zone: TimeZone },
    /// To this range, whatever is compared with it. Their lengths may differ.
    Between(Range),
}

impl Shift {
    /// Reads `vs`. The dates, clocks and ranges in it are those of the time zone that `now` is in.
    ///
    /// Fails on what is no comparison, on one with itself as `-0d` would be, on one that would go back past the
    /// beginning of time even from `now`, and on a range that `Range::parse` refuses.
    pub(crate) fn parse(text: &str, now: &Zoned) -> Result<Self, Error> {
        let text = text.trim();
        if let Some((from, to)) = text.split_once("..") {
            return Range::parse(Some(from), Some(to), now).map(Self::Between);
        }
        if text.len() > MAX_LENGTH_BYTES {
            return Err(Error::TooLong { text: shown(text) });
        }
        let step = match text {
            "prev" => return Ok(Self::Previous),
            "yesterday" => "-1d",
            "last-week" | "lastweek" => "-7d",
            other => other,
        };
        let Some((amount @ 1.., unit, "")) = step.strip_prefix('-').and_then(quantity) else {
            return Err(Error::Shift { text: shown(text) });
        };
        unit.span(amount).and_then(|span| now.checked_sub(span)).map_err(|_| out_of_range(text))?;
        Ok(match unit.seconds() {
            Some(seconds) => Self::Exact(SignedDuration::from_secs(amount.saturating_mul(seconds))),
            None => Self::Calendar { amount, unit, zone: now.time_zone().clone() },
        })
    }

    /// The other side of `base`.
    ///
    /// Where an end falls on a date or a local time that did not exist, it is the first moment after the gap; where
    /// the local time occurred twice, it is the first of them. Fails when that leaves nothing, as when `-1M` is
    /// asked of the 30th of March, or goes back past the beginning of time.
    pub(crate) fn other_side(&self, base: &Range) -> Result<Range, Error> {
        let ends = match self {
            Self::Between(range) => return Ok(*range),
            Self::Previous => back(base.from(), base.length()).zip(Some(base.from())),
            Self::Exact(length) => back(base.from(), *length).zip(back(base.to(), *length)),
            Self::Calendar { amount, unit, zone } => {
                let end = |at| Clock::before(at, *amount, *unit, zone)?.first_moment(zone);
                end(base.from()).zip(end(base.to()))
            }
        };
        ends.and_then(|(from, to)| Range::new(from, to)).ok_or(Error::NoOtherSide)
    }

    /// The moment on the other side that corresponds to `at`, which is one of `base`.
    ///
    /// By the calendar it is when the clocks showed the same: None when they never did on the other date or when there
    /// is no such date, and the first time when they did so twice. So both of `at`'s own repeated hours have the same
    /// partner, and the second of the other side's is nobody's. A `base` that ends within an hour repeated that day has
    /// partners of its last moments past the end of `other_side`. `prev` and a range of its own go by the time since
    /// the start; None past the end of such a range.
    pub(crate) fn partner(&self, base: &Range, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Previous => back(at, base.length()),
            Self::Exact(length) => back(at, *length),
            Self::Calendar { amount, unit, zone } => {
                Clock::before(at, *amount, *unit, zone)?.existing_moment(zone)
            }
            Self::Between(range) => {
                let partner = range.from().checked_add(at.duration_since(base.from())).ok()?;
                range.contains(partner).then_some(partner)
            }
        }
    }
}

/// None past the beginning of time.
fn back(at: Timestamp, length: SignedDuration) -> Option<Timestamp> {
    at.checked_sub(length).ok()
}

/// What the clocks would show on the other date.
enum Clock {
    Showing(DateTime),
    /// There is no such date, as the 30th of February. It would come after this one.
    NoSuchDateAfter(DateTime),
}

impl Clock {
    /// None past the beginning of time.
    fn before(at: Timestamp, amount: i64, unit: Unit, zone: &TimeZone) -> Option<Self> {
        let here = zone.to_datetime(at);
        let there = here.checked_sub(unit.span(amount).ok()?).ok()?;
        // Months and years stop at the end of a month that is too short.
        let keeps_day = matches!(unit, Unit::Month | Unit::Year);
        if keeps_day && there.day() != here.day() {
            return Some(Self::NoSuchDateAfter(there));
        }
        Some(Self::Showing(there))
    }

    fn first_moment(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Showing(clock) => moment(*clock, zone, Edge::From).ok(),
            Self::NoSuchDateAfter(clock) => day(clock.date(), zone, Edge::To).ok(),
        }
    }

    fn existing_moment(&self, zone: &TimeZone) -> Option<Timestamp> {
        let Self::Showing(clock) = self else { return None };
        let candidates = zone.to_ambiguous_timestamp(*clock);
        match candidates.offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                candidates.earlier().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::instant;
    use super::super::tests::{BERLIN, LORD_HOWE, any_now, at, hostile, shown_in};
    use super::*;

    /// The moment on the other side of a whole day that was `local` in a zone.
    #[track_caller]
    fn check_in(zone: &str, vs: &str, local: &str, expected: Option<&str>) {
        let now = at(local, zone);
        let shift = Shift::parse(vs, &now).unwrap();
        let base = Range::parse(Some("now/d"), Some("now/d"), &now).unwrap();
        let partner = shift.partner(&base, now.timestamp()).map(|at| shown_in(&now, at));
        assert_eq!(partner.as_deref(), expected, "{vs} at {now}");
    }

    #[track_caller]
    fn check(vs: &str, local: &str, expected: impl Into<Option<&'static str>>) {
        check_in(BERLIN, vs, local, expected.into());
    }

    /// The other side of a range in Berlin.
    fn other_side(vs: &str, from: &str, to: &str) -> Result<String, String> {
        let now = at("2026-06-15T12:00", BERLIN);
        let shift = Shift::parse(vs, &now).unwrap();
        let base = Range::parse(Some(from), Some(to), &now).unwrap();
        shift
            .other_side(&base)
            .map(|range| format!("{} {}", shown_in(&now, range.from()), shown_in(&now, range.to())))
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_side(vs: &str, from: &str, to: &str, expected: &str) {
        assert_eq!(other_side(vs, from, to).as_deref(), Ok(expected), "{vs} of {from} to {to}");
    }

    #[test]
    fn calendar_shifts_keep_the_local_time() {
        check("-1d", "2026-03-29T09:00", "2026-03-28T09:00:00+01");
        check("yesterday", "2026-03-29T09:00", "2026-03-28T09:00:00+01");
        check("-7d", "2026-03-29T09:00", "2026-03-22T09:00:00+01");
        check("-1w", "2026-03-29T09:00", "2026-03-22T09:00:00+01");
        check("last-week", "2026-03-29T09:00", "2026-03-22T09:00:00+01");
        check("lastweek", "2026-03-29T09:00", "2026-03-22T09:00:00+01");
        check(" -1M ", "2026-04-28T09:00", "2026-03-28T09:00:00+01");
        check("-1y", "2026-01-01T00:00", "2025-01-01T00:00:00+01");
        check("-1d", "2026-10-25T09:00", "2026-10-24T09:00:00+02");
        check("-1d", "2024-03-01T09:00", "2024-02-29T09:00:00+01");
        check_in(LORD_HOWE, "-1d", "2026-10-04T09:00", Some("2026-10-03T09:00:00+10:30"));
    }

    #[test]
    fn exact_shifts_are_so_much_earlier() {
        check("-36h", "2026-03-30T09:00", "2026-03-28T20:00:00+01");
        check("-24h", "2026-03-29T09:00", "2026-03-28T08:00:00+01");
        check("-90m", "2026-03-29T03:30", "2026-03-29T01:00:00+01");
        check("-30s", "2026-03-29T03:00", "2026-03-29T01:59:30+01");
        check("prev", "2026-03-30T09:00", "2026-03-29T09:00:00+02");
        // The day had 23 hours.
        check("prev", "2026-03-29T09:00", "2026-03-28T09:00:00+01");
        check("prev", "2026-03-29T01:00", "2026-03-28T02:00:00+01");
    }

    #[test]
    fn a_local_time_that_never_was_has_no_partner() {
        check("-1d", "2026-03-30T01:59:59", "2026-03-29T01:59:59+01");
        check("-1d", "2026-03-30T02:00", None);
        check("-1d", "2026-03-30T02:59:59", None);
        check("-1d", "2026-03-30T03:00", "2026-03-29T03:00:00+02");
        check("-1M", "2026-03-29T09:00", None);
        check("-1M", "2026-03-31T09:00", None);
        check("-1M", "2024-03-29T09:00", "2024-02-29T09:00:00+01");
        check("-1y", "2024-02-29T09:00", None);
        check_in(LORD_HOWE, "-1d", "2026-10-05T02:15", None);
        check_in(LORD_HOWE, "-1d", "2026-10-05T02:30", Some("2026-10-04T02:30:00+11"));
    }

    #[test]
    fn of_a_local_time_that_was_twice_the_first_is_the_partner() {
        check("-1d", "2026-10-26T02:30", "2026-10-25T02:30:00+02");
        check("-1d", "2026-10-26T03:00", "2026-10-25T03:00:00+01");
        check_in(LORD_HOWE, "-1d", "2026-04-06T01:45", Some("2026-04-05T01:45:00+11"));
        let now = at("2026-10-25T12:00", BERLIN);
        let base = Range::parse(Some("today"), None, &now).unwrap();
        let shift = Shift::parse("-1d", &now).unwrap();
        for twice in ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"] {
            let partner = shift.partner(&base, instant(twice, Edge::From, &now).unwrap()).unwrap();
            assert_eq!(shown_in(&now, partner), "2026-10-24T02:30:00+02");
        }
    }

    #[test]
    fn a_range_of_its_own_is_paired_from_the_start() {
        let vs = "2026-01-01T10:00..2026-01-01T11:00";
        check(vs, "2026-06-15T00:00", "2026-01-01T10:00:00+01");
        check(vs, "2026-06-15T00:59:59", "2026-01-01T10:59:59+01");
        check(vs, "2026-06-15T01:00", None);
        check_side(vs, "now-6h", "now", "2026-01-01T10:00:00+01 2026-01-01T11:00:00+01");
        check_side("23:00..01:00", "-1h", "now", "2026-06-14T23:00:00+02 2026-06-15T01:00:00+02");
    }

    #[test]
    fn the_other_side_is_a_range() {
        check_side("prev", "-1h", "now", "2026-06-15T10:00:00+02 2026-06-15T11:00:00+02");
        check_side("-36h", "-1h", "now", "2026-06-13T23:00:00+02 2026-06-14T00:00:00+02");
        check_side("-1d", "today", "today", "2026-06-14T00:00:00+02 2026-06-15T00:00:00+02");
        let monday = "2026-03-30";
        check_side("-1d", monday, monday, "2026-03-29T00:00:00+01 2026-03-30T00:00:00+02");
        check_side("prev", monday, monday, "2026-03-28T23:00:00+01 2026-03-30T00:00:00+02");
        check_side(
            "-1M",
            "2026-03-01",
            "2026-03-31",
            "2026-02-01T00:00:00+01 2026-03-01T00:00:00+01",
        );
        check_side(
            "-1M",
            "2026-03-28",
            "2026-03-30",
            "2026-02-28T00:00:00+01 2026-03-01T00:00:00+01",
        );
        // Half of it was skipped.
        let (from, to) = ("2026-03-30T02:30", "2026-03-30T03:30");
        check_side("-1d", from, to, "2026-03-29T03:00:00+02 2026-03-29T03:30:00+02");
    }

    #[test]
    fn a_range_that_never_was_has_no_other_side() {
        let says = Err("the range to compare with is empty or outside of the years -9999 to 9999");
        let check = |vs, from, to| {
            assert_eq!(other_side(vs, from, to).as_deref().map_err(String::as_str), says);
        };
        check("-1d", "2026-03-30T02:10", "2026-03-30T02:50");
        check("-1M", "2026-03-30", "2026-03-30");
        check("-9999y", "now-9000y", "now");
    }

    #[test]
    fn what_is_no_comparison_is_named() {
        let now = at("2026-06-15T12:00", BERLIN);
        for (text, says) in [
            ("", "`` is not a comparison: expected prev, yesterday"),
            ("next", "`next` is not a comparison"),
            ("1d", "`1d` is not a comparison"),
            ("+1d", "`+1d` is not a comparison"),
            ("-0d", "`-0d` is not a comparison"),
            ("-1d-2h", "`-1d-2h` is not a comparison"),
            ("-1D", "`-1D` is not a comparison"),
            ("-99999999999y", "`-99999999999y` is outside of the years"),
            ("-99999999999999999999h", "is outside of the years"),
            ("..", "`` is not a point in time"),
            ("now..", "`` is not a point in time"),
            ("now..now", "nothing lies from `now` to `now`"),
            ("soon..now", "`soon` is not a point in time"),
            ("-1h..now..now", "found `..now`"),
        ] {
            let error = Shift::parse(text, &now).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_eq!(
            Shift::parse(&"-".repeat(65), &now),
            Err(Error::TooLong { text: format!("{}...", "-".repeat(32)) })
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in hostile(), now in any_now(), moment in any_now(), length_s in 1_i64..9_999_999) {
            let base_end = moment.timestamp().checked_add(SignedDuration::from_secs(length_s));
            if let (Ok(shift), Ok(end)) = (Shift::parse(&text, &now), base_end) {
                let base = Range::new(moment.timestamp(), end).unwrap();
                let _ = shift.other_side(&base);
                let _ = shift.partner(&base, moment.timestamp());
                let _ = shift.partner(&base, now.timestamp());
            }
        }

        #[test]
        fn a_partner_is_on_the_other_side(
            vs in prop::sample::select(vec!["prev", "-36h", "-90m", "-1d", "-7d", "-1M", "-1y"]),
            base_s in 1_700_000_000_i64..1_900_000_000,
            length_s in 1_i64..10_000_000,
            into in 0.0..1.0,
        ) {
            let from = Timestamp::from_second(base_s).unwrap();
            let to = Timestamp::from_second(base_s + length_s).unwrap();
            let at = Timestamp::from_second(base_s + (length_s as f64 * into) as i64).unwrap();
            let zone = TimeZone::posix(BERLIN).unwrap();
            // The repeated hour of the base itself may end earlier on the other side than it is halfway through.
            let twice = |at: Timestamp| zone.to_ambiguous_timestamp(zone.to_datetime(at)).is_ambiguous();
            prop_assume!(!twice(from) && !twice(to));
            let shift = Shift::parse(vs, &from.to_zoned(zone.clone())).unwrap();
            let base = Range::new(from, to).unwrap();
            if let (Ok(other), Some(partner)) = (shift.other_side(&base), shift.partner(&base, at)) {
                prop_assert!(other.contains(partner), "{partner} {other:?}");
            }
        }
    }
}
