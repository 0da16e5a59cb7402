//! /proc/vmstat.

use crate::error::Malformed;
use crate::parse::{lines, second_number, shown};

/// Counters of /proc/vmstat since boot. None where the kernel has no such line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Vmstat {
    /// Read from block devices, in units of 1,024 bytes.
    pub pgpgin: Option<u64>,
    /// Written to block devices, in units of 1,024 bytes.
    pub pgpgout: Option<u64>,
    /// Pages read from swap. Absent without CONFIG_SWAP.
    pub pswpin: Option<u64>,
    /// Pages written to swap.
    pub pswpout: Option<u64>,
    /// Page faults.
    pub pgfault: Option<u64>,
    /// Page faults that waited for a disk.
    pub pgmajfault: Option<u64>,
    /// Processes killed because memory ran out. Since 4.13.
    pub oom_kill: Option<u64>,
    /// Allocations that had to reclaim memory themselves: of all zones, which have a line each since 4.10.
    pub allocstall: Option<u64>,
    /// Allocations that had to compact memory themselves. Absent without CONFIG_COMPACTION.
    pub compact_stall: Option<u64>,
    /// Pages read back soon after they were reclaimed: of files and, since 5.9 in a line of its own, of programs. Since
    /// 3.15.
    pub refault: Option<u64>,
}

/// Reads the lines of /proc/vmstat that PerfWatch reports: `pgpgin 379749`.
pub fn parse_vmstat(text: &[u8], into: &mut Vmstat) -> Result<(), Malformed> {
    *into = Vmstat::default();
    for (index, line) in lines(text) {
        // A third of the lines: pages there are, which /proc/meminfo has in bytes. The others are counters.
        if line.starts_with(b"nr_") {
            continue;
        }
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let slot = match line.get(..end).unwrap_or_default() {
            b"pgpgin" => &mut into.pgpgin,
            b"pgpgout" => &mut into.pgpgout,
            b"pswpin" => &mut into.pswpin,
            b"pswpout" => &mut into.pswpout,
            b"pgfault" => &mut into.pgfault,
            b"pgmajfault" => &mut into.pgmajfault,
            b"oom_kill" => &mut into.oom_kill,
            b"compact_stall" => &mut into.compact_stall,
            b"workingset_refault" | b"workingset_refault_anon" | b"workingset_refault_file" => {
                &mut into.refault
            }
            name if name.starts_with(b"allocstall") => &mut into.allocstall,
            _ => continue,
        };
        let value = second_number(line)
            .ok_or_else(|| Malformed::at(index, format!("not a counter: {}", shown(line))))?;
        // Lines of the same slot add up.
        *slot = Some(slot.unwrap_or_default().saturating_add(value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_line_for_each_zone_or_kind_is_one_number() {
        let vmstat = |text: &str| {
            let mut vmstat = Vmstat::default();
            parse_vmstat(text.as_bytes(), &mut vmstat).unwrap();
            (vmstat.allocstall, vmstat.compact_stall, vmstat.refault)
        };
        let new = "workingset_refault_anon 3\nworkingset_refault_file 40\nallocstall_dma 1\n\
                   allocstall_normal 20\nallocstall_movable 300\ncompact_stall 7\n";
        assert_eq!(vmstat(new), (Some(321), Some(7), Some(43)));
        assert_eq!(vmstat("workingset_refault 5\nallocstall 6\n"), (Some(6), None, Some(5)));
        assert_eq!(vmstat("pgfault 5\n"), (None, None, None));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let mut vmstat = Vmstat::default();
        let error = parse_vmstat(b"nr_free_pages 1\npgfault\n", &mut vmstat).unwrap_err();
        assert_eq!(error.to_string(), "2: not a counter: pgfault");
    }
}
