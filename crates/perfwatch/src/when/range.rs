//! A stretch of time from one point to another.

use jiff::{SignedDuration, Timestamp, Zoned};

use super::error::{Error, out_of_range, shown};
use super::{Edge, clock, instant, latest};

/// Where a range begins when nobody says.
const DEFAULT_FROM: &str = "now-1h";

/// Where a range ends when nobody says.
const DEFAULT_TO: &str = "now";

/// A half-open range: `from` belongs to it, `to` does not. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    from: Timestamp,
    to: Timestamp,
}

impl Range {
    /// None unless `from` is before `to`.
    pub(crate) fn new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// The range between two points in time as people write them, by default from `now-1h` to `now`.
    ///
    /// Two times of day make the latest such range that ends before `now`: at noon, `23:00` to `01:00` is the night,
    /// and `11:00` to `13:00` was yesterday.
    ///
    /// Fails when either is no point in time, and when the first is not before the second.
    pub(crate) fn parse(from: Option<&str>, to: Option<&str>, now: &Zoned) -> Result<Self, Error> {
        let (from, to) = (from.unwrap_or(DEFAULT_FROM), to.unwrap_or(DEFAULT_TO));
        let mut start = instant(from, Edge::From, now)?;
        let end = instant(to, Edge::To, now)?;
        if start > end
            && let (Some(time), Some(_)) = (clock(from)?, clock(to)?)
        {
            let end = end.to_zoned(now.time_zone().clone());
            start = latest(time, &end).map_err(|_| out_of_range(from))?;
        }
        Self::new(start, end)
            .ok_or_else(|| Error::Empty { from: shown(from.trim()), to: shown(to.trim()) })
    }

    /// The first moment that belongs to it.
    pub(crate) fn from(&self) -> Timestamp {
        self.from
    }

    /// The first moment that no longer belongs to it, after `from`.
    pub(crate) fn to(&self) -> Timestamp {
        self.to
    }

    /// More than nothing.
    pub(crate) fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// Whether a moment belongs to it.
    pub(crate) fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BERLIN, at, shown_in};
    use super::*;

    /// Parses in Berlin, where `_` is what was not given.
    fn range(now: &str, from: &str, to: &str) -> Result<String, String> {
        let now = at(now, BERLIN);
        let given = |text| Some(text).filter(|text| *text != "_");
        Range::parse(given(from), given(to), &now)
            .map(|range| format!("{} {}", shown_in(&now, range.from()), shown_in(&now, range.to())))
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(now: &str, from: &str, to: &str, expected: &str) {
        assert_eq!(range(now, from, to).as_deref(), Ok(expected), "{from} to {to} at {now}");
    }

    #[test]
    fn a_range_is_the_last_hour_unless_told_otherwise() {
        let now = "2026-06-15T12:00";
        check(now, "_", "_", "2026-06-15T11:00:00+02 2026-06-15T12:00:00+02");
        check(now, "-6h", "_", "2026-06-15T06:00:00+02 2026-06-15T12:00:00+02");
        check(now, "_", "now+1h", "2026-06-15T11:00:00+02 2026-06-15T13:00:00+02");
    }

    #[test]
    fn the_same_day_at_both_ends_is_that_whole_day() {
        let now = "2026-06-15T12:00";
        check(now, "yesterday", "yesterday", "2026-06-14T00:00:00+02 2026-06-15T00:00:00+02");
        check(now, "now/w", "now/w", "2026-06-15T00:00:00+02 2026-06-22T00:00:00+02");
        check(now, "2026-03-29", "2026-03-29", "2026-03-29T00:00:00+01 2026-03-30T00:00:00+02");
        check(now, "2026-10-25", "2026-10-25", "2026-10-25T00:00:00+02 2026-10-26T00:00:00+01");
    }

    #[test]
    fn two_times_of_day_are_the_latest_such_range() {
        let noon = "2026-06-15T12:00";
        check(noon, "23:00", "01:00", "2026-06-14T23:00:00+02 2026-06-15T01:00:00+02");
        check(noon, "09:00", "10:00", "2026-06-15T09:00:00+02 2026-06-15T10:00:00+02");
        check(noon, "11:00", "13:00", "2026-06-14T11:00:00+02 2026-06-14T13:00:00+02");
        check(noon, " 13:00 ", "14:00", "2026-06-14T13:00:00+02 2026-06-14T14:00:00+02");
        let late = "2026-06-15T23:30";
        check(late, "23:00", "01:00", "2026-06-14T23:00:00+02 2026-06-15T01:00:00+02");
        let early = "2026-06-15T00:30";
        check(early, "23:00", "01:00", "2026-06-13T23:00:00+02 2026-06-14T01:00:00+02");
        check(early, "23:00", "_", "2026-06-14T23:00:00+02 2026-06-15T00:30:00+02");
    }

    #[test]
    fn a_night_in_which_the_clocks_change_is_shorter_or_longer() {
        let (spring, autumn) = ("2026-03-29T12:00", "2026-10-25T12:00");
        check(spring, "23:00", "05:00", "2026-03-28T23:00:00+01 2026-03-29T05:00:00+02");
        check(autumn, "23:00", "05:00", "2026-10-24T23:00:00+02 2026-10-25T05:00:00+01");
        check(spring, "02:30", "03:15", "2026-03-29T03:00:00+02 2026-03-29T03:15:00+02");
    }

    #[test]
    fn an_empty_range_names_both_ends_as_given() {
        let now = "2026-06-15T12:00";
        for (from, to, says) in [
            ("now", "-1h", "nothing lies from `now` to `-1h`: "),
            ("now", "now", "nothing lies from `now` to `now`: "),
            ("_", "-1d", "nothing lies from `now-1h` to `-1d`: "),
            ("03:12", "03:12", "nothing lies from `03:12` to `03:12`: "),
            ("today 03:12", " 02:00", "nothing lies from `today 03:12` to `02:00`: "),
        ] {
            let error = range(now, from, to).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn either_end_can_be_wrong() {
        let now = "2026-06-15T12:00";
        assert!(range(now, "soon", "_").unwrap_err().starts_with("`soon` is not a point in time"));
        assert!(range(now, "_", "25:00").unwrap_err().starts_with("`25:00` is not a time of day"));
        assert!(range(now, "", "_").unwrap_err().starts_with("`` is not a point in time"));
    }

    #[test]
    fn the_end_does_not_belong_to_a_range() {
        let [start, within, end] = [1, 2, 3].map(|second| Timestamp::constant(second, 0));
        let range = Range::new(start, end).unwrap();
        assert_eq!([start, within, end].map(|at| range.contains(at)), [true, true, false]);
        assert_eq!(range.length(), SignedDuration::from_secs(2));
        assert_eq!(Range::new(start, start), None);
        assert_eq!(Range::new(end, start), None);
    }
}
