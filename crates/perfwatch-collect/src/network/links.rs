//! The state of each link: by netlink, which tells of changes, else by files of /sys/class/net. Speed and duplex are in
//! files alone. A driver may take its time to answer, so all of this is an errand: links are dumped and speeds asked for when
//! a link changed, and once a minute.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::errand::Finding;
use crate::error::Error;
use crate::host::{Host, LinkTable, Progress, broken, messages};
use crate::parse::{number, set_text};

/// Drivers change a speed without telling, rarely.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Most links whose files are read: three to six each, at 5 µs a file. They are asked in the kernel's order, which begins
/// with what was there at boot; the speed of others is not known.
const MAX_ASKED: usize = 512;

/// Most links that are taken from the kernel's list. The state of others is not known.
const MAX_LINKS: usize = 65_536;

/// The kernel's words for IF_OPER_…, by number.
const OPERSTATES: [&str; 7] =
    ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Of the interface; bytes that are not UTF-8 as `\xNN`.
    pub name: String,
    /// The kernel's number of it. None where its files do not say.
    pub index: Option<u32>,
    /// A word of `OPERSTATES`.
    pub operstate: Option<&'static str>,
    /// Whether packets can pass.
    pub up: bool,
    /// How often it came and went.
    pub carrier_changes: Option<u64>,
    /// What its files say.
    pub files: LinkFiles,
}

/// What the files of a link say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkFiles {
    /// Whether it is a device, rather than a thought of the kernel's such as a veth or a bridge.
    pub hardware: bool,
    /// What it can carry in one direction. None where the driver does not know.
    pub bytes_per_second: Option<u64>,
    /// `full` or `half`.
    pub duplex: Option<&'static str>,
    /// Whether the speed is a limit: that of a device or a bond of some. A veth says 10 Gb/s and means nothing by it.
    pub is_limit: bool,
}

/// By name.
pub(super) type Links = HashMap<String, Link>;

/// Reads the links.
#[derive(Debug)]
pub(super) struct LinkReader {
    host: Arc<Host>,
    table: Option<LinkTable>,
    links: Arc<Links>,
    asked: Option<Instant>,
}

impl LinkReader {
    pub(super) fn new(host: Arc<Host>) -> Self {
        let table = host.link_table();
        Self { host, table, links: Arc::default(), asked: None }
    }

    /// The links as they are now. The same as before, in the same memory, when nothing changed.
    pub(super) fn read(&mut self) -> Finding<Arc<Links>> {
        let ask_all = self.asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN);
        let changed = self.table.as_mut().is_none_or(|table| table.changed().unwrap_or(true));
        if !changed && !ask_all {
            return Ok(Arc::clone(&self.links));
        }
        let mut found = match self.table.as_mut().map(dump) {
            Some(Ok(found)) => found,
            Some(Err(error)) => from_files(&self.host).map_err(|second| Error::Both {
                first: Box::new(Error::Links(error)),
                second: Box::new(second),
            })?,
            None => from_files(&self.host)?,
        };
        for link in found.iter_mut().take(MAX_ASKED) {
            let before = self.links.get(&link.name).filter(|before| before.index == link.index);
            link.files = match before {
                Some(before) if !ask_all && state(before) == state(link) => before.files,
                before => ask(&self.host, link, before.map(|before| before.files.hardware)),
            };
        }
        if ask_all {
            self.asked = Some(Instant::now());
        }
        self.links = Arc::new(found.into_iter().map(|link| (link.name.clone(), link)).collect());
        Ok(Arc::clone(&self.links))
    }
}

/// While this stays as it is, so does the speed, as a rule.
fn state(link: &Link) -> (bool, Option<u64>) {
    (link.up, link.carrier_changes)
}

fn dump(table: &mut LinkTable) -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    table.dump(|answer| parse_links(answer, &mut links))?;
    Ok(links)
}

/// Reads an answer to RTM_GETLINK: messages RTM_NEWLINK with a `struct ifinfomsg` (16 bytes, of which the index and the
/// flags are the second and third word) and attributes, each with its length and type before it.
pub fn parse_links(answer: &[u8], into: &mut Vec<Link>) -> io::Result<Progress> {
    const RTM_NEWLINK: u16 = 16;
    const IFINFOMSG_BYTES: usize = 16;
    /// The upper two bits of a type are flags.
    const TYPE_MASK: u16 = 0x3fff;
    messages(answer, |kind, body| {
        if kind != RTM_NEWLINK || into.len() >= MAX_LINKS {
            return Ok(());
        }
        let (head, mut rest) = body.split_first_chunk::<IFINFOMSG_BYTES>().ok_or_else(broken)?;
        let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *head;
        let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
        let mut found = Attributes::default();
        while let Some(([l0, l1, t0, t1], _)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
            let value = rest.get(4..length).ok_or_else(broken)?;
            found.take(u16::from_ne_bytes([*t0, *t1]) & TYPE_MASK, value);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        let index = u32::from_ne_bytes([i0, i1, i2, i3]);
        into.push(found.link(index, flags));
        Ok(())
    })
}

/// What is read of the attributes of a link, in any order.
#[derive(Debug, Default)]
struct Attributes<'a> {
    name: &'a [u8],
    operstate: Option<u8>,
    carrier: bool,
    carrier_changes: Option<u64>,
}

impl<'a> Attributes<'a> {
    fn take(&mut self, kind: u16, value: &'a [u8]) {
        const IFLA_IFNAME: u16 = 3;
        const IFLA_OPERSTATE: u16 = 16;
        const IFLA_CARRIER: u16 = 33;
        const IFLA_CARRIER_CHANGES: u16 = 35;
        match kind {
            IFLA_IFNAME => self.name = value.split(|byte| *byte == 0).next().unwrap_or_default(),
            IFLA_OPERSTATE => self.operstate = value.first().copied(),
            IFLA_CARRIER => self.carrier = value.first() == Some(&1),
            IFLA_CARRIER_CHANGES => {
                self.carrier_changes =
                    value.first_chunk().map(|count| u32::from_ne_bytes(*count).into());
            }
            _ => {}
        }
    }

    fn link(&self, index: u32, flags: u32) -> Link {
        const IFF_UP: u32 = 1;
        let operstate = self.operstate.and_then(|state| OPERSTATES.get(usize::from(state)));
        let mut link = Link {
            index: Some(index),
            operstate: operstate.copied(),
            up: is_up(operstate.copied(), self.carrier && flags & IFF_UP != 0),
            carrier_changes: self.carrier_changes,
            ..Link::default()
        };
        set_text(&mut link.name, self.name);
        link
    }
}

/// Whether packets can pass: as the operational state says, and where the driver keeps none, whether there is a carrier.
fn is_up(operstate: Option<&str>, carrier: bool) -> bool {
    match operstate {
        Some("up") => true,
        Some("unknown") | None => carrier,
        Some(_) => false,
    }
}

/// The links by their files, of a recording or where netlink is refused.
fn from_files(host: &Host) -> Finding<Vec<Link>> {
    let names = host.sysfs_names("class/net")?;
    if names.is_empty() {
        return Err(Error::Unavailable("no interface in /sys/class/net".to_owned()));
    }
    let link = |name: String| {
        let text = |file: &str| host.sysfs_text(&format!("class/net/{name}/{file}"));
        let said = text("operstate")?;
        let operstate = OPERSTATES.into_iter().find(|known| *known == said);
        // Refused of an interface that is switched off.
        let carrier = text("carrier").is_some_and(|carrier| carrier == "1");
        let carrier_changes = text("carrier_changes").and_then(|text| number(text.as_bytes()));
        let up = is_up(operstate, carrier);
        Some(Link { operstate, up, carrier_changes, name, ..Link::default() })
    };
    Ok(names.into_iter().take(MAX_ASKED).filter_map(link).collect())
}

/// What the files of a link say. Whether it is hardware may be known.
fn ask(host: &Host, link: &Link, hardware: Option<bool>) -> LinkFiles {
    /// Bytes per second of a megabit per second.
    const MEGABIT_BYTES: u64 = 125_000;
    /// What drivers say that do not know: -1 in 16 and in 32 bits, and nothing at all.
    const UNKNOWN_SPEEDS: [u64; 3] = [0, 0xffff, 0xffff_ffff];
    let nothing = LinkFiles::default();
    // The kernel lets no interface be called so, but a name is bytes from outside.
    if link.name.contains('/') || link.name.starts_with('.') {
        return nothing;
    }
    let text = |file: &str| host.sysfs_text(&format!("class/net/{}/{file}", link.name));
    // The files may be those of another network namespace.
    if link.index.is_some_and(|index| text("ifindex") != Some(index.to_string())) {
        return nothing;
    }
    let hardware = hardware.unwrap_or_else(|| text("device/uevent").is_some());
    if !link.up {
        return LinkFiles { hardware, ..nothing };
    }
    let speed = text("speed").and_then(|text| number(text.as_bytes()));
    let speed = speed.filter(|megabits| !UNKNOWN_SPEEDS.contains(megabits));
    let duplex = text("duplex");
    let duplex = ["full", "half"].into_iter().find(|known| Some(*known) == duplex.as_deref());
    LinkFiles {
        hardware,
        bytes_per_second: speed.map(|megabits| megabits.saturating_mul(MEGABIT_BYTES)),
        duplex,
        is_limit: speed.is_some() && (hardware || text("bonding/mode").is_some()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attributes.concat());
        let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    #[test]
    fn a_dump_of_links_is_read() {
        let changes = attribute(35, &7_u32.to_ne_bytes());
        let carrier = || attribute(33, &[1]);
        let mut answer =
            message(16, 2, 1, &[attribute(3, b"eth0\0"), attribute(16, &[6]), carrier(), changes]);
        answer.extend(message(
            16,
            3,
            1,
            &[attribute(3, b"tun\xff\0"), attribute(16, &[0]), carrier()],
        ));
        answer.extend(message(
            16,
            4,
            0,
            &[attribute(3, b"tun1\0"), attribute(16, &[0]), carrier()],
        ));
        answer.extend(message(
            16,
            5,
            1,
            &[attribute(3, b"eth1\0"), attribute(16, &[2]), carrier()],
        ));
        let mut links = Vec::new();
        assert_eq!(parse_links(&answer, &mut links).unwrap(), Progress::More);
        let states: Vec<_> =
            links.iter().map(|link| (link.name.as_str(), link.operstate, link.up)).collect();
        let expected = [
            ("eth0", Some("up"), true),
            (r"tun\xff", Some("unknown"), true),
            ("tun1", Some("unknown"), false),
            ("eth1", Some("down"), false),
        ];
        assert_eq!(states, expected);
        assert_eq!((links[0].index, links[0].carrier_changes), (Some(2), Some(7)));
        assert_eq!(links[1].carrier_changes, None);
    }

    #[test]
    fn a_broken_dump_of_links_is_an_error() {
        let mut links = Vec::new();
        let whole = message(16, 2, 1, &[attribute(3, b"eth0\0")]);
        let mut longer = whole.clone();
        longer[32..34].copy_from_slice(&200_u16.to_ne_bytes());
        let mut empty = whole.clone();
        empty[32..34].copy_from_slice(&0_u16.to_ne_bytes());
        let mut short = whole;
        short[..4].copy_from_slice(&24_u32.to_ne_bytes());
        for broken in [longer, empty, short] {
            assert!(parse_links(&broken, &mut links).is_err());
        }
    }

    /// Writes files of a link of a recorded host.
    fn write(root: &Path, name: &str, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join("sys/class/net").join(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    fn links(root: &Path) -> Links {
        let mut reader = LinkReader::new(Arc::new(Host::recorded(root)));
        (*reader.read().unwrap()).clone()
    }

    #[test]
    fn files_say_speed_and_whether_it_means_anything() {
        let dir = tempfile::tempdir().unwrap();
        let up = [("operstate", "up"), ("carrier", "1"), ("carrier_changes", "3")];
        for name in ["eth0", "veth1", "bond0", "wlan0"] {
            write(dir.path(), name, &up);
            write(dir.path(), name, &[("speed", "10000"), ("duplex", "full")]);
        }
        write(dir.path(), "eth0", &[("device/uevent", "DRIVER=ixgbe")]);
        write(dir.path(), "bond0", &[("bonding/mode", "802.3ad 4")]);
        write(
            dir.path(),
            "wlan0",
            &[("device/uevent", ""), ("speed", "-1"), ("duplex", "unknown")],
        );
        let links = links(dir.path());
        let full = LinkFiles {
            hardware: true,
            bytes_per_second: Some(1_250_000_000),
            duplex: Some("full"),
            is_limit: true,
        };
        assert_eq!(links["eth0"].files, full);
        assert_eq!(links["bond0"].files, LinkFiles { hardware: false, ..full });
        assert_eq!(links["veth1"].files, LinkFiles { hardware: false, is_limit: false, ..full });
        assert_eq!(links["wlan0"].files, LinkFiles { hardware: true, ..LinkFiles::default() });
        assert_eq!((links["eth0"].up, links["eth0"].carrier_changes), (true, Some(3)));
    }

    #[test]
    fn the_speed_of_a_link_that_changed_is_asked_for_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let eth0 = |files: &[(&str, &str)]| write(dir.path(), "eth0", files);
        eth0(&[("operstate", "up"), ("carrier_changes", "3"), ("speed", "1000")]);
        let mut reader = LinkReader::new(Arc::new(Host::recorded(dir.path())));
        let mut speed = || reader.read().unwrap()["eth0"].files.bytes_per_second;
        assert_eq!(speed(), Some(125_000_000));
        eth0(&[("speed", "100")]);
        assert_eq!(speed(), Some(125_000_000), "within the minute");
        eth0(&[("carrier_changes", "5")]);
        assert_eq!(speed(), Some(12_500_000));
        eth0(&[("operstate", "down")]);
        assert_eq!(speed(), None);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x", &[("speed", "1000")]);
        let host = Host::recorded(dir.path());
        for name in ["../net/x", "..", "/x"] {
            let link = Link { name: name.to_owned(), up: true, ..Link::default() };
            assert_eq!(ask(&host, &link, None), LinkFiles::default());
        }
    }
}
