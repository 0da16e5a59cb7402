//! What works on this host, what does not, and what to do.

use perfwatch_collect::Host;
use perfwatch_collect::network::{StateCounts, count_dump};
use perfwatch_metrics::{Section, State, Status};

/// Something that works, or does not.
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn new(name: &str, state: State, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, reason: reason.into(), fix: None }
    }

    pub(crate) fn fix(self, fix: &str) -> Self {
        Self { fix: Some(fix.to_owned()), ..self }
    }
}

/// What can be said of a host without asking twice.
pub(crate) fn capabilities(status: &Status, host: &Host) -> Vec<Finding> {
    let sections = status.sections();
    let mut findings: Vec<_> =
        sections.flat_map(|(name, section)| section_findings(name, section)).collect();
    findings.push(netlink(host));
    findings.extend(namespace(host));
    findings
}

fn section_findings(name: &str, section: &Section) -> Vec<Finding> {
    let took = section.duration_ms.map(|ms| format!("in {ms:.2} ms"));
    let reason = section.reason.clone().or(took).unwrap_or_default();
    let whole = Finding { fix: section.fix.clone(), ..Finding::new(name, section.state, reason) };
    let parts = section.parts.iter().map(|(part, why)| Finding {
        fix: why.fix.clone(),
        ..Finding::new(&format!("{name}.{part}"), why.state, &why.reason)
    });
    std::iter::once(whole).chain(parts).collect()
}

/// Whether sockets can be listed the cheap way.
fn netlink(host: &Host) -> Finding {
    const LISTEN: u32 = 1 << 10;
    let Some(mut sock_diag) = host.sock_diag() else {
        return Finding::new(
            "netlink",
            State::Unavailable,
            "no procfs of a running kernel at --path.procfs",
        );
    };
    let mut counts = StateCounts::default();
    match sock_diag.dump(LISTEN, |answer| count_dump(answer, &mut counts)) {
        Ok(()) => Finding::new("netlink", State::Ok, "sockets are counted by NETLINK_SOCK_DIAG"),
        Err(error) => {
            let reason = format!(
                "NETLINK_SOCK_DIAG: {error}; /proc/net/tcp serves instead, at 20 times the cost"
            );
            Finding::new("netlink", State::Failed, reason)
                .fix("allow AF_NETLINK (RestrictAddressFamilies, seccomp) and the kernel's module tcp_diag")
        }
    }
}

/// Whether the network's figures are the host's. Only root may see the namespace of PID 1.
fn namespace(host: &Host) -> Option<Finding> {
    let foreign = !host.has_network_of_init()?;
    foreign.then(|| {
        let reason = "interfaces and sockets are those of this container's own network namespace";
        Finding::new("namespace", State::Unavailable, reason)
            .fix("run it with the host's network (--net=host)")
    })
}
