//! What can be wrong with a point in time, a range or a comparison.

/// Enough for nanoseconds, an offset and all but a few names of time zones; anything longer is no point in time.
pub(super) const MAX_LENGTH_BYTES: usize = 64;

/// How much of a wrong text an error repeats, in characters before they are escaped: enough to recognize it.
const SHOWN_CHARS: usize = 32;

/// Why a text is no point in time, no range and no shift. All of them are the fault of whoever wrote the text, and
/// show it escaped and shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing of the grammar begins like this.
    #[error(
        "`{text}` is not a point in time: expected one such as now-6h, now/d, yesterday, 03:12, 2026-11-23T03:12, \
         or milliseconds since the epoch"
    )]
    Unknown { text: String },
    /// Longer than any point in time.
    #[error("`{text}` is longer than {max} bytes", max = MAX_LENGTH_BYTES)]
    TooLong { text: String },
    /// What follows `now` makes no sense from `rest` on.
    #[error(
        "`{text}`: expected steps such as -6h, +1h or /d, with units s, m, h, d, w, M and y, found `{rest}`"
    )]
    Step { text: String, rest: String },
    /// It looks like a time of day, and is none.
    #[error("`{text}` is not a time of day: expected 00:00 to 23:59:59")]
    Clock { text: String },
    /// It looks like a date, and is none, or its offset is not its time zone's.
    #[error(
        "`{text}` is not a date and time: expected one such as 2026-11-23, 2026-11-23T03:12 or \
         2026-11-23T03:12:05+01:00"
    )]
    Date { text: String },
    /// The name in brackets is not in this host's time zone database, which a small container may lack.
    #[error("`{text}` names a time zone that this host does not know")]
    Zone { text: String },
    /// Well formed, but farther away than time can be written.
    #[error("`{text}` is outside of the years -9999 to 9999")]
    OutOfRange { text: String },
    /// A range must begin before it ends. Both as they were given.
    #[error("nothing lies from `{from}` to `{to}`: the beginning must be before the end")]
    Empty { from: String, to: String },
    /// No way to compare.
    #[error(
        "`{text}` is not a comparison: expected prev, yesterday, last-week, a step back such as -1d, -1w, -1M or \
         -36h, or a range such as 03:00..04:00"
    )]
    Shift { text: String },
    /// The shift is fine, but not for this range.
    #[error("the range to compare with is empty or outside of the years -9999 to 9999")]
    NoOtherSide,
}

pub(super) fn out_of_range(text: &str) -> Error {
    Error::OutOfRange { text: shown(text) }
}

/// A text from anywhere as an error may repeat it: on one line, in ASCII, and not much of it.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String =
        chars.by_ref().take(SHOWN_CHARS).flat_map(char::escape_default).collect();
    if chars.next().is_some() {
        shown.push_str("...");
    }
    shown
}
