//! Changes of a recorded host, made by hand.

use std::time::Duration;

use super::*;
use crate::sample::of_recording;

fn vm() -> Snapshot {
    of_recording("vm")
}

fn changed(change: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut snapshot = vm();
    change(&mut snapshot);
    snapshot
}

/// What is told of snapshots, one after the other.
fn told(snapshots: &[Snapshot]) -> Vec<Vec<Happened>> {
    let (mut events, now) = (HostEvents::default(), Instant::now());
    snapshots.iter().map(|snapshot| events.look(snapshot, now)).collect()
}

/// What is told of a change to a host, and of its end.
fn told_of(change: impl FnOnce(&mut Snapshot)) -> [Vec<Happened>; 2] {
    let [first, second, third] = told(&[vm(), changed(change), vm()]).try_into().unwrap();
    assert!(first.is_empty(), "what is there at first has not just come: {first:?}");
    [second, third]
}

fn interfaces(snapshot: &mut Snapshot) -> &mut BTreeMap<String, InterfaceMetrics> {
    snapshot.network.as_mut().unwrap().interfaces.as_mut().unwrap()
}

fn disk(snapshot: &mut Snapshot) -> &mut DiskMetrics {
    snapshot.disk.as_mut().unwrap()
}

#[test]
fn a_host_that_stays_as_it_is_has_no_events() {
    for host in ["vm", "server128", "oldkernel", "kernel418", "container"] {
        let snapshot = of_recording(host);
        assert!(told(&[snapshot.clone(), snapshot]).iter().all(Vec::is_empty), "{host}");
    }
}

#[test]
fn a_link_goes_down_and_comes_up() {
    let [down, up] = told_of(|vm| interfaces(vm).get_mut("eth0").unwrap().link_up = Some(false));
    assert_eq!(down, [("link", json!({ "interface": "eth0", "up": false }))]);
    assert_eq!(up, [("link", json!({ "interface": "eth0", "up": true }))]);
}

#[test]
fn a_virtual_interface_that_comes_or_goes_is_no_event() {
    let [come, gone] = told_of(|vm| {
        let veth = InterfaceMetrics { hardware: Some(false), ..interfaces(vm)["eth0"].clone() };
        interfaces(vm).insert("veth1".to_owned(), veth);
    });
    assert!(come.is_empty() && gone.is_empty(), "{come:?} {gone:?}");
}

#[test]
fn a_network_card_that_vanishes_is_a_device() {
    let [gone, back] = told_of(|vm| interfaces(vm).retain(|name, _| name != "eth0"));
    assert_eq!(gone, [("device", json!({ "device": "eth0", "present": false }))]);
    assert_eq!(back, [("device", json!({ "device": "eth0", "present": true }))]);
    // Files that are not read for a while say nothing.
    let [silent, again] = told_of(|vm| interfaces(vm).get_mut("eth0").unwrap().hardware = None);
    assert!(silent.is_empty() && again.is_empty());
}

#[test]
fn a_cpu_goes_offline_and_comes_online() {
    for cpu in [0, 1] {
        let [offline, online] = told_of(|vm| vm.cpu.as_mut().unwrap().times[cpu] = None);
        assert_eq!(offline, [("cpu", json!({ "cpu": cpu, "online": false }))]);
        assert_eq!(online, [("cpu", json!({ "cpu": cpu, "online": true }))]);
    }
    // The last one leaves no hole behind.
    let [offline, _] = told_of(|vm| vm.cpu.as_mut().unwrap().times.truncate(1));
    assert_eq!(offline, [("cpu", json!({ "cpu": 1, "online": false }))]);
}

#[test]
fn a_disk_comes_and_goes_with_its_partitions() {
    let [come, gone] = told_of(|vm| {
        let devices = disk(vm).devices.as_mut().unwrap();
        let vda = devices["vda"].clone();
        for name in ["vdb", "vdb1", "nvme0n1", "nvme0n1p1", "md127"] {
            devices.insert(name.to_owned(), vda.clone());
        }
    });
    let of = |present: bool| {
        ["md127", "nvme0n1", "vdb"]
            .map(|device| ("device", json!({ "device": device, "present": present })))
    };
    assert_eq!((come, gone), (of(true).to_vec(), of(false).to_vec()));
}

#[test]
fn file_systems_are_mounted_changed_and_unmounted() {
    let partition = |vm: &mut Snapshot| disk(vm).partitions.as_mut().unwrap()["/"].clone();
    let [come, gone] = told_of(|vm| {
        let data = PartitionMetrics { device: "/dev/vdb".to_owned(), ..partition(vm) };
        disk(vm).partitions.as_mut().unwrap().insert("/data".to_owned(), data);
    });
    let detail = json!({
        "mountpoint": "/data", "device": "/dev/vdb", "fstype": "ext4", "mounted": true, "read_only": false,
    });
    assert_eq!(come, [("mount", detail)]);
    let detail = json!({
        "mountpoint": "/data", "device": "/dev/vdb", "fstype": "ext4", "mounted": false,
    });
    assert_eq!(gone, [("mount", detail)]);
    let root = |vm: &mut Snapshot, change: fn(&mut PartitionMetrics)| {
        change(disk(vm).partitions.as_mut().unwrap().get_mut("/").unwrap());
    };
    let [read_only, _] = told_of(|vm| root(vm, |root| root.read_only = true));
    assert_eq!(read_only.len(), 1);
    assert_eq!(
        (&read_only[0].1["mounted"], &read_only[0].1["read_only"]),
        (&json!(true), &json!(true))
    );
    let [other, _] = told_of(|vm| root(vm, |root| root.device = "/dev/vdz".to_owned()));
    let mounted: Vec<_> = other.iter().map(|(_, detail)| &detail["mounted"]).collect();
    assert_eq!(mounted, [false, true], "one is unmounted, another mounted: {other:?}");
}

#[test]
fn processes_that_are_killed_are_counted() {
    let kills = |count| changed(|vm| vm.memory.as_mut().unwrap().host.oom_kills = Some(count));
    let told = told(&[kills(3), kills(3), kills(5), kills(0), kills(1)]);
    let of = |count: u64| vec![("oom_kill", json!({ "count": count }))];
    assert_eq!(told, [vec![], vec![], of(2), vec![], of(1)]);
}

#[test]
fn a_section_that_is_null_for_a_while_tells_nothing() {
    let nothing = changed(|vm| {
        (vm.cpu, vm.memory, vm.network, vm.disk) = (None, None, None, None);
    });
    let parts = changed(|vm| {
        let network = vm.network.as_mut().unwrap();
        network.interfaces = None;
        disk(vm).devices = None;
        disk(vm).partitions = None;
    });
    let down = changed(|vm| interfaces(vm).get_mut("eth0").unwrap().link_up = Some(false));
    let mut unknown = vm();
    interfaces(&mut unknown).get_mut("eth0").unwrap().link_up = None;
    let told = told(&[nothing.clone(), vm(), nothing, vm(), parts, unknown, down]);
    assert!(told[..6].iter().all(Vec::is_empty), "{told:?}");
    assert_eq!(told[6].len(), 1, "and what changed meanwhile is told when it is seen");
}

#[test]
fn beyond_the_limit_nobody_vanishes() {
    let truncated = changed(|vm| {
        vm.status.network.truncated = true;
        vm.status.disk.truncated = true;
        interfaces(vm).clear();
        disk(vm).devices.as_mut().unwrap().clear();
        disk(vm).partitions.as_mut().unwrap().clear();
    });
    assert!(told(&[vm(), truncated, vm()]).iter().all(Vec::is_empty));
}

#[test]
fn a_flapping_link_falls_silent_and_ends_with_the_truth() {
    let (mut events, start) = (HostEvents::default(), Instant::now());
    let down = changed(|vm| interfaces(vm).get_mut("eth0").unwrap().link_up = Some(false));
    events.look(&vm(), start);
    let mut told = Vec::new();
    for _ in 0..100 {
        told.extend(events.look(&down, start));
        told.extend(events.look(&vm(), start));
    }
    assert_eq!(told.len(), 12);
    assert_eq!(told[10].1.get("last_of_hour"), None);
    assert_eq!(told[11].1, json!({ "interface": "eth0", "up": true, "last_of_hour": true }));
    assert!(events.look(&down, start).is_empty());
    let later = events.look(&down, start + Duration::from_secs(3600));
    assert_eq!(later, [("link", json!({ "interface": "eth0", "up": false }))], "as it still is");
}
