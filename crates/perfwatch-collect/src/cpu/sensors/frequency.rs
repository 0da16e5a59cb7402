//! Frequencies, as psutil takes them: `cpu MHz` of /proc/cpuinfo where it names as many CPUs as cpufreq has policies
//! or where there is no cpufreq, else scaling_cur_freq. Limits and governors, which change seldom, are read when policies are looked for.

use std::sync::Arc;
use std::time::Instant;

use super::{Finding, RESCAN};
use crate::cpu::MAX_CPUS;
use crate::error::{Error, Malformed};
use crate::host::{Host, KernelFile};
use crate::parse::{fraction, lines, number, push_text, words};

/// A longer name of a governor is cut off. The kernel's has 16 bytes (CPUFREQ_NAME_LEN).
const MAX_GOVERNOR_BYTES: usize = 16;

/// What is known of the frequencies.
#[derive(Debug, Default, Clone)]
pub(in crate::cpu) struct Frequency {
    /// By the kernel's number of the CPU.
    pub(super) mhz: Vec<Option<f64>>,
    /// None without cpufreq.
    pub(super) limits: Option<Arc<Limits>>,
}

/// What cpufreq keeps to, by the kernel's number of the CPU.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Limits {
    /// The most that it may run at.
    pub(in crate::cpu) mhz: Vec<Option<f64>>,
    /// What decides.
    pub(in crate::cpu) governors: Vec<Option<String>>,
}

/// The files of the frequencies.
pub(super) struct Frequencies {
    host: Arc<Host>,
    cpuinfo: KernelFile,
    policies: Vec<Policy>,
    limits: Option<Arc<Limits>>,
    found_at: Option<Instant>,
    /// How many CPUs /proc/cpuinfo named with a frequency at the last tick.
    listed: usize,
}

impl Frequencies {
    pub(super) fn new(host: Arc<Host>) -> Self {
        let cpuinfo = host.procfs("cpuinfo");
        Self { host, cpuinfo, policies: Vec::new(), limits: None, found_at: None, listed: 0 }
    }

    pub(super) fn read(&mut self) -> Finding<Frequency> {
        let mut by_cpu = Vec::new();
        let listed = self.cpuinfo.parse(|text| parse_cpuinfo(text, &mut by_cpu));
        let count = *listed.as_ref().unwrap_or(&0);
        // When a CPU goes on or offline, its policy goes with it.
        let moved = std::mem::replace(&mut self.listed, count) != count;
        if moved || self.found_at.is_none_or(|at| at.elapsed() >= RESCAN) {
            self.policies = find_policies(&self.host)?;
            self.limits = read_limits(&mut self.policies);
            self.found_at = Some(Instant::now());
        }
        if self.policies.is_empty() {
            // An unreadable cpuinfo is an error only where it is the one source.
            listed?;
        } else if count != self.policies.len() {
            by_cpu = self.ask_policies();
        }
        if by_cpu.is_empty() {
            return Err(Error::Unavailable(
                "neither /proc/cpuinfo nor cpufreq tells a frequency".to_owned(),
            ));
        }
        Ok(Frequency { mhz: by_cpu, limits: self.limits.clone() })
    }

    fn ask_policies(&mut self) -> Vec<Option<f64>> {
        let mut by_cpu = Vec::new();
        for policy in &mut self.policies {
            let mhz = policy.read();
            for &cpu in &policy.cpus {
                set(&mut by_cpu, cpu, mhz);
            }
        }
        by_cpu
    }
}

/// Puts the value of a CPU at its number.
fn set<T: Clone>(by_cpu: &mut Vec<Option<T>>, cpu: usize, value: Option<T>) {
    if by_cpu.len() <= cpu {
        by_cpu.resize(cpu.saturating_add(1), None);
    }
    if let Some(slot) = by_cpu.get_mut(cpu) {
        *slot = value;
    }
}

/// A group of CPUs that change their frequency together.
struct Policy {
    cpus: Vec<usize>,
    current: KernelFile,
    /// Where old kernels have it.
    old_current: KernelFile,
    limit: KernelFile,
    governor: KernelFile,
}

impl Policy {
    fn read(&mut self) -> Option<f64> {
        megahertz(self.current.read().or_else(|_| self.old_current.read()).ok()?)
    }
}

fn megahertz(khz: &[u8]) -> Option<f64> {
    Some(number(khz.trim_ascii())? as f64 / 1000.0)
}

/// The limits of all policies. None where there is no policy.
fn read_limits(policies: &mut [Policy]) -> Option<Arc<Limits>> {
    let mut limits = Limits::default();
    for policy in policies.iter_mut() {
        let mhz = policy.limit.read().ok().and_then(megahertz);
        let governor = policy.governor.read().ok().map(|name| {
            let mut governor = String::new();
            let name = name.trim_ascii();
            push_text(&mut governor, name.get(..MAX_GOVERNOR_BYTES).unwrap_or(name));
            governor
        });
        for &cpu in &policy.cpus {
            set(&mut limits.mhz, cpu, mhz);
            set(&mut limits.governors, cpu, governor.clone());
        }
    }
    (!policies.is_empty()).then(|| Arc::new(limits))
}

/// Reads `cpu MHz` of /proc/cpuinfo into the positions of the CPUs, and says how many there were. Arm and others
/// list none.
pub fn parse_cpuinfo(text: &[u8], by_cpu: &mut Vec<Option<f64>>) -> Result<usize, Malformed> {
    by_cpu.clear();
    let mut listed = 0_usize;
    let mut cpu = 0_usize;
    for (index, line) in lines(text) {
        if line.starts_with(b"processor") {
            // s390 writes `processor 0: version = …`, which names no frequency.
            cpu = value(line)
                .and_then(|value| usize::try_from(number(value)?).ok())
                .filter(|cpu| *cpu < MAX_CPUS)
                .unwrap_or(by_cpu.len());
        } else if line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"cpu MHz")) {
            let mhz = value(line).and_then(fraction).filter(|mhz| *mhz >= 0.0);
            let mhz = mhz.ok_or_else(|| Malformed::at(index, "not a frequency"))?;
            if cpu >= MAX_CPUS {
                continue;
            }
            set(by_cpu, cpu, Some(mhz));
            listed = listed.saturating_add(1);
        }
    }
    Ok(listed)
}

fn value(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    Some(line.get(colon.saturating_add(1)..)?.trim_ascii())
}

fn find_policies(host: &Host) -> Finding<Vec<Policy>> {
    const CPUS: &str = "devices/system/cpu";
    let policy = |directory: &str, first: usize| {
        let affected = host.sysfs_text(&format!("{directory}/affected_cpus"));
        let cpus = affected.map_or_else(
            || vec![first],
            |cpus| {
                words(cpus.as_bytes())
                    .filter_map(|cpu| usize::try_from(number(cpu)?).ok())
                    .collect()
            },
        );
        Policy {
            cpus: cpus.into_iter().filter(|cpu| *cpu < MAX_CPUS).take(MAX_CPUS).collect(),
            current: host.sysfs(&format!("{directory}/scaling_cur_freq")),
            old_current: host.sysfs(&format!("{directory}/cpuinfo_cur_freq")),
            limit: host.sysfs(&format!("{directory}/scaling_max_freq")),
            governor: host.sysfs(&format!("{directory}/scaling_governor")),
        }
    };
    let numbered = |names: Vec<String>, prefix: &'static str| {
        names
            .into_iter()
            .filter_map(move |name| Some((name.strip_prefix(prefix)?.parse().ok()?, name)))
    };
    let policies: Vec<_> = numbered(host.sysfs_names(&format!("{CPUS}/cpufreq"))?, "policy")
        .map(|(first, name)| policy(&format!("{CPUS}/cpufreq/{name}"), first))
        .collect();
    if !policies.is_empty() {
        return Ok(policies);
    }
    // Kernels before 4.3 have a directory in each CPU's own.
    let of_cpus = numbered(host.sysfs_names(CPUS)?, "cpu");
    let mut policies = Vec::new();
    for (cpu, name) in of_cpus {
        let directory = format!("{CPUS}/{name}/cpufreq");
        if !host.sysfs_names(&directory)?.is_empty() {
            policies.push(policy(&directory, cpu));
        }
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_is_placed_by_processor_number() {
        let mut by_cpu = Vec::new();
        let text =
            b"processor\t: 0\ncpu MHz\t\t: 2596.098\n\nprocessor\t: 2\ncpu MHz\t\t: 800.000\n";
        assert_eq!(parse_cpuinfo(text, &mut by_cpu), Ok(2));
        assert_eq!(by_cpu, [Some(2596.098), None, Some(800.0)]);
    }

    #[test]
    fn arm_lists_no_frequency() {
        let mut by_cpu = vec![Some(1.0)];
        assert_eq!(parse_cpuinfo(b"processor\t: 0\nBogoMIPS\t: 50.00\n", &mut by_cpu), Ok(0));
        assert!(by_cpu.is_empty());
    }

    #[test]
    fn a_frequency_that_is_none_is_refused() {
        let mut by_cpu = Vec::new();
        for bad in ["cpu MHz\t\t: fast\n", "cpu MHz\n", "cpu MHz : -1\n", "cpu MHz : inf\n"] {
            assert!(parse_cpuinfo(bad.as_bytes(), &mut by_cpu).is_err(), "{bad}");
        }
    }
}
