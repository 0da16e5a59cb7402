//! Which file systems are mounted on devices, and how full each is.
//!
//! As psutil.disk_partitions: the types of /proc/filesystems that are not marked `nodev`, and zfs. Mounts of
//! `none` and of loop devices are left out. The table is that of PID 1, whose mount namespace is the host's
//! even when PerfWatch runs in one of its own; it is read again only when the kernel says that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;

use super::prober::{Outcome, Prober};
use crate::error::{Error, Malformed, Problem};
use crate::host::{FileSystemBlocks, Host, KernelFile};
use crate::parse::{lines, set_text, shown, unescape_octal, words};

/// Most mounts that are asked for, in the order of the table. The rest is left out, and `truncated` says so.
pub const MAX_PARTITIONS: usize = 512;

/// One mount of a file system on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where, as the kernel's bytes.
    pub mountpoint: Arc<[u8]>,
    /// Where, as text.
    pub name: String,
    /// What is mounted.
    pub device: String,
    /// The file system's type.
    pub fstype: String,
}

/// A mount and what its file system said.
#[derive(Debug)]
pub(super) struct PartitionReading {
    pub(super) name: String,
    pub(super) device: String,
    pub(super) fstype: String,
    outcome: Outcome,
}

impl PartitionReading {
    pub(super) fn blocks(&self) -> Option<&FileSystemBlocks> {
        match &self.outcome {
            Outcome::Known(blocks) => Some(blocks),
            _ => None,
        }
    }

    /// Why its figures are missing.
    pub(super) fn problem(&self) -> Option<Problem> {
        let gone = || {
            Some(format!(
                "check what is behind {}; `umount -l {}` if it is gone",
                self.device, self.name
            ))
        };
        let (state, reason, fix) = match &self.outcome {
            Outcome::Known(_) => return None,
            Outcome::Waiting(since) => (
                State::Late,
                format!("statvfs has not answered for {}", seconds(since.elapsed())),
                gone(),
            ),
            Outcome::Failed(error) => (State::Failed, format!("statvfs: {error}"), None),
        };
        Some(Problem { part: format!("partitions.{}", self.name), state, reason, fix })
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The mount table and the threads that ask its file systems.
#[derive(Debug)]
pub(super) struct MountTable {
    of_init: KernelFile,
    of_self: KernelFile,
    filesystems: KernelFile,
    mounts: Option<Vec<Mount>>,
    prober: Prober,
}

impl MountTable {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self {
            of_init: host.procfs("1/mounts"),
            of_self: host.procfs("self/mounts"),
            filesystems: host.procfs("filesystems"),
            mounts: None,
            prober: Prober::new(host),
        }
    }

    /// Reads the table if it changed, asks every file system, and says whether [`MAX_PARTITIONS`] cut some off.
    pub(super) fn read(&mut self, into: &mut Vec<PartitionReading>) -> Result<bool, Error> {
        into.clear();
        // Each is asked, whatever the other says: asking also takes note of the change.
        let changed = [self.of_init.changed(), self.of_self.changed()];
        if self.mounts.is_none() || changed.contains(&true) {
            self.mounts = None;
            let mounts = self.read_table()?;
            self.prober.forget_all_but(&mounts);
            self.mounts = Some(mounts);
        }
        let mounts = self.mounts.as_deref().unwrap_or_default();
        let asked = mounts.get(..MAX_PARTITIONS).unwrap_or(mounts);
        self.prober.ask(asked, Instant::now());
        into.extend(asked.iter().map(|mount| PartitionReading {
            name: mount.name.clone(),
            device: mount.device.clone(),
            fstype: mount.fstype.clone(),
            outcome: self.prober.outcome(mount),
        }));
        Ok(asked.len() < mounts.len())
    }

    fn read_table(&mut self) -> Result<Vec<Mount>, Error> {
        let device_types = self
            .filesystems
            .parse(|text| Ok(lines(text).filter_map(|(_, line)| device_fstype(line)).collect()))?;
        let parse = |text: &[u8]| parse_mounts(text, &device_types);
        match self.of_init.parse(parse) {
            // hidepid, or no PID 1 in sight.
            Err(Error::Read { .. }) => self.of_self.parse(parse),
            other => other,
        }
    }
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
/// asked for and is left out.
pub fn parse_mounts(
    text: &[u8],
    device_types: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Mount>, Malformed> {
    let mut mounts: Vec<Mount> = Vec::new();
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
        mounts.retain(|mount| *mount.mountpoint != *mountpoint);
        let is_loop = memchr::memmem::find(&device, b"loop").is_some();
        if device == b"none" || is_loop || !device_types.contains(fstype) {
            continue;
        }
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            set_text(&mut text, bytes);
            text
        };
        mounts.push(Mount {
            mountpoint: mountpoint.as_slice().into(),
            name: text(&mountpoint),
            device: text(&device),
            fstype: text(fstype),
        });
    }
    Ok(mounts)
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
    fn escapes_in_mount_points_are_undone() {
        assert_eq!(
            mounts(r"/dev/a /mnt/my\040disk\134 ext4 rw 0 0"),
            pairs(&[(r"/mnt/my disk\", "/dev/a")])
        );
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
