//! Parts of a section of which the same is said, put together: a host without a PMU lacks 13 counters for one reason.

/// The section of which it is a part. None of a section itself.
fn section_of(name: &str) -> Option<&str> {
    name.split_once('.').map(|(section, _)| section)
}

/// Whether it is a part of the section.
pub(crate) fn is_part(name: &str, section: &str) -> bool {
    section_of(name) == Some(section)
}

/// Puts parts of one section together when `of` says the same of them: their name, and all else. The order stays.
pub(crate) fn grouped<'a, T, Said: PartialEq>(
    all: &'a [T],
    of: impl Fn(&'a T) -> (&'a str, Said),
) -> Vec<Vec<&'a T>> {
    let mut groups: Vec<(Option<&str>, Said, Vec<&T>)> = Vec::new();
    for one in all {
        let (name, said) = of(one);
        let section = section_of(name);
        let same = groups
            .iter_mut()
            .find(|group| section.is_some() && group.0 == section && group.1 == said);
        match same {
            Some((.., group)) => group.push(one),
            None => groups.push((section, said, vec![one])),
        }
    }
    groups.into_iter().map(|(.., group)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_which_the_same_is_said_are_together() {
        let all = [
            ("cpu", "no file"),
            ("scheduler", "no file"),
            ("perf_events.branches", "no PMU"),
            ("perf_events.cycles", "denied"),
            ("perf_events.instructions", "no PMU"),
            ("power.package", "no PMU"),
        ];
        let names: Vec<Vec<_>> = grouped(&all, |(name, said)| (name, said))
            .iter()
            .map(|group| group.iter().map(|(name, _)| *name).collect())
            .collect();
        assert_eq!(
            names,
            [
                vec!["cpu"],
                vec!["scheduler"],
                vec!["perf_events.branches", "perf_events.instructions"],
                vec!["perf_events.cycles"],
                vec!["power.package"],
            ]
        );
    }

    #[test]
    fn a_part_has_its_whole_section_before_the_dot() {
        assert!(is_part("memory.nodes.node0", "memory"));
        for name in ["memory", "memory_bandwidth.sockets", "cpu.memory"] {
            assert!(!is_part(name, "memory"), "{name}");
        }
    }
}
