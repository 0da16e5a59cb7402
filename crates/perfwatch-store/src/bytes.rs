//! Numbers as bytes: little-endian base-128 varints, and signed numbers by zig-zag. Reading is total: what is cut off or
//! too long gives None.

/// Most bytes of a varint of 64 bits.
const MAX_VARINT_BYTES: usize = 10;

/// Appends an unsigned number, 7 bits a byte, the low ones first.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small numbers of either sign as small unsigned ones: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What [`zigzag`] was made from.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes on their way to numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// The next bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn fixed_u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn fixed_u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// What [`put`] wrote.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        if let Some(word) = self.0.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                // Up to the first byte that ends one, 7 bits of each 8: brought together to 14, to 28, to 56.
                let bits = 8 * (ends.trailing_zeros() / 8 + 1);
                let sevens = word & 0x7f7f_7f7f_7f7f_7f7f & u64::MAX >> (64 - bits);
                let pairs = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
                let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
                self.0 = self.0.get(bits as usize / 8..)?;
                return Some(fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4);
            }
        }
        let mut value = 0_u64;
        for (position, byte) in self.0.iter().take(MAX_VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(position + 1..)?;
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        self.varint().and_then(|length| usize::try_from(length).ok())
    }

    /// What [`put_slice`] wrote.
    pub(crate) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// A slice of UTF-8.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.slice()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            // Short ones as often as long ones.
            for shift in (0..64).step_by(7) {
                let (value, signed) = (value >> shift, signed >> shift);
                let mut out = Vec::new();
                put(&mut out, value);
                assert!(out.len() <= MAX_VARINT_BYTES);
                put(&mut out, zigzag(signed));
                for follows in [&[][..], &[0; 8], &[0xff; 8]] {
                    let bytes = [&out, follows].concat();
                    let mut input = Input(&bytes);
                    assert_eq!((input.varint(), input.signed()), (Some(value), Some(signed)));
                    assert_eq!(input.0, follows);
                }
            }
        }

        #[test]
        fn nonsense_is_refused(bytes: Vec<u8>) {
            let mut input = Input(&bytes);
            while input.varint().is_some() {}
            let _ = Input(&bytes).text();
        }
    }
}
