//! Counts by way of `perf stat -x, -I <interval> -a -e …`, as the specification describes it.
//!
//! perf counts by its own clock, so a tick takes the intervals that have ended since the one before: most often one, now and
//! then none or two. What is reported goes by the length that perf gives, not by that of the tick.
//!
//! perf does not notice that CPUs come or go, so it is begun anew when the kernel's list of them is another. A CPU that goes and
//! comes back between two ticks is missed.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use perfwatch_metrics::State;

use self::keeper::{Keeper, Plan};
use super::source::{Source, Totals};
use super::{Absence, CpuList, Cpus};
use crate::error::Error;
use crate::host::{Host, KernelFile};
use crate::parse::lines;

mod child;
mod keeper;

pub mod csv;

pub use child::PROGRAMS;

/// What is told of perf's own words.
const MAX_SAID_CHARS: usize = 200;

/// Counts by `perf stat`. Begins at the first read, and ends perf when dropped.
#[derive(Debug)]
pub struct PerfStat {
    program: Option<PathBuf>,
    interval: Duration,
    cpus: Cpus,
    online: KernelFile,
    keeper: Option<Keeper>,
    /// What the kernel said of its CPUs when the keeper began.
    online_then: Vec<u8>,
}

impl PerfStat {
    /// Counts at this interval, on those of these CPUs that are online.
    pub fn new(host: &Host, interval: Duration, cpus: Cpus) -> Self {
        Self {
            program: None,
            interval,
            cpus,
            online: host.sysfs("devices/system/cpu/online"),
            keeper: None,
            online_then: Vec::new(),
        }
    }

    /// With this perf instead of the first of [`PROGRAMS`] that is there.
    pub fn with_program(self, program: &Path) -> Self {
        Self { program: Some(program.to_owned()), ..self }
    }

    /// The keeper of a perf that counts on the CPUs that are online now: a running one does not notice those that come,
    /// and counts no more on one that went and came back.
    fn keeper(&mut self) -> Result<&Keeper, Error> {
        // A kernel that does not say which are online has them all for good.
        let online = self.online.read().unwrap_or_default();
        let keeper = match self.keeper.take() {
            Some(keeper) if online == self.online_then => keeper,
            before => {
                let cpus = match std::str::from_utf8(online).ok().and_then(|text| text.parse().ok())
                {
                    Some(online) => online_of(&self.cpus, &online)?,
                    None => self.cpus.clone(),
                };
                let totals = before.map(|keeper| keeper.totals()).unwrap_or_default();
                self.online_then = online.to_vec();
                let plan = Plan { program: self.program.clone(), interval: self.interval, cpus };
                Keeper::start(plan, totals).map_err(|error| Trouble::NotHeard(error.to_string()))?
            }
        };
        Ok(self.keeper.insert(keeper))
    }
}

impl Source for PerfStat {
    fn name(&self) -> &'static str {
        "perf-stat"
    }

    fn read(&mut self, into: &mut Totals) -> Result<(), Error> {
        Ok(self.keeper()?.read(into)?)
    }
}

/// Those that are online. perf counts nothing at all when one of a list is not.
fn online_of(cpus: &Cpus, online: &CpuList) -> Result<Cpus, Trouble> {
    match cpus {
        Cpus::All => Ok(Cpus::All),
        Cpus::Listed(list) => {
            let there: CpuList =
                list.iter().filter(|cpu| online.contains(*cpu)).map(|cpu| (cpu, cpu)).collect();
            if there == CpuList::default() {
                return Err(Trouble::NoCpu(list.to_string()));
            }
            Ok(Cpus::Listed(there))
        }
    }
}

/// Why perf does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no perf.
    #[error("perf is not installed: none of {}", PROGRAMS.join(", "))]
    NotInstalled,
    /// Others than root decide what would be run.
    #[error("perf was not started: others than root may change {}", .0.display())]
    Untrusted(PathBuf),
    /// It did not start.
    #[error("starting {path}: {why}", path = .0.display(), why = .1)]
    NotStarted(PathBuf, String),
    /// The system failed between it and us.
    #[error("listening to perf stat: {0}")]
    NotHeard(String),
    /// It ran and printed no count.
    #[error("perf stat has printed no count for {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// It printed more than counts.
    #[error("perf stat printed more than {} bytes in one interval", keeper::MAX_OUTPUT_BYTES)]
    Flooded,
    /// It ended, this way and with these words.
    #[error("perf stat ended ({0}){1}")]
    Ended(String, String),
    /// It says that this user may not count.
    #[error("perf stat ended{0}")]
    Denied(String),
    /// None of the CPUs to count on is online.
    #[error("no CPU of {0} is online")]
    NoCpu(String),
}

impl Trouble {
    /// What its end and its messages mean.
    fn ended(status: Option<ExitStatus>, messages: &[u8]) -> Self {
        let said = lines(messages)
            .map(|(_, line)| String::from_utf8_lossy(line.trim_ascii()).into_owned())
            .find(|line| !line.is_empty() && line != "Error:")
            .map(|line| line.chars().take(MAX_SAID_CHARS).flat_map(char::escape_debug).collect())
            .map(|line: String| format!(": {line}"))
            .unwrap_or_default();
        // perf names the sysctl when, and only when, it lacks the permission.
        if memchr::memmem::find(messages, b"perf_event_paranoid").is_some() {
            return Self::Denied(said);
        }
        Self::Ended(status.map_or("not reaped".to_owned(), |status| status.to_string()), said)
    }

    /// How it is to be shown.
    pub fn state(&self) -> State {
        match self {
            Self::NotInstalled | Self::NoCpu(_) => State::Unavailable,
            Self::Denied(_) => State::Denied,
            _ => State::Failed,
        }
    }

    /// What to do about it, if anything is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotInstalled => {
                Some("install perf (Debian: linux-perf), or set perf.source to native".to_owned())
            }
            Self::Untrusted(path) => {
                Some(format!("chown root {0} && chmod go-w {0}", path.display()))
            }
            Self::Denied(_) => Absence::UserOnly.fix(),
            Self::NoCpu(_) => Some("set perf.cpus to all, or to CPUs that are online".to_owned()),
            _ => Some("set perf.source to native, which needs no perf".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
