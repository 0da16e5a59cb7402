//! /proc/meminfo.

use std::sync::Arc;

use perfwatch_metrics::memory::{MeminfoLines, MeminfoName};

use crate::error::Malformed;
use crate::parse::{lines, second_number, set_text, shown};

/// Most lines of /proc/meminfo that are carried along; a kernel has about 60. The rest is left out.
const MAX_LINES: usize = 256;

/// A longer name is none of the kernel's, and its line is left out.
const MAX_NAME_BYTES: usize = 64;

/// Fields of /proc/meminfo, in bytes or, for huge pages, in pages. None where the kernel has no such line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's own")]
pub struct Meminfo {
    pub total: Option<u64>,
    pub free: Option<u64>,
    /// Since 3.14.
    pub available: Option<u64>,
    pub buffers: Option<u64>,
    pub cached: Option<u64>,
    pub active_file: Option<u64>,
    pub inactive_file: Option<u64>,
    /// Since 2.6.19.
    pub slab_reclaimable: Option<u64>,
    pub slab_unreclaimable: Option<u64>,
    pub active: Option<u64>,
    pub inactive: Option<u64>,
    pub dirty: Option<u64>,
    pub writeback: Option<u64>,
    /// Since 2.6.32.
    pub shmem: Option<u64>,
    pub commit_limit: Option<u64>,
    pub committed: Option<u64>,
    /// Since 5.19, with zswap.
    pub zswap_pool: Option<u64>,
    pub zswap_stored: Option<u64>,
    pub swap_total: Option<u64>,
    pub swap_free: Option<u64>,
    pub hugepages_total: Option<u64>,
    pub hugepages_free: Option<u64>,
    pub hugepages_reserved: Option<u64>,
}

/// Reads /proc/meminfo: `MemTotal:       24684084 kB`. Of lines that PerfWatch reports MemTotal and MemFree must be
/// there, and those that are must make sense.
pub fn parse_meminfo(
    text: &[u8],
    into: &mut Meminfo,
    all: &mut MeminfoLines,
) -> Result<(), Malformed> {
    *into = Meminfo::default();
    all.values.clear();
    for (index, line) in lines(text) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default();
        let is_size = line.ends_with(b" kB");
        let unit_bytes = if is_size { 1024 } else { 1 };
        let value = second_number(line).and_then(|value| value.checked_mul(unit_bytes));
        if let Some(value) = value {
            push_line(all, name, is_size, value);
        }
        let (slot, must_be_size) = match name {
            b"MemTotal" => (&mut into.total, true),
            b"MemFree" => (&mut into.free, true),
            b"MemAvailable" => (&mut into.available, true),
            b"Buffers" => (&mut into.buffers, true),
            b"Cached" => (&mut into.cached, true),
            b"Active(file)" => (&mut into.active_file, true),
            b"Inactive(file)" => (&mut into.inactive_file, true),
            b"SReclaimable" => (&mut into.slab_reclaimable, true),
            b"SUnreclaim" => (&mut into.slab_unreclaimable, true),
            b"Active" => (&mut into.active, true),
            b"Inactive" => (&mut into.inactive, true),
            b"Dirty" => (&mut into.dirty, true),
            b"Writeback" => (&mut into.writeback, true),
            b"Shmem" => (&mut into.shmem, true),
            b"CommitLimit" => (&mut into.commit_limit, true),
            b"Committed_AS" => (&mut into.committed, true),
            b"Zswap" => (&mut into.zswap_pool, true),
            b"Zswapped" => (&mut into.zswap_stored, true),
            b"SwapTotal" => (&mut into.swap_total, true),
            b"SwapFree" => (&mut into.swap_free, true),
            b"HugePages_Total" => (&mut into.hugepages_total, false),
            b"HugePages_Free" => (&mut into.hugepages_free, false),
            b"HugePages_Rsvd" => (&mut into.hugepages_reserved, false),
            _ => continue,
        };
        let value = value.filter(|_| is_size == must_be_size);
        *slot = Some(
            value.ok_or_else(|| Malformed::at(index, format!("not a size: {}", shown(line))))?,
        );
    }
    for (field, name) in [(into.total, "MemTotal"), (into.free, "MemFree")] {
        if field.is_none() {
            return Err(Malformed::at(0, format!("no {name}")));
        }
    }
    Ok(())
}

/// Adds a line. Where the line before at this place had the same name, as always but the first time, nothing is copied.
fn push_line(all: &mut MeminfoLines, name: &[u8], is_size: bool, value: u64) {
    let place = all.values.len();
    if place >= MAX_LINES || name.len() > MAX_NAME_BYTES {
        return;
    }
    all.values.push(value);
    let known = all.names.get(place);
    if known.is_some_and(|known| known.name.as_bytes() == name && known.is_size == is_size) {
        return;
    }
    let names = Arc::make_mut(&mut all.names);
    names.truncate(place);
    let mut text = String::new();
    set_text(&mut text, name);
    names.push(MeminfoName { name: text, is_size });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_carried_along() {
        let shown = |lines: &MeminfoLines| {
            let names = lines.names.iter().map(|line| (line.name.clone(), line.is_size));
            names.zip(lines.values.clone()).collect::<Vec<_>>()
        };
        let line = |name: &str, is_size, value| ((name.to_owned(), is_size), value);
        let text =
            "MemTotal: 2 kB\nMemFree: 1 kB\nActive(anon): 3 kB\nNonsense\nHugePages_Total: 4\n";
        let (mut meminfo, mut all) = (Meminfo::default(), MeminfoLines::default());
        parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap();
        let ends = [line("Active(anon)", true, 3072), line("HugePages_Total", false, 4)];
        assert_eq!(shown(&all)[2..], ends);
        // A line that comes or goes moves the others; an earlier snapshot keeps its names.
        let earlier = all.clone();
        let text = "MemTotal: 2 kB\nMemFree: 1 kB\nNew: 7 kB\n";
        parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap();
        assert_eq!(shown(&all)[2..], [line("New", true, 7168)]);
        assert_eq!(shown(&earlier)[2..], ends);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let (mut meminfo, mut all) = (Meminfo::default(), MeminfoLines::default());
        for (text, says) in [
            ("", "1: no MemTotal"),
            ("MemTotal: 1 kB\n", "1: no MemFree"),
            ("MemTotal: 1 kB\nMemFree: x kB\n", "2: not a size: MemFree: x kB"),
            (
                "MemTotal: 18446744073709551615 kB\n",
                "1: not a size: MemTotal: 18446744073709551615 kB",
            ),
        ] {
            let error = parse_meminfo(text.as_bytes(), &mut meminfo, &mut all).unwrap_err();
            assert_eq!(error.to_string(), says);
        }
    }
}
