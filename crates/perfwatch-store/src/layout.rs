//! Which series a chunk has, in which order.
//!
//! The series of a group are cut into pages of neighbours, and a page of a chunk is compressed, checked and read as one. A
//! page's list of series stands in a file once, under a number made from its content, and chunks refer to it; so a list that
//! comes back, after a restart or in the next file, is the same page.

use std::sync::Arc;

use crate::bytes::{Input, put, put_slice};

/// Series in a page of raw rows, and of a rollup in hot files. Larger pages compress better, for columns that move together
/// are the same bytes; smaller ones cost less to read when one series is wanted. Of 947 series at 1 s, a page of 64
/// takes 0.176 bytes a value, of 256 0.149, of all 0.124.
pub(crate) const LARGE_PAGE: usize = 256;

/// Series in a page of a rollup's blocks, which has 5 to 7 columns for each, and of which a question reads many.
pub(crate) const SMALL_PAGE: usize = 16;

/// Most bytes of a series' or a group's name. What is longer is refused when it is appended.
pub const MAX_NAME_BYTES: usize = 4096;

/// One series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Series {
    /// What it is called. The store does not look into it.
    pub name: Arc<str>,
    /// How it behaves.
    pub kind: Kind,
}

impl Series {
    /// Its name, and of a ratio those of its counters.
    fn names(&self) -> impl Iterator<Item = &str> {
        let terms = match &self.kind {
            Kind::Ratio { numerator, denominator } => [Some(numerator), Some(denominator)],
            _ => [None, None],
        };
        terms.into_iter().flatten().chain([&self.name]).map(|name| &**name)
    }
}

/// How the values of a series are to be understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows; a fall is a reset. An unsigned number of 64 bits, cast.
    Counter,
    /// As a counter, but the source keeps it in 32 bits and lets it wrap.
    Counter32,
    /// Increase of one counter for each one of another, of the same group. It has no values of its own: only in
    /// rollups, where least and greatest cannot be had from those of the two.
    Ratio {
        /// Name of the counter above the line.
        numerator: Arc<str>,
        /// Name of the counter below.
        denominator: Arc<str>,
    },
}

/// The series of one group, in order. Cheap to share; made anew when one appears or vanishes.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) group: Arc<str>,
    pub(crate) pages: Vec<Arc<Page>>,
    pub(crate) series: usize,
    /// Whether every name is short enough.
    pub(crate) has_short_names: bool,
}

impl Layout {
    /// The series of a group. Their names are to differ: of two that do not, both may be answered or one.
    pub fn new(group: &str, series: impl IntoIterator<Item = Series>) -> Arc<Self> {
        let series: Vec<_> = series.into_iter().collect();
        let pages = paged(series.iter().cloned(), LARGE_PAGE);
        let mut names = series.iter().flat_map(Series::names).chain([group]);
        let has_short_names = names.all(|name| name.len() <= MAX_NAME_BYTES);
        Arc::new(Self { group: group.into(), pages, series: series.len(), has_short_names })
    }

    /// Its series.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.pages.iter().flat_map(|page| &page.series)
    }
}

/// Neighbours that are kept together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) id: PageId,
    pub(crate) series: Vec<Series>,
}

/// Made from the content, so equal pages have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PageId(pub(crate) u64);

/// Cuts series into pages.
pub(crate) fn paged(series: impl IntoIterator<Item = Series>, size: usize) -> Vec<Arc<Page>> {
    let mut pages = Vec::new();
    let mut series = series.into_iter().peekable();
    while series.peek().is_some() {
        pages.push(Arc::new(Page::new(series.by_ref().take(size).collect())));
    }
    pages
}

impl Page {
    fn new(series: Vec<Series>) -> Self {
        let page = Self { id: PageId(0), series };
        Self { id: PageId(fnv1a(&page.encode())), ..page }
    }

    /// The list as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.series.len() as u64);
        for series in &self.series {
            put_slice(&mut out, series.name.as_bytes());
            match &series.kind {
                Kind::Gauge => out.push(0),
                Kind::Counter => out.push(1),
                Kind::Counter32 => out.push(2),
                Kind::Ratio { numerator, denominator } => {
                    out.push(3);
                    put_slice(&mut out, numerator.as_bytes());
                    put_slice(&mut out, denominator.as_bytes());
                }
            }
        }
        out
    }

    /// What [`Page::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let count = input.length().filter(|count| *count <= LARGE_PAGE)?;
        let mut series = Vec::with_capacity(count);
        for _ in 0..count {
            let name = input.text()?.into();
            let kind = match input.byte()? {
                0 => Kind::Gauge,
                1 => Kind::Counter,
                2 => Kind::Counter32,
                3 => Kind::Ratio {
                    numerator: input.text()?.into(),
                    denominator: input.text()?.into(),
                },
                _ => return None,
            };
            series.push(Series { name, kind });
        }
        Some(Self::new(series))
    }
}

/// Fowler, Noll and Vo's hash, variant 1a, of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let series = |name: &str, kind| Series { name: name.into(), kind };
        Page::new(vec![
            series("a", Kind::Gauge),
            series("b", Kind::Counter),
            series("c", Kind::Counter32),
            series("b/c", Kind::Ratio { numerator: "b".into(), denominator: "c".into() }),
        ])
    }

    #[test]
    fn a_page_comes_back_with_its_number() {
        assert_eq!(Page::decode(&page().encode()), Some(page()));
    }

    #[test]
    fn a_page_that_was_cut_off_is_refused() {
        let bytes = page().encode();
        for length in 0..bytes.len() {
            assert_eq!(Page::decode(&bytes[..length]), None);
        }
    }
}
