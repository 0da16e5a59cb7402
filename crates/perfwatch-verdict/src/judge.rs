//! From a window to a verdict: which rules hold, which of them are one cause, and which are told.

use std::collections::{BTreeMap, BTreeSet};

use crate::episode::{Episode, Tracked, last_episode};
use crate::finding::Finding;
use crate::rule::{Role, Rule, Signal, Test};
use crate::rules::over_series;
use crate::sentence::{Kind, MAX_SENTENCES, Resource, Verdict};
use crate::window::{Series, WINDOW_MS, Window};
use crate::{forecast, happenings, words};

/// Less than so much measured time says nothing, in milliseconds.
const MIN_MEASURED_MS: i64 = 30_000;

/// The least share of what is spoken of that must have been measured.
const MIN_COVERAGE: f64 = 0.5;

/// Most series of which the usual is asked for.
const MAX_WANTED: usize = 200;

/// A cause and its effect are at the same time, or at most so far apart, in milliseconds.
const APART_MS: i64 = 60_000;

/// What stands out in the window.
pub fn judge(window: &Window) -> Verdict {
    let mut verdict = Verdict {
        at_ms: window.at_ms,
        window_ms: WINDOW_MS,
        sentences: Vec::new(),
        quiet: None,
        unsure: unsure(window),
    };
    if verdict.unsure.is_some() {
        return verdict;
    }
    let mut findings = by_series(window);
    findings.extend(happenings::findings(window));
    findings.extend(forecast::findings(window));
    // What hides is hidden itself by a deeper cause, and hides nonetheless.
    let hidden: Vec<bool> =
        findings.iter().map(|one| findings.iter().any(|cause| hides(cause, one))).collect();
    let mut hidden = hidden.into_iter();
    findings.retain(|_| !hidden.next().unwrap_or_default());
    findings.sort_by(Finding::worse_first);

    let mut by_rule: Vec<(Finding, Vec<Finding>)> = Vec::new();
    for finding in findings {
        match by_rule.iter_mut().find(|(worst, _)| worst.rule.name == finding.rule.name) {
            Some((worst, others)) => {
                let told = [&*worst].into_iter().chain(&*others);
                if !told.into_iter().any(|told| is_part_of(&finding, told)) {
                    others.push(finding);
                }
            }
            None => by_rule.push((finding, Vec::new())),
        }
    }
    let plain: BTreeSet<Resource> = by_rule
        .iter()
        .filter(|(one, _)| !matches!(one.rule.kind, Kind::Unusual | Kind::Forecast))
        .map(|(one, _)| one.rule.resource)
        .collect();
    by_rule
        .retain(|(one, _)| one.rule.kind != Kind::Unusual || !plain.contains(&one.rule.resource));
    by_rule.truncate(MAX_SENTENCES);
    verdict.sentences =
        by_rule.into_iter().map(|(worst, others)| worst.sentence(&others, window)).collect();
    if verdict.sentences.is_empty() {
        verdict.quiet =
            Some(format!("Nothing stands out in the last {}.", words::duration(WINDOW_MS)));
    }
    verdict
}

/// The series of which the usual matters: where a rule compares with it, or holds. At most some hundreds.
pub fn wants_usual(window: &Window) -> Vec<String> {
    let mut wanted = BTreeSet::new();
    let mut compared = BTreeSet::new();
    for (rule, _, tracked) in candidates(window) {
        if last_episode(rule, &tracked, window).is_some() || rule.news {
            wanted.extend(tracked.iter().map(|one| one.series.select.clone()));
        }
        for one in &tracked {
            let recent = one.value(window.spoken_of()..window.steps);
            let matters = match one.signal.test {
                Test::FarAbove { floor } => recent.is_some_and(|value| value >= floor),
                Test::FarBelow { floor } => recent.is_some_and(|value| value <= floor),
                Test::Above { .. } | Test::Below { .. } => false,
            };
            if matters {
                compared.insert(one.series.select.clone());
            }
        }
    }
    wanted
        .into_iter()
        .chain(compared)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(MAX_WANTED)
        .collect()
}

/// The series that have been past their thresholds for as long as is looked at. At most some hundreds.
pub fn wants_longer(window: &Window) -> Vec<String> {
    let mut wanted = BTreeSet::new();
    for (rule, _, tracked) in candidates(window) {
        if last_episode(rule, &tracked, window).is_some_and(|episode| !episode.begins) {
            wanted.extend(tracked.iter().map(|one| one.series.select.clone()));
        }
    }
    wanted.into_iter().take(MAX_WANTED).collect()
}

/// Why nothing can be said. None when something can.
fn unsure(window: &Window) -> Option<String> {
    if window.step_ms > WINDOW_MS {
        let step = words::duration(window.step_ms);
        return Some(format!(
            "Of this time history has one value for each {step}: too few to say."
        ));
    }
    let measured = |step: &usize| {
        window.series.iter().any(|one| one.values.get(*step).is_some_and(Option::is_some))
    };
    let spoken_of = words::duration(WINDOW_MS);
    let nothing = || Some(format!("Nothing was measured in the {spoken_of} before this moment."));
    let Some(first) = (0..window.steps).find(measured) else { return nothing() };
    let expected = first.max(window.spoken_of())..window.steps;
    let known = expected.clone().filter(measured).count();
    let known_ms = window.step_ms.saturating_mul(known as i64);
    if known == 0 {
        return nothing();
    }
    if known_ms < MIN_MEASURED_MS {
        let (known, needed) = (words::duration(known_ms), words::duration(MIN_MEASURED_MS));
        return Some(format!(
            "Too little was measured before this moment: {known}; it takes {needed}."
        ));
    }
    let coverage = known as f64 / expected.len().max(1) as f64;
    (coverage < MIN_COVERAGE).then(|| {
        format!(
            "Only {:.0} % of the {spoken_of} before this moment was measured.",
            coverage * 100.0
        )
    })
}

/// What the rules over series find.
fn by_series(window: &Window) -> Vec<Finding> {
    let longer = window.longer.as_deref().map(|longer| (longer, candidates(longer)));
    let found = candidates(window).into_iter().filter_map(|(rule, object, tracked)| {
        let episode: Episode = last_episode(rule, &tracked, window)?;
        let mut finding = Finding::of_series(rule, object, &tracked, episode, window);
        if let Some((longer, all)) = longer.as_ref().filter(|_| !finding.begins) {
            let is_it = |(other, object, _): &&Candidate<'_>| {
                other.name == rule.name && *object == finding.object
            };
            let episode =
                all.iter().find(is_it).and_then(|(_, _, all)| last_episode(rule, all, longer));
            // A coarse step that the window begins in says nothing of what was before it.
            if let Some(episode) =
                episode.filter(|one| longer.begin_ms(one.from + 1) <= window.from_ms)
            {
                (finding.from_ms, finding.begins) = (longer.begin_ms(episode.from), episode.begins);
            }
        }
        Some(finding)
    });
    found.collect()
}

/// A rule, the object that it may be about, and the series that are there.
type Candidate<'a> = (&'static Rule, Option<String>, Vec<Tracked<'a>>);

/// Every rule on every object that it may be about, with the series that are there.
fn candidates(window: &Window) -> Vec<Candidate<'_>> {
    let mut by_id: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in &window.series {
        by_id.entry(series.id.as_str()).or_default().push(series);
    }
    let of = |signal: &Signal| by_id.get(signal.id).map(Vec::as_slice).unwrap_or_default();
    let mut candidates = Vec::new();
    for rule in over_series() {
        let objects: BTreeSet<Option<String>> = match rule.object {
            None => [None].into(),
            Some(label) => {
                let deciding = rule.signals.iter().filter(|signal| signal.role != Role::Told);
                let series = deciding.flat_map(|signal| of(signal).iter());
                series
                    .filter_map(|one| one.label(label))
                    .map(|name| Some(name.to_owned()))
                    .collect()
            }
        };
        for object in objects {
            let tracked = rule.signals.iter().filter_map(|signal| {
                let series = of(signal).iter().find(|series| match (signal.only, rule.object) {
                    (Some((label, value)), _) => series.label(label) == Some(value),
                    (None, Some(label)) if !series.labels.is_empty() => {
                        series.label(label) == object.as_deref()
                    }
                    (None, _) => series.labels.is_empty(),
                })?;
                Some(Tracked::new(signal, series, window))
            });
            let tracked = tracked.collect();
            candidates.push((rule, object, tracked));
        }
    }
    candidates
}

/// Whether one is why there is the other.
fn hides(cause: &Finding, effect: &Finding) -> bool {
    let same_objects = cause.rule.object.is_none()
        || cause.rule.object != effect.rule.object
        || cause.object == effect.object;
    cause.rule.hides.contains(&effect.rule.name)
        && same_objects
        && cause.from_ms <= effect.to_ms().saturating_add(APART_MS)
        && effect.from_ms <= cause.to_ms().saturating_add(APART_MS)
}

/// Whether one is about a partition of the disk that the other is about, or the other way round.
fn is_part_of(one: &Finding, other: &Finding) -> bool {
    let (Some("device"), Some(one), Some(other)) = (one.rule.object, &one.object, &other.object)
    else {
        return false;
    };
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long.strip_prefix(short.as_str()).is_some_and(|rest| {
        let digits = rest.strip_prefix('p').unwrap_or(rest);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
