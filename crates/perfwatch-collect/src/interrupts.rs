//! /proc/interrupts and /proc/softirqs: a table with a column for each CPU.
//!
//! ```text
//!            CPU0       CPU1
//!  36:          0      26321 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
//! TLB:        782        668   TLB shootdowns
//! ERR:          0
//! ```
//!
//! ERR and MIS are counts of errors, not of interrupts, and have no column of a CPU: they are left out. /proc/interrupts has columns of the CPUs that are
//! online; /proc/softirqs, of those that could be. Each column is 32 bits wide, and wraps.

use crate::error::Malformed;
use crate::parse::{lines, push_text, shown, words};
use crate::rate::increase_of_columns;
use crate::rows::{Matcher, Named, Rows};

/// Most lines of a table. Beyond it lines are left out. A server of two sockets has 1,000.
pub const MAX_LINES: usize = 16_384;

/// A longer name of a line is cut off. Devices give lines names of up to 30 bytes; one line may serve several.
const MAX_NAME_BYTES: usize = 80;

/// What a table said.
#[derive(Debug, Default)]
pub struct Table {
    /// Which CPUs there is a column of, as the kernel wrote them.
    header: Vec<u8>,
    /// In the kernel's order.
    lines: Rows<Line>,
    /// False when it could not be read; its memory is kept.
    is_there: bool,
    /// There were more than [`MAX_LINES`].
    pub truncated: bool,
}

/// One kind of interrupt.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `36: virtio1-req.0`, `TLB: TLB shootdowns`; of a soft interrupt `NET_RX`.
    pub name: String,
    /// Sum of the columns.
    seen: u64,
    /// What is told: see `Continued`.
    pub count: u64,
}

impl Named for Line {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The sum of all columns of /proc/interrupts.
pub fn parse_interrupts(text: &[u8]) -> Result<u64, Malformed> {
    let mut all = 0_u64;
    each_row(text, |_, sum, _| all = all.saturating_add(sum))?;
    Ok(all)
}

/// The lines of /proc/interrupts that have fired, with the names of their devices.
pub fn parse_interrupt_lines(text: &[u8], into: &mut Table) -> Result<(), Malformed> {
    into.fill(text, |irq, rest, name| {
        push_text(name, irq);
        let what = if irq.iter().all(u8::is_ascii_digit) { devices(rest) } else { rest };
        let what = what.trim_ascii();
        if !what.is_empty() {
            name.push_str(": ");
            push_text(name, what.get(..MAX_NAME_BYTES).unwrap_or(what));
        }
    })
}

/// The lines of /proc/softirqs.
pub fn parse_softirqs(text: &[u8], into: &mut Table) -> Result<(), Malformed> {
    into.fill(text, |vector, _, name| {
        push_text(name, vector.get(..MAX_NAME_BYTES).unwrap_or(vector));
    })
}

impl Table {
    /// The lines, in the kernel's order. None when the table could not be read.
    pub fn lines(&self) -> Option<&[Line]> {
        self.is_there.then_some(&*self.lines)
    }

    /// It could not be read.
    pub(crate) fn forget(&mut self) {
        self.is_there = false;
    }

    fn fill(
        &mut self,
        text: &[u8],
        write_name: impl Fn(&[u8], &[u8], &mut String),
    ) -> Result<(), Malformed> {
        let Self { header, lines, is_there, truncated } = self;
        lines.clear();
        (*is_there, *truncated) = (false, false);
        let cpus = each_row(text, |label, sum, rest| {
            if sum == 0 {
                return;
            }
            if lines.len() == MAX_LINES {
                *truncated = true;
                return;
            }
            let line = lines.next_row();
            line.name.clear();
            write_name(label, rest, &mut line.name);
            (line.seen, line.count) = (sum, sum);
        })?;
        header.clear();
        header.extend_from_slice(cpus);
        *is_there = true;
        Ok(())
    }
}

/// Shows the label of each row, the sum of its columns and what follows them. Gives back the header.
fn each_row<'t>(
    text: &'t [u8],
    mut each: impl FnMut(&'t [u8], u64, &'t [u8]),
) -> Result<&'t [u8], Malformed> {
    let mut lines = lines(text);
    let header = lines.next().map_or(&[][..], |(_, header)| header);
    let columns = words(header).count();
    if columns == 0 {
        return Err(Malformed::at(0, "no header of CPUs"));
    }
    for (index, line) in lines {
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line)
            .ok_or_else(|| Malformed::at(index, format!("no interrupt: {}", shown(line))))?;
        let (label, row) = line.split_at_checked(colon).unwrap_or_default();
        let label = label.trim_ascii();
        if !matches!(label, b"ERR" | b"MIS" | b"Err") {
            let (sum, rest) = sum_columns(row.get(1..).unwrap_or_default(), columns);
            each(label, sum, rest);
        }
    }
    Ok(header)
}

/// Sum of the first `columns` numbers, and what follows them. Stops at the first word that is none: a row never has fewer numbers than there
/// are CPUs unless it is no row of theirs. Of a large host this is most of what parsing takes.
fn sum_columns(row: &[u8], columns: usize) -> (u64, &[u8]) {
    let (mut sum, mut rest) = (0_u64, row);
    for _ in 0..columns {
        let word = rest.trim_ascii_start();
        let (mut value, mut digits) = (Some(0_u64), 0_usize);
        for byte in word {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.and_then(|v| v.checked_mul(10)?.checked_add(u64::from(digit)));
            digits = digits.saturating_add(1);
        }
        let is_word = digits > 0 && word.get(digits).is_none_or(u8::is_ascii_whitespace);
        let Some(value) = value.filter(|_| is_word) else { break };
        sum = sum.saturating_add(value);
        rest = word.get(digits..).unwrap_or_default();
    }
    (sum, rest)
}

/// The devices of a numbered line: what follows the last two blanks. `edge` and the like before them are padded to eight
/// characters, so that a line without a device ends with a blank.
fn devices(rest: &[u8]) -> &[u8] {
    if rest.last().is_none_or(u8::is_ascii_whitespace) {
        return &[];
    }
    let start = rest.windows(2).rposition(|pair| pair == b"  ");
    start.and_then(|start| rest.get(start..)).unwrap_or_default()
}

/// Lets counts go on when a column wraps, and begin anew when a CPU goes offline and takes its columns along, or brings them back: what such a
/// CPU did in all its life must not be told as if it had done it just now.
#[derive(Debug, Default)]
pub(crate) struct Continued {
    header: Vec<u8>,
    before: Rows<Line>,
}

impl Continued {
    /// Puts what is to be told into the lines of the newest table.
    pub(crate) fn carry_on(&mut self, table: &mut Table) {
        let same_cpus = self.header == table.header;
        let mut earlier = Matcher::new(&self.before);
        for line in table.lines.rows_mut() {
            let Some(before) = earlier.find(&line.name) else { continue };
            if !same_cpus {
                line.count = 0;
            } else if let Some(grown) = increase_of_columns(before.seen, line.seen) {
                line.count = before.count.saturating_add(grown);
            }
        }
        if !same_cpus {
            self.header.clone_from(&table.header);
        }
        self.before.clear();
        for line in table.lines.iter() {
            let row = self.before.next_row();
            row.name.clone_from(&line.name);
            (row.seen, row.count) = (line.seen, line.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let mut table = Table::default();
        parse_interrupt_lines(text.as_bytes(), &mut table).unwrap();
        table.lines.iter().map(|line| format!("{} = {}", line.name, line.count)).collect()
    }

    #[test]
    fn interrupts_are_the_columns_of_cpus_alone() {
        let text = b"     CPU0  CPU1\n  1:  2  3  IO-APIC 7-edge i8042\nTLB: 10 20 TLB shootdowns\nERR: 9\nMIS: 9\nIPI0: 100 200 \n";
        assert_eq!(parse_interrupts(text), Ok(335));
        assert!(parse_interrupts(b"").is_err());
        assert_eq!(
            parse_interrupts(b" CPU0\ngarbage").unwrap_err().to_string(),
            "2: no interrupt: garbage"
        );
    }

    #[test]
    fn a_line_is_named_after_its_devices() {
        let text = "           CPU0       CPU1       \n \
            24:          1          0  IO-APIC   5-edge      ACPI:Ged\n \
            36:          0    2633615 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0\n \
            37:          1          0 PCI-MSIX-0000:00:03.0   0-edge    \n  \
            9:          4          0   IO-APIC-fasteoi   acpi, i801 smbus\n \
            12:          0          0  IO-APIC  12-edge      never fired\n \
            13:          7          0     GICv3  27 Level     arch_timer\n\
            LOC:    3568838    3536508   Local timer interrupts\n\
            IPI0:       100        200 \n\
            ERR:          0\n";
        let expected = [
            "24: ACPI:Ged = 1",
            "36: virtio1-req.0 = 2633615",
            "37 = 1",
            "9: acpi, i801 smbus = 4",
            "13: arch_timer = 7",
            "LOC: Local timer interrupts = 7105346",
            "IPI0 = 300",
        ];
        assert_eq!(names(text), expected);
    }

    #[test]
    fn names_are_text_of_a_bounded_length() {
        let mut table = Table::default();
        let text = [&b" CPU0\n 1: 5  x  \xff"[..], &[b'a'; 500]].concat();
        parse_interrupt_lines(&text, &mut table).unwrap();
        assert!(table.lines[0].name.starts_with("1: \\xffaaa"));
        assert_eq!(table.lines[0].name.len(), MAX_NAME_BYTES + 6);
    }

    #[test]
    fn lines_beyond_the_limit_are_left_out_and_said() {
        let rows = (0..=MAX_LINES).map(|irq| format!("{irq}: 1  x  y\n"));
        let text = format!(" CPU0\n{}", rows.collect::<String>());
        let mut table = Table::default();
        parse_interrupt_lines(text.as_bytes(), &mut table).unwrap();
        assert_eq!((table.lines.len(), table.truncated), (MAX_LINES, true));
    }

    #[test]
    fn counts_go_on_over_a_wrap_and_begin_anew_with_other_cpus() {
        let mut continued = Continued::default();
        let mut table = Table::default();
        for (text, told) in [
            ("CPU0 CPU1\nLOC: 100 5000\n", 5100),
            ("CPU0 CPU1\nLOC: 200 5100\n", 5300),
            // CPU 1 goes, and comes back.
            ("CPU0\nLOC: 300\n", 0),
            ("CPU0\nLOC: 400\n", 100),
            ("CPU0 CPU1\nLOC: 500 5200\n", 0),
            ("CPU0 CPU1\nLOC: 600 4294967295\n", 100 + 4_294_967_295 - 5200),
            ("CPU0 CPU1\nLOC: 600 4\n", 100 + 4_294_967_296 - 5200 + 4),
            // A reset is one.
            ("CPU0 CPU1\nLOC: 1 1\n", 2),
        ] {
            parse_interrupt_lines(text.as_bytes(), &mut table).unwrap();
            continued.carry_on(&mut table);
            assert_eq!(table.lines[0].count, told, "{text}");
        }
    }

    #[test]
    fn soft_interrupts_are_named_by_vector() {
        let mut table = Table::default();
        let text = b"                    CPU0       CPU1\n          HI:          0          0\n       TIMER:     518110     414817\n";
        parse_softirqs(text, &mut table).unwrap();
        let lines: Vec<_> = table.lines.iter().map(|line| (&*line.name, line.count)).collect();
        assert_eq!(lines, [("TIMER", 932_927)]);
    }
}
