//! The rules as a document for people.

use crate::rule::{Reading, Role, Rule, Signal, Test};
use crate::rules::rules;

/// `docs/verdict.md`.
pub fn document() -> String {
    let mut text = String::from(
        "# What stands out\n\n\
         `perfwatch explain` and `GET /api/v1/verdict` say which resource is in trouble at a moment, since when, and which series prove it. \
         They look at the half hour before in steps of ten seconds and speak of its last five minutes; since when is known for up to a day, of events for a week. Less than half a minute \
         of measurements, or less than half of what should have been measured, and they say that they are unsure. At most five sentences, the worst first.\n\n\
         **How to read the table.** A rule begins when all its series have been past the first threshold for *hold* seconds, and ends when one of them has been \
         back past the second for *calm* seconds: the two thresholds and times are its memory. *if there*: must be past its threshold where the host has it. \
         *or*: one of these is enough. *told*: decides nothing, is told beside. *not with*: the rule is silent where the host has this series. *a minute*: increases \
         of a counter within the last minute. A rule is silent without its other series. \
         *Hides*: its effects, which are not told beside it, on the same object and at the same time. What is usual for the hour is one step less severe, for \
         saturation and utilisation; what is unusual is told only when nothing else is said of the resource.\n\n\
         Written by the tests of `crates/perfwatch-verdict`: `just docs`.\n",
    );
    let mut resource = None;
    let mut all: Vec<&Rule> = rules().collect();
    all.sort_by_key(|rule| rule.resource);
    for rule in all {
        if resource.replace(rule.resource) != Some(rule.resource) {
            let title = word(&rule.resource);
            text.push_str(&format!("\n## {title}\n\n| rule | says | when | hold / calm | hides | why |\n|---|---|---|---|---|---|\n"));
        }
        text.push_str(&row(rule));
    }
    text
}

fn row(rule: &Rule) -> String {
    let object = rule.object.map(|label| format!("{{{label}}}")).unwrap_or_default();
    let critical =
        rule.critical.map(|value| format!(", critical from {value}")).unwrap_or_default();
    let news = if rule.news { ", if it was otherwise before" } else { "" };
    let signals: Vec<_> = rule.signals.iter().map(signal).collect();
    let when = if signals.is_empty() { "see why".to_owned() } else { signals.join("<br>") };
    let times = match (signals.is_empty(), rule.hold_s, rule.calm_s) {
        (true, ..) => "–".to_owned(),
        (false, 0, 0) => "at once".to_owned(),
        (false, hold, calm) => format!("{hold} / {calm} s"),
    };
    let hides: Vec<_> = rule.hides.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "| `{}` | **{}** ({}, {}{critical}{news}) | {when} | {times} | {} | {} |\n",
        rule.name,
        rule.head.replacen("{}", &object, 1),
        word(&rule.kind),
        word(&rule.severity),
        hides.join(" "),
        rule.why
    )
}

fn signal(signal: &Signal) -> String {
    let label =
        signal.only.map(|(name, value)| format!("{{{name}=\"{value}\"}}")).unwrap_or_default();
    let role = match signal.role {
        Role::Must => "",
        Role::IfThere => "if there: ",
        Role::OneOf => "or: ",
        Role::Told => "told: ",
        Role::Absent => "not with: ",
    };
    let cpu = if signal.per_cpu { " per CPU" } else { "" };
    let minute = if signal.reading == Reading::Events { " a minute" } else { "" };
    let test = match signal.test {
        _ if matches!(signal.role, Role::Told | Role::Absent) => String::new(),
        Test::Above { enter, leave } if enter == leave => format!(" ≥ {}{minute}", number(enter)),
        Test::Above { enter, leave } => {
            format!(" ≥ {}{minute}{cpu}, until < {}", number(enter), number(leave))
        }
        Test::Below { enter, leave } if enter == leave => format!(" ≤ {}", number(enter)),
        Test::Below { enter, leave } => format!(" ≤ {}, until > {}", number(enter), number(leave)),
        Test::FarAbove { floor } => format!(" far above usual, by {} at least", number(floor)),
        Test::FarBelow { floor } => {
            format!(" far below usual, which is {} at least", number(floor))
        }
    };
    format!("{role}`{}{label}`{test}", signal.id)
}

/// A threshold; of bytes, in units that people write.
fn number(value: f64) -> String {
    for (unit, size) in [("GiB", (1_u64 << 30) as f64), ("MiB", (1_u64 << 20) as f64)] {
        if value >= size / 10.0 && value > 100_000.0 {
            return format!("{} {unit}", value / size);
        }
    }
    value.to_string()
}

/// As the API writes it.
fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test` writes it anew.
    #[test]
    fn the_document_of_rules_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verdict.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == document(), "docs/verdict.md is old: run `just docs`");
    }
}
