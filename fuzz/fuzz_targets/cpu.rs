//! /proc/stat, /proc/interrupts and /proc/cpuinfo.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::cpu::{
    CpuReading, MAX_CPUS, parse_activity, parse_cpuinfo, parse_interrupts, parse_stat,
};

fuzz_target!(|text: &[u8]| {
    let mut reading = CpuReading::default();
    let _ = parse_stat(text, &mut reading);
    assert!(reading.cores.len() <= MAX_CPUS);
    let _ = parse_activity(text);
    let _ = parse_interrupts(text);
    let mut by_cpu = Vec::new();
    let _ = parse_cpuinfo(text, &mut by_cpu);
    assert!(by_cpu.len() <= MAX_CPUS);
    assert!(by_cpu.iter().flatten().all(|mhz| mhz.is_finite()));
});
