//! How values come out of the structs that hold them, each with its description.

use std::io::Write;

use super::MetricDef;

/// One value on its way to a consumer. Integers stay integers: a counter above 2^53 keeps its low bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Counters, sizes and counts.
    Integer(u64),
    /// Shares, rates and readings of sensors. Always finite.
    Float(f64),
    /// Descriptions.
    Text(&'a str),
}

/// Takes each value of a snapshot: its description, its labels' values in the order of
/// [`MetricDef::labels`], and the value. A metric that is null is not shown.
pub type Visitor<'v> = dyn FnMut(&'static MetricDef, &[&str], Value<'_>) + 'v;

/// A field of a metrics struct: shows each value it holds, with its position if it is a list.
#[doc(hidden)]
pub trait Field {
    /// Digits after the point: every float is rounded to thousandths.
    const DECIMALS: u32;
    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>));
}

impl Field for u64 {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Integer(*self));
    }
}

impl Field for bool {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Integer((*self).into()));
    }
}

impl Field for f64 {
    const DECIMALS: u32 = 3;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Float(*self));
    }
}

impl Field for &'static str {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Text(self));
    }
}

impl Field for String {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Text(self));
    }
}

impl<T: Field> Field for Option<T> {
    const DECIMALS: u32 = T::DECIMALS;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        if let Some(value) = self {
            value.show(each);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    const DECIMALS: u32 = T::DECIMALS;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        for (position, item) in self.iter().enumerate() {
            item.show(&mut |_, value| each(Some(position), value));
        }
    }
}

/// Shows the values of one field under its object's label.
#[doc(hidden)]
pub fn show_field(
    def: &'static MetricDef,
    object: Option<&str>,
    field: &impl Field,
    each: &mut Visitor<'_>,
) {
    field.show(&mut |position, value| {
        let mut digits = [0; MAX_DIGITS];
        match (object, position.and_then(|position| decimal(position, &mut digits))) {
            (Some(object), Some(position)) => each(def, &[object, position], value),
            (Some(one), None) | (None, Some(one)) => each(def, &[one], value),
            (None, None) => each(def, &[], value),
        }
    });
}

/// Digits of the largest position.
const MAX_DIGITS: usize = 20;

/// A number in writing, without asking for memory: this runs for each core at every tick.
fn decimal(number: usize, digits: &mut [u8; MAX_DIGITS]) -> Option<&str> {
    let mut rest = &mut digits[..];
    write!(rest, "{number}").ok()?;
    let left = rest.len();
    std::str::from_utf8(digits.get(..MAX_DIGITS - left)?).ok()
}
