//! Faults that come together, on the real binary.

use crate::answers::{COMMIT_EVERY_SECOND, Recording, assert_on_disk, config, within};
use crate::faults::DeadDisks;
use crate::live::open_slow;
use crate::process::{Server, skipped, twice_as_busy};
use crate::storage_faults::{RESUMES_WITHIN, SmallDisk, newest_on_disk};

/// Clients at a time that never read. They are let go after a while, and others come.
const STALLED: usize = 100;

/// How often others come, and seconds until then.
const ROUNDS: usize = 5;
const SECONDS_A_ROUND: usize = 12;

#[test]
fn a_full_disk_a_hung_mount_stalled_clients_and_a_busy_host_cost_no_tick_for_a_minute() {
    let (disk, dead) = match (SmallDisk::new("2m"), DeadDisks::new(1)) {
        (Ok(disk), Ok(dead)) => (disk, dead),
        (Err(error), _) | (_, Err(error)) => {
            return skipped("faults together", format!("no tmpfs or FUSE mount: {error}"));
        }
    };
    let config = config(COMMIT_EVERY_SECOND);
    let [procfs, sysfs, rootfs] = dead.arguments();
    let config = config.path().to_str().unwrap();
    let arguments = ["--no-auth", "--interval", "1s", "--config", config, procfs, sysfs, rootfs];
    let server = Server::alone(disk.data(), &arguments);
    let recording = Recording::start(&server);
    recording.wait_for(4);

    let busy = twice_as_busy();
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let stalled: Vec<_> = (0..STALLED).map(|_| open_slow(&server)).collect();
        disk.fill();
        recording.wait_for(SECONDS_A_ROUND);
        taken.push((server.process.count("task"), server.process.memory_kib("RssAnon")));
        drop(stalled);
    }
    let newest = recording.snapshots().pop().unwrap();
    let stuck = &newest["status"]["disk"]["parts"]["partitions./hung0"]["state"];
    assert_eq!(stuck, "late", "{newest}");
    for section in ["cpu", "memory", "network", "disk"] {
        assert_eq!(newest["status"][section]["state"], "ok", "{newest}");
    }
    let ((threads, memory), (last_threads, last_memory)) = (taken[0], taken[ROUNDS - 1]);
    assert!(last_threads <= threads, "threads grow: {taken:?}");
    assert!(last_memory <= memory + 1024, "memory grows: {taken:?}");

    drop(busy);
    disk.empty();
    let before = recording.newest_ms();
    within(RESUMES_WITHIN, "history being written again", || {
        newest_on_disk(server.data.path()) >= before / 1000 * 1000
    });
    recording.assert_without_holes();
    let data = server.stopped();
    assert_on_disk(data.path(), &recording.end());
}
