//! Answers of NETLINK_SOCK_DIAG, /proc/net/{snmp,sockstat,tcp}.

#![no_main]

use libfuzzer_sys::fuzz_target;
use perfwatch_collect::network::{
    StateCounts, count_dump, parse_snmp_established, parse_sockstat, parse_tcp_table,
};

fuzz_target!(|bytes: &[u8]| {
    let mut counts = StateCounts::default();
    let _ = count_dump(bytes, &mut counts);
    let _ = parse_tcp_table(bytes, &mut counts);
    let _ = parse_snmp_established(bytes);
    let _ = parse_sockstat(bytes);
});
