//! What a rule is made of: series, thresholds, and the words for them.
//!
//! A rule holds when all of its deciding signals have been past `enter` for `hold_s`, and goes on until one of them has been
//! back past `leave` for `calm_s`. So one look at the window has a memory, and what swings around a threshold is told
//! once.

use crate::sentence::{Kind, Resource, Severity};

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name, for links and programs.
    pub name: &'static str,
    /// What it is about.
    pub resource: Resource,
    /// In which way that is in trouble.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// It is critical when the first signal's value is past this one.
    pub critical: Option<f64>,
    /// The label that tells its objects apart. None when it is about the host.
    pub object: Option<&'static str>,
    /// How its sentence begins; `{}` is the object.
    pub head: &'static str,
    /// What must be past its threshold for so many seconds.
    pub hold_s: u32,
    /// What must be back for so many seconds until it is over.
    pub calm_s: u32,
    /// Whether it is told only when it was otherwise before, or usually is.
    pub news: bool,
    /// What decides, and what is told besides. The first one decides.
    pub signals: &'static [Signal],
    /// Effects of it, which are not told beside it.
    pub hides: &'static [&'static str],
    /// Where the thresholds are from.
    pub why: &'static str,
}

impl Rule {
    pub(crate) const fn new(
        name: &'static str,
        (resource, kind, severity): (Resource, Kind, Severity),
        head: &'static str,
        signals: &'static [Signal],
        why: &'static str,
    ) -> Self {
        Self {
            name,
            resource,
            kind,
            severity,
            critical: None,
            object: None,
            head,
            hold_s: 30,
            calm_s: 60,
            news: false,
            signals,
            hides: &[],
            why,
        }
    }

    /// For each object that this label names.
    pub(crate) const fn each(mut self, label: &'static str) -> Self {
        self.object = Some(label);
        self
    }

    /// Critical from this value of the first signal on.
    pub(crate) const fn critical(mut self, value: f64) -> Self {
        self.critical = Some(value);
        self
    }

    /// How long it must be so.
    pub(crate) const fn hold(mut self, seconds: u32) -> Self {
        self.hold_s = seconds;
        self
    }

    /// As soon as it is so, and until it is not: for levels, and for events, which are added up over a minute already.
    pub(crate) const fn at_once(mut self) -> Self {
        (self.hold_s, self.calm_s) = (0, 0);
        self
    }

    /// Told only when it was otherwise before.
    pub(crate) const fn news(mut self) -> Self {
        self.news = true;
        self
    }

    /// What is not told beside it.
    pub(crate) const fn hides(mut self, effects: &'static [&'static str]) -> Self {
        self.hides = effects;
        self
    }
}

/// One series of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Signal {
    /// Id of the metric.
    pub id: &'static str,
    /// Label and value of the one series that is meant, where it is not the object's.
    pub only: Option<(&'static str, &'static str)>,
    /// What it has to say.
    pub role: Role,
    /// How it is read.
    pub reading: Reading,
    /// When it is past its threshold.
    pub test: Test,
    /// Whether the thresholds are for each CPU.
    pub per_cpu: bool,
    /// The words for it; `{}` is its value, `{cpus}` the number of CPUs, `{s}` the plural. Empty: it decides and is not told.
    pub says: &'static str,
}

/// What a signal has to say in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The rule is silent without it.
    Must,
    /// Where the host has it, it must be past its threshold too.
    IfThere,
    /// One of those must be past its threshold.
    OneOf,
    /// It decides nothing, and is told.
    Told,
    /// The rule is silent with it: another one knows better.
    Absent,
}

/// How the values of a series are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Step by step; what is told is the mean.
    Mean,
    /// Step by step; what is told is the last one.
    Level,
    /// Increases of a counter, added up over the minute before; what is told is how many there were in all.
    Events,
}

/// When a signal is past its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test {
    /// From `enter` up, until it is below `leave`.
    Above {
        /// Where it begins.
        enter: f64,
        /// Where it ends.
        leave: f64,
    },
    /// From `enter` down, until it is above `leave`.
    Below {
        /// Where it begins.
        enter: f64,
        /// Where it ends.
        leave: f64,
    },
    /// Above what is usual by twice the width of the usual, by as much as the usual and by `floor`, whichever is most;
    /// until it is half as far out.
    FarAbove {
        /// The least distance that matters.
        floor: f64,
    },
    /// Below a tenth of the usual, which is `floor` at least; until it is above a third.
    FarBelow {
        /// The least usual that matters.
        floor: f64,
    },
}

/// Always past its threshold: for signals that are told.
const NOTHING: Test = Test::Above { enter: f64::NEG_INFINITY, leave: f64::NEG_INFINITY };

/// From the first value up, until below the second.
pub(crate) const fn above(enter: f64, leave: f64) -> Test {
    Test::Above { enter, leave }
}

/// From the first value down, until above the second.
pub(crate) const fn below(enter: f64, leave: f64) -> Test {
    Test::Below { enter, leave }
}

/// Far above what is usual, by so much at least.
pub(crate) const fn far_above(floor: f64) -> Test {
    Test::FarAbove { floor }
}

/// Far below what is usual, which is so much at least.
pub(crate) const fn far_below(floor: f64) -> Test {
    Test::FarBelow { floor }
}

const fn signal(id: &'static str, role: Role, test: Test, says: &'static str) -> Signal {
    Signal { id, only: None, role, reading: Reading::Mean, test, per_cpu: false, says }
}

pub(crate) const fn must(id: &'static str, test: Test, says: &'static str) -> Signal {
    signal(id, Role::Must, test, says)
}

pub(crate) const fn if_there(id: &'static str, test: Test, says: &'static str) -> Signal {
    signal(id, Role::IfThere, test, says)
}

pub(crate) const fn one_of(id: &'static str, test: Test, says: &'static str) -> Signal {
    signal(id, Role::OneOf, test, says)
}

pub(crate) const fn told(id: &'static str, says: &'static str) -> Signal {
    signal(id, Role::Told, NOTHING, says)
}

pub(crate) const fn absent(id: &'static str) -> Signal {
    signal(id, Role::Absent, NOTHING, "")
}

impl Signal {
    /// The series whose label has this value.
    pub(crate) const fn of(mut self, label: &'static str, value: &'static str) -> Self {
        self.only = Some((label, value));
        self
    }

    /// With thresholds for each CPU.
    pub(crate) const fn per_cpu(mut self) -> Self {
        self.per_cpu = true;
        self
    }

    /// Of which the last value is told.
    pub(crate) const fn level(mut self) -> Self {
        self.reading = Reading::Level;
        self
    }

    /// A counter of events.
    pub(crate) const fn events(mut self) -> Self {
        self.reading = Reading::Events;
        self
    }
}
