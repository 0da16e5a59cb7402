//! Samples on their way out of a history and back into one, exactly as they are kept.
//!
//! What is exported are raw rows: a section at a moment, with the time it covers and its values, integers underneath.
//! Sections and series are in the order of their names, so that what was imported is exported as the same bytes.

mod export;
mod import;
mod lines;
mod openmetrics;
mod text;

use std::collections::HashMap;
use std::rc::Rc;

use perfwatch_metrics::SeriesKey;
use perfwatch_store::{Kind, MAX_NAME_BYTES};

pub(crate) use export::{csv, ndjson};
pub(crate) use import::import;
pub(crate) use openmetrics::{LeftOut, export as openmetrics};

use crate::recorder::{decimals, kind};

/// The version of the shapes, which stands in the first line.
const VERSION: u64 = 1;

/// Most names that are remembered.
const MAX_CACHED_NAMES: usize = 1 << 16;

/// A section at a moment.
#[derive(Debug, Clone)]
struct SectionRow {
    /// Nanoseconds since the epoch.
    time: i64,
    section: String,
    /// Nanoseconds since the row before; 0 when there is none.
    covered: u64,
    /// As they are kept.
    values: Vec<(Rc<Known>, i64)>,
}

/// A series, and how its values are written.
#[derive(Debug)]
struct Known {
    /// As the store has it.
    name: String,
    key: SeriesKey,
    /// A number of 64 bits without a sign.
    is_counter: bool,
    decimals: u32,
}

impl Known {
    /// A series of the store. None for one that this version does not know.
    fn new(name: &str, kind: &Kind) -> Option<Self> {
        let key = SeriesKey::parse(name)?;
        let is_counter = matches!(kind, Kind::Counter | Kind::Counter32);
        let decimals = if is_counter { 0 } else { decimals(key.def) };
        Some(Self { name: name.to_owned(), key, is_counter, decimals })
    }

    /// A value in writing.
    fn write(&self, value: i64) -> String {
        if self.is_counter {
            (value as u64).to_string()
        } else {
            text::decimal(value, self.decimals)
        }
    }

    /// What [`Known::write`] wrote. The error says what was expected.
    fn read(&self, value: &str) -> Result<i64, String> {
        let number = if self.is_counter {
            value.parse::<u64>().ok().map(|value| value as i64)
        } else {
            text::parse_decimal(value, self.decimals)
        };
        number.ok_or_else(|| match (self.is_counter, self.decimals) {
            (true, _) => format!("`{}` is no counter's value", text::shown(value)),
            (false, 0) => format!("`{}` is no whole number", text::shown(value)),
            (false, digits) => {
                let value = text::shown(value);
                format!("`{value}` is no number with at most {digits} digits after the point")
            }
        })
    }
}

/// Series by their names.
#[derive(Debug, Default)]
struct Names(HashMap<String, Rc<Known>>);

impl Names {
    /// The series of a name. The error says what is wrong with it.
    fn get(&mut self, name: &str) -> Result<Rc<Known>, String> {
        if let Some(known) = self.0.get(name) {
            return Ok(Rc::clone(known));
        }
        let known = Self::understand(name)
            .ok_or_else(|| format!("`{}` is no series that is kept", text::shown(name)))?;
        if self.0.len() >= MAX_CACHED_NAMES {
            self.0.clear();
        }
        let known = Rc::new(known);
        self.0.insert(name.to_owned(), Rc::clone(&known));
        Ok(known)
    }

    fn understand(name: &str) -> Option<Known> {
        let key = SeriesKey::parse(name).filter(|_| name.len() <= MAX_NAME_BYTES)?;
        let labels: Vec<_> = key.labels.iter().map(String::as_str).collect();
        // Written otherwise, it would be another series.
        let is_canonical = key.to_string() == name;
        Known::new(name, &kind(key.def, &labels)?).filter(|_| is_canonical)
    }
}
