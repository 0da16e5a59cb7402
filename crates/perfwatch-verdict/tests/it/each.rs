//! Each rule of the table, driven by the table itself.

use perfwatch_verdict::{Kind, Reading, Role, Rule, Verdict, judge, rules};

use crate::situation::{STEPS, Situation, values};

/// What a rule's signals do in a step.
#[derive(Clone, Copy, PartialEq)]
enum Do {
    Past,
    Between,
    Back,
}

/// The rules that are nothing but signals.
fn tables() -> impl Iterator<Item = &'static Rule> {
    rules().filter(|rule| !rule.signals.is_empty())
}

/// A window in which only this rule's series move.
fn window(rule: &Rule, does: impl Fn(usize) -> Do) -> Situation {
    let mut situation = Situation::quiet();
    for signal in rule.signals.iter().filter(|signal| signal.role != Role::Absent) {
        let (past, between, back) = values(signal, 2.0);
        let events = signal.reading == Reading::Events;
        situation = situation.signal(rule, signal, "x", |step| match does(step) {
            Do::Past => past,
            // Events are added up over a minute of six steps.
            Do::Between if events => between / 6.0,
            Do::Back if events => 0.0,
            Do::Between => between,
            Do::Back => back,
        });
    }
    situation
}

fn says(verdict: &Verdict, rule: &Rule) -> bool {
    verdict.sentences.iter().any(|one| one.rule == rule.name)
}

/// Steps that a rule must hold for.
fn steps(seconds: u32) -> usize {
    (seconds as usize).div_ceil(10).max(1)
}

#[test]
fn each_rule_speaks_and_names_its_evidence() {
    for rule in tables() {
        let hold = steps(rule.hold_s);
        let from = STEPS - hold - 1;
        let situation = window(rule, |step| if step >= from { Do::Past } else { Do::Back });
        let verdict = situation.judge();
        let sentence = verdict.sentences.iter().find(|one| one.rule == rule.name);
        let Some(sentence) = sentence else { panic!("{} is silent: {verdict:?}", rule.name) };
        assert_eq!(
            sentence.since_ms,
            Some(situation.0.from_ms + from as i64 * 10_000),
            "{}",
            rule.name
        );
        let first = &sentence.evidence[0];
        assert!(first.select.starts_with(rule.signals[0].id), "{first:?}");
        assert!(first.value.is_some(), "{first:?}");
        assert_eq!(Some(first.from_ms), sentence.since_ms);
        let named = rule.object.map(|label| (label.to_owned(), "x".to_owned()));
        assert_eq!(sentence.object, named.into_iter().collect(), "{}", rule.name);
        assert!(!sentence.text.contains(['{', '}']), "{}", sentence.text);
        assert_eq!((verdict.quiet, verdict.unsure), (None, None));
    }
}

#[test]
fn each_rule_is_silent_when_all_is_well_or_was_too_short() {
    for rule in tables() {
        assert!(window(rule, |_| Do::Back).rules().is_empty(), "{}", rule.name);
        assert!(window(rule, |_| Do::Between).rules().is_empty(), "{}", rule.name);
        let hold = steps(rule.hold_s);
        if hold > 1 {
            let long_enough = |step| if step + hold >= STEPS { Do::Past } else { Do::Back };
            assert!(says(&window(rule, long_enough).judge(), rule), "{}", rule.name);
            let too_short = |step| if step + hold > STEPS { Do::Past } else { Do::Back };
            assert!(!says(&window(rule, too_short).judge(), rule), "{}", rule.name);
        }
    }
}

#[test]
fn each_rule_goes_on_between_its_thresholds_and_ends_below_both() {
    for rule in tables() {
        let (hold, calm) = (steps(rule.hold_s), steps(rule.calm_s));
        let is_two = rule.signals.iter().any(|signal| {
            let (past, between, back) = values(signal, 2.0);
            signal.role != Role::Told && past != between && between != back
        });
        let counts = rule.signals.iter().any(|signal| signal.reading == Reading::Events);
        let from = STEPS - 60 - hold;
        if is_two && !counts {
            let swings = |step: usize| match step {
                before if before < from => Do::Back,
                in_it if in_it < from + hold => Do::Past,
                _ => Do::Between,
            };
            let situation = window(rule, swings);
            let verdict = situation.judge();
            assert!(says(&verdict, rule), "{}: {verdict:?}", rule.name);
            let since =
                verdict.sentences.iter().find(|one| one.rule == rule.name).unwrap().since_ms;
            assert_eq!(since, Some(situation.0.from_ms + from as i64 * 10_000), "{}", rule.name);
        }
        // Over for ten minutes, so it is not spoken of; over for two, so it is.
        let ended = |ago: usize| {
            move |step: usize| match step {
                in_it if in_it + ago + hold + 6 >= STEPS && in_it + ago < STEPS => Do::Past,
                _ => Do::Back,
            }
        };
        assert!(!says(&window(rule, ended(60)).judge(), rule), "{}", rule.name);
        let verdict = window(rule, ended(calm.max(12))).judge();
        assert!(says(&verdict, rule), "{}", rule.name);
        let sentence = verdict.sentences.iter().find(|one| one.rule == rule.name).unwrap();
        assert!(sentence.text.contains(" ago."), "{}", sentence.text);
    }
}

#[test]
fn each_rule_is_silent_without_a_series_that_it_needs() {
    for rule in tables() {
        let must = rule.signals.iter().filter(|signal| signal.role == Role::Must);
        for signal in must {
            let mut situation = window(rule, |_| Do::Past);
            situation.0.series.retain(|one| one.id != signal.id);
            assert!(!says(&situation.judge(), rule), "{} without {}", rule.name, signal.id);
        }
        // Told, and needed where it is there, may be missing.
        let mut situation = window(rule, |step| if step < 20 { Do::Back } else { Do::Past });
        let needed = |id: &str| {
            let mut of_it = rule.signals.iter().filter(|signal| signal.id == id);
            of_it.any(|signal| matches!(signal.role, Role::Must | Role::OneOf))
        };
        situation.0.series.retain(|one| needed(&one.id) || one.id == "cpu.usage_percent");
        assert!(says(&situation.judge(), rule), "{}", rule.name);
    }
}

#[test]
fn a_rule_that_must_not_see_a_series_is_silent_with_it() {
    for rule in tables() {
        for signal in rule.signals.iter().filter(|signal| signal.role == Role::Absent) {
            let situation = window(rule, |_| Do::Past).signal(rule, signal, "x", |_| 0.0);
            assert!(!says(&situation.judge(), rule), "{}", rule.name);
        }
    }
}

#[test]
fn what_is_unusual_needs_days_to_compare_with() {
    for rule in tables().filter(|rule| rule.kind == Kind::Unusual) {
        let mut situation = window(rule, |step| if step < 60 { Do::Back } else { Do::Past });
        assert!(says(&situation.judge(), rule), "{}", rule.name);
        for series in &mut situation.0.series {
            series.usual = series.usual.map(|usual| perfwatch_verdict::Usual { days: 2, ..usual });
        }
        assert!(!says(&judge(&situation.0), rule), "{}", rule.name);
        for series in &mut situation.0.series {
            series.usual = None;
        }
        assert!(!says(&judge(&situation.0), rule), "{}", rule.name);
    }
}
