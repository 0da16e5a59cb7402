//! Which PMUs count memory traffic, and by which events.
//!
//! Intel's servers list `cas_count_read` and `cas_count_write` for each channel (arch/x86/events/intel/uncore_snbep.c; Granite Rapids
//! for each half of one), their clients `data_read` and `data_write` of counters that always run (uncore_snb.c). AMD's drivers
//! list no events at all: theirs are those of perf (tools/perf/pmu-events/arch/x86), `umc_cas_cmd.rd` and `.wr` of
//! amdzen4/memory-controller.json, and before Zen 4 `dram_channel_data_controller_0` to `_7` of amdzen{1,2,3}/data-fabric.json,
//! reads and writes together.

use crate::error::Error;
use crate::host::Host;
use crate::parse::{lines, number};
use crate::pmu::{Event, Pmu};

/// What one count stands for where sysfs does not say: a burst on the bus, a cache line.
const LINE_BYTES: f64 = 64.0;

/// PMUs that count memory traffic, the best first: a host may have several that count the same.
pub(super) const SOURCES: [Source; 5] = [
    Source {
        pmu: "uncore_imc",
        events: Events::Listed {
            read: &["cas_count_read", "cas_count_read_sch0", "cas_count_read_sch1"],
            write: &["cas_count_write", "cas_count_write_sch0", "cas_count_write_sch1"],
        },
    },
    Source {
        pmu: "uncore_imc_free_running",
        events: Events::Listed { read: &["data_read", "read"], write: &["data_write", "write"] },
    },
    Source {
        pmu: "uncore_imc",
        events: Events::Listed { read: &["data_reads"], write: &["data_writes"] },
    },
    Source {
        pmu: "amd_umc",
        events: Events::Known(&[
            (Way::Read, "umc_cas_cmd.rd", "event=0x0a,rdwrmask=0x1"),
            (Way::Write, "umc_cas_cmd.wr", "event=0x0a,rdwrmask=0x2"),
        ]),
    },
    Source {
        pmu: "amd_df",
        events: Events::BeforeZen4(&[
            (Way::Both, "dram_channel_data_controller_0", "event=0x07,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_1", "event=0x47,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_2", "event=0x87,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_3", "event=0xc7,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_4", "event=0x107,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_5", "event=0x147,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_6", "event=0x187,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_7", "event=0x1c7,umask=0x38"),
        ]),
    },
];

/// A kind of PMU: `uncore_imc` and `uncore_imc_0`, `uncore_imc_1`, …
pub(super) struct Source {
    pub(super) pmu: &'static str,
    pub(super) events: Events,
}

/// Which of its events count memory traffic.
pub(super) enum Events {
    /// Those that sysfs lists under these names.
    Listed { read: &'static [&'static str], write: &'static [&'static str] },
    /// These, with their fields.
    Known(&'static [(Way, &'static str, &'static str)]),
    /// These, on processors of AMD's families 17h and 19h that are no Zen 4.
    BeforeZen4(&'static [(Way, &'static str, &'static str)]),
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
    Both,
}

impl Events {
    /// Those that the PMU has.
    pub(super) fn of(&self, host: &Host, pmu: &Pmu) -> Result<Vec<(Way, Event)>, Error> {
        let known = |events: &[(Way, &str, &str)]| {
            events
                .iter()
                .filter_map(|(way, name, fields)| Some((*way, pmu.event_of(name, fields)?)))
                .collect()
        };
        match self {
            Self::Listed { read, write } => {
                let mut found = Vec::new();
                for (way, names) in [(Way::Read, read), (Way::Write, write)] {
                    for name in *names {
                        found.extend(pmu.event(host, name)?.map(|event| (way, event)));
                    }
                }
                Ok(found)
            }
            Self::Known(events) => Ok(known(events)),
            Self::BeforeZen4(events) if is_before_zen4(host)? => Ok(known(events)),
            Self::BeforeZen4(_) => Ok(Vec::new()),
        }
    }
}

/// Whether a PMU is one of several of this name.
pub(super) fn is_instance(device: &str, name: &str) -> bool {
    device.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|digits| number(digits.as_bytes()).is_some())
    })
}

/// What a count stands for: sysfs gives MiB (2^20 bytes) for each.
pub(super) fn bytes_per_count(event: &Event) -> f64 {
    let mib = event.scale.filter(|_| event.unit.as_deref() == Some("MiB"));
    mib.map_or(LINE_BYTES, |mib| mib * f64::from(1 << 20))
}

/// Whether this is an AMD processor of the families that tools/perf/pmu-events/arch/x86/mapfile.csv takes for Zen 1 to 3.
fn is_before_zen4(host: &Host) -> Result<bool, Error> {
    host.procfs("cpuinfo").parse(|text| {
        let field = |name: &[u8]| {
            let mut values = lines(text).filter_map(|(_, line)| {
                let (key, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
                (key.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
            });
            values.next()
        };
        let model = field(b"model").and_then(number);
        Ok(match (field(b"vendor_id"), field(b"cpu family").and_then(number), model) {
            (Some(b"AuthenticAMD"), Some(0x17), Some(_)) => true,
            (Some(b"AuthenticAMD"), Some(0x19), Some(model)) => {
                matches!(model, 0..=0x0f | 0x20..=0x2f | 0x40..=0x5f)
            }
            _ => false,
        })
    })
}
