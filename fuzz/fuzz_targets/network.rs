//! /proc/net/dev and what protocols count, and what is derived from two readings of it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::collector::Collector;
use perfwatch_collect::network::{
    MAX_INTERFACES, Network, NetworkReading, parse_net_dev, parse_netstat, parse_snmp, parse_snmp6,
};

fn reading(dev: &[u8], protocols: &[u8]) -> NetworkReading {
    let mut reading = NetworkReading::default();
    reading.interfaces_known = true;
    let _ = parse_net_dev(dev, &mut reading.interfaces);
    reading.snmp = parse_snmp(protocols).ok();
    reading.udp6 = parse_snmp6(protocols).ok();
    reading.netstat = parse_netstat(protocols).unwrap_or_default();
    reading
}

fuzz_target!(|texts: ([&[u8]; 2], [&[u8]; 2])| {
    let readings = [reading(texts.0[0], texts.0[1]), reading(texts.1[0], texts.1[1])];
    let report = Network::derive(Some((&readings[0], Duration::from_secs(5))), &readings[1]);
    for interface in report.metrics.interfaces.iter().flat_map(|interfaces| interfaces.values()) {
        assert!(interface.bytes_recv_per_sec.is_none_or(|rate| rate >= 0.0));
    }
    if let Some(tcp) = report.metrics.tcp {
        assert!(tcp.retransmit_percent.is_none_or(|share| (0.0..=100.0).contains(&share)));
        assert!(tcp.listen_overflows_per_sec.is_none_or(|rate| rate >= 0.0));
    }
    assert!(
        report.metrics.interfaces.is_none_or(|interfaces| interfaces.len() <= MAX_INTERFACES + 1)
    );
});
