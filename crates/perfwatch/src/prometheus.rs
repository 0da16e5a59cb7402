//! A snapshot as Prometheus reads it: the text format 0.0.4, and OpenMetrics 1.0.
//!
//! What node_exporter has too carries node_exporter's name ([`node`]), so that its dashboards and alerts work. Every other
//! metric of the catalog is `perfwatch_` and its id in base units ([`name`]), and so is what PerfWatch says of itself
//! ([`own`]). Without node_exporter's names, all of the catalog carries PerfWatch's.

mod name;
mod node;
mod own;
mod text;

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::body::Bytes;
use perfwatch_collect::ALL_OTHERS;
use perfwatch_metrics::catalog::hidden;
use perfwatch_metrics::{Kind, MetricDef, Snapshot, Value, catalog};

pub(crate) use name::{family, in_base_unit, in_own_unit, is_counter};
pub(crate) use text::{Format, label};

use text::{Page, Type};

/// A text that may be another at every sample: as a label it would make a new series each time.
const NO_LABEL: &str = "perf_events.error";

/// A snapshot's answers to Prometheus: each is written when it is first asked for, and once.
#[derive(Debug, Default)]
pub(crate) struct Pages([OnceLock<Bytes>; 2]);

impl Pages {
    /// The answer in a format. `seq` is the number of snapshots up to this one.
    pub(crate) fn get(
        &self,
        format: Format,
        snapshot: &Snapshot,
        seq: u64,
        node_names: bool,
    ) -> Bytes {
        let [text, open_metrics] = &self.0;
        let page = match format {
            Format::Text => text,
            Format::OpenMetrics => open_metrics,
        };
        page.get_or_init(|| page_of(format, snapshot, seq, node_names).into()).clone()
    }
}

/// What a metric is called in `/metrics`: by node_exporter's name, if it has one, and by PerfWatch's.
pub(crate) fn names_of(def: &MetricDef) -> (Option<String>, String) {
    let own = match def.kind {
        Kind::Info => name::of(info_key(def)) + "_info",
        _ if is_counter(def) => family(def) + "_total",
        _ => family(def),
    };
    (node::stood_for().remove(def.id), own)
}

/// Everything that Prometheus is told, in an order that does not change.
fn page_of(format: Format, snapshot: &Snapshot, seq: u64, node_names: bool) -> String {
    let mut page = Page::new(format);
    own::write(&mut page, snapshot, seq);
    if node_names {
        node::write(&mut page, snapshot);
    }
    let told = if node_names { node::stood_for() } else { HashMap::new() };
    write_catalog(&mut page, snapshot, &told);
    page.end()
}

/// Every metric of the catalog that is not told elsewhere, and the hidden counters.
fn write_catalog(page: &mut Page, snapshot: &Snapshot, told: &HashMap<&str, String>) {
    let mut samples: HashMap<&'static str, Vec<Sample>> = HashMap::new();
    let mut collect = |def: &'static MetricDef, labels: &[&str], value: Value<'_>| {
        // The sums of counters fall when what they sum up changes, which would be taken for a reset.
        let is_rest = def.kind == Kind::Counter && labels.first() == Some(&ALL_OTHERS);
        if !told.contains_key(def.id) && !is_rest && def.id != NO_LABEL {
            samples.entry(info_key(def)).or_default().push(Sample::new(def, labels, value));
        }
    };
    snapshot.visit(&mut collect);
    snapshot.visit_hidden(&mut collect);
    for def in catalog().chain(hidden()) {
        // Of texts that are told together, the first one's place is theirs.
        if let Some(samples) = samples.remove(info_key(def)) {
            if def.kind == Kind::Info {
                write_info(page, def, &samples);
            } else {
                write_family(page, def, &samples);
            }
        }
    }
}

/// A value of a metric, written down.
struct Sample {
    def: &'static MetricDef,
    /// `core="3"`, as it stands between braces.
    labels: String,
    value: String,
}

impl Sample {
    fn new(def: &'static MetricDef, labels: &[&str], value: Value<'_>) -> Self {
        let value = match value {
            Value::Integer(value) => in_base_unit(def.unit, &value.to_string()),
            Value::Float(value) => in_base_unit(def.unit, &value.to_string()),
            Value::Text(text) => text.to_owned(),
        };
        let mut written = String::new();
        for (name, value) in def.labels().zip(labels) {
            label(&mut written, name, value);
        }
        Self { def, labels: written, value }
    }
}

fn write_family(page: &mut Page, def: &MetricDef, samples: &[Sample]) {
    let kind = if is_counter(def) { Type::Counter } else { Type::Gauge };
    page.family(&family(def), kind, &help(def), |family| {
        for Sample { labels, value, .. } in samples {
            family.sample(labels, value);
        }
    });
}

/// The texts that describe an object are the labels of one family; those of a list have one for themselves.
fn write_info(page: &mut Page, def: &MetricDef, samples: &[Sample]) {
    let mut objects: Vec<(&str, String)> = Vec::new();
    for Sample { def, labels, value } in samples {
        if objects.last().is_none_or(|(object, _)| object != labels) {
            objects.push((labels, labels.clone()));
        }
        let Some((_, written)) = objects.last_mut() else { continue };
        let last = def.id.rsplit('.').next().unwrap_or(def.id);
        let name = if def.index_label.is_some() { "name" } else { last };
        if !def.labels().any(|label| label == name) {
            label(written, name, value);
        }
    }
    let (title, help) = match def.index_label {
        Some(_) => (name::of(def.id), help(def)),
        None => {
            let (object, _) = def.id.rsplit_once('.').unwrap_or((def.id, ""));
            (name::of(object), format!("What describes one of {object}, as labels."))
        }
    };
    page.family(&title, Type::Info, &help, |family| {
        for (_, labels) in &objects {
            family.sample(labels, "1");
        }
    });
}

/// What samples are collected under: texts of an object together.
fn info_key(def: &MetricDef) -> &'static str {
    match (def.kind, def.index_label) {
        (Kind::Info, None) => def.id.rsplit_once('.').map_or(def.id, |(object, _)| object),
        _ => def.id,
    }
}

fn help(def: &MetricDef) -> String {
    format!("{}. {}", def.title(), def.help())
}

#[cfg(test)]
mod tests;
