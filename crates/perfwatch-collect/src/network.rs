//! Network: /proc/net/dev and the links, the sockets by state, and what the protocols count.

mod interfaces;
mod links;
mod protocols;
mod sockets;
mod softnet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::network::{
    ConnectionMetrics, ConntrackMetrics, NetworkMetrics, SocketMetrics, SoftnetCpu, UdpCounters,
};

use crate::collector::{Collector, Report};
use crate::errand::Lasting;
use crate::error::{Error, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile};
use crate::parse::single_number;
use crate::rate::percent;
use crate::rows::Rows;
use crate::seldom::Seldom;

pub use interfaces::{InterfaceReading, MAX_INTERFACES, parse_net_dev};
pub use links::{Link, LinkFiles, parse_links};
use links::{LinkReader, Links};
pub use protocols::{Snmp, TcpExt, parse_netstat, parse_snmp, parse_snmp6};
use sockets::{SocketReading, Sockets};
pub use sockets::{Sockstat, StateCounts, count_dump, parse_sockstat, parse_tcp_table};
pub use softnet::parse_softnet;
use softnet::{SoftnetCounts, SoftnetTotals};

/// What the kernel said of the network.
#[derive(Debug, Default)]
pub struct NetworkReading {
    /// Without loopback.
    pub interfaces: Rows<InterfaceReading>,
    /// Whether the table could be read.
    pub interfaces_known: bool,
    /// None when nobody would say.
    links: Option<Arc<Links>>,
    /// /proc/net/softnet_stat. Empty when it could not be read.
    pub softnet: Vec<SoftnetCpu>,
    /// The sum of all CPUs, those that are offline by now included.
    softnet_total: SoftnetCounts,
    /// /proc/net/snmp. None when it could not be read.
    pub snmp: Option<Snmp>,
    /// UDP of /proc/net/snmp6. All None without IPv6; None when it could not be read.
    pub udp6: Option<UdpCounters>,
    /// /proc/net/netstat. All None when it could not be read.
    pub netstat: TcpExt,
    /// Tracked connections. None where none are tracked.
    conntrack: Option<u64>,
    conntrack_limit: Option<u64>,
    sockstat: Option<Sockstat>,
    sockets: Option<SocketReading>,
    page_bytes: u64,
    problems: Vec<Problem>,
}

impl NetworkReading {
    /// What each CPU took from its queue, and the sum of it.
    fn softnet(&self) -> Option<(&[SoftnetCpu], SoftnetCounts)> {
        (!self.softnet.is_empty()).then_some((&self.softnet, self.softnet_total))
    }

    /// What TCP counts.
    fn tcp(&self) -> Option<(&Snmp, &TcpExt)> {
        Some((self.snmp.as_ref()?, &self.netstat))
    }

    /// What UDP counts, over IPv4 and over IPv6.
    fn udp(&self) -> Option<(UdpCounters, UdpCounters)> {
        Some((self.snmp?.udp, self.udp6?))
    }
}

/// Collects [`NetworkMetrics`].
#[derive(Debug)]
pub struct Network {
    dev: KernelFile,
    links: Lasting<Arc<Links>>,
    softnet: KernelFile,
    softnet_totals: SoftnetTotals,
    snmp: KernelFile,
    snmp6: KernelFile,
    netstat: KernelFile,
    conntrack: Hardware<KernelFile>,
    conntrack_limit: Seldom,
    sockstat: KernelFile,
    sockets: Sockets,
    host: Arc<Host>,
}

impl Collector for Network {
    const NAME: &'static str = "network";
    type Reading = NetworkReading;
    type Metrics = NetworkMetrics;

    fn new(host: &Arc<Host>) -> Self {
        let mut links = LinkReader::new(Arc::clone(host));
        Self {
            dev: host.procfs("net/dev"),
            links: Lasting::new(host, "links", move || links.read()),
            softnet: host.procfs("net/softnet_stat"),
            softnet_totals: SoftnetTotals::default(),
            snmp: host.procfs("net/snmp"),
            snmp6: host.procfs("net/snmp6"),
            netstat: host.procfs("net/netstat"),
            conntrack: Hardware::unknown(),
            conntrack_limit: Seldom::new(host.procfs("sys/net/netfilter/nf_conntrack_max")),
            sockstat: host.procfs("net/sockstat"),
            sockets: Sockets::new(host),
            host: Arc::clone(host),
        }
    }

    /// The parts fail apart; the section as a whole does when neither interfaces nor connections are there.
    fn read(&mut self, into: &mut NetworkReading) -> Result<(), Error> {
        into.problems.clear();
        into.page_bytes = self.host.page_bytes();
        let interfaces = self.dev.parse(|text| parse_net_dev(text, &mut into.interfaces));
        into.interfaces_known = interfaces.is_ok();
        let interfaces = interfaces.inspect_err(|error| {
            into.interfaces.clear();
            into.problems.push(Problem::new("interfaces", error));
        });
        into.links = self.links.look(&mut into.problems);
        self.read_protocols(into);
        let sockstat = self.sockstat.parse(parse_sockstat);
        into.sockstat = sockstat.as_ref().ok().copied();
        let established = into.snmp.and_then(|snmp| snmp.established);
        let sockets = sockstat.and_then(|sockstat| self.sockets.read(&sockstat, established));
        match (interfaces, sockets) {
            (_, Ok(sockets)) => into.sockets = Some(sockets),
            (Ok(()), Err(error)) => {
                into.problems.push(Problem::new("connections", &error));
                into.sockets = None;
            }
            (Err(first), Err(second)) => {
                return Err(Error::Both { first: Box::new(first), second: Box::new(second) });
            }
        }
        Ok(())
    }

    fn derive(
        before: Option<(&NetworkReading, Duration)>,
        now: &NetworkReading,
    ) -> Report<NetworkMetrics> {
        let interfaces_before = before.map(|(reading, elapsed)| (&*reading.interfaces, elapsed));
        let (interfaces, truncated) =
            interfaces::metrics(interfaces_before, &now.interfaces, now.links.as_deref());
        let connections = now.sockets.as_ref().map(|sockets| ConnectionMetrics {
            tcp_established: sockets.established,
            tcp_time_wait: sockets.time_wait,
            tcp_close_wait: sockets.close_wait,
            tcp_listen: sockets.listen,
            udp_count: sockets.udp,
        });
        let metrics = NetworkMetrics {
            interfaces: now.interfaces_known.then_some(interfaces),
            connections,
            softnet: softnet::metrics(since(before, NetworkReading::softnet), now.softnet()),
            tcp: protocols::tcp_metrics(since(before, NetworkReading::tcp), now.tcp()),
            udp: protocols::udp_metrics(since(before, NetworkReading::udp), now.udp()),
            conntrack: now.conntrack.map(|entries| ConntrackMetrics {
                entries,
                limit: now.conntrack_limit,
                usage_percent: now.conntrack_limit.and_then(|limit| percent(entries, limit)),
            }),
            sockets: now.sockstat.as_ref().map(|sockstat| SocketMetrics {
                used: sockstat.used,
                orphaned: sockstat.orphaned,
                tcp_memory_bytes: bytes(sockstat.tcp_pages, now.page_bytes),
                udp_memory_bytes: bytes(sockstat.udp_pages, now.page_bytes),
            }),
        };
        Report { metrics, problems: now.problems.clone(), truncated }
    }
}

impl Network {
    /// Each of these files may be missing alone.
    fn read_protocols(&mut self, into: &mut NetworkReading) {
        let NetworkReading { problems, softnet, .. } = into;
        let mut said = |part, error| problems.push(Problem::new(part, &error));
        if let Err(error) = self.softnet.parse(|text| parse_softnet(text, softnet)) {
            softnet.clear();
            said("softnet", error);
        }
        into.softnet_total = self.softnet_totals.add(softnet);
        let snmp = self.snmp.parse(parse_snmp);
        into.snmp = snmp.as_ref().ok().copied();
        if let Err(error) = snmp {
            // Of UDP as well.
            said("tcp", error);
        }
        // Absent on a kernel without IPv6.
        into.udp6 = match self.snmp6.parse(parse_snmp6) {
            Err(error) if error.is_absent() => Some(UdpCounters::default()),
            Err(error) => {
                said("udp", error);
                None
            }
            Ok(udp6) => Some(udp6),
        };
        let netstat = self.netstat.parse(parse_netstat);
        into.netstat = *netstat.as_ref().unwrap_or(&TcpExt::default());
        if let Err(error) = netstat {
            said("tcp.listen_overflows", error);
        }
        let now = Instant::now();
        let conntrack = self.read_conntrack(now);
        into.conntrack = conntrack.as_ref().ok().copied();
        if let Err(error) = conntrack {
            said("conntrack", error);
        }
        into.conntrack_limit = None;
        if into.conntrack.is_some() {
            let limit = self.conntrack_limit.get(now);
            into.conntrack_limit = limit.map_err(|error| said("conntrack.limit", error)).ok();
        }
    }

    fn read_conntrack(&mut self, now: Instant) -> Result<u64, Error> {
        let count = self.conntrack.find(now, || {
            let mut file = self.host.procfs("sys/net/netfilter/nf_conntrack_count");
            match file.read() {
                Ok(_) => Ok(file),
                Err(error) if error.is_absent() => {
                    Err(Error::Unavailable("connections are not tracked here".to_owned()))
                }
                Err(error) => Err(error),
            }
        })?;
        let entries = count.parse(single_number);
        if entries.as_ref().is_err_and(Error::is_absent) {
            self.conntrack.lose();
        }
        entries
    }
}

/// A part of the reading before, with the time since then.
fn since<'r, T>(
    before: Option<(&'r NetworkReading, Duration)>,
    part: fn(&'r NetworkReading) -> Option<T>,
) -> Option<(T, Duration)> {
    let (reading, elapsed) = before?;
    Some((part(reading)?, elapsed))
}

fn bytes(pages: Option<u64>, page_bytes: u64) -> Option<u64> {
    Some(pages?.saturating_mul(page_bytes))
}
