//! Which file systems are mounted on devices, and how full each is.
//!
//! As psutil.disk_partitions: the types of /proc/filesystems that are not marked `nodev`, and zfs. Mounts of
//! `none` and of loop devices are left out. The table is that of PID 1, whose mount namespace is the host's
//! even when PerfWatch runs in one of its own; it is read again when the kernel says that it changed, and now and then.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;

use crate::errand::{Answer, FRESH, Slow};
use crate::error::{Error, Malformed, Problem};
use crate::host::{FileSystemBlocks, Host, KernelFile};
use crate::parse::{lines, number, set_text, shown, unescape_octal, words};

/// Most mounts that are asked for, in the order of the table. The rest is left out, and `truncated` says so.
pub const MAX_PARTITIONS: usize = 512;

/// A file system that takes longer to fail is paused.
const SLOW: Duration = Duration::from_millis(100);

/// How often the table is read though the kernel says nothing of a change: a file system that makes itself read-only after
/// an error, as ext4 does, changes no mount.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// First pause, and longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One mount of a file system on a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Where, as the kernel's bytes.
    pub mountpoint: Arc<[u8]>,
    /// Where, as text.
    pub name: String,
    /// What is mounted.
    pub device: String,
    /// The file system's type.
    pub fstype: String,
    /// Whether it is mounted so.
    pub read_only: bool,
}

/// A mount and what its file system said.
#[derive(Debug)]
pub(super) struct PartitionReading {
    pub(super) name: String,
    pub(super) device: String,
    pub(super) fstype: String,
    pub(super) read_only: bool,
    outcome: Outcome,
}

/// What is known of a file system at this tick.
#[derive(Debug)]
enum Outcome {
    /// The figures, and how old they may be.
    Known(FileSystemBlocks, Duration),
    /// Asked so long ago and not answered; None when it was not asked yet.
    Waiting(Option<Duration>),
    Failed(String),
}

impl PartitionReading {
    pub(super) fn blocks(&self) -> Option<&FileSystemBlocks> {
        match &self.outcome {
            Outcome::Known(blocks, _) => Some(blocks),
            _ => None,
        }
    }

    /// Why its figures are missing or old.
    pub(super) fn problem(&self) -> Option<Problem> {
        let (state, reason, fix) = match &self.outcome {
            Outcome::Known(_, age) if *age <= FRESH => return None,
            Outcome::Known(_, age) => (
                State::Late,
                format!("slow to answer: the figures are {:.1} s old", age.as_secs_f64()),
                None,
            ),
            Outcome::Waiting(Some(time)) => (
                State::Late,
                format!("statvfs has not answered for {:.1} s", time.as_secs_f64()),
                Some(format!("check what is behind {}; `umount -l` it if it is gone", self.device)),
            ),
            Outcome::Waiting(None) => (
                State::Late,
                "not asked yet: newly mounted, or too many others hang".to_owned(),
                None,
            ),
            Outcome::Failed(error) => (State::Failed, format!("statvfs: {error}"), None),
        };
        Some(Problem { part: format!("partitions.{}", self.name), state, reason, fix })
    }
}

/// The mount table, and an errand to each of its file systems.
#[derive(Debug)]
pub(super) struct MountTable {
    host: Arc<Host>,
    /// Of PID 1, or of PerfWatch itself where that cannot be read.
    table: KernelFile,
    filesystems: KernelFile,
    /// Tells mounts apart that look alike: one that was mounted again at the same place. Absent from old recordings.
    mount_ids: KernelFile,
    /// None until it could be read.
    mounts: Option<Vec<Asked>>,
    /// The table changed and could not be read since.
    unread: bool,
    read_at: Instant,
    truncated: bool,
}

/// A mount that is asked how full it is.
#[derive(Debug)]
struct Asked {
    /// With `read_only` false: mounted otherwise, it is the same mount.
    mount: Mount,
    read_only: bool,
    /// The kernel's number of the mount.
    id: Option<u64>,
    errand: Arc<Slow<Result<FileSystemBlocks, String>>>,
    /// The last answer, and when it was sent for.
    last: Option<(Instant, Result<FileSystemBlocks, String>)>,
}

impl Asked {
    fn outcome(&mut self) -> Outcome {
        let under_way = self.errand.under_way_since().map(|since| since.elapsed());
        if let Some(Answer { asked, outcome, .. }) = self.errand.take() {
            self.last = Some((asked, outcome.unwrap_or_else(Err)));
        }
        match &self.last {
            Some((asked, answer)) if under_way.is_none_or(|time| time <= FRESH) => match answer {
                Ok(blocks) => Outcome::Known(*blocks, asked.elapsed()),
                Err(error) => Outcome::Failed(error.clone()),
            },
            _ => Outcome::Waiting(under_way),
        }
    }
}

impl MountTable {
    /// Reads the table at once, so that the first tick can ask already.
    pub(super) fn new(host: &Arc<Host>) -> Self {
        let mut table = Self {
            host: Arc::clone(host),
            table: host.procfs("1/mounts"),
            filesystems: host.procfs("filesystems"),
            mount_ids: host.procfs("1/mountinfo"),
            mounts: None,
            unread: false,
            read_at: Instant::now(),
            truncated: false,
        };
        // A failure shows itself again, and is reported, at the first tick.
        let _ = table.refresh();
        table
    }

    /// What every file system on a device answered since the last tick. Says whether [`MAX_PARTITIONS`] cut some
    /// off.
    pub(super) fn read(&mut self, into: &mut Vec<PartitionReading>) -> Result<bool, Error> {
        into.clear();
        self.refresh()?;
        into.extend(self.mounts.iter_mut().flatten().map(|asked| PartitionReading {
            outcome: asked.outcome(),
            name: asked.mount.name.clone(),
            device: asked.mount.device.clone(),
            fstype: asked.mount.fstype.clone(),
            read_only: asked.read_only,
        }));
        Ok(self.truncated)
    }

    /// Reads the table if it changed. Mounts that stay keep their errands.
    fn refresh(&mut self) -> Result<(), Error> {
        let changed = self.table.changed() || std::mem::take(&mut self.unread);
        if self.mounts.is_some() && !changed && self.read_at.elapsed() < READ_AGAIN {
            return Ok(());
        }
        self.unread = true;
        let mut mounts = self.read_table()?;
        self.unread = false;
        self.read_at = Instant::now();
        let root = |mount: &&mut Mount| matches!(mount.device.as_str(), "/dev/root" | "rootfs");
        for mount in mounts.iter_mut().filter(root) {
            mount.device = self.host.root_device().unwrap_or_else(|| mount.device.clone());
        }
        self.truncated = mounts.len() > MAX_PARTITIONS;
        let ids = self.mount_ids.parse(|text| Ok(parse_mount_ids(text))).unwrap_or_default();
        // What was mounted anew at the same place is another file system, with questions of its own.
        let earlier = self.mounts.take().into_iter().flatten();
        let mut earlier: HashMap<_, _> =
            earlier.map(|asked| ((asked.mount.clone(), asked.id), asked)).collect();
        let ask = |mut mount: Mount| {
            let read_only = std::mem::take(&mut mount.read_only);
            let id = ids.get(&*mount.mountpoint).copied();
            let key = (mount, id);
            let asked = earlier.remove(&key).unwrap_or_else(|| {
                let errand = errand(&self.host, &key.0);
                Asked { mount: key.0, read_only, id, errand, last: None }
            });
            Asked { read_only, ..asked }
        };
        self.mounts = Some(mounts.into_iter().take(MAX_PARTITIONS).map(ask).collect());
        Ok(())
    }

    fn read_table(&mut self) -> Result<Vec<Mount>, Error> {
        let device_types = self
            .filesystems
            .parse(|text| Ok(lines(text).filter_map(|(_, line)| device_fstype(line)).collect()))?;
        let parse = |text: &[u8]| parse_mounts(text, &device_types);
        match self.table.parse(parse) {
            // hidepid, or no PID 1 in sight.
            Err(Error::Read { source, .. })
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) =>
            {
                self.mount_ids = self.host.procfs("self/mountinfo");
                self.table = self.host.procfs("self/mounts");
                self.table.parse(parse)
            }
            other => other,
        }
    }
}

/// Asks a file system. One that took long to fail is left alone for a while, twice as long each time.
fn errand(host: &Arc<Host>, mount: &Mount) -> Arc<Slow<Result<FileSystemBlocks, String>>> {
    let (asked, mountpoint) = (Arc::clone(host), Arc::clone(&mount.mountpoint));
    let mut pause = Duration::ZERO;
    let mut paused: Option<(Instant, String)> = None;
    let errand = Slow::new(move || {
        let start = Instant::now();
        if let Some((until, error)) = &paused
            && start < *until
        {
            return Err(format!("{error}; asked again in {:.0} s", (*until - start).as_secs_f64()));
        }
        let answer = asked.statvfs(&mountpoint).map_err(|error| error.to_string());
        match &answer {
            Err(error) if start.elapsed() > SLOW => {
                pause = pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                paused = Some((Instant::now() + pause, error.clone()));
            }
            _ => pause = Duration::ZERO,
        }
        answer
    });
    host.errands().add(&errand);
    errand
}

/// The type named by a line of /proc/filesystems, if it needs a device: `\text4`, but not `nodev\ttmpfs`. ZFS
/// says nodev and has devices of its own.
fn device_fstype(line: &[u8]) -> Option<Vec<u8>> {
    let mut words = words(line);
    let name = match (words.next()?, words.next()) {
        (b"nodev", Some(b"zfs")) => &b"zfs"[..],
        (b"nodev", _) => return None,
        (name, _) => name,
    };
    Some(name.to_vec())
}

/// The file systems of a mount table that are on devices of `device_types`, in its order:
/// `/dev/vda / ext4 rw,relatime 0 0`. A mount that is covered by a later one at the same place cannot be
/// asked for and is left out. ext4 that no longer writes after an error stays `rw` and says `emergency_ro` since kernel 6.15.
pub fn parse_mounts(
    text: &[u8],
    device_types: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Mount>, Malformed> {
    // None: covered by a later line.
    let mut mounts: Vec<Option<Mount>> = Vec::new();
    let mut at: HashMap<Arc<[u8]>, usize> = HashMap::new();
    let mut mountpoint = Vec::new();
    let mut device = Vec::new();
    for (index, line) in lines(text) {
        let mut columns = words(line);
        let (Some(source), Some(target), Some(fstype)) =
            (columns.next(), columns.next(), columns.next())
        else {
            return Err(Malformed::at(index, format!("no mount: {}", shown(line))));
        };
        unescape_octal(target, &mut mountpoint);
        unescape_octal(source, &mut device);
        if let Some(covered) =
            at.remove(mountpoint.as_slice()).and_then(|index| mounts.get_mut(index))
        {
            *covered = None;
        }
        let is_loop = memchr::memmem::find(&device, b"loop").is_some();
        if device == b"none" || is_loop || !device_types.contains(fstype) {
            continue;
        }
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            set_text(&mut text, bytes);
            text
        };
        let place: Arc<[u8]> = mountpoint.as_slice().into();
        at.insert(Arc::clone(&place), mounts.len());
        let mut options = columns.next().unwrap_or_default().split(|byte| *byte == b',');
        mounts.push(Some(Mount {
            mountpoint: place,
            name: text(&mountpoint),
            device: text(&device),
            fstype: text(fstype),
            read_only: options.any(|option| matches!(option, b"ro" | b"emergency_ro")),
        }));
    }
    Ok(mounts.into_iter().flatten().collect())
}

/// The kernel's number of each mount of /proc/PID/mountinfo, `22 27 0:21 / /proc rw,relatime - proc proc rw`: of the
/// last one at each place. It is never given twice while the first is in use.
pub fn parse_mount_ids(text: &[u8]) -> HashMap<Vec<u8>, u64> {
    let mut place = Vec::new();
    let entry = |(_, line)| {
        let mut columns = words(line);
        let id = number(columns.next()?)?;
        unescape_octal(columns.nth(3)?, &mut place);
        Some((place.clone(), id))
    };
    lines(text).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(text: &str) -> Vec<(String, String)> {
        let types = ["ext4", "xfs"].map(|name| name.as_bytes().to_vec()).into();
        let mounts = parse_mounts(text.as_bytes(), &types).unwrap();
        mounts.into_iter().map(|mount| (mount.name, mount.device)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, device)| ((*name).to_owned(), (*device).to_owned())).collect()
    }

    #[test]
    fn only_file_systems_on_devices_are_partitions() {
        let text = "proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\nnone /mnt ext4 rw 0 0\n\
                    /dev/loop3 /snap ext4 ro 0 0\n/dev/sdb1 /srv xfs rw 0 0\nserver:/x /nfs nfs4 rw 0 0\n";
        assert_eq!(mounts(text), pairs(&[("/", "/dev/vda"), ("/srv", "/dev/sdb1")]));
    }

    #[test]
    fn a_covered_mount_is_left_out() {
        let text = "/dev/a /x ext4 rw 0 0\n/dev/b /x ext4 rw 0 0\n/dev/c /y ext4 rw 0 0\ntmpfs /y tmpfs rw 0 0\n";
        assert_eq!(mounts(text), pairs(&[("/x", "/dev/b")]));
    }

    #[test]
    fn a_read_only_mount_says_so() {
        let types = [b"ext4".to_vec()].into();
        let text = b"/dev/a /a ext4 ro,errors=remount-ro 0 0\n/dev/b /b ext4 rw,errors=remount-ro 0 0\n/dev/c /c ext4\n\
                     /dev/d /d ext4 rw,relatime,emergency_ro 0 0\n";
        let mounts = parse_mounts(text, &types).unwrap();
        let read_only: Vec<_> = mounts.iter().map(|mount| mount.read_only).collect();
        assert_eq!(read_only, [true, false, false, true]);
    }

    #[test]
    fn escapes_in_mount_points_are_undone() {
        assert_eq!(
            mounts(r"/dev/a /mnt/my\040disk\134 ext4 rw 0 0"),
            pairs(&[(r"/mnt/my disk\", "/dev/a")])
        );
    }

    #[test]
    fn a_place_has_the_number_of_what_is_mounted_there_last() {
        let text = b"22 27 0:21 / /proc rw - proc proc rw\n29 27 8:1 / /mnt/my\\040disk rw - ext4 /dev/a rw\n\
                     31 29 8:2 / /mnt/my\\040disk rw - ext4 /dev/a rw\ngarbage\n";
        let ids = parse_mount_ids(text);
        assert_eq!((ids[&b"/proc"[..]], ids[&b"/mnt/my disk"[..]], ids.len()), (22, 31, 2));
    }

    #[test]
    fn types_with_devices_are_those_without_nodev() {
        let types: Vec<_> = ["\text4", "nodev\ttmpfs", "nodev\tzfs", "\tfuseblk", ""]
            .iter()
            .filter_map(|line| device_fstype(line.as_bytes()))
            .collect();
        assert_eq!(types, [&b"ext4"[..], b"zfs", b"fuseblk"]);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let error = parse_mounts(b"/dev/a / ext4 rw 0 0\ngarbage\n", &BTreeSet::new()).unwrap_err();
        assert_eq!(error.to_string(), "2: no mount: garbage");
    }
}
