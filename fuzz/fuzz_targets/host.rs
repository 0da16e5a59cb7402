//! Recorded hosts, one file of which says something else: what sysfs says of meters, sensors, PMUs, resctrl, links and
//! control groups, what sysctls say, and what only recordings have.
//!
//! The first line of the input names the file, `laptop/sys/class/powercap/intel-rapl:0/name`; what follows stands in it.
//! The collectors that read it look at the host with the file as it is then, and with the file as it was recorded.

#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use std::{env, fs, process};

use libfuzzer_sys::{Corpus, fuzz_target};
use perfwatch_collect::Host;
use perfwatch_collect::cgroups::Cgroups;
use perfwatch_collect::collector::Collector;
use perfwatch_collect::cpu::Cpu;
use perfwatch_collect::disk::Disk;
use perfwatch_collect::kernel::Kernel;
use perfwatch_collect::memory::Memory;
use perfwatch_collect::memory_bandwidth::MemoryBandwidth;
use perfwatch_collect::network::Network;
use perfwatch_collect::power::Power;
use perfwatch_collect::resctrl::Resctrl;

/// How a collector looks at a host twice: before something is done to it, and after that.
type Look = fn(&Arc<Host>, &dyn Fn());

/// Who reads what stands where in a recording.
const READERS: &[(&str, Look)] = &[
    ("clock", look::<Kernel>),
    ("page_size", look::<Memory>),
    ("perf_counters", look::<MemoryBandwidth>),
    ("perf_counters", look::<Power>),
    ("proc/cpuinfo", look::<MemoryBandwidth>),
    ("proc/cpuinfo", look::<Power>),
    ("proc/filesystems", look::<Disk>),
    ("proc/sys/kernel/", look::<Kernel>),
    ("proc/sys/net/", look::<Network>),
    ("statvfs", look::<Disk>),
    ("sys/block/", look::<Memory>),
    ("sys/bus/event_source/", look::<MemoryBandwidth>),
    ("sys/bus/event_source/", look::<Power>),
    ("sys/class/hwmon/", look::<Cpu>),
    ("sys/class/net/", look::<Network>),
    ("sys/class/powercap/", look::<Power>),
    ("sys/class/thermal/", look::<Cpu>),
    ("sys/devices/system/cpu/", look::<Cpu>),
    ("sys/devices/system/cpu/", look::<Power>),
    ("sys/devices/system/edac/", look::<Memory>),
    ("sys/devices/system/node/", look::<Memory>),
    ("sys/fs/cgroup/", look::<Cgroups>),
    ("sys/fs/resctrl/", look::<Resctrl>),
];

/// A copy of the recordings, and what their files say.
struct Recordings {
    dir: PathBuf,
    files: BTreeMap<Vec<u8>, Vec<u8>>,
}

static RECORDINGS: LazyLock<Recordings> = LazyLock::new(|| {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/perfwatch-collect/fixtures");
    let dir = env::temp_dir().join(format!("perfwatch-fuzz-host-{}", process::id()));
    let mut files = BTreeMap::new();
    for host in fs::read_dir(fixtures).unwrap() {
        let host = host.unwrap();
        let recording = host.path().join("t0");
        if recording.is_dir() {
            copy(&recording, &dir.join(host.file_name()), &dir, &mut files);
        }
    }
    Recordings { dir, files }
});

fn copy(from: &Path, to: &Path, top: &Path, files: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to, top, files);
        } else {
            let content = fs::read(from).unwrap();
            fs::write(&to, &content).unwrap();
            let name = to.strip_prefix(top).unwrap().to_str().unwrap();
            files.insert(name.into(), content);
        }
    }
}

fn look<C: Collector>(host: &Arc<Host>, between: &dyn Fn()) {
    let mut collector = C::new(host);
    let mut read = || {
        host.errands().wanted().iter().for_each(|errand| errand.run());
        let mut reading = C::Reading::default();
        collector.read(&mut reading).ok().map(|()| reading)
    };
    let before = read();
    between();
    if let Some(now) = read() {
        C::derive(before.as_ref().map(|before| (before, Duration::from_secs(5))), &now);
    }
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let (name, content) = (&input[..end], &input[end + 1..]);
    let Some((name, recorded)) = RECORDINGS.files.get_key_value(name) else {
        return Corpus::Reject;
    };
    let name = str::from_utf8(name).unwrap();
    let Some((host, file)) = name.split_once('/') else { return Corpus::Reject };
    let path = RECORDINGS.dir.join(name);
    let mut is_read = false;
    for (_, look) in READERS.iter().filter(|(start, _)| file.starts_with(start)) {
        is_read = true;
        fs::write(&path, content).unwrap();
        let host = Arc::new(Host::recorded(&RECORDINGS.dir.join(host)));
        host.info();
        look(&host, &|| fs::write(&path, recorded).unwrap());
    }
    if is_read { Corpus::Keep } else { Corpus::Reject }
});
