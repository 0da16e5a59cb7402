//! Questions about history, as the API and the command line ask them, and the answers' public shape.

mod compare;
mod text;
mod verdict;
mod view;

use std::collections::BTreeMap;

use jiff::Timestamp;
use perfwatch_metrics::SeriesKey;
use perfwatch_store::{Answer, Query, Reader, Resolution, Result, Summary, TIERS};
use serde::Serialize;
use serde_json::Value;

use crate::recorder::nanoseconds;
use crate::selector::Selector;
use crate::when::Range;

pub(crate) use compare::{Comparison, Request as CompareRequest, Threshold, compare};
pub(crate) use text::{comparison_csv, comparison_table, csv, sparklines, table};
pub(crate) use verdict::{explanation, moment_ms, verdict};
pub(crate) use view::views;

use view::View;

/// Nanoseconds of a millisecond.
pub(crate) const MS: i64 = 1_000_000;

/// Series over a range, in steps.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct History {
    /// When each step begins, in milliseconds since the epoch.
    pub(crate) t: Vec<i64>,
    /// Length of a step.
    pub(crate) step_ms: i64,
    /// How far apart the rows are that the steps are made of: a rollup's width, else the sampling interval. Null
    /// when there is nothing.
    pub(crate) resolution_ms: Option<i64>,
    /// One for each series that was selected and has been seen in the range.
    pub(crate) series: Vec<Series>,
    /// What may be missing, in words. Empty when nothing is.
    pub(crate) warnings: Vec<String>,
}

/// One series.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    /// The metric.
    pub(crate) id: &'static str,
    /// What tells it from others of the metric.
    #[cfg_attr(test, schema(value_type = BTreeMap<String, String>))]
    pub(crate) labels: BTreeMap<&'static str, String>,
    /// Unit of its values.
    pub(crate) unit: &'static str,
    /// A value for each step; null where there is none.
    #[serde(flatten)]
    pub(crate) points: Points,
    /// Its name, as it is selected.
    #[serde(skip)]
    pub(crate) name: String,
}

/// The points of a series: of two shapes, for the mean of a counter's readings would mean nothing.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Points {
    /// Gauges, rates and ratios.
    Values {
        /// Mean over the step: of a rate, the increase by the time that it took; of a latency, all time by all requests.
        avg: Vec<Option<f64>>,
        /// Least value of any row in the step.
        min: Vec<Option<f64>>,
        /// Greatest value of any row in the step.
        max: Vec<Option<f64>>,
        /// Of what is counted from sample to sample: all that was counted in the step.
        #[serde(skip_serializing_if = "Option::is_none")]
        increase: Option<Vec<Option<f64>>>,
        /// Rows behind it; of a latency, requests.
        count: Vec<u64>,
    },
    /// Counters.
    Counter {
        /// The last reading in the step.
        last: Vec<Option<u64>>,
        /// What was counted in the step. A reset counts for nothing.
        increase: Vec<Option<u64>>,
        /// Readings behind it.
        count: Vec<u64>,
    },
}

/// Answers for the series that any of the selectors means.
pub(crate) fn series(
    reader: &Reader,
    selectors: &[Selector],
    range: &Range,
    resolution: Resolution,
) -> Result<History> {
    let (answer, selected) = ask(reader, meant_by(selectors), bounds(range), resolution)?;
    let series = selected
        .iter()
        .filter_map(|one| {
            let (_, summaries) = answer.series.get(one.place)?;
            Some(one.series(one.view.points(summaries)))
        })
        .collect();
    let begins = |point: usize| start(&answer, point) / MS;
    let mut warnings = warnings(&answer);
    warnings.extend(selectors.iter().filter_map(Selector::no_such_metric));
    Ok(History {
        t: (0..answer.points).map(begins).collect(),
        step_ms: answer.step / MS,
        resolution_ms: resolution_ms(&answer),
        series,
        warnings,
    })
}

/// Why an answer has no series, in words: nothing was kept then, or only other series.
pub(crate) fn why_empty(reader: &Reader, range: &Range, resolution: Resolution) -> Result<String> {
    let (from, to) = bounds(range);
    let mut is_kept = false;
    reader.query(&Query { from, to, resolution }, |_, _| {
        is_kept = true;
        false
    })?;
    if is_kept {
        return Ok("no such series in this range".to_owned());
    }
    let whole = match extent(reader)? {
        Some((begin, end)) => {
            format!("the history begins {} and ends {}", local(begin / MS), local(end / MS))
        }
        None => "there is no history yet".to_owned(),
    };
    Ok(format!("nothing was kept from {} to {}: {whole}", local(from / MS), local(to / MS)))
}

/// First and last time there is something of. A rollup's first bucket begins before the rows that it was made of: while
/// those are kept, they tell.
fn extent(reader: &Reader) -> Result<Option<(i64, i64)>> {
    let mut whole: Option<(i64, i64)> = None;
    for (name, first, last) in reader.extent()? {
        let width = TIERS.iter().find(|tier| tier.name == name).map_or(0, |tier| tier.width);
        whole = Some(match whole {
            Some((begin, end)) if first.saturating_add(width) > begin => (begin, end.max(last)),
            Some((_, end)) => (first, end.max(last)),
            None => (first, last),
        });
    }
    Ok(whole)
}

/// When a step begins. How far it is from the first may be more than fits, when that was long before the epoch; the
/// sum is not.
fn start(answer: &Answer, point: usize) -> i64 {
    answer.from.wrapping_add(answer.step.wrapping_mul(point as i64))
}

fn bounds(range: &Range) -> (i64, i64) {
    (nanoseconds(range.from()), nanoseconds(range.to()))
}

fn resolution_ms(answer: &Answer) -> Option<i64> {
    let width = Some(answer.tier_width).filter(|width| *width > 0);
    width.or(answer.interval).map(|nanoseconds| nanoseconds / MS)
}

fn warnings(answer: &Answer) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(trouble) = &answer.trouble {
        warnings.push(format!("from memory alone, for the files cannot be read: {trouble}"));
    }
    if answer.damaged > 0 {
        warnings.push(format!("{} damaged pieces of the files were left out", answer.damaged));
    }
    warnings
}

/// A series of the catalog, and where its summaries are in an answer.
struct Selected {
    key: SeriesKey,
    view: View,
    place: usize,
}

impl Selected {
    fn series(&self, points: Points) -> Series {
        let labels = self.key.labels().map(|(name, value)| (name, value.to_owned())).collect();
        let (id, unit) = (self.key.def.id, self.key.def.unit.symbol());
        Series { id, labels, unit, points, name: self.key.to_string() }
    }
}

/// Whether any of the selectors means a series.
fn meant_by(selectors: &[Selector]) -> impl Fn(&SeriesKey) -> bool {
    |key| selectors.iter().any(|selector| selector.matches(key))
}

/// Asks the store, and finds the catalog's series in its answer, in the catalog's order.
fn ask(
    reader: &Reader,
    is_meant: impl Fn(&SeriesKey) -> bool,
    (from, to): (i64, i64),
    resolution: Resolution,
) -> Result<(Answer, Vec<Selected>)> {
    let wanted = |series: &perfwatch_store::Series| {
        let all = views(series).into_iter();
        all.filter(|(key, _)| is_meant(key)).collect::<Vec<_>>()
    };
    let query = Query { from, to, resolution };
    let answer = reader.query(&query, |_, series| !wanted(series).is_empty())?;
    let mut selected = Vec::new();
    for (place, (series, _)) in answer.series.iter().enumerate() {
        let all = wanted(series).into_iter();
        selected.extend(all.map(|(key, view)| Selected { key, view, place }));
    }
    let order: BTreeMap<&str, usize> =
        perfwatch_metrics::catalog().map(|def| def.id).zip(0..).collect();
    selected.sort_by_cached_key(|one| {
        let labels: Vec<_> = one.key.labels.iter().map(|label| natural(label)).collect();
        (order.get(one.key.def.id).copied(), labels)
    });
    Ok((answer, selected))
}

/// A label with its digits apart, so that core 10 comes after core 9.
fn natural(label: &str) -> (String, u64, String) {
    let digits = label.len() - label.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (text, number) = label.split_at(label.len() - digits);
    (text.to_owned(), number.parse().unwrap_or_default(), label.to_owned())
}

/// The events of a range, oldest first.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Events {
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// What may be missing, in words. Empty when nothing is.
    pub(crate) warnings: Vec<String>,
}

/// Something that happened.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    /// When, in milliseconds since the epoch.
    pub(crate) t: i64,
    /// Of PerfWatch: `start`, `stop`, `gap`, `collector`, `store`. Of the host: `boot`, `clock_step`, `cpu`, `device`,
    /// `link`, `mount`, `oom_kill`, `upgrade`.
    pub(crate) kind: String,
    /// The rest, by kind.
    pub(crate) detail: Value,
}

/// Answers what happened in a range. Of more than `MAX_EVENTS`, the newest.
pub(crate) fn events(reader: &Reader, range: &Range) -> Result<Events> {
    const MAX_EVENTS: usize = 10_000;
    let (from, to) = bounds(range);
    let (events, trouble) = reader.events((from, i64::MAX))?;
    let mut events: Vec<Event> = events.into_iter().map(Event::from).collect();
    // A gap is told at its end, and is of interest to whoever looks into it.
    let begins = |event: &Event| match event.kind.as_str() {
        "gap" => event.detail.get("from").and_then(Value::as_i64).unwrap_or(event.t),
        _ => event.t,
    };
    events.retain(|event| begins(event) < to.div_euclid(MS) + i64::from(to % MS != 0));
    let warning = |trouble| format!("from memory alone, for the files cannot be read: {trouble}");
    // What happened in the same millisecond, in the order in which it can only have happened.
    events.sort_by_key(|event| {
        let order = ["gap", "start"].iter().position(|kind| *kind == event.kind);
        (event.t, order.unwrap_or(2))
    });
    events.drain(..events.len().saturating_sub(MAX_EVENTS));
    Ok(Events { events, warnings: trouble.map(warning).into_iter().collect() })
}

impl From<perfwatch_store::Event> for Event {
    fn from(event: perfwatch_store::Event) -> Self {
        let detail = serde_json::from_str(&event.detail).unwrap_or(Value::String(event.detail));
        Self { t: event.time / MS, kind: event.kind, detail }
    }
}

impl Event {
    /// It in a few words.
    pub(crate) fn words(&self) -> String {
        let text = |name: &str| self.detail.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| self.detail.get(name).and_then(Value::as_i64).unwrap_or_default();
        let flag = |name: &str| self.detail.get(name).and_then(Value::as_bool).unwrap_or_default();
        let either = |name: &str, yes, no| if flag(name) { yes } else { no };
        let words = match self.kind.as_str() {
            "boot" => "the host was booted".to_owned(),
            "cpu" => {
                format!("CPU {} went {}", number("cpu"), either("online", "online", "offline"))
            }
            "device" => {
                let device = text("device");
                format!("the device {device} {}", either("present", "appeared", "vanished"))
            }
            "link" => {
                format!("the link of {} went {}", text("interface"), either("up", "up", "down"))
            }
            "mount" => format!(
                "{} ({}) was {} {}{}",
                text("device"),
                text("fstype"),
                either("mounted", "mounted on", "unmounted from"),
                text("mountpoint"),
                either("read_only", ", read-only", "")
            ),
            "oom_kill" => match number("count") {
                1 => "the kernel killed a process, for memory ran out".to_owned(),
                count => format!("the kernel killed {count} processes, for memory ran out"),
            },
            "upgrade" => {
                let what = if text("what") == "perfwatch" { "PerfWatch" } else { "the kernel" };
                format!("{what} changed from {} to {}", text("from"), text("to"))
            }
            "gap" => format!(
                "nothing was recorded from {} to {}: {}",
                local(number("from")),
                local(number("to")),
                text("reason")
            ),
            "clock_step" => format!("the clock was set by {:+.3} s", number("by_ms") as f64 / 1e3),
            "start" => {
                format!("PerfWatch {} started, every {} ms", text("version"), number("interval_ms"))
            }
            "stop" => format!("PerfWatch stopped: {}", text("reason")),
            "collector" => format!("{}: {} {}", text("part"), text("state"), text("reason")),
            "store" => match self.detail.get("problem").and_then(Value::as_str) {
                Some("set aside") => {
                    format!("nothing in {} could be read: set aside", text("file"))
                }
                Some("damaged") => format!("{} bytes of history cannot be read", number("bytes")),
                Some(problem) => format!("history could not be written: {problem}"),
                None => format!("history is written again, {} rows were lost", number("lost_rows")),
            },
            _ => format!("{} {}", self.kind, self.detail),
        };
        let silence = either("last_of_hour", "; what comes within the hour is not told", "");
        words + silence
    }
}

/// Milliseconds since the epoch as a local time.
pub(crate) fn local(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Merges runs of `size` summaries to one each.
fn merged(summaries: &[Summary], size: usize) -> Vec<Summary> {
    let sum = |run: &[Summary]| {
        let mut whole = Summary::default();
        run.iter().for_each(|part| whole.merge(part));
        whole
    };
    summaries.chunks(size.max(1)).map(sum).collect()
}
