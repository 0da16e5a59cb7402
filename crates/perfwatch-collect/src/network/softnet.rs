//! /proc/net/softnet_stat: what each CPU took from its queue of received packets.

use std::time::Duration;

use perfwatch_metrics::network::{SoftnetCpu, SoftnetMetrics};

use crate::error::Malformed;
use crate::parse::{lines, shown, words};
use crate::rate::per_second_32;

/// Most CPUs of which it is read. What other CPUs count is left out.
const MAX_CPUS: usize = 8192;

/// Reads the table: a line for each online CPU, numbers of 32 bits in hexadecimal:
/// `006d1ea9 00000000 00000003 00000000 …`. The first is packets taken, the second packets dropped because the queue was
/// full, the third how often there was more to do than one go may take; the thirteenth, since 5.10, is the CPU.
pub fn parse_softnet(text: &[u8], into: &mut Vec<SoftnetCpu>) -> Result<(), Malformed> {
    const CPU_COLUMN: usize = 12;
    into.clear();
    for (index, line) in lines(text).take(MAX_CPUS) {
        let mut columns = words(line);
        let mut counts = [0; 3];
        for count in &mut counts {
            let word = columns.next().unwrap_or_default();
            *count = hexadecimal(word).ok_or_else(|| {
                Malformed::at(index, format!("not a hexadecimal number: {}", shown(word)))
            })?;
        }
        let cpu = columns.nth(CPU_COLUMN - counts.len()).and_then(hexadecimal);
        let [processed, dropped, squeezed] = counts;
        let cpu = cpu.unwrap_or(u32::try_from(index).unwrap_or(u32::MAX));
        into.push(SoftnetCpu { cpu, processed, dropped, squeezed });
    }
    if into.is_empty() { Err(Malformed::at(0, "no CPU")) } else { Ok(()) }
}

/// Packets taken, packets dropped, time squeezes.
pub(super) type SoftnetCounts = [u32; 3];

/// The sum of what all CPUs count. It wraps as its parts do, so that a part that wraps is no fall, and goes on when a CPU
/// goes offline, or comes with what it had counted before.
#[derive(Debug, Default)]
pub(super) struct SoftnetTotals {
    total: SoftnetCounts,
    /// Each CPU as it was seen last, in the order in which they were first seen.
    seen: Vec<SoftnetCpu>,
}

impl SoftnetTotals {
    /// The sum with what the CPUs that are online say now.
    pub(super) fn add(&mut self, online: &[SoftnetCpu]) -> SoftnetCounts {
        let first_look = self.seen.is_empty();
        for (place, cpu) in online.iter().enumerate() {
            let is_it = |seen: &SoftnetCpu| seen.cpu == cpu.cpu;
            let place = if self.seen.get(place).is_some_and(is_it) {
                Some(place)
            } else {
                self.seen.iter().position(is_it)
            };
            let Some(before) = place.and_then(|place| self.seen.get_mut(place)) else {
                if first_look {
                    grow(&mut self.total, &SoftnetCpu::default(), cpu);
                }
                self.seen.push(*cpu);
                continue;
            };
            grow(&mut self.total, before, cpu);
            *before = *cpu;
        }
        self.total
    }
}

fn grow(total: &mut SoftnetCounts, before: &SoftnetCpu, now: &SoftnetCpu) {
    let counts = |cpu: &SoftnetCpu| [cpu.processed, cpu.dropped, cpu.squeezed];
    for ((sum, then), now) in total.iter_mut().zip(counts(before)).zip(counts(now)) {
        *sum = sum.wrapping_add(now.wrapping_sub(then));
    }
}

/// Of what each CPU counted and the sum of it, now and before. None when the table could not be read.
pub(super) fn metrics(
    before: Option<((&[SoftnetCpu], SoftnetCounts), Duration)>,
    now: Option<(&[SoftnetCpu], SoftnetCounts)>,
) -> Option<SoftnetMetrics> {
    let (cpus, total) = now?;
    let rate = |of: fn(&SoftnetCounts) -> u32| {
        let ((_, before), elapsed) = before?;
        per_second_32(of(&before).into(), of(&total).into(), elapsed)
    };
    let [processed, dropped, squeezed] = total.map(u64::from);
    Some(SoftnetMetrics {
        processed,
        processed_per_sec: rate(|[processed, ..]| *processed),
        dropped,
        dropped_per_sec: rate(|[_, dropped, _]| *dropped),
        squeezed,
        squeezed_per_sec: rate(|[.., squeezed]| *squeezed),
        cpus: cpus.to_vec(),
    })
}

fn hexadecimal(word: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_cpu() {
        let mut cpus = Vec::new();
        let text = b"006d1ea9 00000001 00000003 0 0 0 0 0 0 0 0 00000000 00000000 0 0\n\
            ffffffff 00000000 0000000a 0 0 0 0 0 0 0 0 00000001 00000002 0 0\n";
        parse_softnet(text, &mut cpus).unwrap();
        let first = SoftnetCpu { cpu: 0, processed: 0x6d_1ea9, dropped: 1, squeezed: 3 };
        let second = SoftnetCpu { cpu: 2, processed: u32::MAX, dropped: 0, squeezed: 10 };
        assert_eq!(cpus, [first, second], "CPU 1 is offline");
        // Before 5.10 the lines do not say their CPU.
        parse_softnet(b"1 2 3 0 0 0 0 0 0 0 0\n4 5 6 0 0 0 0 0 0 0 0\n", &mut cpus).unwrap();
        assert_eq!((cpus[1].cpu, cpus[1].squeezed), (1, 6));
    }

    #[test]
    fn the_sum_goes_on_while_cpus_come_and_go() {
        let cpu = |cpu, processed| SoftnetCpu { cpu, processed, ..SoftnetCpu::default() };
        let mut totals = SoftnetTotals::default();
        let sums = [
            vec![cpu(0, u32::MAX - 1), cpu(1, 10)],
            vec![cpu(0, 3), cpu(1, 10)],               // CPU 0 wraps
            vec![cpu(0, 4)],                           // CPU 1 goes
            vec![cpu(0, 4), cpu(1, 12), cpu(2, 1000)], // and comes back, with one that was never seen
            vec![cpu(0, 4), cpu(1, 12), cpu(2, 1001)],
        ]
        .map(|online| totals.add(&online)[0]);
        assert_eq!(sums, [8, 13, 14, 16, 17]);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut cpus = Vec::new();
        for text in [&b""[..], b"1 2\n", b"1 2 g\n", b"\n", b"123456789 0 0\n"] {
            assert!(parse_softnet(text, &mut cpus).is_err(), "{}", shown(text));
        }
    }
}
