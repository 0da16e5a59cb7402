//! Local time: what a wall clock's reading means, and units of the calendar.
//!
//! Two traps: on a day when clocks are changed some readings never occur and others do twice, and days are 23 to 25
//! hours long.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, Zoned};

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// Which end of a range a point in time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The first moment that belongs to the range.
    From,
    /// The first moment that no longer belongs to it.
    To,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`, from midnight to midnight.
    Day,
    /// `w`, from Monday on, as in ISO 8601.
    Week,
    /// `M`
    Month,
    /// `y`
    Year,
}

impl Unit {
    /// Splits a unit's letter off the start. None when no unit has that letter.
    pub(super) fn split_from(text: &str) -> Option<(Self, &str)> {
        let mut chars = text.chars();
        let unit = match chars.next()? {
            's' => Self::Second,
            'm' => Self::Minute,
            'h' => Self::Hour,
            'd' => Self::Day,
            'w' => Self::Week,
            'M' => Self::Month,
            'y' => Self::Year,
            _ => return None,
        };
        Some((unit, chars.as_str()))
    }

    /// Its length. None when that depends on the calendar.
    pub(super) fn seconds(self) -> Option<i64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(60 * 60),
            Self::Day | Self::Week | Self::Month | Self::Year => None,
        }
    }

    /// So many of it. Fails when that is more than the calendar has.
    pub(super) fn span(self, amount: i64) -> Result<Span, jiff::Error> {
        let span = Span::new();
        match self {
            Self::Second => span.try_seconds(amount),
            Self::Minute => span.try_minutes(amount),
            Self::Hour => span.try_hours(amount),
            Self::Day => span.try_days(amount),
            Self::Week => span.try_weeks(amount),
            Self::Month => span.try_months(amount),
            Self::Year => span.try_years(amount),
        }
    }

    /// The start, or the end, of the unit that holds `at`. The end is the start of the next one, so a moment that
    /// starts a unit is in that unit and never ends the one before. Hours, minutes and seconds go by the offset from
    /// UTC at `at` and always have their full length, also where the clocks change by half an hour.
    pub(super) fn round(self, at: &Zoned, edge: Edge) -> Result<Timestamp, jiff::Error> {
        let date = at.date();
        let first = match self {
            Self::Second => return round_exactly(at, 1, edge),
            Self::Minute => return round_exactly(at, 60, edge),
            Self::Hour => return round_exactly(at, 60 * 60, edge),
            Self::Day => date,
            Self::Week => {
                let since_monday = date.weekday().to_monday_zero_offset();
                date.checked_sub(Self::Day.span(i64::from(since_monday))?)?
            }
            Self::Month => date.first_of_month(),
            Self::Year => date.first_of_year(),
        };
        match edge {
            Edge::From => day(first, at.time_zone(), Edge::From),
            Edge::To => day(first.checked_add(self.span(1)?)?, at.time_zone(), Edge::From),
        }
    }
}

fn round_exactly(at: &Zoned, length_s: i64, edge: Edge) -> Result<Timestamp, jiff::Error> {
    let length = i128::from(length_s) * NANOSECONDS_PER_SECOND;
    let offset = i128::from(at.offset().seconds()) * NANOSECONDS_PER_SECOND;
    let since_epoch = at.timestamp().as_nanosecond();
    let start = since_epoch - (since_epoch + offset).rem_euclid(length);
    Timestamp::from_nanosecond(match edge {
        Edge::From => start,
        Edge::To => start + length,
    })
}

/// The start of a day, or its end, which is the start of the next.
pub(super) fn day(date: Date, zone: &TimeZone, edge: Edge) -> Result<Timestamp, jiff::Error> {
    let date = match edge {
        Edge::From => date,
        Edge::To => date.tomorrow()?,
    };
    moment(date.at(0, 0, 0, 0), zone, Edge::From)
}

/// When the clocks of a zone show this. Of two such moments, the first at `Edge::From` and the second at `Edge::To`.
/// Of none, the one at which they were put forward: jiff would add the gap's length and give 03:30 for 02:30, so that
/// 02:30 to 03:15 ran backwards.
pub(super) fn moment(
    clock: DateTime,
    zone: &TimeZone,
    edge: Edge,
) -> Result<Timestamp, jiff::Error> {
    let candidates = zone.to_ambiguous_timestamp(clock);
    if let AmbiguousOffset::Gap { .. } = candidates.offset() {
        let before = candidates.earlier()?;
        let put_forward = zone.following(before).next();
        return Ok(put_forward.map_or(before, |transition| transition.timestamp()));
    }
    match edge {
        Edge::From => candidates.earlier(),
        Edge::To => candidates.later(),
    }
}
