//! Points in time as people write them, for the query parameters of HTTP and for the command line.
//!
//! - `now`, `now-6h`, `now-1d-2h`, `now/d`, `now-1d/d`, `now/d+8h`; `-6h` is `now-6h`. Steps apply from left to right.
//! - `today`, `yesterday`, `03:12`, `03:12:05`, `yesterday 03:12`
//! - `2026-11-23`, `2026-11-23T03:12`, `2026-11-23 03:12:05.5`, with `Z`, an offset, `[Europe/Berlin]` or none of them
//! - `1795399920000`: digits alone are milliseconds since the epoch, so `2026` and `20261123` are no dates
//!
//! Units are s, m, h, d, w, M and y; `m` is minutes, `M` months. A plus sign in a URL is written `%2B`: a bare one
//! arrives as a space and is refused.

mod error;
mod local;
mod range;
mod relative;
mod shift;

use jiff::civil::{Date, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use error::{MAX_LENGTH_BYTES, out_of_range, shown};
use local::{day, moment};
use relative::relative;

pub(crate) use error::Error;
pub(crate) use local::Edge;
pub(crate) use range::Range;
pub(crate) use shift::Shift;

/// The moment that a text names, in the time zone of `now` unless the text has its own.
///
/// What names a whole day, week or hour, as `yesterday`, `2026-11-23` and `now/h` do, stands for its start at
/// `Edge::From` and for the start of what follows it at `Edge::To`, because ranges are half-open. A local time that
/// the clocks skipped stands for the moment they did so; one that occurred twice is the first at `Edge::From` and the
/// second at `Edge::To`. Without a date it is the latest such moment that is not after `now`.
///
/// Fails on what is not in the grammar and on moments that a `Timestamp` cannot hold.
pub(crate) fn instant(text: &str, edge: Edge, now: &Zoned) -> Result<Timestamp, Error> {
    let text = text.trim();
    if text.len() > MAX_LENGTH_BYTES {
        return Err(Error::TooLong { text: shown(text) });
    }
    if let Some(steps) = text.strip_prefix("now") {
        return relative(text, steps, edge, now);
    }
    if text.starts_with('-') {
        return relative(text, text, edge, now);
    }
    if let Some((date, rest)) = day_word(text, now)? {
        let zone = now.time_zone();
        let at = match clock(rest)? {
            Some(time) => moment(date.to_datetime(time), zone, edge),
            None if rest.is_empty() => day(date, zone, edge),
            None => return Err(Error::Clock { text: shown(rest) }),
        };
        return at.map_err(|_| out_of_range(text));
    }
    if let Some(time) = clock(text)? {
        return latest(time, now).map_err(|_| out_of_range(text));
    }
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Error::Unknown { text: shown(text) });
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only digits fail to parse when they are too many.
        let since_epoch_ms = text.parse().unwrap_or(i64::MAX);
        return Timestamp::from_millisecond(since_epoch_ms).map_err(|_| out_of_range(text));
    }
    iso(text, edge, now)
}

/// The date that a text begins with as a word, and what follows it. None when it begins otherwise.
fn day_word<'a>(text: &'a str, now: &Zoned) -> Result<Option<(Date, &'a str)>, Error> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let date = match word {
        "today" => now.date(),
        "yesterday" => now.date().yesterday().map_err(|_| out_of_range(text))?,
        _ => return Ok(None),
    };
    Ok(Some((date, rest.trim_start())))
}

/// The time of day, when the text looks like one and nothing else: two digits and a colon, then no letters or signs.
fn clock(text: &str) -> Result<Option<Time>, Error> {
    let text = text.trim();
    let of_a_clock = |byte: u8| byte.is_ascii_digit() || byte == b':' || byte == b'.';
    if text.as_bytes().get(2) != Some(&b':') || !text.bytes().all(of_a_clock) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::Clock { text: shown(text) })
}

/// The latest moment, not after `now`, at which the clocks showed this time: today's or yesterday's.
fn latest(time: Time, now: &Zoned) -> Result<Timestamp, jiff::Error> {
    let today = now.date();
    let mut at = now.timestamp();
    for date in [today, today.yesterday()?] {
        for edge in [Edge::To, Edge::From] {
            at = moment(date.to_datetime(time), now.time_zone(), edge)?;
            if at <= now.timestamp() {
                return Ok(at);
            }
        }
    }
    Ok(at)
}

/// A date, with or without a time, an offset and a time zone.
fn iso(text: &str, edge: Edge, now: &Zoned) -> Result<Timestamp, Error> {
    let wrong = |_| Error::Date { text: shown(text) };
    let pieces = Pieces::parse(text).map_err(wrong)?;
    let own_zone = pieces.to_time_zone().map_err(|_| Error::Zone { text: shown(text) })?;
    let zone: &TimeZone = own_zone.as_ref().unwrap_or(now.time_zone());
    match (pieces.time(), pieces.offset()) {
        (Some(_), Some(_)) if own_zone.is_some() => {
            text.parse().map(|at: Zoned| at.timestamp()).map_err(wrong)
        }
        (_, Some(_)) => text.parse().map_err(wrong),
        (Some(time), None) => {
            moment(pieces.date().to_datetime(time), zone, edge).map_err(|_| out_of_range(text))
        }
        (None, None) => day(pieces.date(), zone, edge).map_err(|_| out_of_range(text)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Rules instead of names, so that the tests need no time zone database.
    pub(super) const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    pub(super) const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
    /// Summer time begins at midnight, which thereby is skipped.
    const BEIRUT: &str = "EET-2EEST,M3.5.0/0,M10.5.0/0";
    pub(super) const UTC: &str = "UTC0";

    /// A moment by the clocks of a zone; the first of two.
    pub(super) fn at(local: &str, zone: &str) -> Zoned {
        let local: jiff::civil::DateTime = local.parse().unwrap();
        local.to_zoned(TimeZone::posix(zone).unwrap()).unwrap()
    }

    /// A moment by the clocks of the zone that `now` is in, with their offset from UTC.
    pub(super) fn shown_in(now: &Zoned, at: Timestamp) -> String {
        at.to_zoned(now.time_zone().clone()).strftime("%FT%T%.f%:::z").to_string()
    }

    #[track_caller]
    pub(super) fn check_at(now: &Zoned, text: &str, from: &str, to: &str) {
        for (edge, expected) in [(Edge::From, from), (Edge::To, to)] {
            let found = instant(text, edge, now).map(|at| shown_in(now, at));
            assert_eq!(found.as_deref(), Ok(expected), "{text} as {edge:?} at {now}");
        }
    }

    /// Now is `2026-03-29T12:00` in Berlin, where at two o'clock it became three o'clock.
    #[track_caller]
    pub(super) fn check(text: &str, from: &str, to: &str) {
        check_at(&at("2026-03-29T12:00", BERLIN), text, from, to);
    }

    /// For what is a point and no stretch.
    #[track_caller]
    pub(super) fn same(text: &str, expected: &str) {
        check(text, expected, expected);
    }

    #[track_caller]
    pub(super) fn fails(text: &str, says: &str) {
        let now = at("2026-03-29T12:00", BERLIN);
        for edge in [Edge::From, Edge::To] {
            let error = instant(text, edge, &now).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn leap_days_and_year_ends_are_the_calendars() {
        let leap = at("2024-02-29T12:00", UTC);
        check_at(&leap, "now-1y", "2023-02-28T12:00:00+00", "2023-02-28T12:00:00+00");
        check_at(&leap, "now-4y", "2020-02-29T12:00:00+00", "2020-02-29T12:00:00+00");
        check_at(&leap, "now/M", "2024-02-01T00:00:00+00", "2024-03-01T00:00:00+00");
        let new_year = at("2027-01-01T00:00", UTC);
        check_at(&new_year, "now/d", "2027-01-01T00:00:00+00", "2027-01-02T00:00:00+00");
        check_at(&new_year, "yesterday", "2026-12-31T00:00:00+00", "2027-01-01T00:00:00+00");
        check_at(&new_year, "now/w", "2026-12-28T00:00:00+00", "2027-01-04T00:00:00+00");
        check_at(&new_year, "-1s/y", "2026-01-01T00:00:00+00", "2027-01-01T00:00:00+00");
        check_at(&new_year, "00:00", "2027-01-01T00:00:00+00", "2027-01-01T00:00:00+00");
        check_at(&new_year, "00:01", "2026-12-31T00:01:00+00", "2026-12-31T00:01:00+00");
    }

    #[test]
    fn a_time_of_day_is_the_latest_one() {
        check("today", "2026-03-29T00:00:00+01", "2026-03-30T00:00:00+02");
        check("yesterday", "2026-03-28T00:00:00+01", "2026-03-29T00:00:00+01");
        same("03:12", "2026-03-29T03:12:00+02");
        same("03:12:05", "2026-03-29T03:12:05+02");
        same("03:12:05.5", "2026-03-29T03:12:05.5+02");
        same("12:00", "2026-03-29T12:00:00+02");
        same("12:01", "2026-03-28T12:01:00+01");
        same("today 12:01", "2026-03-29T12:01:00+02");
        same("yesterday 03:12", "2026-03-28T03:12:00+01");
        same("yesterday  03:12:05 ", "2026-03-28T03:12:05+01");
    }

    #[test]
    fn dates_are_local_unless_they_say_otherwise() {
        check("2026-11-23", "2026-11-23T00:00:00+01", "2026-11-24T00:00:00+01");
        check("2026-03-29", "2026-03-29T00:00:00+01", "2026-03-30T00:00:00+02");
        same("2026-11-23T03:12", "2026-11-23T03:12:00+01");
        same("2026-11-23 03:12:05", "2026-11-23T03:12:05+01");
        same("2026-11-23T03:12:05.123456789", "2026-11-23T03:12:05.123456789+01");
        same("2026-11-23T03:12Z", "2026-11-23T04:12:00+01");
        same("2026-11-23T03:12:05+05:30", "2026-11-22T22:42:05+01");
        same("2026-11-23T03:12[+05:30]", "2026-11-22T22:42:00+01");
        same("2026-11-23T03:12+05:30[+05:30]", "2026-11-22T22:42:00+01");
        check("2026-11-23[+05:30]", "2026-11-22T19:30:00+01", "2026-11-23T19:30:00+01");
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn a_time_zone_can_be_named_where_there_is_a_database() {
        if TimeZone::get("Asia/Kolkata").is_err() {
            eprintln!("skipped 1 case: no time zone database");
            return;
        }
        same("2026-11-23T03:12[Asia/Kolkata]", "2026-11-22T22:42:00+01");
    }

    #[test]
    fn digits_alone_are_milliseconds() {
        same("1795399920000", "2026-11-23T03:12:00+01");
        same("0", "1970-01-01T01:00:00+01");
        same("2026", "1970-01-01T01:00:02.026+01");
    }

    #[test]
    fn a_skipped_time_is_the_moment_it_was_skipped() {
        same("02:00", "2026-03-29T03:00:00+02");
        same("02:30", "2026-03-29T03:00:00+02");
        same("2026-03-29T02:59:59", "2026-03-29T03:00:00+02");
        same("2026-03-29T01:59:59", "2026-03-29T01:59:59+01");
        let howe = at("2026-10-04T12:00", LORD_HOWE);
        check_at(&howe, "02:15", "2026-10-04T02:30:00+11", "2026-10-04T02:30:00+11");
        check_at(&howe, "now-1d", "2026-10-03T12:00:00+10:30", "2026-10-03T12:00:00+10:30");
        let beirut = at("2026-03-29T12:00", BEIRUT);
        check_at(&beirut, "today", "2026-03-29T01:00:00+03", "2026-03-30T00:00:00+03");
        check_at(&beirut, "yesterday", "2026-03-28T00:00:00+02", "2026-03-29T01:00:00+03");
    }

    #[test]
    fn a_range_over_a_repeated_time_holds_both() {
        let now = at("2026-10-25T12:00", BERLIN);
        let (first, second) = ("2026-10-25T02:30:00+02", "2026-10-25T02:30:00+01");
        check_at(&now, "2026-10-25T02:30", first, second);
        check_at(&now, "today 02:30", first, second);
        check_at(&now, "02:30", second, second);
        check_at(&now, "2026-10-25T02:30+02:00", first, first);
        check_at(&now, "now-10h", "2026-10-25T02:00:00+01", "2026-10-25T02:00:00+01");
        check_at(&now, "now-11h", "2026-10-25T02:00:00+02", "2026-10-25T02:00:00+02");
        check_at(&now, "today", "2026-10-25T00:00:00+02", "2026-10-26T00:00:00+01");
        // Between the two.
        let between = at("2026-10-25T02:45", BERLIN);
        check_at(&between, "02:30", first, first);
        check_at(&between, "now/h", "2026-10-25T02:00:00+02", "2026-10-25T02:00:00+01");
        let howe = at("2026-04-05T12:00", LORD_HOWE);
        check_at(&howe, "today 01:45", "2026-04-05T01:45:00+11", "2026-04-05T01:45:00+10:30");
    }

    #[test]
    fn what_is_wrong_is_named() {
        fails("", "`` is not a point in time: expected one such as now-6h");
        fails("soon", "`soon` is not a point in time");
        fails("Now", "`Now` is not a point in time");
        fails("25:00", "`25:00` is not a time of day: expected 00:00 to 23:59:59");
        fails("03:", "`03:` is not a time of day");
        fails("yesterday noon", "`noon` is not a time of day");
        fails("today 03", "`03` is not a time of day");
        fails("2026-02-29", "`2026-02-29` is not a date and time");
        fails("2026-11-23T25:00", "is not a date and time");
        fails("2026-11-23T03:12 01:00", "is not a date and time");
        fails("2026-11-23T03:12+02:00[+01:00]", "is not a date and time");
        fails("2026-11-23[Mars/Phobos]", "names a time zone that this host does not know");
    }

    #[test]
    fn what_is_too_far_away_is_an_error() {
        fails("99999999999999999999999", "is outside of the years");
        fails("253402300800000", "is outside of the years");
        check("9999-12-29", "9999-12-29T00:00:00+01", "9999-12-30T00:00:00+01");
        fails("9999-12-31", "is outside of the years");
    }

    #[test]
    fn errors_show_little_of_the_text_and_escape_it() {
        let now = at("2026-03-29T12:00", UTC);
        let error = |text: &str| instant(text, Edge::From, &now).unwrap_err().to_string();
        assert!(
            error("\u{1b}[31m\u{202e}ö\"").starts_with(r#"`\u{1b}[31m\u{202e}\u{f6}\"` is not"#)
        );
        let long = error(&"x".repeat(65));
        assert_eq!(long, format!("`{}...` is longer than 64 bytes", "x".repeat(32)));
        assert!(error(&"ö".repeat(32)).len() < 400);
    }

    /// Strings of what the grammar is made of, and of anything.
    pub(super) fn hostile() -> impl Strategy<Value = String> {
        let grammar = "now|today|yesterday|-|+|/|/d|/w|/M|/y|/h|s|m|h|d|w|M|y|0|1|99|9999|99999999999999999999|:|02:30|\
                       23:59:60|T| |.|..|2026-03-29|-9999-01-01|9999-12-31|-009999-01-01|Z|+25:59|[|]|[+01:00]|\
                       [Europe/Berlin]|prev|ö|\0";
        let word = prop::sample::select(grammar.split('|').collect::<Vec<_>>());
        prop_oneof![".*", prop::collection::vec(word, 0..7).prop_map(|words| words.concat())]
    }

    /// Any moment there is, with a preference for the ends of time, in every zone above.
    pub(super) fn any_now() -> impl Strategy<Value = Zoned> {
        let (min, max) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let second = prop_oneof![min..=min + 400_000, min..=max, max - 400_000..=max];
        let zone = prop::sample::select(vec![BERLIN, LORD_HOWE, BEIRUT, UTC]);
        (second, zone).prop_map(|(second, zone)| {
            let at = Timestamp::from_second(second).unwrap();
            at.to_zoned(TimeZone::posix(zone).unwrap())
        })
    }

    proptest! {
        #[test]
        fn no_text_panics(text in hostile(), now in any_now()) {
            for edge in [Edge::From, Edge::To] {
                if let Err(error) = instant(&text, edge, &now) {
                    let message = error.to_string();
                    prop_assert!(message.len() < 800 && message.is_ascii(), "{message}");
                }
            }
        }

        #[test]
        fn no_range_panics_or_is_empty(from in hostile(), to in hostile(), now in any_now()) {
            if let Ok(range) = Range::parse(Some(&from), Some(&to), &now) {
                prop_assert!(range.from() < range.to());
            }
        }

        #[test]
        fn a_time_of_day_is_never_after_now(hour in 0..24, minute in 0..60, now in any_now()) {
            if let Ok(at) = instant(&format!("{hour:02}:{minute:02}"), Edge::To, &now) {
                prop_assert!(at <= now.timestamp());
            }
        }

        #[test]
        fn what_is_rounded_holds_now(
            unit in prop::sample::select(vec!["s", "m", "h", "d", "w", "M", "y"]),
            now in any_now(),
        ) {
            let text = format!("now/{unit}");
            let ends = (instant(&text, Edge::From, &now), instant(&text, Edge::To, &now));
            if let (Ok(from), Ok(to)) = ends {
                prop_assert!(from <= now.timestamp() && now.timestamp() < to, "{from} {to}");
            }
        }
    }
}
