//! Bytes of the fuzzer read as numbers, lengths and choices.
//!
//! One byte says one thing where that is enough, so that a changed byte is a changed operation and the rest of the
//! list stays what it was.

/// What is left of the bytes. At their end everything is zero, and [`is_empty`](Input::is_empty) says so.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to eight bytes as a number, low byte first.
    pub fn number(&mut self, bytes: usize) -> u64 {
        let taken = self.take(bytes).iter().rev();
        taken.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// A length: mostly of a few bytes, at times of up to 31 KiB.
    pub fn length(&mut self) -> usize {
        match usize::from(self.byte()) {
            small @ 0..=199 => small % 10,
            large => (large - 199) * 569,
        }
    }

    /// So many bytes, or what is left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
