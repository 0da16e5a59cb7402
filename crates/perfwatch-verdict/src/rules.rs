//! Every rule, by resource. `docs/verdict.md` is made of these tables.

mod cpu;
mod disk;
mod kernel;
mod memory;
mod network;
mod perfwatch;
mod unusual;

use crate::rule::Rule;

pub(crate) use disk::{FILL_FORECAST, MOUNT_STUCK};
pub(crate) use perfwatch::{COLLECTOR_MISSING, HISTORY_UNWRITTEN};

/// Every rule: those over series, and those that have code of their own.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let of_code = [&MOUNT_STUCK, &FILL_FORECAST, &HISTORY_UNWRITTEN, &COLLECTOR_MISSING];
    over_series().chain(of_code)
}

/// The rules that are their signals and nothing else.
pub(crate) fn over_series() -> impl Iterator<Item = &'static Rule> {
    [
        memory::RULES,
        disk::RULES,
        cpu::RULES,
        network::RULES,
        kernel::RULES,
        perfwatch::RULES,
        unusual::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Ids of all series that any rule looks at.
pub fn ids() -> impl Iterator<Item = &'static str> {
    let of_forecasts = ["disk.partitions.used_bytes", "disk.partitions.free_bytes"];
    over_series().flat_map(|rule| rule.signals).map(|signal| signal.id).chain(of_forecasts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use perfwatch_metrics::catalog;

    use super::*;
    use crate::rule::{Reading, Role, Test};
    use crate::sentence::Kind;

    #[test]
    fn every_id_is_in_the_catalog_with_the_labels_that_a_rule_needs() {
        for rule in over_series() {
            for signal in rule.signals {
                let Some(def) = catalog().find(|def| def.id == signal.id) else {
                    panic!("{}: {} is not in the catalog", rule.name, signal.id);
                };
                let mut labels = def.labels();
                match signal.only {
                    Some((label, _)) => assert!(labels.any(|one| one == label), "{}", signal.id),
                    None => assert!(labels.all(|one| Some(one) == rule.object), "{}", signal.id),
                }
                let counts = def.kind == perfwatch_metrics::Kind::Counter;
                assert_eq!(counts, signal.reading == Reading::Events, "{}", signal.id);
            }
        }
    }

    #[test]
    fn the_table_makes_sense() {
        let names: BTreeSet<_> = rules().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules().count(), "a name stands twice");
        for rule in rules() {
            assert!(rule.hides.iter().all(|name| names.contains(name)), "{}", rule.name);
            assert!(!rule.hides.contains(&rule.name), "{}", rule.name);
            assert!(!rule.why.is_empty(), "{}", rule.name);
            assert_eq!(rule.object.is_some(), rule.head.contains("{}"), "{}", rule.name);
        }
        for rule in over_series() {
            assert!(!matches!(
                rule.signals.first().map(|first| first.role),
                None | Some(Role::Told)
            ));
            for signal in rule.signals {
                let says = signal.says;
                match signal.test {
                    Test::Above { enter, leave } if signal.role != Role::Told => {
                        assert!(enter >= leave, "{says}");
                    }
                    Test::Below { enter, leave } => assert!(enter <= leave, "{says}"),
                    Test::FarAbove { .. } | Test::FarBelow { .. } => {
                        assert_eq!(rule.kind, Kind::Unusual);
                    }
                    Test::Above { .. } => {}
                }
            }
        }
    }
}
