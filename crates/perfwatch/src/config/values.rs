//! What a value of a setting may look like, as the file, the environment and the command line write it.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span};
use serde::Deserialize;

/// Time between samples: 500ms to 60s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Interval(pub(crate) Duration);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interval = duration(text)?;
        let allowed = Duration::from_millis(500)..=Duration::from_secs(60);
        if allowed.contains(&interval) {
            Ok(Self(interval))
        } else {
            Err("must be from 500ms to 60s".to_owned())
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("interval `{text}`: {error}"))
    }
}

/// How long something is kept: `36h`, `30d`, `6w`, `5y`. A month has 30 days and a year 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Keep(pub(crate) Duration);

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as 36h, 30d or 5y");
        let span: Span = text.parse().map_err(|_| wrong())?;
        let days = i64::from(span.get_years()) * 365
            + i64::from(span.get_months()) * 30
            + i64::from(span.get_weeks()) * 7
            + i64::from(span.get_days());
        let seconds = days * 86_400
            + i64::from(span.get_hours()) * 3600
            + span.get_minutes() * 60
            + span.get_seconds();
        let parts = span.get_milliseconds() + span.get_microseconds() + span.get_nanoseconds();
        let seconds = u64::try_from(seconds).ok().filter(|_| parts == 0).ok_or_else(wrong)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for Keep {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// As [`Keep`], of what is never kept for less than an hour: what was a moment ago is always asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct KeepRaw(pub(super) Keep);

impl FromStr for KeepRaw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keep: Keep = text.parse()?;
        let long = keep.0 >= Duration::from_secs(3600);
        long.then_some(Self(keep)).ok_or_else(|| format!("`{text}` is less than the least, 1h"))
    }
}

impl TryFrom<String> for KeepRaw {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A size as people write it: `500MB`, `2GiB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ByteCount(pub(crate) u64);

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 8] = [
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        let wrong = || format!("`{text}` is not a size such as 500MB or 2GiB");
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?.1;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        let bytes = bytes.ok_or_else(wrong)?;
        if bytes < MIN_STORE_BYTES {
            return Err(format!("`{text}` is less than the least, 1MiB"));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ByteCount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Below this, segments would be too small to be worth their headers.
const MIN_STORE_BYTES: u64 = 1 << 20;

/// At most how long a row may be lost to a power cut: 1s to 5m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct CommitInterval(pub(super) Duration);

impl TryFrom<String> for CommitInterval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let interval = duration(&text)?;
        let allowed = Duration::from_secs(1)..=Duration::from_secs(300);
        let error = || format!("commit_interval `{text}`: must be from 1s to 5m");
        allowed.contains(&interval).then_some(Self(interval)).ok_or_else(error)
    }
}

/// A length of time as people write it: `5s`, `500ms`, `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    // It may come from anybody, over HTTP.
    let shown = || text.chars().take(32).flat_map(char::escape_default).collect::<String>();
    let parsed: SignedDuration =
        text.parse().map_err(|_| format!("`{}` is not a duration such as 5s or 500ms", shown()))?;
    Duration::try_from(parsed).map_err(|_| format!("`{}` is negative", shown()))
}

/// Share of one CPU: 0.01 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub(crate) struct CpuPercent(pub(super) f64);

impl Default for CpuPercent {
    fn default() -> Self {
        Self(0.5)
    }
}

impl FromStr for CpuPercent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.parse::<f64>().map_err(|_| format!("`{text}` is not a number"))?;
        if (0.01..=100.0).contains(&percent) {
            Ok(Self(percent))
        } else {
            Err(format!("`{text}` is not between 0.01 and 100"))
        }
    }
}

/// A number, in quotes or not.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

impl TryFrom<NumberOrText> for CpuPercent {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(number) => number.to_string().parse(),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}
