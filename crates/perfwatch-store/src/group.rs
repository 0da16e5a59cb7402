//! One group of a chunk, being read: its axis is open, its pages are opened when something of them is wanted.

use std::io;
use std::sync::Arc;

use crate::axis::Axis;
use crate::chunk::GroupHead;
use crate::column::Values;
use crate::layout::{Kind, Page};
use crate::opener::{Body, Columns, Opener};
use crate::summary::{Summary, Term, each_ratio, each_row, from_columns, rollup_columns};

/// Most values of a group. A block of 1,440 rows of 32,768 series has a third of it; more is damage, or made to do harm.
const MAX_CELLS: usize = 1 << 27;

/// A series' page and its position in it.
pub(crate) type Place = (usize, usize);

/// A group of a chunk.
pub(crate) struct Group<'a> {
    tier: u8,
    head: &'a GroupHead,
    body: &'a Body<'a>,
    /// Lists of series; None where a list is damaged.
    pub(crate) pages: Vec<Option<Arc<Page>>>,
    pub(crate) axis: Axis,
    /// None until opened; then None when damaged.
    opened: Vec<Option<Option<Columns>>>,
}

impl<'a> Group<'a> {
    /// Opens a group. None when its axis is damaged, or when it claims too much: then nothing of it means anything.
    pub(crate) fn open(
        tier: u8,
        head: &'a GroupHead,
        body: &'a Body<'a>,
        pages: Vec<Option<Arc<Page>>>,
        opener: &mut Opener,
    ) -> io::Result<Option<Self>> {
        let series: usize = pages.iter().flatten().map(|page| page.series.len()).sum();
        if head.height().saturating_mul(series) > MAX_CELLS {
            return Ok(None);
        }
        let axis = opener.axis(body, head)?;
        Ok(axis.map(|axis| {
            let opened = pages.iter().map(|_| None).collect();
            Self { tier, head, body, pages, axis, opened }
        }))
    }

    /// Whether the columns begin with the row before the first.
    pub(crate) fn lead(&self) -> bool {
        self.head.lead
    }

    /// Where the series of a name stands.
    pub(crate) fn find(&self, name: &str) -> Option<Place> {
        self.pages.iter().enumerate().find_map(|(number, page)| {
            let series = &page.as_ref()?.series;
            Some((number, series.iter().position(|series| &*series.name == name)?))
        })
    }

    /// Values of a series in raw rows, the lead included. None when damaged.
    pub(crate) fn values(
        &mut self,
        (page, position): Place,
        opener: &mut Opener,
    ) -> io::Result<Option<Values>> {
        let height = self.head.height();
        let columns = self.columns(page, opener)?;
        Ok(columns.and_then(|columns| columns.values(position, height)))
    }

    /// What each row says of a series; empty where it says nothing. None when damaged.
    pub(crate) fn summaries(
        &mut self,
        (page, position): Place,
        opener: &mut Opener,
    ) -> io::Result<Option<Vec<Summary>>> {
        let list = self.pages.get(page).cloned().flatten();
        let Some(series) = list.as_ref().and_then(|list| list.series.get(position)) else {
            return Ok(None);
        };
        if self.tier > 0 {
            let before = list.iter().flat_map(|list| list.series.iter().take(position));
            let first = before.map(|series| rollup_columns(&series.kind)).sum();
            self.columns(page, opener)?;
            let columns = self.opened.get(page).and_then(Option::as_ref).and_then(Option::as_ref);
            return Ok(
                columns.and_then(|columns| from_columns(&series.kind, &self.axis, columns, first))
            );
        }
        let Some(values) = self.values((page, position), opener)? else { return Ok(None) };
        let mut summaries = vec![Summary::default(); self.axis.times.len()];
        let mut put = |row: usize, summary| {
            if let Some(slot) = summaries.get_mut(row) {
                *slot = summary;
            }
        };
        if let Kind::Ratio { numerator, denominator } = &series.kind {
            let numerator = self.term(numerator, opener)?;
            let denominator = self.term(denominator, opener)?;
            let Some(((a, numerator), (b, denominator))) = numerator.zip(denominator) else {
                return Ok(None);
            };
            let terms =
                (Term { kind: &a, values: &numerator }, Term { kind: &b, values: &denominator });
            each_ratio(&self.axis, self.head.lead, &values, terms, put);
        } else {
            each_row(&series.kind, &self.axis, self.head.lead, &values, &mut put);
        }
        Ok(Some(summaries))
    }

    fn term(&mut self, name: &str, opener: &mut Opener) -> io::Result<Option<(Kind, Values)>> {
        let Some(place) = self.find(name) else { return Ok(None) };
        let list = self.pages.get(place.0).cloned().flatten();
        let kind = list.and_then(|list| Some(list.series.get(place.1)?.kind.clone()));
        Ok(kind.zip(self.values(place, opener)?))
    }

    fn columns(&mut self, page: usize, opener: &mut Opener) -> io::Result<Option<&Columns>> {
        let Some(slot) = self.opened.get_mut(page) else { return Ok(None) };
        if slot.is_none() {
            *slot = Some(opener.page(self.body, self.head, page)?);
        }
        Ok(slot.as_ref().and_then(Option::as_ref))
    }
}
