//! A rule that holds, and the sentence that it makes.

use std::cmp::Ordering;

use crate::episode::{Episode, Tracked};
use crate::rule::{Reading, Role, Rule, Test};
use crate::rules::rules;
use crate::sentence::{Band, Evidence, Kind, Sentence, Severity};
use crate::window::Window;
use crate::words;

/// Most other objects that a sentence names and proves.
const MAX_OTHERS: usize = 3;

/// Below so many days the usual is not told.
const MIN_DAYS: usize = 3;

/// A rule that holds on one object.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) rule: &'static Rule,
    /// Name of the object, as it is.
    pub(crate) object: Option<String>,
    pub(crate) severity: Severity,
    /// How the sentence begins, with the object's name made harmless.
    pub(crate) head: String,
    /// What is said of its signals.
    pub(crate) clauses: Vec<String>,
    /// When it began, as far as is known.
    pub(crate) from_ms: i64,
    /// Whether it did begin there.
    pub(crate) begins: bool,
    /// When it ended. None when it goes on.
    pub(crate) until_ms: Option<i64>,
    /// Now.
    pub(crate) at_ms: i64,
    /// How much of it there is, to compare it with others of its rule.
    pub(crate) weight: f64,
    /// Deciding series first.
    pub(crate) evidence: Vec<Evidence>,
}

impl Finding {
    pub(crate) fn of_series(
        rule: &'static Rule,
        object: Option<String>,
        tracked: &[Tracked<'_>],
        episode: Episode,
        window: &Window,
    ) -> Self {
        let end = episode.until.unwrap_or(window.steps);
        let (from_ms, to_ms) = (window.begin_ms(episode.from), window.begin_ms(end));
        let (mut clauses, mut evidence) = (Vec::new(), Vec::new());
        let mut first: Option<(&Tracked<'_>, f64)> = None;
        for one in tracked {
            let steps = episode.from..end;
            let tells = match one.signal.role {
                Role::Absent => false,
                Role::OneOf => one.was_past(steps.clone()),
                Role::Must | Role::IfThere | Role::Told => true,
            };
            let Some(value) = one.value(steps).filter(|_| tells) else { continue };
            let told_of_nothing = one.signal.role == Role::Told && value == 0.0;
            if told_of_nothing {
                continue;
            }
            let usual = one.series.usual.filter(|usual| usual.days >= MIN_DAYS);
            let unit = one.series.unit.as_str();
            if !one.signal.says.is_empty() {
                let cpus = window.cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
                let plural = if value == 1.0 { "" } else { "s" };
                let says = one.signal.says.replace("{cpus}", &cpus).replace("{s}", plural);
                let mut clause = says.replace("{}", &words::value(value, unit));
                if let Some(usual) =
                    usual.filter(|_| first.is_none() && one.signal.reading != Reading::Events)
                {
                    let (low, high) =
                        (words::value(usual.low, unit), words::value(usual.high, unit));
                    clause.push_str(&if low == high {
                        format!(" (usually {high})")
                    } else {
                        format!(" (usually {low} to {high})")
                    });
                }
                clauses.push(clause);
            }
            first = first.or(Some((one, value)));
            if evidence.iter().any(|known: &Evidence| known.select == one.series.select) {
                continue;
            }
            evidence.push(Evidence {
                select: one.series.select.clone(),
                from_ms,
                to_ms,
                value: Some(value),
                unit: unit.to_owned(),
                usual: usual.map(|usual| Band { low: usual.low, high: usual.high }),
            });
        }
        let value = first.map(|(_, value)| value);
        let down = first.is_some_and(|(one, _)| matches!(one.signal.test, Test::Below { .. }));
        let is_first = first
            .zip(rule.signals.first())
            .is_some_and(|((one, _), signal)| std::ptr::eq(one.signal, signal));
        let mut severity = match rule.critical.zip(value.filter(|_| is_first)) {
            Some((critical, value)) if value >= critical => Severity::Critical,
            _ => rule.severity,
        };
        let may_be_usual = matches!(rule.kind, Kind::Saturation | Kind::Utilisation);
        if may_be_usual && first.is_some_and(|(one, _)| one.is_usually_past()) {
            severity = severity.lowered();
            clauses.push("as usual at this hour".to_owned());
        }
        Self {
            head: head(rule, object.as_deref()),
            rule,
            object,
            severity,
            clauses,
            from_ms,
            begins: episode.begins,
            until_ms: episode.until.map(|_| to_ms),
            at_ms: window.at_ms,
            weight: value.map_or(0.0, |value| if down { -value } else { value }),
            evidence,
        }
    }

    /// When it ended, or now.
    pub(crate) fn to_ms(&self) -> i64 {
        self.until_ms.unwrap_or(self.at_ms)
    }

    /// What goes on before what is over, errors before forecasts; the table's order decides the rest.
    pub(crate) fn worse_first(&self, other: &Self) -> Ordering {
        let order = |one: &Self| {
            let place = rules().position(|rule| rule.name == one.rule.name);
            (one.severity, one.until_ms.is_some(), one.rule.kind, place)
        };
        order(self)
            .cmp(&order(other))
            .then_with(|| other.weight.total_cmp(&self.weight))
            .then_with(|| self.object.cmp(&other.object))
    }

    /// The sentence, which names the others of the same rule.
    pub(crate) fn sentence(self, others: &[Self], window: &Window) -> Sentence {
        let mut text = self.head.clone();
        if !self.clauses.is_empty() {
            text = format!("{text}: {}", self.clauses.join(", "));
        }
        if let Some(when) = self.when(window) {
            text = format!("{text}; {when}");
        }
        text.push('.');
        let mut names: Vec<_> =
            others.iter().filter_map(|one| one.object.as_deref()).map(words::name).collect();
        if names.len() > MAX_OTHERS {
            let more = names.len() - MAX_OTHERS;
            names.truncate(MAX_OTHERS);
            names.push(format!("{more} more"));
        }
        match names.as_slice() {
            [] => {}
            [one] => text = format!("{text} Also {one}."),
            [all @ .., last] => text = format!("{text} Also {} and {last}.", all.join(", ")),
        }
        let mut evidence = self.evidence;
        evidence
            .extend(others.iter().take(MAX_OTHERS).filter_map(|one| one.evidence.first().cloned()));
        let label = self.rule.object.map(str::to_owned);
        Sentence {
            rule: self.rule.name,
            resource: self.rule.resource,
            kind: self.rule.kind,
            severity: self.severity,
            text,
            since_ms: self.begins.then_some(self.from_ms),
            object: label.zip(self.object).into_iter().collect(),
            evidence,
        }
    }

    /// How long it has been so, or was, and when it ended. None for what is to come.
    fn when(&self, window: &Window) -> Option<String> {
        if self.rule.kind == Kind::Forecast {
            return None;
        }
        let length = self.to_ms().saturating_sub(self.from_ms);
        let ago = self.at_ms.saturating_sub(self.to_ms());
        let words = words::duration(length);
        let more = if self.begins { "" } else { "more than " };
        Some(match self.until_ms {
            None => format!("for {more}{words}"),
            Some(_) if ago <= window.step_ms => match length <= window.step_ms {
                true => "just now".to_owned(),
                false => format!("for {more}{words}, until just now"),
            },
            Some(_) if length <= window.step_ms => format!("{} ago", words::duration(ago)),
            Some(_) => format!("for {more}{words}, until {} ago", words::duration(ago)),
        })
    }
}

/// How a rule's sentence begins.
pub(crate) fn head(rule: &Rule, object: Option<&str>) -> String {
    match object {
        Some(object) => rule.head.replacen("{}", &words::name(object), 1),
        None => rule.head.to_owned(),
    }
}
