//! What events say: mounts that hang, sections that are missing, a history that cannot be written.

use std::collections::BTreeMap;

use crate::finding::{Finding, head};
use crate::rule::Rule;
use crate::rules::{COLLECTOR_MISSING, HISTORY_UNWRITTEN, MOUNT_STUCK};
use crate::sentence::{Evidence, Resource};
use crate::window::{Event, Happening, WINDOW_MS, Window};
use crate::words;

/// What comes back sooner is not told, in milliseconds.
const MIN_MS: i64 = 30_000;

/// What is missing under this is a file system; what comes after is where it is mounted.
const PARTITIONS: &str = "disk.partitions.";

/// Something that went wrong at a moment, and until when.
struct Trouble<'a> {
    from_ms: i64,
    until_ms: Option<i64>,
    reason: &'a str,
}

/// What events say of the window.
pub(crate) fn findings(window: &Window) -> Vec<Finding> {
    let troubles = troubles(&window.events, window.at_ms);
    let spoken_of = window.at_ms.saturating_sub(WINDOW_MS);
    let told = troubles.iter().filter(|(_, trouble)| {
        let until = trouble.until_ms.unwrap_or(window.at_ms);
        until > spoken_of && until.saturating_sub(trouble.from_ms) >= MIN_MS
    });
    told.filter_map(|(part, trouble)| finding(part.as_deref(), trouble, window)).collect()
}

/// The last trouble of each part; of history, under None.
fn troubles(events: &[Event], at_ms: i64) -> BTreeMap<Option<String>, Trouble<'_>> {
    let mut troubles: BTreeMap<Option<String>, Trouble<'_>> = BTreeMap::new();
    for Event { at_ms: time, what } in events.iter().filter(|event| event.at_ms <= at_ms) {
        let (part, reason) = match what {
            Happening::Start => {
                let open = troubles.values_mut().filter(|trouble| trouble.until_ms.is_none());
                open.for_each(|trouble| trouble.until_ms = Some(*time));
                continue;
            }
            Happening::Part { part, state, reason } => {
                // A mount that fails at once is out of reach rather than stuck, as in a container.
                let is_open = || {
                    troubles.get(&Some(part.clone())).is_some_and(|open| open.until_ms.is_none())
                };
                let missing = match state.as_str() {
                    "late" => true,
                    "failed" => !part.starts_with(PARTITIONS) || is_open(),
                    _ => false,
                };
                (Some(part.clone()), missing.then_some(reason.as_str()))
            }
            Happening::History { problem } => (None, problem.as_deref()),
        };
        match (troubles.get_mut(&part), reason) {
            // It is late, then it fails: the same trouble.
            (Some(open), Some(reason)) if open.until_ms.is_none() => open.reason = reason,
            (Some(open), None) => open.until_ms = open.until_ms.or(Some(*time)),
            (_, Some(reason)) => {
                troubles.insert(part, Trouble { from_ms: *time, until_ms: None, reason });
            }
            (None, None) => {}
        }
    }
    troubles
}

/// What a trouble says by a rule. None for the parts that no rule is about.
fn finding(part: Option<&str>, trouble: &Trouble<'_>, window: &Window) -> Option<Finding> {
    let (rule, object): (&'static Rule, Option<&str>) = match part {
        None => (&HISTORY_UNWRITTEN, None),
        Some(part) => match part.strip_prefix(PARTITIONS) {
            Some(mountpoint) => (&MOUNT_STUCK, Some(mountpoint)),
            None if !part.contains('.') => (&COLLECTOR_MISSING, Some(part)),
            None => return None,
        },
    };
    // What proves it is a series that has no values, but for history, whose size stands still.
    let select = match (rule.resource, object) {
        (Resource::Disk, Some(mountpoint)) => {
            format!("disk.partitions.total_bytes{{mountpoint=\"{}\"}}", escaped(mountpoint))
        }
        (_, Some(section)) => {
            format!("self.collectors.duration_ms{{collector=\"{}\"}}", escaped(section))
        }
        (_, None) => "self.store_bytes".to_owned(),
    };
    let unit = if rule.name == COLLECTOR_MISSING.name { "ms" } else { "bytes" };
    let to_ms = trouble.until_ms.unwrap_or(window.at_ms);
    let usual = None;
    let evidence = Evidence {
        select,
        from_ms: trouble.from_ms,
        to_ms,
        value: None,
        unit: unit.to_owned(),
        usual,
    };
    Some(Finding {
        rule,
        head: head(rule, object),
        object: object.map(str::to_owned),
        severity: rule.severity,
        clauses: [trouble.reason]
            .into_iter()
            .filter(|reason| !reason.is_empty())
            .map(words::reason)
            .collect(),
        from_ms: trouble.from_ms,
        begins: true,
        until_ms: trouble.until_ms,
        at_ms: window.at_ms,
        weight: to_ms.saturating_sub(trouble.from_ms) as f64,
        evidence: vec![evidence],
    })
}

/// A label's value between quotes.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for character in value.chars() {
        match character {
            '\\' | '"' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            _ if character.is_control() => text.extend(character.escape_unicode()),
            _ => text.push(character),
        }
    }
    text
}
