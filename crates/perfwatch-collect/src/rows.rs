//! A table that is filled anew at every tick and allocates only when it grows.

use std::collections::HashMap;
use std::ops::Deref;

/// Rows that keep their heap memory (names above all) between fillings.
#[derive(Debug, Default)]
pub struct Rows<T> {
    rows: Vec<T>,
    used: usize,
}

impl<T: Default> Rows<T> {
    /// Forgets the rows, keeps their memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// The next row, holding whatever an earlier filling left in it: the caller overwrites every field.
    #[allow(clippy::indexing_slicing, reason = "the row at `used` was made if it was not there")]
    pub fn next_row(&mut self) -> &mut T {
        let index = self.used;
        if index == self.rows.len() {
            self.rows.push(T::default());
        }
        self.used = index.saturating_add(1);
        &mut self.rows[index]
    }
}

impl<T> Rows<T> {
    /// The rows, to be changed.
    pub fn rows_mut(&mut self) -> &mut [T] {
        self.rows.get_mut(..self.used).unwrap_or_default()
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.rows.get(..self.used).unwrap_or_default()
    }
}

/// A row that has a name.
pub trait Named {
    /// The name, unique in its table.
    fn name(&self) -> &str;
}

/// Finds the rows of an earlier table for the rows of a later one. The kernel lists things in the same order
/// from tick to tick, so the row after the last one found is tried first; a table that changed is indexed
/// once.
pub struct Matcher<'a, T> {
    rows: &'a [T],
    next: usize,
    index: Option<HashMap<&'a str, &'a T>>,
}

impl<'a, T: Named> Matcher<'a, T> {
    /// Looks up in these rows.
    pub fn new(rows: &'a [T]) -> Self {
        Self { rows, next: 0, index: None }
    }

    /// The row of this name.
    pub fn find(&mut self, name: &str) -> Option<&'a T> {
        if let Some(row) = self.rows.get(self.next)
            && row.name() == name
        {
            self.next = self.next.saturating_add(1);
            return Some(row);
        }
        let rows = self.rows;
        let index =
            self.index.get_or_insert_with(|| rows.iter().map(|row| (row.name(), row)).collect());
        index.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for String {
        fn name(&self) -> &str {
            self
        }
    }

    #[test]
    fn rows_are_found_in_any_order() {
        let rows: Vec<_> = ["a", "b", "c"].map(String::from).into();
        let mut matcher = Matcher::new(&rows);
        for (name, found) in [("a", true), ("x", false), ("c", true), ("b", true), ("a", true)] {
            assert_eq!(matcher.find(name).is_some(), found, "{name}");
        }
    }

    #[test]
    fn refilling_keeps_the_memory() {
        let mut rows = Rows::<String>::default();
        rows.next_row().push('a');
        rows.next_row().push('b');
        rows.clear();
        assert!(rows.is_empty());
        assert_eq!(rows.next_row(), "a");
        assert_eq!(rows.len(), 1);
    }
}
