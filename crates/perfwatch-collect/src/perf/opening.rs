//! Opening counters: 17 events on 256 CPUs take over a second, so it is done beside sampling.
//!
//! First each event is tried alone, for a group says EINVAL both of an event that is not there and of one too many. Then group
//! by group is opened on all CPUs, so that what does not fit in the limit on open files is missing as a whole.

use std::io;
use std::iter;
use std::sync::Arc;

use perfwatch_metrics::perf::Event;
use rustix::io::Errno;

use super::absence::Absence;
use super::kernel::{Kernel, Pmu};
use super::layout::{ByEvent, Layout, Member, attr};

/// What is counted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    /// Why an event is in none of the groups.
    pub(super) absent: ByEvent<Option<Absence>>,
    pmus: Arc<[Pmu]>,
    has_pmu: bool,
    paranoid: Option<i32>,
}

/// A group on a CPU.
#[derive(Debug)]
pub(super) struct Opened<C> {
    pub(super) cpu: u32,
    /// Its place in the layout.
    pub(super) group: usize,
    /// The leader first. Never empty.
    pub(super) counters: Vec<C>,
}

/// A CPU on which nothing is counted, and why.
pub(super) type Uncounted = (u32, Absence);

/// Tries every event, and opens what can be counted on all CPUs. A plan that was made before says how groups were split.
pub(super) fn open_all<K: Kernel>(
    kernel: &K,
    cpus: &[u32],
    before: Option<&Plan>,
) -> (Plan, Vec<Opened<K::Counter>>) {
    let mut plan = probe(kernel, cpus);
    // Unless something is refused now that was counted.
    let still = |before: &&Plan| {
        let mut events = before.absent.iter().zip(&plan.absent);
        events.all(|(before, now)| before.is_some() || now.is_none())
    };
    if let Some(before) = before.filter(still) {
        (plan.layout, plan.absent) = (before.layout.clone(), before.absent.clone());
    }
    let counters: usize = plan.layout.groups().iter().map(Vec::len).sum();
    kernel.make_room(counters.saturating_mul(cpus.len()));
    let mut opened = Vec::new();
    let mut group = 0;
    while group < plan.layout.groups().len() {
        match open_everywhere(kernel, &plan, cpus, group) {
            Ok(counters) => {
                opened.extend(counters);
                group += 1;
            }
            Err(refusal) => {
                let too_many = refusal.errno() == Errno::INVAL;
                if !(too_many && plan.layout.split(group, Some(refusal.member))) {
                    let absence = plan.absence(&refusal.error);
                    for member in plan.layout.give_up(group) {
                        if let Member::Event(event) = member {
                            plan.set_absent(event, absence.clone());
                        }
                    }
                }
            }
        }
    }
    (plan, opened)
}

/// Opens a plan's groups on CPUs that came later. Says of which one something is missing, and why.
pub(super) fn open_on<K: Kernel>(
    kernel: &K,
    cpus: &[u32],
    plan: &Plan,
) -> (Vec<Opened<K::Counter>>, Option<Uncounted>) {
    let counters: usize = plan.layout.groups().iter().map(Vec::len).sum();
    kernel.make_room(counters.saturating_mul(cpus.len()));
    let mut opened = Vec::new();
    let mut missing = None;
    for &cpu in cpus {
        let groups = plan.live_groups();
        let on_cpu: Result<Vec<_>, _> =
            groups.map(|group| open_group(kernel, plan, cpu, group)).collect();
        match on_cpu {
            Ok(groups) => opened.extend(groups),
            Err(refusal) if refusal.errno() == Errno::NODEV => {}
            Err(refusal) => missing = Some((cpu, plan.absence(&refusal.error))),
        }
    }
    (opened, missing)
}

impl Plan {
    /// Places in the layout of the groups that are counted.
    pub(super) fn live_groups(&self) -> impl Iterator<Item = usize> {
        let groups = self.layout.groups().iter().enumerate();
        groups.filter(|(_, members)| !members.is_empty()).map(|(group, _)| group)
    }

    /// Why nothing at all is counted. None when something is.
    pub(super) fn refusal(&self) -> Option<Absence> {
        if self.absent.iter().any(Option::is_none) {
            return None;
        }
        let denied = |absence: &&Absence| matches!(absence, Absence::Denied { .. });
        let all = || self.absent.iter().flatten();
        all().find(denied).or_else(|| all().next()).cloned()
    }

    /// Whether something that another counts is missing here for want of files.
    pub(super) fn lacks_files_for(&self, other: &Self) -> bool {
        let mut events = self.absent.iter().zip(&other.absent);
        events.any(|(here, there)| matches!(here, Some(Absence::Files { .. })) && there.is_none())
    }

    fn absence(&self, error: &io::Error) -> Absence {
        Absence::of(error, self.has_pmu, self.paranoid)
    }

    fn set_absent(&mut self, event: Event, absence: Absence) {
        if let Some(slot) = self.absent.get_mut(event as usize) {
            *slot = Some(absence);
        }
    }

    fn pmu_of(&self, cpu: u32) -> Option<u32> {
        self.pmus.iter().find(|pmu| pmu.cpus.contains(cpu))?.kind
    }
}

/// Tries each event alone, once for each kind of core.
fn probe<K: Kernel>(kernel: &K, cpus: &[u32]) -> Plan {
    let pmus: Arc<[Pmu]> = kernel.pmus().into();
    let (has_pmu, paranoid) = (kernel.has_pmu(), kernel.paranoid());
    let mut plan = Plan {
        layout: Layout::of(|_| false),
        absent: ByEvent::default(),
        pmus: Arc::clone(&pmus),
        has_pmu,
        paranoid,
    };
    let first_of = |pmu: &Pmu| cpus.iter().copied().find(|cpu| pmu.cpus.contains(*cpu));
    let kinds: Vec<_> = pmus.iter().filter_map(|pmu| Some((first_of(pmu)?, Some(pmu)))).collect();
    let any = cpus.first().map(|cpu| (*cpu, None));
    for event in Event::ALL {
        let alike = kinds.is_empty() || event.is_software();
        let tried: Vec<_> = if alike { any.into_iter().collect() } else { kinds.clone() };
        let mut refusals = Vec::new();
        for (cpu, pmu) in &tried {
            let attr = attr(event, pmu.and_then(|pmu| pmu.kind), true);
            refusals.extend(kernel.open(&attr, *cpu, None).err().map(|error| (*pmu, error)));
        }
        let absence = match refusals.first() {
            None => continue,
            Some((Some(pmu), error)) if refusals.len() < tried.len() => match plan.absence(error) {
                Absence::Unsupported { .. } => Absence::NotOnAll { pmu: Arc::clone(&pmu.name) },
                other => other,
            },
            Some((_, error)) => plan.absence(error),
        };
        plan.set_absent(event, absence);
    }
    let can = |event: Event| plan.absent.get(event as usize).is_some_and(Option::is_none);
    plan.layout = Layout::of(can);
    plan
}

/// A group that was refused.
struct Refusal {
    /// The member that the kernel did not take.
    member: usize,
    error: io::Error,
}

impl Refusal {
    fn errno(&self) -> Errno {
        Errno::from_io_error(&self.error).unwrap_or(Errno::IO)
    }
}

/// Opens a group on all CPUs but those that have gone since, or on none.
fn open_everywhere<K: Kernel>(
    kernel: &K,
    plan: &Plan,
    cpus: &[u32],
    group: usize,
) -> Result<Vec<Opened<K::Counter>>, Refusal> {
    if plan.layout.groups().get(group).is_none_or(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut opened = Vec::with_capacity(cpus.len());
    for &cpu in cpus {
        match open_group(kernel, plan, cpu, group) {
            Ok(counters) => opened.push(counters),
            Err(refusal) if refusal.errno() == Errno::NODEV => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(opened)
}

fn open_group<K: Kernel>(
    kernel: &K,
    plan: &Plan,
    cpu: u32,
    group: usize,
) -> Result<Opened<K::Counter>, Refusal> {
    let members = plan.layout.groups().get(group).into_iter().flatten();
    let mut counters: Vec<K::Counter> = Vec::new();
    for (member, what) in members.enumerate() {
        let attr = attr(what.event(), plan.pmu_of(cpu), member == 0);
        let counter = kernel.open(&attr, cpu, counters.first());
        counters.push(counter.map_err(|error| Refusal { member, error })?);
    }
    let enabled =
        iter::once(counters.first()).flatten().try_for_each(|leader| kernel.enable(leader));
    enabled.map_err(|error| Refusal { member: 0, error })?;
    Ok(Opened { cpu, group, counters })
}
