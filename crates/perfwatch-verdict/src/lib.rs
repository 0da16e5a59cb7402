//! What stands out on a host: rules over a window of history, and the sentences that they make.
//!
//! [`judge`] takes a [`Window`] (series in steps, their usual band at this hour, events, days of fill levels) and gives a [`Verdict`]:
//! at most five sentences, each with the series and the stretch of time that prove it, or that nothing stands out, or why
//! nothing can be said. It asks nobody and reads no clock, so the same window always gives the same verdict.
//!
//! - The rules are tables (`rules/`): series, thresholds to enter and to leave, how long, the words, and where the thresholds
//!   are from. [`document`] prints them.
//! - `episode.rs` walks the steps and finds since when a rule holds; the two thresholds and two times are its hysteresis.
//! - `judge.rs` leaves out what is the effect of something else, and what there is too little known for.
//! - `happenings.rs` and `forecast.rs` are the rules that are no table.
//!
//! A rule is silent on a host that does not have its series.

mod document;
mod episode;
mod finding;
mod forecast;
mod happenings;
mod judge;
mod rule;
mod rules;
mod sentence;
mod window;
mod words;

pub use document::document;
pub use judge::{judge, wants_longer, wants_usual};
pub use rule::{Reading, Role, Rule, Signal, Test};
pub use rules::{ids, rules};
pub use sentence::{Band, Evidence, Kind, MAX_SENTENCES, Resource, Sentence, Severity, Verdict};
pub use window::{
    EVENTS_MS, Event, Happening, LONGER_MS, LONGER_STEP_MS, LOOKBACK_MS, LOOKBACK_STEPS, Series,
    Trend, Usual, WINDOW_MS, Window,
};
