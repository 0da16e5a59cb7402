//! Whatever stands in a window, the verdict is one.

use perfwatch_verdict::{
    Event, Happening, MAX_SENTENCES, Role, Series, Trend, Usual, Window, ids, judge, rules,
    wants_longer, wants_usual,
};
use proptest::prelude::*;

/// Values as a file that is damaged or a clock that is wrong may give.
fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (0.0..100.0).prop_map(Some),
        2 => prop::sample::select(vec![None, Some(0.0), Some(1.0), Some(100.0)]),
        1 => any::<f64>().prop_map(Some),
    ]
}

/// Values that are rather the same for a while, so that rules do hold.
fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec((value(), 1_usize..60), 0..8)
        .prop_map(|runs| runs.into_iter().flat_map(|(value, count)| vec![value; count]).collect())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["io", "cpu", "memory", "sda", "sda1", "/"])
            .prop_map(str::to_owned),
        ".*"
    ]
}

fn usual() -> impl Strategy<Value = Option<Usual>> {
    let band = (any::<f64>(), any::<f64>(), 0_usize..8).prop_map(|(low, high, days)| Usual {
        low,
        high,
        days,
    });
    prop_oneof![
        Just(None),
        (0.0..50.0).prop_map(|low| Some(Usual { low, high: low + 5.0, days: 7 })),
        band.prop_map(Some)
    ]
}

fn series() -> impl Strategy<Value = Series> {
    let id = prop::sample::select(ids().collect::<Vec<_>>());
    (id, name(), values(), usual()).prop_map(|(id, name, values, usual)| {
        let of_it = |signal: &&perfwatch_verdict::Signal| signal.id == id;
        let label = rules().find_map(|rule| {
            let signal = rule.signals.iter().find(of_it)?;
            signal.only.map(|(label, _)| label).or(rule.object)
        });
        let labels = label.map(|label| (label.to_owned(), name.clone())).into_iter().collect();
        let select = format!("{id}{{{name:?}}}");
        Series { id: id.to_owned(), labels, select, unit: "bytes".to_owned(), values, usual }
    })
}

/// All that a rule needs, far past its thresholds.
fn storm() -> impl Strategy<Value = Vec<Series>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12).prop_map(|chosen| {
        let all: Vec<_> = rules().filter(|rule| !rule.signals.is_empty()).collect();
        let rules = chosen.iter().map(|index| *index.get(&all));
        let of_rule = |rule: &'static perfwatch_verdict::Rule| {
            let signals = rule.signals.iter().filter(|signal| signal.role != Role::Absent);
            signals.map(move |signal| {
                let (value, _, _) = crate::situation::values(signal, 4.0);
                let label = signal.only.or(rule.object.map(|label| (label, "x")));
                let (low, high) = crate::situation::usual_of(signal);
                Series {
                    id: signal.id.to_owned(),
                    labels: label
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into_iter()
                        .collect(),
                    select: format!("{}{label:?}", signal.id),
                    unit: "%".to_owned(),
                    values: vec![Some(value); 180],
                    usual: Some(Usual { low, high, days: 5 }),
                }
            })
        };
        rules.flat_map(of_rule).collect()
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let part = prop_oneof![Just("disk.partitions./mnt".to_owned()), Just("disk".to_owned()), ".*"];
    let state = prop::sample::select(vec!["late", "failed", "ok", ""]);
    prop_oneof![
        Just(Happening::Start),
        (part, state, ".*").prop_map(|(part, state, reason)| Happening::Part {
            part,
            state: state.to_owned(),
            reason
        }),
        prop::option::of(".*").prop_map(|problem| Happening::History { problem }),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let times = (
        prop_oneof![Just((0, 1_800_000)), any::<(i64, i64)>()],
        prop_oneof![Just(10_000), Just(60_000), 1..400_000_i64, any::<i64>()],
    );
    let events = prop::collection::vec((any::<i64>(), happening()), 0..10);
    let trend = (name(), prop::collection::vec((any::<i64>(), any::<f64>()), 0..40));
    let all = (
        prop::collection::vec(series(), 0..20),
        storm(),
        events,
        prop::collection::vec(trend, 0..3),
    );
    (times, 0_usize..200, prop::option::of(0_usize..5000), all).prop_map(
        |(((from_ms, at_ms), step_ms), steps, cpus, (mut series, storm, events, trends))| {
            series.extend(storm);
            let event = |(at_ms, what)| Event { at_ms, what };
            let trend = |(mountpoint, used)| Trend { mountpoint, used };
            Window {
                from_ms,
                step_ms,
                steps,
                at_ms,
                cpus,
                series,
                events: events.into_iter().map(event).collect(),
                trends: trends.into_iter().map(trend).collect(),
                longer: None,
            }
        },
    )
}

/// With a longer look at whatever.
fn windows() -> impl Strategy<Value = Window> {
    (window(), prop::option::of(window().prop_map(Box::new)))
        .prop_map(|(window, longer)| Window { longer, ..window })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_verdict_is_short_proven_and_harmless(window in windows()) {
        let verdict = judge(&window);
        prop_assert!(verdict.sentences.len() <= MAX_SENTENCES);
        let said = [!verdict.sentences.is_empty(), verdict.quiet.is_some(), verdict.unsure.is_some()];
        prop_assert_eq!(said.iter().filter(|said| **said).count(), 1, "{:?}", verdict);
        for sentence in &verdict.sentences {
            prop_assert!(!sentence.evidence.is_empty(), "{:?}", sentence);
            prop_assert!(sentence.text.chars().count() < 1500, "{}", sentence.text);
            prop_assert!(!sentence.text.chars().any(char::is_control), "{:?}", sentence.text);
            prop_assert!(sentence.text.ends_with('.'));
            prop_assert!(sentence.evidence.iter().all(|one| one.from_ms <= one.to_ms && !one.select.is_empty()));
        }
        let mut names: Vec<_> = verdict.sentences.iter().map(|one| one.rule).collect();
        names.dedup();
        prop_assert_eq!(names.len(), verdict.sentences.len());
        prop_assert!(verdict.sentences.is_sorted_by_key(|one| one.severity));
        prop_assert!(wants_usual(&window).len().max(wants_longer(&window).len()) <= 200);
        prop_assert_eq!(judge(&window), verdict);
    }
}
