//! Lists of CPUs as the kernel and people write them: `0-3,8`.

use std::fmt;
use std::str::FromStr;

use crate::cpu::MAX_CPUS;

/// Which CPUs to count on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cpus {
    /// Every one that is online.
    #[default]
    All,
    /// Those of the list that are online.
    Listed(CpuList),
}

impl Cpus {
    /// Whether to count on this one.
    pub fn contains(&self, cpu: u32) -> bool {
        match self {
            Self::All => true,
            Self::Listed(list) => list.contains(cpu),
        }
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "" => Err("no CPU: `all`, or a list such as 0-3,8".to_owned()),
            list => list.parse().map(Self::Listed),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Listed(list) => list.fmt(f),
        }
    }
}

/// A list of CPUs: ranges that are in order and do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuList(Vec<(u32, u32)>);

impl CpuList {
    /// Whether it is in the list.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&cpu))
    }

    /// Each CPU, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl FromIterator<(u32, u32)> for CpuList {
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl FromStr for CpuList {
    type Err = String;

    /// Says what is wrong with which part.
    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().split(',').map(range).collect()
    }
}

fn range(part: &str) -> Result<(u32, u32), String> {
    let part = part.trim();
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("`{first}-{last}` ends before it begins"));
    }
    Ok((first, last))
}

fn number(word: &str) -> Result<u32, String> {
    let word = word.trim();
    // It may come from anybody, over HTTP.
    let shown = || word.chars().take(32).flat_map(char::escape_default).collect::<String>();
    match word.parse::<usize>() {
        Ok(number) if number < MAX_CPUS && !word.starts_with('+') => Ok(number as u32),
        Ok(_) if !word.starts_with('+') => {
            Err(format!("there is no CPU {}: the last that can be is {}", shown(), MAX_CPUS - 1))
        }
        _ => Err(format!("`{}` is not the number of a CPU", shown())),
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_in_order() {
        for (text, says) in [
            ("all", "all"),
            ("0", "0"),
            ("0-3,8", "0-3,8"),
            (" 8, 0-1 ,2-3", "0-3,8"),
            ("5,1-7", "1-7"),
            ("8191", "8191"),
        ] {
            assert_eq!(text.parse::<Cpus>().unwrap().to_string(), says);
        }
        let list: CpuList = "1-2,5".parse().unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [1, 2, 5]);
        assert!(list.contains(5) && !list.contains(3));
    }

    #[test]
    fn a_bad_list_is_refused_with_what_is_wrong_in_it() {
        for (text, says) in [
            ("", "no CPU: `all`, or a list such as 0-3,8"),
            ("0-3,x", "`x` is not the number of a CPU"),
            ("0,,2", "`` is not the number of a CPU"),
            ("7-2", "`7-2` ends before it begins"),
            ("0-", "`` is not the number of a CPU"),
            ("-1", "`` is not the number of a CPU"),
            ("+1", "`+1` is not the number of a CPU"),
            ("0-9000", "there is no CPU 9000: the last that can be is 8191"),
            ("99999999999999999999999", "`99999999999999999999999` is not the number of a CPU"),
            ("\u{1b}[2J", "`\\u{1b}[2J` is not the number of a CPU"),
        ] {
            assert_eq!(text.parse::<Cpus>(), Err(says.to_owned()), "{text:?}");
        }
    }
}
