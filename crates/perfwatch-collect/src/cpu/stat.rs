//! The parsers of /proc/stat.

use perfwatch_metrics::cpu::{Activity, CpuTimes};

use super::{CpuReading, MAX_CPUS};
use crate::error::Malformed;
use crate::parse::{fill, lines, number, shown, words};

/// Reads /proc/stat: the `cpu` lines, which come first, and single numbers after them.
pub fn parse_stat(text: &[u8], into: &mut CpuReading) -> Result<(), Malformed> {
    /// user, nice, system and idle: all that Linux 2.4 had.
    const FEWEST_COLUMNS: usize = 4;
    into.cores.clear();
    into.truncated = false;
    into.activity = Activity::default();
    let mut total = None;
    for (index, line) in lines(text) {
        let Some(rest) = line.strip_prefix(b"cpu") else {
            activity_line(line, &mut into.activity);
            continue;
        };
        let mut times = CpuTimes::default();
        let mut columns = words(rest);
        let cpu = if rest.first().is_some_and(u8::is_ascii_digit) { columns.next() } else { None };
        let (always, later) = times.split_at_mut(FEWEST_COLUMNS);
        fill(always, columns.by_ref(), index)?;
        for (slot, word) in later.iter_mut().zip(columns) {
            *slot = number(word)
                .ok_or_else(|| Malformed::at(index, format!("not a number: {}", shown(word))))?;
        }
        let Some(cpu) = cpu else {
            total = Some(times);
            continue;
        };
        match number(cpu).and_then(|cpu| usize::try_from(cpu).ok()) {
            Some(cpu) if cpu < MAX_CPUS => {
                if into.cores.len() <= cpu {
                    into.cores.resize(cpu.saturating_add(1), None);
                }
                if let Some(slot) = into.cores.get_mut(cpu) {
                    *slot = Some(times);
                }
            }
            Some(_) => into.truncated = true,
            None => return Err(Malformed::at(index, format!("not a CPU: cpu{}", shown(cpu)))),
        }
    }
    into.total = total.ok_or_else(|| Malformed::at(0, "no line of all CPUs together"))?;
    Ok(())
}

/// Reads what /proc/stat says after the CPUs, and nothing of them.
pub fn parse_activity(text: &[u8]) -> Result<Activity, Malformed> {
    let mut activity = Activity::default();
    for (_, line) in lines(text).filter(|(_, line)| !line.starts_with(b"cpu")) {
        activity_line(line, &mut activity);
    }
    if activity == Activity::default() {
        return Err(Malformed::at(0, "nothing that is known after the CPUs"));
    }
    Ok(activity)
}

/// Reads a line of /proc/stat after the CPUs: `ctxt 376933`; of `intr 273242 0 0 …` the sum. Other lines are skipped.
fn activity_line(line: &[u8], into: &mut Activity) {
    let mut words = words(line);
    let slot = match words.next().unwrap_or_default() {
        b"intr" => &mut into.interrupts,
        b"ctxt" => &mut into.context_switches,
        b"btime" => &mut into.boot_time,
        b"processes" => &mut into.forks,
        b"procs_running" => &mut into.running,
        b"procs_blocked" => &mut into.blocked,
        _ => return,
    };
    *slot = words.next().and_then(number);
    // It is a difference of two counters that are not read at once, and has been seen below zero.
    into.blocked = into.blocked.filter(|blocked| *blocked <= u64::from(u32::MAX));
}
