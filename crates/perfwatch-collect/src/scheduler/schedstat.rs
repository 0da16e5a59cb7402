//! /proc/schedstat: how long threads waited for a CPU.
//!
//! ```text
//! version 15
//! timestamp 4295190
//! cpu0 0 0 0 0 0 0 5832145 123456 567
//! domain0 …
//! ```
//!
//! Fields 7 to 9 of a CPU are ns that tasks ran, ns that they waited in its queue, and timeslices. They are counted whatever
//! kernel.sched_schedstats says. Since version 15 (2.6.38) a CPU has nine fields; 16 and 17 changed those of domains.

use perfwatch_metrics::scheduler::RunQueue;

use crate::cpu::MAX_CPUS;
use crate::error::Malformed;
use crate::parse::{fill, lines, number, shown, words};

/// The versions whose fields of a CPU are known.
const KNOWN: std::ops::RangeInclusive<u64> = 15..=17;

/// Fields of a CPU.
const FIELDS: usize = 9;

/// Reads the CPUs, by the kernel's number; None for one that is offline. Says whether there were more than [`MAX_CPUS`].
pub fn parse_schedstat(text: &[u8], into: &mut Vec<Option<RunQueue>>) -> Result<bool, Malformed> {
    into.clear();
    let mut truncated = false;
    let mut lines = lines(text);
    let version = lines.next().and_then(|(_, line)| line.strip_prefix(b"version "));
    let version = version.ok_or_else(|| Malformed::at(0, "no version"))?;
    if !number(version.trim_ascii()).is_some_and(|version| KNOWN.contains(&version)) {
        return Err(Malformed::at(0, format!("version {} is not known", shown(version))));
    }
    for (index, line) in lines {
        let Some(rest) = line.strip_prefix(b"cpu") else { continue };
        let mut columns = words(rest);
        let cpu = columns.next().and_then(number).and_then(|cpu| usize::try_from(cpu).ok());
        let cpu = cpu.ok_or_else(|| Malformed::at(index, format!("not a CPU: {}", shown(line))))?;
        let mut fields = [0; FIELDS];
        fill(&mut fields, columns, index)?;
        if cpu >= MAX_CPUS {
            truncated = true;
            continue;
        }
        let [.., running_ns, waiting_ns, timeslices] = fields;
        if into.len() <= cpu {
            into.resize(cpu.saturating_add(1), None);
        }
        if let Some(slot) = into.get_mut(cpu) {
            *slot = Some(RunQueue { running_ns, waiting_ns, timeslices });
        }
    }
    Ok(truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Option<RunQueue>>, Malformed> {
        let mut queues = Vec::new();
        parse_schedstat(text.as_bytes(), &mut queues).map(|_| queues)
    }

    #[test]
    fn the_last_three_of_nine_fields_are_taken_in_every_version() {
        for version in 15..=17 {
            let text = format!(
                "version {version}\ntimestamp 4295190\ncpu0 1 0 3 4 5 6 700 80 9\ndomain0 MC 3 1 2\ncpu2 1 0 3 4 5 6 7 8 9\n"
            );
            let queues = parse(&text).unwrap();
            let first = RunQueue { running_ns: 700, waiting_ns: 80, timeslices: 9 };
            let third = RunQueue { running_ns: 7, waiting_ns: 8, timeslices: 9 };
            assert_eq!(queues, [Some(first), None, Some(third)]);
        }
    }

    #[test]
    fn another_layout_is_not_guessed_at() {
        for (text, says) in [
            ("", "1: no version"),
            ("version 14\ncpu0 1 2 3 4 5 6 7 8 9 10 11 12\n", "1: version 14 is not known"),
            ("version 18\n", "1: version 18 is not known"),
            ("version 15\ncpu0 1 2 3\n", "2: expected 9 counters, found 3"),
            ("version 15\ncpux 1 2 3\n", "2: not a CPU: cpux 1 2 3"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), says);
        }
    }
}
