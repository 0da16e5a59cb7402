//! In the steady state parsers allocate nothing.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use perfwatch_collect::Host;
use perfwatch_collect::cgroups::{Cgroups, parse_cpu_stat};
use perfwatch_collect::collector::Collector;
use perfwatch_collect::cpu::{
    CpuReading, parse_activity, parse_cpuinfo, parse_interrupts, parse_stat,
};
use perfwatch_collect::disk::{Disk, DiskReading, parse_diskstats};
use perfwatch_collect::interrupts::Table;
use perfwatch_collect::kernel::{Kernel, KernelReading};
use perfwatch_collect::memory::{
    Meminfo, MeminfoLines, Memory, MemoryReading, Vmstat, parse_meminfo, parse_vmstat,
    parse_zoneinfo,
};
use perfwatch_collect::network::{
    NetworkReading, StateCounts, parse_net_dev, parse_netstat, parse_snmp, parse_snmp6,
    parse_sockstat, parse_softnet, parse_tcp_table,
};
use perfwatch_collect::power::{Power, PowerReading};
use perfwatch_collect::pressure::{Pressure, parse_pressure};
use perfwatch_collect::resctrl::{Resctrl, ResctrlReading};
use perfwatch_collect::scheduler::{
    Scheduler, parse_interrupt_lines, parse_loadavg, parse_schedstat, parse_softirqs,
};

use crate::hosts::fixture;

fn allocations<T>(mut parse: impl FnMut() -> T) -> u64 {
    for _ in 0..2 {
        parse();
    }
    allocation_counter::measure(|| (0..10).for_each(|_| drop(black_box(parse())))).count_total
}

#[test]
fn parsers_allocate_nothing() {
    let tree = fixture("server128", "t0").join("proc");
    let read = |file: &str| fs::read(tree.join(file)).unwrap();
    let old = fs::read(fixture("oldkernel", "t0").join("proc/zoneinfo")).unwrap();
    let (stat, interrupts, cpuinfo) = (read("stat"), read("interrupts"), read("cpuinfo"));
    let (meminfo, vmstat) = (read("meminfo"), read("vmstat"));
    let (dev, snmp, sockstat, tcp) =
        (read("net/dev"), read("net/snmp"), read("net/sockstat"), read("net/tcp"));
    let (netstat, snmp6, softnet) =
        (read("net/netstat"), read("net/snmp6"), read("net/softnet_stat"));
    let diskstats = read("diskstats");
    let (loadavg, schedstat, softirqs) = (read("loadavg"), read("schedstat"), read("softirqs"));
    let pressure = read("pressure/memory");
    let cpu_stat = tree.with_file_name("sys/fs/cgroup/machine.slice/cpu.stat");
    let cpu_stat = fs::read(cpu_stat).unwrap();
    let (mut lines_of_irqs, mut vectors, mut queues) =
        (Table::default(), Table::default(), Vec::new());
    let (mut cpu, mut mhz) = (CpuReading::default(), Vec::new());
    let (mut memory, mut counters) = (Meminfo::default(), Vmstat::default());
    let mut lines = MeminfoLines::default();
    let (mut network, mut disk) = (NetworkReading::default(), DiskReading::default());
    let mut sockets = StateCounts::default();
    let counts = BTreeMap::from([
        ("stat", allocations(|| parse_stat(&stat, &mut cpu).unwrap())),
        ("interrupts", allocations(|| parse_interrupts(&interrupts).unwrap())),
        ("end of stat", allocations(|| parse_activity(&stat).unwrap())),
        (
            "interrupts by line",
            allocations(|| parse_interrupt_lines(&interrupts, &mut lines_of_irqs).unwrap()),
        ),
        ("softirqs", allocations(|| parse_softirqs(&softirqs, &mut vectors).unwrap())),
        ("loadavg", allocations(|| parse_loadavg(&loadavg).unwrap())),
        ("schedstat", allocations(|| parse_schedstat(&schedstat, &mut queues).unwrap())),
        ("pressure", allocations(|| parse_pressure(&pressure).unwrap())),
        ("cpu.stat", allocations(|| parse_cpu_stat(&cpu_stat).unwrap())),
        ("cpuinfo", allocations(|| parse_cpuinfo(&cpuinfo, &mut mhz).unwrap())),
        ("meminfo", allocations(|| parse_meminfo(&meminfo, &mut memory, &mut lines).unwrap())),
        ("vmstat", allocations(|| parse_vmstat(&vmstat, &mut counters).unwrap())),
        ("zoneinfo", allocations(|| parse_zoneinfo(&old))),
        ("net/dev", allocations(|| parse_net_dev(&dev, &mut network.interfaces).unwrap())),
        ("net/snmp", allocations(|| parse_snmp(&snmp).unwrap())),
        ("net/snmp6", allocations(|| parse_snmp6(&snmp6).unwrap())),
        ("net/netstat", allocations(|| parse_netstat(&netstat).unwrap())),
        (
            "net/softnet_stat",
            allocations(|| parse_softnet(&softnet, &mut network.softnet).unwrap()),
        ),
        ("net/sockstat", allocations(|| parse_sockstat(&sockstat).unwrap())),
        ("net/tcp", allocations(|| parse_tcp_table(&tcp, &mut sockets).unwrap())),
        ("diskstats", allocations(|| parse_diskstats(&diskstats, &mut disk.devices).unwrap())),
    ]);
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
}

fn allocations_of_reading<C: Collector>() -> u64 {
    let mut collector = C::new(&Arc::new(Host::recorded(&fixture("server128", "t0"))));
    let mut reading = C::Reading::default();
    allocations(|| collector.read(&mut reading).unwrap())
}

#[test]
fn reading_what_waits_allocates_nothing() {
    assert_eq!(allocations_of_reading::<Scheduler>(), 0);
    assert_eq!(allocations_of_reading::<Pressure>(), 0);
    assert_eq!(allocations_of_reading::<Cgroups>(), 0);
}

/// The whole of a read, files included. (That of the CPU and of partitions takes answers from errands.)
#[test]
fn reading_memory_allocates_nothing() {
    // NUMA nodes, and zram.
    for host in ["server128", "kernel418"] {
        let mut memory = Memory::new(&Arc::new(Host::recorded(&fixture(host, "t0"))));
        let mut reading = MemoryReading::default();
        assert_eq!(allocations(|| memory.read(&mut reading).unwrap()), 0, "{host}");
    }
}

#[test]
fn reading_the_kernel_allocates_nothing() {
    let mut kernel = Kernel::new(&Arc::new(Host::recorded(&fixture("server128", "t0"))));
    let mut reading = KernelReading::default();
    // The state of the clock of a recording is a file that is read anew each time: a path and a text.
    assert!(allocations(|| kernel.read(&mut reading).unwrap()) <= 10 * 4);
}

/// Files of meters, too. (Counters of a recording are a file that is read anew each time.)
#[test]
fn reading_meters_allocates_nothing() {
    let host = Arc::new(Host::recorded(&fixture("zen3", "t0")));
    let (mut power, mut reading) = (Power::new(&host), PowerReading::default());
    assert_eq!(allocations(|| power.read(&mut reading).unwrap()), 0);
    let host = Arc::new(Host::recorded(&fixture("laptop", "t0")));
    let (mut resctrl, mut reading) = (Resctrl::new(&host), ResctrlReading::default());
    // What is not there is said again, at no more than an allocation.
    assert!(allocations(|| resctrl.read(&mut reading).is_err()) <= 10);
}

/// Deriving makes what is reported: names, and nodes of the maps.
#[test]
fn deriving_allocates_only_what_it_reports() {
    let mut disk = Disk::new(&Arc::new(Host::recorded(&fixture("server128", "t0"))));
    let mut reading = DiskReading::default();
    disk.read(&mut reading).unwrap();
    let count = allocations(|| Disk::derive(None, &reading)) / 10;
    let entries = reading.devices.len() as u64 + 20;
    assert!(count <= entries * 8, "{count} allocations for {entries} entries");
}
