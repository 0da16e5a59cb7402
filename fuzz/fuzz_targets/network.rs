//! /proc/net/dev, and what is derived from two readings of it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::collector::Collector;
use perfwatch_collect::network::{MAX_INTERFACES, Network, NetworkReading, parse_net_dev};

fuzz_target!(|texts: (&[u8], &[u8])| {
    let mut readings = [NetworkReading::default(), NetworkReading::default()];
    readings[1].interfaces_known = true;
    let _ = parse_net_dev(texts.0, &mut readings[0].interfaces);
    let _ = parse_net_dev(texts.1, &mut readings[1].interfaces);
    let report = Network::derive(Some((&readings[0], Duration::from_secs(5))), &readings[1]);
    for interface in report.metrics.interfaces.iter().flat_map(|interfaces| interfaces.values()) {
        assert!(interface.bytes_recv_per_sec.is_none_or(|rate| rate >= 0.0));
    }
    assert!(
        report.metrics.interfaces.is_none_or(|interfaces| interfaces.len() <= MAX_INTERFACES + 1)
    );
});
