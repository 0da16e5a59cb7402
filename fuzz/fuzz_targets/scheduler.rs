//! /proc/interrupts by line, /proc/softirqs, /proc/schedstat, /proc/loadavg, /proc/pressure and cpu.stat of control groups.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::cgroups::parse_cpu_stat;
use perfwatch_collect::cpu::{MAX_CPUS, parse_interrupts};
use perfwatch_collect::interrupts::{MAX_LINES, Table};
use perfwatch_collect::pressure::parse_pressure;
use perfwatch_collect::scheduler::{
    parse_interrupt_lines, parse_loadavg, parse_schedstat, parse_softirqs,
};

fuzz_target!(|text: &[u8]| {
    let mut table = Table::default();
    let by_line = parse_interrupt_lines(text, &mut table);
    let all = parse_interrupts(text);
    assert_eq!(by_line.is_ok(), all.is_ok());
    if let (Some(lines), Ok(all)) = (table.lines(), all) {
        assert!(lines.len() <= MAX_LINES);
        let sum = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.count));
        assert!(sum == all || table.truncated);
    }
    let _ = parse_softirqs(text, &mut table);
    let mut queues = Vec::new();
    let _ = parse_schedstat(text, &mut queues);
    assert!(queues.len() <= MAX_CPUS);
    if let Ok(load) = parse_loadavg(text) {
        assert!(load.iter().all(|load| load.is_finite() && *load >= 0.0));
    }
    let _ = parse_pressure(text);
    let _ = parse_cpu_stat(text);
});
