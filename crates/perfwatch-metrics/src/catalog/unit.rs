//! Units.

/// The unit of a value, as the specification writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths, 0 to 100.
    Percent,
    /// Octets.
    Bytes,
    /// Octets per second.
    BytesPerSecond,
    /// Units of 1,024 bytes per second, the unit of the kernel's pgpgin and pgpgout.
    KilobytesPerSecond,
    /// A plain number of things.
    Count,
    /// Network packets per second.
    PacketsPerSecond,
    /// I/O requests per second.
    OperationsPerSecond,
    /// Pages of the kernel's page size per second.
    PagesPerSecond,
    /// Page faults per second.
    FaultsPerSecond,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Millions of cycles per second.
    Megahertz,
    /// Billions of cycles per second.
    Gigahertz,
    /// So many for each cycle.
    PerCycle,
    /// So many for 1,000 instructions.
    PerThousandInstructions,
    /// Things that happen, per second.
    EventsPerSecond,
    /// 1 for yes, 0 for no.
    Flag,
    /// Degrees Celsius.
    Celsius,
    /// Units of energy: a watt for a second.
    Joules,
    /// Units of power: a joule per second.
    Watts,
    /// Not a number.
    Text,
}

impl Unit {
    /// The unit as people write it: `bytes/s`.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes/s",
            Self::KilobytesPerSecond => "KB/s",
            Self::Count => "count",
            Self::PacketsPerSecond => "pkts/s",
            Self::OperationsPerSecond => "ops/s",
            Self::PagesPerSecond => "pages/s",
            Self::FaultsPerSecond => "faults/s",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megahertz => "MHz",
            Self::Gigahertz => "GHz",
            Self::PerCycle => "per cycle",
            Self::PerThousandInstructions => "per 1,000 instructions",
            Self::EventsPerSecond => "events/s",
            Self::Flag => "0 or 1",
            Self::Celsius => "°C",
            Self::Joules => "J",
            Self::Watts => "W",
            Self::Text => "string",
        }
    }
}
