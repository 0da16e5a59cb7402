//! CPU time of sampling, beside the floor: bare reads of the same sources, nothing parsed.
//!
//! Prints one JSON object: microseconds of CPU time (user and system, all threads) for one operation of each
//! name. `bench/run.py` runs it in turn with the peers and compares. `cargo bench … -- growth` measures how cost
//! grows with what there is to measure instead.

#![allow(clippy::disallowed_methods, reason = "the floor goes around Host")]

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use perfwatch_collect::collector::{Collector, Tracker};
use perfwatch_collect::cpu::Cpu;
use perfwatch_collect::disk::Disk;
use perfwatch_collect::host::{Progress, SockDiag};
use perfwatch_collect::kernel::Kernel;
use perfwatch_collect::memory::Memory;
use perfwatch_collect::network::Network;
use perfwatch_collect::pressure::Pressure;
use perfwatch_collect::scheduler::Scheduler;
use perfwatch_collect::{Host, Roots, Tick, sampler};
use perfwatch_metrics::Snapshot;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the collectors read of /proc at every tick. Mount tables are not among them: they are read when they change.
const PROCFS: [(&str, &str); 24] = [
    ("cpu", "stat"),
    ("cpu", "interrupts"),
    ("cpu", "cpuinfo"),
    ("memory", "meminfo"),
    ("memory", "vmstat"),
    ("network", "net/dev"),
    ("network", "net/sockstat"),
    ("network", "net/sockstat6"),
    ("network", "net/snmp"),
    ("network", "net/snmp6"),
    ("network", "net/netstat"),
    ("network", "net/softnet_stat"),
    ("network", "sys/net/netfilter/nf_conntrack_count"),
    ("kernel", "uptime"),
    ("kernel", "loadavg"),
    ("kernel", "sys/fs/file-nr"),
    ("kernel", "sys/kernel/random/entropy_avail"),
    ("disk", "diskstats"),
    ("scheduler", "loadavg"),
    ("scheduler", "softirqs"),
    ("pressure", "pressure/cpu"),
    ("pressure", "pressure/memory"),
    ("pressure", "pressure/io"),
    ("self", "self/stat"),
];

/// Of /sys: the directory, the directories in it that begin so and end in a number, and the files of each.
const SYSFS: [(&str, &str, &str, &[&str]); 2] = [
    ("memory", "devices/system/node", "node", &["meminfo", "numastat"]),
    ("memory", "block", "zram", &["mm_stat"]),
];

/// Sections with a floor.
const COLLECTORS: [&str; 7] =
    ["cpu", "memory", "network", "disk", "scheduler", "pressure", "kernel"];

/// What the scheduler's collector reads when it is alone. Else it shares it with the CPUs'.
const OF_SCHEDULER: [&str; 2] = ["stat", "interrupts"];

/// Between reads that find their caches used by others, as those of a server do.
const TICK: Duration = Duration::from_millis(500);

/// LISTEN, CLOSE_WAIT and FIN_WAIT2, as the network collector asks for.
const STATES: u32 = 1 << 10 | 1 << 8 | 1 << 5;

fn main() -> Result<()> {
    let growth = std::env::args().any(|argument| argument == "growth");
    let figures = if growth { growth_figures()? } else { cost_figures()? };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn cost_figures() -> Result<BTreeMap<String, f64>> {
    let host = || Arc::new(Host::new(Roots::default()));
    let mut figures = BTreeMap::new();
    let mut sources = Floor::open()?;
    figures.insert("floor".to_owned(), cpu_us(300, || sources.read_all()));
    let cold = || {
        std::thread::sleep(TICK);
        sources.read_all();
    };
    figures.insert("floor.paced".to_owned(), cpu_us(20, cold));
    for collector in COLLECTORS {
        let floor = cpu_us(300, || sources.read_for(collector));
        figures.insert(format!("floor.{collector}"), floor);
    }
    figures.insert("collect.cpu".to_owned(), collector_cost::<Cpu>(&host(), 300));
    figures.insert("collect.memory".to_owned(), collector_cost::<Memory>(&host(), 300));
    figures.insert("collect.network".to_owned(), collector_cost::<Network>(&host(), 300));
    figures.insert("collect.kernel".to_owned(), collector_cost::<Kernel>(&host(), 300));
    figures.insert("collect.disk".to_owned(), collector_cost::<Disk>(&host(), 300));
    figures.insert("collect.scheduler".to_owned(), collector_cost::<Scheduler>(&host(), 300));
    figures.insert("collect.pressure".to_owned(), collector_cost::<Pressure>(&host(), 300));
    figures.insert("sample".to_owned(), sample_cost(300, |snapshot| drop(black_box(snapshot)))?);
    let json = |snapshot: Snapshot| drop(black_box(serde_json::to_vec(&snapshot)));
    figures.insert("sample+json".to_owned(), sample_cost(300, json)?);
    Ok(figures)
}

/// Whole samples, threads and all.
fn sample_cost(iterations: u32, publish: impl Fn(Snapshot) + Send + 'static) -> Result<f64> {
    let warm_up = iterations.div_ceil(10);
    let mut numbers = 0..warm_up + iterations;
    let (report, reports) = mpsc::channel();
    let pace = move || {
        let number = numbers.next();
        if number == Some(warm_up) || number.is_none() {
            report.send(cpu_time()).ok()?;
        }
        Some(Tick {
            number: number?.into(),
            interval: Duration::from_secs(5),
            lateness: Duration::ZERO,
            options: Arc::default(),
        })
    };
    let publish = move |snapshot| {
        publish(snapshot);
        ControlFlow::Continue(())
    };
    sampler::start(&Arc::new(Host::new(Roots::default())), pace, publish)?;
    let (start, end) = (reports.recv()?, reports.recv()?);
    Ok((end - start).as_secs_f64() * 1e6 / f64::from(iterations))
}

fn collector_cost<C: Collector>(host: &Arc<Host>, iterations: u32) -> f64 {
    let mut tracker = Tracker::<C>::new(host);
    let errands = host.errands().wanted();
    cpu_us(iterations, || {
        errands.iter().for_each(|errand| errand.run());
        tracker.collect().is_ok()
    })
}

/// CPU time of this process per call, after a warm-up.
fn cpu_us<T>(iterations: u32, mut operation: impl FnMut() -> T) -> f64 {
    for _ in 0..iterations.div_ceil(10) {
        black_box(operation());
    }
    let start = cpu_time();
    for _ in 0..iterations {
        black_box(operation());
    }
    (cpu_time() - start).as_secs_f64() * 1e6 / f64::from(iterations)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The sources, read and thrown away.
struct Floor {
    /// The collector, where it is, and the file.
    files: Vec<(&'static str, PathBuf, File)>,
    sock_diag: SockDiag,
    buffer: Vec<u8>,
}

impl Floor {
    fn open() -> Result<Self> {
        let procfs = |(of, file): &(&'static str, &str)| (*of, Path::new("/proc").join(file));
        let is_there = |(_, path): &(&'static str, PathBuf)| path.exists();
        let mut sources: Vec<_> = PROCFS.iter().map(procfs).filter(is_there).collect();
        for (collector, directory, name, files) in SYSFS {
            for entry in fs::read_dir(Path::new("/sys").join(directory)).into_iter().flatten() {
                let place = entry?.path();
                let found = place.file_name().and_then(OsStr::to_str).unwrap_or_default();
                let number = found.strip_prefix(name).unwrap_or_default();
                if number.parse::<u32>().is_ok() {
                    sources.extend(files.iter().map(|file| (collector, place.join(file))));
                }
            }
        }
        // A host may have no connection tracker, and no IPv6.
        let open = |(of, path): (&'static str, PathBuf)| {
            let file = File::open(&path).ok()?;
            Some((of, path, file))
        };
        let files = sources.into_iter().filter_map(open).collect();
        Ok(Self { files, sock_diag: SockDiag::default(), buffer: vec![0; 1 << 20] })
    }

    fn read_all(&mut self) {
        self.read(|_, _| true);
    }

    fn read_for(&mut self, collector: &str) {
        let shared = |path: &Path| OF_SCHEDULER.iter().any(|file| path.ends_with(file));
        self.read(|of, path| of == collector || collector == "scheduler" && shared(path));
    }

    fn read(&mut self, is_wanted: impl Fn(&str, &Path) -> bool) {
        for (_, path, file) in self.files.iter().filter(|(of, path, _)| is_wanted(of, path)) {
            let mut offset = 0;
            // Of a sysctl the kernel clears as much memory as is asked for.
            let most = if path.starts_with("/proc/sys") { 4096 } else { self.buffer.len() };
            let buffer = &mut self.buffer[..most];
            while let Ok(read @ 1..) = file.read_at(buffer, offset) {
                offset += read as u64;
            }
            if path.ends_with("diskstats") {
                black_box(rustix::fs::statvfs("/").is_ok());
            }
            if path.ends_with("net/snmp") {
                // NLMSG_DONE, type 3, ends a dump.
                let ended = |answer: &[u8]| match last_message_type(answer) {
                    3 => Progress::Ended,
                    _ => Progress::More,
                };
                black_box(self.sock_diag.dump(STATES, |answer| Ok(ended(answer))).is_ok());
            }
        }
    }
}

fn last_message_type(answer: &[u8]) -> u16 {
    let (mut rest, mut kind) = (answer, 0);
    while rest.len() >= 16 {
        let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        kind = u16::from_ne_bytes([rest[4], rest[5]]);
        rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
    }
    kind
}

fn growth_figures() -> Result<BTreeMap<String, f64>> {
    let mut figures = BTreeMap::new();
    for cpus in [1, 64, 512] {
        let tree = tempfile::tempdir()?;
        write_cpus(tree.path(), cpus)?;
        figures.insert(format!("cpus {cpus:>5}"), tree_cost::<Cpu>(tree.path()));
        figures.insert(format!("cpus {cpus:>5}: scheduler"), tree_cost::<Scheduler>(tree.path()));
    }
    for interfaces in [10, 1_000, 10_000] {
        let tree = tempfile::tempdir()?;
        write_interfaces(tree.path(), interfaces)?;
        figures.insert(format!("interfaces {interfaces:>5}"), tree_cost::<Network>(tree.path()));
    }
    for disks in [10, 1_000] {
        let tree = tempfile::tempdir()?;
        write_disks(tree.path(), disks)?;
        figures.insert(format!("disks {disks:>5}"), tree_cost::<Disk>(tree.path()));
    }
    let live = Arc::new(Host::new(Roots::default()));
    figures.insert("sockets few".to_owned(), collector_cost::<Network>(&live, 100));
    figures.insert("sockets few: /proc/net/tcp, tcp6".to_owned(), cpu_us(20, read_socket_tables));
    let connections = connect(5_000)?;
    figures.insert("sockets 10000".to_owned(), collector_cost::<Network>(&live, 100));
    figures.insert("sockets 10000: /proc/net/tcp, tcp6".to_owned(), cpu_us(20, read_socket_tables));
    drop(connections);
    Ok(figures)
}

fn tree_cost<C: Collector>(tree: &Path) -> f64 {
    collector_cost::<C>(&Arc::new(Host::recorded(tree)), 50)
}

fn read_socket_tables() -> usize {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| Some(fs::read(path).ok()?.len()))
        .sum()
}

/// Both ends of so many connections over loopback.
fn connect(count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    (0..count).map(|_| Ok((TcpStream::connect(address)?, listener.accept()?.0))).collect()
}

fn write(tree: &Path, path: &str, text: &str) -> Result<()> {
    let path = tree.join("proc").join(path);
    fs::create_dir_all(path.parent().unwrap_or(tree))?;
    Ok(fs::write(path, text)?)
}

fn write_cpus(tree: &Path, cpus: usize) -> Result<()> {
    let mut stat = "cpu 1670 0 1440 181480 243 0 19 23 0 0\n".to_owned();
    let mut interrupts = String::new();
    let mut cpuinfo = String::new();
    for cpu in 0..cpus {
        writeln!(stat, "cpu{cpu} 1670123 12 144043 18148012 24301 0 1932 23 0 0")?;
        write!(interrupts, "        CPU{cpu}")?;
        writeln!(cpuinfo, "processor\t: {cpu}\nmodel name\t: Some CPU\ncpu MHz\t\t: 2596.098\n")?;
    }
    interrupts.push('\n');
    for interrupt in 0..60 {
        write!(interrupts, "{interrupt:>4}:")?;
        for cpu in 0..cpus {
            write!(interrupts, " {:>10}", cpu * 7919 % 1_000_003)?;
        }
        writeln!(interrupts, "  PCI-MSIX-0000:00:02.0  {interrupt}-edge  nvme0q{interrupt}")?;
    }
    write(tree, "stat", &stat)?;
    write(tree, "interrupts", &interrupts)?;
    write(tree, "cpuinfo", &cpuinfo)
}

fn write_interfaces(tree: &Path, interfaces: usize) -> Result<()> {
    let mut dev = "Inter-|   Receive |  Transmit\n face |bytes |bytes\n".to_owned();
    for interface in 0..interfaces {
        writeln!(dev, "veth{interface}: 9013369 229 0 0 0 0 0 0 11811 127 0 0 0 0 0 0")?;
    }
    write(tree, "net/dev", &dev)?;
    write(
        tree,
        "net/sockstat",
        "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 153\nUDP: inuse 0 mem 0\n",
    )?;
    write(tree, "net/tcp", "  sl  local_address rem_address   st\n")
}

fn write_disks(tree: &Path, disks: usize) -> Result<()> {
    let mut diskstats = String::new();
    for disk in 0..disks {
        writeln!(
            diskstats,
            " 259 {disk} nvme{disk}n1 4475 2398 759498 2273 368 3264 71912 433 0 1188 2892 3014 28 39776 185 6 0"
        )?;
    }
    write(tree, "diskstats", &diskstats)?;
    write(tree, "filesystems", "\text4\n")?;
    write(tree, "1/mounts", "proc /proc proc rw 0 0\n")
}
