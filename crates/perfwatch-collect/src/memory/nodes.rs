//! NUMA nodes: /sys/devices/system/node/node*/{meminfo,numastat}.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::memory::NodeMetrics;

use crate::error::{Malformed, Problem};
use crate::host::Host;
use crate::listing::{Kind, Listing};
use crate::parse::{lines, number, second_number, set_text, shown, words};
use crate::rate::per_second;
use crate::rows::{Matcher, Named, Rows};

/// Most nodes that are reported, those of the lowest numbers.
pub const MAX_NODES: usize = 64;

const NODES: Kind<2> = Kind {
    directory: "devices/system/node",
    name: "node",
    by_number: true,
    files: ["meminfo", "numastat"],
    limit: MAX_NODES,
};

/// What the kernel said of a node.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NodeReading {
    number: String,
    /// MemTotal and MemFree, in bytes.
    pub memory: [u64; 2],
    /// Its allocations. All None when they could not be read.
    pub allocations: Allocations,
}

/// Counters of `numastat`, in pages since boot. None where the kernel has no such line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's own, without `numa_`")]
pub struct Allocations {
    pub hit: Option<u64>,
    pub miss: Option<u64>,
    pub foreign: Option<u64>,
}

impl Named for NodeReading {
    fn name(&self) -> &str {
        &self.number
    }
}

/// The nodes of a host.
#[derive(Debug)]
pub(super) struct Nodes(Listing<2>);

impl Nodes {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self(Listing::new(host, &NODES))
    }

    /// Says whether [`MAX_NODES`] cut some off.
    pub(super) fn read(
        &mut self,
        into: &mut Rows<NodeReading>,
        problems: &mut Vec<Problem>,
    ) -> bool {
        into.clear();
        self.0.read("nodes", problems, |number, [meminfo, numastat]| {
            let memory = meminfo.parse(parse_node_meminfo)?;
            let mut allocations = Allocations::default();
            let counted = numastat.parse(|text| parse_numastat(text, &mut allocations));
            let row = into.next_row();
            set_text(&mut row.number, number.as_bytes());
            row.memory = memory;
            row.allocations = counted.as_ref().map(|()| allocations).unwrap_or_default();
            // Kernels without VM event counters have no such file, and that is all right.
            counted.or_else(|error| if error.is_absent() { Ok(()) } else { Err(error) })
        })
    }
}

pub(super) fn metrics(
    before: Option<(&[NodeReading], Duration)>,
    now: &[NodeReading],
) -> BTreeMap<String, NodeMetrics> {
    let (before, elapsed) = before.unwrap_or_default();
    let mut earlier = Matcher::new(before);
    let metrics = |node: &NodeReading| {
        let before = earlier.find(&node.number).map(|node| &node.allocations);
        let rate = |counter: fn(&Allocations) -> Option<u64>| {
            per_second(counter(before?)?, counter(&node.allocations)?, elapsed)
        };
        let ([total_bytes, free_bytes], Allocations { hit, miss, foreign }) =
            (node.memory, node.allocations.clone());
        let metrics = NodeMetrics {
            total_bytes,
            free_bytes,
            hit,
            miss,
            foreign,
            hit_per_sec: rate(|node| node.hit),
            miss_per_sec: rate(|node| node.miss),
        };
        (node.number.clone(), metrics)
    };
    now.iter().map(metrics).collect()
}

/// MemTotal and MemFree of a node's `meminfo`, in bytes: `Node 0 MemTotal:       24731708 kB`. They come first, so the
/// rest is not looked at.
pub fn parse_node_meminfo(text: &[u8]) -> Result<[u64; 2], Malformed> {
    let mut found = [None; 2];
    for (index, line) in lines(text) {
        let mut words = words(line).skip(2);
        let slot = match words.next() {
            Some(b"MemTotal:") => &mut found[0],
            Some(b"MemFree:") => &mut found[1],
            _ => continue,
        };
        let bytes = words.next().and_then(number).and_then(|value| value.checked_mul(1024));
        let is_size = words.next() == Some(b"kB");
        let bytes = bytes.filter(|_| is_size);
        *slot = Some(
            bytes.ok_or_else(|| Malformed::at(index, format!("not a size: {}", shown(line))))?,
        );
        if let [Some(total), Some(free)] = found {
            return Ok([total, free]);
        }
    }
    Err(Malformed::at(0, "no MemTotal and MemFree"))
}

/// Reads a node's `numastat`: `numa_hit 483080114`.
pub fn parse_numastat(text: &[u8], into: &mut Allocations) -> Result<(), Malformed> {
    *into = Allocations::default();
    for (index, line) in lines(text) {
        let slot = match words(line).next().unwrap_or_default() {
            b"numa_hit" => &mut into.hit,
            b"numa_miss" => &mut into.miss,
            b"numa_foreign" => &mut into.foreign,
            _ => continue,
        };
        let value = second_number(line);
        *slot = Some(
            value.ok_or_else(|| Malformed::at(index, format!("not a counter: {}", shown(line))))?,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: &str, hit: u64, miss: u64) -> NodeReading {
        let allocations = Allocations { hit: Some(hit), miss: Some(miss), foreign: None };
        NodeReading { number: number.to_owned(), memory: [2048, 1024], allocations }
    }

    #[test]
    fn a_node_that_came_has_no_rates() {
        let before = [node("0", 1000, 10)];
        let now = [node("0", 3000, 10), node("1", 5, 5)];
        let metrics = metrics(Some((&before, Duration::from_secs(2))), &now);
        let rates = |number: &str| (metrics[number].hit_per_sec, metrics[number].miss_per_sec);
        assert_eq!(rates("0"), (Some(1000.0), Some(0.0)));
        assert_eq!(rates("1"), (None, None));
        assert_eq!((metrics["1"].total_bytes, metrics["1"].foreign), (2048, None));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let meminfo = |text: &str| parse_node_meminfo(text.as_bytes());
        assert_eq!(meminfo("Node 0 MemTotal: 2 kB\nNode 0 MemFree: 1 kB\nx"), Ok([2048, 1024]));
        for (text, says) in [
            ("", "1: no MemTotal and MemFree"),
            ("Node 0 MemTotal: 2 kB\n", "1: no MemTotal and MemFree"),
            ("Node 0 MemTotal: 2 kB\nNode 0 MemFree: 2\n", "2: not a size: Node 0 MemFree: 2"),
        ] {
            assert_eq!(meminfo(text).unwrap_err().to_string(), says);
        }
        let mut allocations = Allocations::default();
        let error = parse_numastat(b"numa_hit 1\nnuma_miss x\n", &mut allocations).unwrap_err();
        assert_eq!(error.to_string(), "2: not a counter: numa_miss x");
    }
}
