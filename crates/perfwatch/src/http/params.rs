//! The parameters of questions about history.

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::error::Problem;
use crate::selector::Selector;
use crate::when::Range;

/// Most points of a series that may be asked for.
const MAX_ASKED_POINTS: u64 = 10_000;

/// Most `select` parameters.
const MAX_SELECTORS: usize = 64;

/// How much of a wrong text an error repeats: enough to recognize it.
const SHOWN_CHARS: usize = 32;

/// The parameters as they came, each known and none twice but `select`.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads a query string. Refuses a parameter that is not one of these.
    pub(crate) fn parse(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let twice = name != "select" && pairs.iter().any(|(other, _)| *other == name);
            if twice || !known.contains(&&*name) {
                let known = known.join(", ");
                let name = shown(&name);
                return Err(wrong(format!(
                    "parameter `{name}` is unknown or stands twice; known are {known}"
                )));
            }
            // Empty is as if it were not there.
            if !value.is_empty() {
                pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |value: &str| {
            let number = value.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| wrong(format!("{name}: `{}` is no number above 0", shown(value))))
        };
        self.get(name).map(parse).transpose()
    }

    /// How many points are wanted at most.
    pub(crate) fn points(&self) -> Result<Option<u64>, Problem> {
        match self.number("points")? {
            Some(points) if points > MAX_ASKED_POINTS => {
                Err(wrong(format!("points: at most {MAX_ASKED_POINTS}")))
            }
            points => Ok(points),
        }
    }

    /// What is selected: at least one.
    pub(crate) fn selectors(&self) -> Result<Vec<Selector>, Problem> {
        let texts: Vec<_> = self
            .pairs
            .iter()
            .filter(|(name, _)| name == "select")
            .map(|(_, value)| value)
            .collect();
        if texts.is_empty() || texts.len() > MAX_SELECTORS {
            let problem =
                wrong(format!("expected 1 to {MAX_SELECTORS} of `select`, found {}", texts.len()));
            return Err(problem.fix("say select=cpu.usage_percent or select=disk.devices.*"));
        }
        let parse =
            |text: &&String| text.parse().map_err(|error| wrong(format!("select: {error}")));
        texts.iter().map(parse).collect()
    }

    /// Now, in the time zone of `tz`, else in this host's.
    pub(crate) fn now(&self) -> Result<Zoned, Problem> {
        let zone = match self.get("tz") {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name)
                .map_err(|_| wrong(format!("tz: `{}` is no time zone", shown(name))))?,
        };
        Ok(Timestamp::now().to_zoned(zone))
    }

    /// The range from `from` to `to`.
    pub(crate) fn range(&self, now: &Zoned) -> Result<Range, Problem> {
        Range::parse(self.get("from"), self.get("to"), now)
            .map_err(|error| wrong(error.to_string()))
    }
}

/// A text from anywhere as an error may repeat it: on one line, and not much of it.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// A question that makes no sense.
pub(crate) fn wrong(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-parameter", detail)
}
