//! Answers of netlink, and what the files of /proc/net say of sockets and protocols.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::network::{
    StateCounts, count_dump, parse_links, parse_netstat, parse_snmp, parse_snmp6, parse_sockstat,
    parse_softnet, parse_tcp_table,
};

fuzz_target!(|bytes: &[u8]| {
    let mut counts = StateCounts::default();
    let _ = count_dump(bytes, &mut counts);
    let _ = parse_tcp_table(bytes, &mut counts);
    let _ = parse_sockstat(bytes);
    let _ = parse_snmp(bytes);
    let _ = parse_snmp6(bytes);
    let _ = parse_netstat(bytes);
    let mut cpus = Vec::new();
    let _ = parse_softnet(bytes, &mut cpus);
    let mut links = Vec::new();
    let _ = parse_links(bytes, &mut links);
    assert!(links.iter().all(|link| link.index.is_some()));
});
