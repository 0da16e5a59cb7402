//! Steps from now: `-6h`, `+1h` and `/d`, one after the other.

use jiff::{Timestamp, Zoned};

use super::error::{Error, out_of_range, shown};
use super::local::{Edge, Unit};

/// `now` and the steps after it, which are all of `text` or what is left of it. Errors show all of it.
pub(super) fn relative(
    text: &str,
    steps: &str,
    edge: Edge,
    now: &Zoned,
) -> Result<Timestamp, Error> {
    let mut at = now.clone();
    let mut rest = steps;
    while !rest.is_empty() {
        let wrong = || Error::Step { text: shown(text), rest: shown(rest) };
        let (moved, left) = if let Some(rounding) = rest.strip_prefix('/') {
            let (unit, left) = Unit::split_from(rounding).ok_or_else(wrong)?;
            (unit.round(&at, edge).map(|start| start.to_zoned(at.time_zone().clone())), left)
        } else if let Some(back) = rest.strip_prefix('-') {
            let (amount, unit, left) = quantity(back).ok_or_else(wrong)?;
            (unit.span(amount).and_then(|span| at.checked_sub(span)), left)
        } else {
            let ahead = rest.strip_prefix('+').ok_or_else(wrong)?;
            let (amount, unit, left) = quantity(ahead).ok_or_else(wrong)?;
            (unit.span(amount).and_then(|span| at.checked_add(span)), left)
        };
        at = moved.map_err(|_| out_of_range(text))?;
        rest = left;
    }
    Ok(at.timestamp())
}

/// Splits `6h` off the start. None when there is no number or no unit; an amount too large for i64 is the largest,
/// which no unit can span.
pub(super) fn quantity(text: &str) -> Option<(i64, Unit, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    let (unit, rest) = Unit::split_from(rest)?;
    if digits.is_empty() {
        return None;
    }
    Some((digits.parse().unwrap_or(i64::MAX), unit, rest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{UTC, at, check, check_at, fails, same};

    #[test]
    fn hours_are_exact_and_days_are_the_calendars() {
        same("now", "2026-03-29T12:00:00+02");
        same(" now\t", "2026-03-29T12:00:00+02");
        same("now-90s", "2026-03-29T11:58:30+02");
        same("now-6m", "2026-03-29T11:54:00+02");
        same("now-12h", "2026-03-28T23:00:00+01");
        same("now-24h", "2026-03-28T11:00:00+01");
        same("now-1d", "2026-03-28T12:00:00+01");
        same("now+1h", "2026-03-29T13:00:00+02");
        same("now-1w", "2026-03-22T12:00:00+01");
        same("now-1M", "2026-02-28T12:00:00+01");
        same("now-1y", "2025-03-29T12:00:00+01");
        same("now-1d-2h", "2026-03-28T10:00:00+01");
        same("now-2h-1d", "2026-03-28T10:00:00+01");
        same("-6h", "2026-03-29T06:00:00+02");
        same("-1d-2h", "2026-03-28T10:00:00+01");
        same("now-0d", "2026-03-29T12:00:00+02");
    }

    #[test]
    fn rounding_gives_the_start_or_the_end() {
        check("now/d", "2026-03-29T00:00:00+01", "2026-03-30T00:00:00+02");
        check("now-1d/d", "2026-03-28T00:00:00+01", "2026-03-29T00:00:00+01");
        check("-1d/d", "2026-03-28T00:00:00+01", "2026-03-29T00:00:00+01");
        // A Sunday, so the week began six days ago.
        check("now/w", "2026-03-23T00:00:00+01", "2026-03-30T00:00:00+02");
        check("now+1d/w", "2026-03-30T00:00:00+02", "2026-04-06T00:00:00+02");
        check("now/M", "2026-03-01T00:00:00+01", "2026-04-01T00:00:00+02");
        check("now/y", "2026-01-01T00:00:00+01", "2027-01-01T00:00:00+01");
        check("now/h", "2026-03-29T12:00:00+02", "2026-03-29T13:00:00+02");
        check("now-1s/m", "2026-03-29T11:59:00+02", "2026-03-29T12:00:00+02");
        check("now/d+8h", "2026-03-29T09:00:00+02", "2026-03-30T08:00:00+02");
        let fraction = at("1969-12-31T23:59:58.25", UTC);
        check_at(&fraction, "now/s", "1969-12-31T23:59:58+00", "1969-12-31T23:59:59+00");
        check_at(&fraction, "now/h", "1969-12-31T23:00:00+00", "1970-01-01T00:00:00+00");
    }

    #[test]
    fn what_is_wrong_is_named() {
        fails("nowhere", "`nowhere`: expected steps such as -6h, +1h or /d");
        fails("now-6", "found `-6`");
        fails("now-6h-", "found `-`");
        fails("now-h", "found `-h`");
        fails("now-6H", "found `-6H`");
        fails("now 1h", "found ` 1h`");
        fails("now/", "found `/`");
        fails("now/1d", "found `/1d`");
        fails("now/dd", "found `d`");
        fails("-", "found `-`");
        fails("-5", "found `-5`");
        fails("now-99999999999y", "`now-99999999999y` is outside of the years -9999 to 9999");
        fails("now-99999999999999999999s", "is outside of the years");
        fails("now+9000y", "is outside of the years");
        fails("now+9000y-9000y", "is outside of the years");
    }
}
