//! The one door to the kernel: files below the injected roots, `statvfs`, and the socket tables.
//!
//! The roots carry node_exporter's words: procfs, sysfs, rootfs. A host can also be a recording: a directory
//! that `perfwatch capture` made, or a fixture in the same layout:
//!
//! ```text
//! DIR/proc/…   DIR/sys/…   the files that were read, at their places
//! DIR/statvfs              a line for each file system: mount point (octal escapes), f_frsize, f_blocks,
//!                          f_bfree, f_bavail, f_files, f_ffree
//! DIR/page_size            bytes
//! DIR/clock                the state of the clock: 1 or 0 for synchronised or not, offset in ns, largest error in µs
//! DIR/perf_counters        what counters of PMUs said: see `host/counters.rs`
//! ```

mod counters;
mod directory;
mod file;
mod netlink;
mod recording;
mod shared;

use std::ffi::CStr;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use perfwatch_metrics::snapshot::{HostInfo, Uname};

use crate::errand::Errands;
use crate::error::Error;
use crate::perf::sys::{ClockState, clock_state};

pub use counters::{Count, Counter, Counters, EventCode, Wanted};
use counters::{Kept, Recorded, Running, Written};
pub use directory::Directory;
pub use file::KernelFile;
pub use netlink::{LinkTable, Progress, SockDiag};
pub(crate) use netlink::{broken, messages};
pub use recording::FileSystemBlocks;
pub use shared::SharedFile;
use shared::SharedFiles;

/// Largest file of the kernel's that is read. /proc/interrupts of 4,096 CPUs and 500 interrupts is 22 MB.
/// Beyond it, reading fails with [`Error::TooLarge`] and the section is null.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// `f_type` of procfs, from linux/magic.h. What is mounted at the procfs root tells a live kernel from a
/// recording.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Most entries read of one directory of sysfs.
const MAX_DIRECTORY_ENTRIES: usize = 16_384;

/// Where the kernel's file systems are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/`: mount points are asked for below it.
    pub rootfs: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into(), rootfs: "/".into() }
    }
}

/// A host that can be asked.
#[derive(Debug)]
pub struct Host {
    roots: Roots,
    live: bool,
    page_bytes: u64,
    recording: Option<PathBuf>,
    capture: Option<Capture>,
    errands: Errands,
    counters: Arc<dyn Counters>,
    shared: SharedFiles,
}

/// Where the answers of the host are written down.
#[derive(Debug)]
struct Capture {
    dir: PathBuf,
    statvfs: Mutex<fs::File>,
}

impl Host {
    /// A host whose file systems are mounted at `roots`.
    pub fn new(roots: Roots) -> Self {
        let live = rustix::fs::statfs(&roots.procfs)
            .is_ok_and(|answer| u64::try_from(answer.f_type) == Ok(PROC_SUPER_MAGIC));
        let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let counters: Arc<dyn Counters> =
            if live { Arc::new(Running) } else { Arc::new(Recorded::new(&roots.rootfs)) };
        Self {
            roots,
            live,
            page_bytes,
            recording: None,
            capture: None,
            errands: Errands::default(),
            counters,
            shared: SharedFiles::default(),
        }
    }

    /// A host that was recorded in `dir`, by `perfwatch capture` or as a fixture.
    pub fn recorded(dir: &Path) -> Self {
        let roots =
            Roots { procfs: dir.join("proc"), sysfs: dir.join("sys"), rootfs: dir.to_owned() };
        let host = Self {
            recording: Some(dir.to_owned()),
            live: false,
            counters: Arc::new(Recorded::new(dir)),
            ..Self::new(roots)
        };
        let page_bytes = host.text_at(&dir.join("page_size")).and_then(|text| text.parse().ok());
        Self { page_bytes: page_bytes.unwrap_or(4096), ..host }
    }

    /// This host, writing every answer it gives into `dir`, which must not exist yet. Sockets are read from
    /// /proc/net/tcp rather than asked of netlink, so that the recording holds them.
    pub fn capturing(self, dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("page_size"), self.page_bytes.to_string())?;
        let statvfs = Mutex::new(fs::File::create_new(dir.join("statvfs"))?);
        let capture = Some(Capture { dir: dir.to_owned(), statvfs });
        let counters = Arc::new(Written::new(self.counters, dir));
        Ok(Self { capture, live: false, counters, ..self })
    }

    /// This host, whose counters stay open until it is dropped.
    pub fn keeping_counters(self) -> Self {
        Self { counters: Arc::new(Kept::new(self.counters)), ..self }
    }

    /// The same host for other collectors, with the same counters.
    pub fn beside(&self) -> Self {
        Self { counters: Arc::clone(&self.counters), ..Self::new(self.roots.clone()) }
    }

    /// Counters of its PMUs.
    pub fn counters(&self) -> &dyn Counters {
        self.counters.as_ref()
    }

    /// Whether it is the kernel this runs on, and no recording is made of it.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// What its collectors want done before they read.
    pub fn errands(&self) -> &Errands {
        &self.errands
    }

    /// Size of the kernel's pages.
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// A file below the procfs root, not opened yet.
    pub fn procfs(&self, path: &str) -> KernelFile {
        self.file(&self.roots.procfs, "proc", path.as_ref())
    }

    /// The same, of a file that other collectors need too.
    pub fn shared_procfs(&self, path: &str) -> SharedFile {
        SharedFile::new(&self.shared, Path::new(path), || self.procfs(path))
    }

    /// A file below the sysfs root, not opened yet.
    pub fn sysfs(&self, path: &str) -> KernelFile {
        self.sysfs_at(Path::new(path))
    }

    /// The same, of a path that need not be text.
    pub fn sysfs_at(&self, path: &Path) -> KernelFile {
        self.file(&self.roots.sysfs, "sys", path)
    }

    fn file(&self, root: &Path, captured_as: &str, path: &Path) -> KernelFile {
        let copy_to = self.capture.as_ref().map(|capture| capture.dir.join(captured_as).join(path));
        KernelFile::new(root.join(path), copy_to, self.live)
    }

    /// Names in a directory below the sysfs root, sorted as numbers sort: `hwmon2` before `hwmon10`. Empty
    /// when there is no such directory.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn sysfs_names(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = self.roots.sysfs.join(path);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.take(MAX_DIRECTORY_ENTRIES).collect();
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Ok(names)
    }

    /// A directory below the sysfs root.
    pub fn sysfs_directory(&self, path: &str) -> Directory {
        Directory { path: self.roots.sysfs.join(path) }
    }

    /// The whole of a small sysfs file without its line feed, read once.
    pub fn sysfs_text(&self, path: &str) -> Option<String> {
        let mut file = self.sysfs(path);
        Some(String::from_utf8_lossy(file.read().ok()?.trim_ascii()).into_owned())
    }

    /// The device that `/` is on, for a mount table that calls it `/dev/root`.
    pub fn root_device(&self) -> Option<String> {
        let device = rustix::fs::stat(&self.roots.rootfs).ok()?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let uevent = self.sysfs_text(&format!("dev/block/{major}:{minor}/uevent"))?;
        let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some(format!("/dev/{name}"))
    }

    /// Whose numbers these are.
    pub fn info(&self) -> HostInfo {
        let text = |path: &str| {
            let mut file = self.procfs(path);
            let text = String::from_utf8_lossy(file.read().ok()?.trim_ascii()).into_owned();
            (!text.is_empty()).then_some(text)
        };
        HostInfo {
            hostname: text("sys/kernel/hostname"),
            kernel: text("sys/kernel/osrelease"),
            uname: self.live.then(uname),
        }
    }

    /// Whether PID 1 has the same network as this process, whose interfaces and sockets are the ones seen. None
    /// when the kernel does not tell this user.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn has_network_of_init(&self) -> Option<bool> {
        let namespace =
            |process: &str| fs::read_link(self.roots.procfs.join(process).join("ns/net")).ok();
        Some(namespace("1")? == namespace("self")?)
    }

    /// File descriptors that this process has open. Linux before 6.2 does not say it in the directory's size: they are counted.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn descriptors(&self) -> Option<u64> {
        let dir = self.roots.procfs.join("self/fd");
        match fs::metadata(&dir).ok()?.len() {
            // The one that reads the directory is not counted.
            0 => Some((fs::read_dir(dir).ok()?.count() as u64).saturating_sub(1)),
            open => Some(open),
        }
    }

    /// A socket that lists sockets. None where there is no kernel to ask, only its files.
    pub fn sock_diag(&self) -> Option<SockDiag> {
        self.live.then(SockDiag::default)
    }

    /// A list of links. None where there is no kernel to ask, only its files.
    pub fn link_table(&self) -> Option<LinkTable> {
        self.live.then(LinkTable::default)
    }

    /// What the kernel says of its clock.
    pub fn clock(&self) -> Result<ClockState, Error> {
        if let Some(dir) = &self.recording {
            let file = dir.join("clock");
            let text = self.text_at(&file);
            return text.as_deref().and_then(recording::read_clock).ok_or_else(|| {
                Error::Unavailable(format!("the recording has no {}", file.display()))
            });
        }
        let state = clock_state().map_err(Error::Clock)?;
        if let Some(capture) = &self.capture {
            let path = capture.dir.join("clock");
            fs::write(&path, recording::clock_line(&state))
                .map_err(|source| Error::Read { path, source })?;
        }
        Ok(state)
    }

    /// How full the file system at `mountpoint` is. **May never return**: a mount whose server or device is
    /// gone hangs its caller.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn statvfs(&self, mountpoint: &[u8]) -> io::Result<FileSystemBlocks> {
        use std::os::unix::ffi::OsStrExt;
        if let Some(dir) = &self.recording {
            let table = self.text_at(&dir.join("statvfs")).unwrap_or_default();
            let found = recording::read_statvfs(&table, mountpoint);
            return found.ok_or_else(|| io::Error::from(ErrorKind::NotFound));
        }
        let relative = mountpoint.strip_prefix(b"/").unwrap_or(mountpoint);
        let path = self.roots.rootfs.join(std::ffi::OsStr::from_bytes(relative));
        let answer = rustix::fs::statvfs(&path)?;
        let blocks = FileSystemBlocks {
            fragment_bytes: answer.f_frsize,
            blocks: answer.f_blocks,
            free: answer.f_bfree,
            available: answer.f_bavail,
            inodes: Some([answer.f_files, answer.f_ffree]),
        };
        if let Some(capture) = &self.capture {
            let mut file =
                capture.statvfs.lock().map_err(|_| io::Error::other("the capture broke off"))?;
            file.write_all(&recording::statvfs_line(mountpoint, &blocks)?)?;
        }
        Ok(blocks)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn text_at(&self, path: &Path) -> Option<String> {
        Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
    }
}

fn uname() -> Uname {
    let answer = rustix::system::uname();
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    Uname {
        sysname: text(answer.sysname()),
        nodename: text(answer.nodename()),
        release: text(answer.release()),
        version: text(answer.version()),
        machine: text(answer.machine()),
        domainname: text(answer.domainname()),
    }
}

/// Turns "this file does not make sense" into an error that names the file.
pub(crate) fn in_file<T>(
    path: &Path,
    parsed: Result<T, crate::error::Malformed>,
) -> Result<T, Error> {
    parsed.map_err(|malformed| Error::Parse { path: path.to_owned(), malformed })
}
