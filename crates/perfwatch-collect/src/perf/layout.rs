//! Which events are counted together, and how each is asked for.
//!
//! A group is on the hardware as a whole or not at all, so what is put in relation is in one group: a share of misses that was
//! formed from counts of different times can be above 100 %. Misses per instruction need instructions of the same time,
//! so each group of misses counts them once more.

use perfwatch_metrics::perf::{EVENTS, Event};

use super::sys::{
    Attr, FLAG_DISABLED, FLAG_EXCLUDE_GUEST, FORMAT_GROUP, FORMAT_TOTAL_TIME_ENABLED,
    FORMAT_TOTAL_TIME_RUNNING,
};

/// Most members of a group.
pub const MAX_MEMBERS: usize = 4;

/// The events whose number for each instruction is reported.
pub const MISSES: [Event; 4] =
    [Event::L1DcacheLoadMisses, Event::LlcLoadMisses, Event::DtlbLoadMisses, Event::ItlbLoadMisses];

/// One counter of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// It counts an event.
    Event(Event),
    /// It counts instructions, beside the misses with this number in [`MISSES`].
    Beside(usize),
}

impl Member {
    /// What it counts.
    pub fn event(self) -> Event {
        match self {
            Self::Event(event) => event,
            Self::Beside(_) => Event::Instructions,
        }
    }
}

/// The groups. One that is empty is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    groups: Vec<Vec<Member>>,
}

impl Layout {
    /// The groups of the events that can be counted.
    pub fn of(can: impl Fn(Event) -> bool) -> Self {
        use Event::*;
        let pair = |miss: usize, loads: Event| {
            let misses = MISSES.get(miss).copied();
            let mut members: Vec<_> = misses.into_iter().map(Member::Event).collect();
            members.push(Member::Event(loads));
            if misses.is_some_and(&can) {
                members.insert(0, Member::Beside(miss));
            }
            members
        };
        let alike = |events: &[Event]| events.iter().copied().map(Member::Event).collect();
        let mut groups: Vec<Vec<Member>> = vec![
            alike(&[CpuClock, ContextSwitches, CpuMigrations, PageFaults]),
            alike(&[Cycles, Instructions, Branches, BranchMisses]),
            pair(0, L1DcacheLoads),
            pair(1, LlcLoads),
            pair(2, DtlbLoads),
            pair(3, ItlbLoads),
            alike(&[L1IcacheLoads]),
        ];
        groups.iter_mut().for_each(|group| group.retain(|member| can(member.event())));
        Self { groups }
    }

    /// The members of each group.
    pub fn groups(&self) -> &[Vec<Member>] {
        &self.groups
    }

    /// Makes two of a group that is refused or never gets its turn: what came before the refused member and the rest, or
    /// halves. Instructions beside misses go first. False when there is nothing to be split.
    pub fn split(&mut self, group: usize, refused: Option<usize>) -> bool {
        let Some(members) = self.groups.get_mut(group).filter(|members| members.len() > 1) else {
            return false;
        };
        if let Some(Member::Beside(_)) = members.first() {
            members.remove(0);
            return true;
        }
        let at = refused.filter(|at| (1..members.len()).contains(at)).unwrap_or(members.len() / 2);
        let rest = members.split_off(at);
        self.groups.push(rest);
        true
    }

    /// Gives a group up, and says what it would have counted.
    pub fn give_up(&mut self, group: usize) -> Vec<Member> {
        self.groups.get_mut(group).map(std::mem::take).unwrap_or_default()
    }
}

/// How an event is asked for. `pmu` is that of some of the cores, by its number in sysfs, on hosts whose cores differ.
pub fn attr(event: Event, pmu: Option<u32>, leads: bool) -> Attr {
    /// PERF_TYPE_HARDWARE, _SOFTWARE and _HW_CACHE.
    const HARDWARE: u32 = 0;
    const SOFTWARE: u32 = 1;
    const CACHE: u32 = 3;
    /// PERF_PMU_TYPE_SHIFT: where a generic event says which PMU is meant, since Linux 5.13.
    const PMU_SHIFT: u32 = 32;
    // Of a cache: which, then 0 for loads in the second byte, then 1 for misses in the third.
    let (kind, config) = match event {
        Event::CpuClock => (SOFTWARE, 0),
        Event::PageFaults => (SOFTWARE, 2),
        Event::ContextSwitches => (SOFTWARE, 3),
        Event::CpuMigrations => (SOFTWARE, 4),
        Event::Cycles => (HARDWARE, 0),
        Event::Instructions => (HARDWARE, 1),
        Event::Branches => (HARDWARE, 4),
        Event::BranchMisses => (HARDWARE, 5),
        Event::L1DcacheLoads => (CACHE, 0x0_0000),
        Event::L1DcacheLoadMisses => (CACHE, 0x1_0000),
        Event::L1IcacheLoads => (CACHE, 0x0_0001),
        Event::LlcLoads => (CACHE, 0x0_0002),
        Event::LlcLoadMisses => (CACHE, 0x1_0002),
        Event::DtlbLoads => (CACHE, 0x0_0003),
        Event::DtlbLoadMisses => (CACHE, 0x1_0003),
        Event::ItlbLoads => (CACHE, 0x0_0004),
        Event::ItlbLoadMisses => (CACHE, 0x1_0004),
    };
    let pmu = pmu.filter(|_| !event.is_software()).map_or(0, |pmu| u64::from(pmu) << PMU_SHIFT);
    let disabled = if leads { FLAG_DISABLED } else { 0 };
    Attr {
        kind,
        config: config | pmu,
        read_format: FORMAT_TOTAL_TIME_ENABLED | FORMAT_TOTAL_TIME_RUNNING | FORMAT_GROUP,
        flags: FLAG_EXCLUDE_GUEST | disabled,
        ..Attr::default()
    }
}

/// Something for each event.
pub type ByEvent<T> = [T; EVENTS];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(layout: &Layout) -> Vec<String> {
        let name = |member: &Member| match member {
            Member::Event(event) => event.name().to_owned(),
            Member::Beside(_) => "+".to_owned(),
        };
        layout
            .groups()
            .iter()
            .map(|group| group.iter().map(name).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn each_event_has_one_place_and_an_encoding_of_its_own() {
        let layout = Layout::of(|_| true);
        let members = || layout.groups().iter().flatten();
        let events: BTreeSet<_> = members()
            .filter_map(|member| matches!(member, Member::Event(_)).then_some(member.event()))
            .collect();
        assert_eq!((events.len(), members().count()), (EVENTS, EVENTS + MISSES.len()));
        assert!(layout.groups().iter().all(|group| group.len() <= MAX_MEMBERS));
        let encodings: BTreeSet<_> = Event::ALL
            .map(|event| attr(event, None, false))
            .map(|attr| (attr.kind, attr.config))
            .into();
        assert_eq!(encodings.len(), EVENTS);
    }

    #[test]
    fn instructions_stand_beside_misses_only() {
        let layout = Layout::of(|event| event != Event::ItlbLoadMisses && event != Event::LlcLoads);
        assert_eq!(
            names(&layout)[2..],
            [
                "+ L1-dcache-load-misses L1-dcache-loads",
                "+ LLC-load-misses",
                "+ dTLB-load-misses dTLB-loads",
                "iTLB-loads",
                "L1-icache-loads"
            ]
        );
        let without = Layout::of(|event| event != Event::Instructions);
        assert_eq!(names(&without)[2], "L1-dcache-load-misses L1-dcache-loads");
    }

    #[test]
    fn a_group_is_split_where_it_was_refused_else_in_halves() {
        let mut layout = Layout::of(|_| true);
        assert!(layout.split(1, Some(3)));
        assert_eq!(
            (&*names(&layout)[1], &*names(&layout)[7]),
            ("cycles instructions branches", "branch-misses")
        );
        assert!(layout.split(1, None) && layout.split(8, None) && !layout.split(7, None));
        assert_eq!((&*names(&layout)[1], &*names(&layout)[8]), ("cycles", "instructions"));
        assert!(layout.split(2, Some(2)));
        assert_eq!(names(&layout)[2], "L1-dcache-load-misses L1-dcache-loads");
    }

    #[test]
    fn the_pmu_of_some_cores_is_named_for_hardware_alone() {
        assert_eq!(attr(Event::LlcLoadMisses, Some(10), false).config, 10 << 32 | 0x1_0002);
        assert_eq!(attr(Event::PageFaults, Some(10), true).config, 2);
    }
}
