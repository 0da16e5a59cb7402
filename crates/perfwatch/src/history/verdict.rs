//! What stands out at a moment: asks history for what the rules look at, and prints what they say.
//!
//! Two rounds: first what happened, then of the series that matter what is usual and how it was before, so that a host with a
//! thousand devices costs one question and eight small ones.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use jiff::{ToSpan, Zoned};
use perfwatch_collect::ALL_OTHERS;
use perfwatch_metrics::SeriesKey;
use perfwatch_store::{Answer, Error, Reader, Resolution, Result};
use perfwatch_verdict::{
    EVENTS_MS, Event, Happening, LONGER_MS, LONGER_STEP_MS, LOOKBACK_MS, LOOKBACK_STEPS, Series,
    Trend, Usual, Verdict, Window, judge, wants_longer, wants_usual,
};
use serde_json::Value;

use super::view::View;
use super::{MS, Selected, ask, local, start};
use crate::recorder::nanoseconds;
use crate::terminal::printable;

/// The moment in question is one between two steps, so that each is whole.
const STEP: i64 = LOOKBACK_MS / LOOKBACK_STEPS as i64 * MS;

const MINUTE: i64 = 60_000 * MS;
const HOUR: i64 = 60 * MINUTE;

/// Days that say what is usual, and how full file systems get.
const DAYS: i64 = 7;

/// Fill levels, of which days are looked at.
const USED: &str = "disk.partitions.used_bytes";

/// The moment that a question is answered for: the last one between two steps. In milliseconds since the epoch.
pub(crate) fn moment_ms(at: &Zoned) -> i64 {
    nanoseconds(at.timestamp()).div_euclid(STEP).saturating_mul(STEP) / MS
}

/// What stood out at a moment, by the hours of its time zone.
pub(crate) fn verdict(reader: &Reader, at: &Zoned) -> Result<Verdict> {
    let to = moment_ms(at).saturating_mul(MS);
    let mut window = looked_at(reader, to)?;
    window.events = events(reader, to)?;
    window.trends = trends(reader, to)?;
    let wanted: HashSet<String> = wants_usual(&window).into_iter().collect();
    if !wanted.is_empty() {
        let mut usual = usual(reader, at, &wanted)?;
        for series in &mut window.series {
            series.usual = usual.remove(&series.select);
        }
    }
    let wanted: HashSet<String> = wants_longer(&window).into_iter().collect();
    if !wanted.is_empty() {
        let mut longer = Window { at_ms: window.at_ms, cpus: window.cpus, ..Window::default() };
        let is_wanted = |key: &SeriesKey| wanted.contains(&key.to_string());
        let range = (to.saturating_sub(LONGER_MS * MS), to);
        let (answer, selected) =
            ask(reader, is_wanted, range, Resolution::Step(LONGER_STEP_MS * MS))?;
        take(&mut longer, &answer, &selected);
        window.longer = Some(Box::new(longer));
    }
    Ok(judge(&window))
}

/// The half hour before, of everything that a rule looks at.
fn looked_at(reader: &Reader, to: i64) -> Result<Window> {
    let ids: BTreeSet<&str> = perfwatch_verdict::ids().collect();
    let range = (to.saturating_sub(LOOKBACK_MS * MS), to);
    let cpus: Mutex<BTreeSet<String>> = Mutex::default();
    let ask_for = |wanted: &dyn Fn(&str) -> bool| {
        let is_meant = |key: &SeriesKey| {
            if key.def.id == "cpu.per_core" {
                cpus.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(key.labels.first().cloned());
            }
            wanted(key.def.id) && !key.labels.iter().any(|label| label == ALL_OTHERS)
        };
        ask(reader, is_meant, range, Resolution::Points(LOOKBACK_STEPS))
    };
    let mut window = Window { at_ms: to / MS, ..Window::default() };
    match ask_for(&|id| ids.contains(id)) {
        // Thousands of devices: one metric at a time.
        Err(Error::TooMuch(_)) => {
            for id in ids {
                let (answer, selected) = ask_for(&|other| other == id)?;
                take(&mut window, &answer, &selected);
            }
        }
        answer => {
            let (answer, selected) = answer?;
            take(&mut window, &answer, &selected);
        }
    }
    let cpus = cpus.into_inner().unwrap_or_else(PoisonError::into_inner).len();
    window.cpus = Some(cpus).filter(|cpus| *cpus > 0);
    Ok(window)
}

/// Takes in what was answered. Every answer to the same range has the same steps.
fn take(window: &mut Window, answer: &Answer, selected: &[Selected]) {
    (window.from_ms, window.step_ms, window.steps) =
        (answer.from / MS, answer.step / MS, answer.points);
    for one in selected {
        let labels = one.key.labels().map(|(name, value)| (name.to_owned(), value.to_owned()));
        window.series.push(Series {
            id: one.key.def.id.to_owned(),
            labels: labels.collect(),
            select: one.key.to_string(),
            unit: one.key.def.unit.symbol().to_owned(),
            values: values(answer, one),
            usual: None,
        });
    }
}

/// The mean of each step, or of a counter the increase.
fn values(answer: &Answer, selected: &Selected) -> Vec<Option<f64>> {
    let Some((_, summaries)) = answer.series.get(selected.place) else { return Vec::new() };
    let value = |summary: &perfwatch_store::Summary| match selected.view {
        View::Counter => (summary.increments > 0).then_some(summary.sum as f64),
        view => view.mean(summary),
    };
    summaries.iter().map(value).collect()
}

/// What happened in the days before, oldest first.
fn events(reader: &Reader, to: i64) -> Result<Vec<Event>> {
    let (kept, _) = reader.events((to.saturating_sub(EVENTS_MS * MS), to))?;
    let mut events: Vec<Event> = kept.iter().filter_map(happened).collect();
    // What is missing when PerfWatch starts is told of in the same moment.
    events.sort_by_key(|event| (event.at_ms, event.what != Happening::Start));
    Ok(events)
}

fn happened(event: &perfwatch_store::Event) -> Option<Event> {
    let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = match event.kind.as_str() {
        "start" => Happening::Start,
        "collector" => Happening::Part {
            part: text("part")?,
            state: text("state")?,
            reason: text("reason").unwrap_or_default(),
        },
        // Damage that was found is over.
        "store" => match text("problem").as_deref() {
            Some("set aside" | "damaged") => return None,
            problem => Happening::History { problem: problem.map(str::to_owned) },
        },
        _ => return None,
    };
    Some(Event { at_ms: event.time / MS, what })
}

/// How full file systems were over the last days, hour by hour.
fn trends(reader: &Reader, to: i64) -> Result<Vec<Trend>> {
    let range = (to.saturating_sub(DAYS * 24 * HOUR), to);
    let (answer, selected) = ask(reader, |key| key.def.id == USED, range, Resolution::Step(HOUR))?;
    let trends = selected.iter().filter_map(|one| {
        let used = values(&answer, one).into_iter().enumerate();
        let used = used.filter_map(|(point, value)| Some((start(&answer, point) / MS, value?)));
        Some(Trend { mountpoint: one.key.labels.first()?.clone(), used: used.collect() })
    });
    Ok(trends.collect())
}

/// What is usual of these series: the minutes of the same clock hour on each of the last days. A day on which it did not
/// exist is left out.
fn usual(reader: &Reader, at: &Zoned, wanted: &HashSet<String>) -> Result<BTreeMap<String, Usual>> {
    let mut days: BTreeMap<String, Vec<Vec<Option<f64>>>> = BTreeMap::new();
    for days_ago in 1..=DAYS {
        let hour = || {
            let day = at.checked_sub(days_ago.days()).ok()?;
            let hour = day.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
            (hour.hour() == at.hour()).then(|| nanoseconds(hour.timestamp()))
        };
        let Some(from) = hour() else { continue };
        let range = (from, from.saturating_add(HOUR));
        let is_wanted = |key: &SeriesKey| wanted.contains(&key.to_string());
        let (answer, selected) = ask(reader, is_wanted, range, Resolution::Step(MINUTE))?;
        for one in &selected {
            days.entry(one.key.to_string()).or_default().push(values(&answer, one));
        }
    }
    let usual = days
        .into_iter()
        .filter_map(|(select, days)| Some((select, Usual::of(days.iter().map(Vec::as_slice))?)));
    Ok(usual.collect())
}

/// Writes a verdict for people.
pub(crate) fn explanation(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    writeln!(out, "{}", local(verdict.at_ms))?;
    for text in verdict.quiet.iter().chain(&verdict.unsure) {
        writeln!(out, "  {}", printable(text))?;
    }
    for sentence in &verdict.sentences {
        let severity = format!("{:?}", sentence.severity).to_lowercase();
        let since = match sentence.since_ms {
            Some(since) => format!("  since {}", local(since)),
            None => String::new(),
        };
        writeln!(out, "\n{severity:9} {}", printable(&sentence.text))?;
        writeln!(out, "{:9} {}{since}", "", sentence.rule)?;
        for proof in &sentence.evidence {
            let value = proof
                .value
                .map_or("no values".to_owned(), |value| format!("{value:.3} {}", proof.unit));
            let usual =
                proof.usual.map(|band| format!("  usually {:.3} to {:.3}", band.low, band.high));
            writeln!(
                out,
                "{:11} {}  {value}{}",
                "",
                printable(&proof.select),
                usual.unwrap_or_default()
            )?;
        }
    }
    Ok(())
}
