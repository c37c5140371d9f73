//! Bytes of which each is known by its seed and its place, and dice.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a stream with this seed is made of, from some place on.
pub struct Pattern {
    seed: u64,
    at: u64,
    /// The eight bytes around that place.
    word: [u8; 8],
}

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        Pattern {
            seed,
            at: 0,
            word: [0; 8],
        }
    }

    /// How far it has come.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Whether these are the next bytes.
    pub fn check(&mut self, bytes: &[u8]) -> bool {
        // Not `all`, which would leave the place behind at the first one that differs.
        bytes
            .iter()
            .fold(true, |same, byte| (self.next() == *byte) & same)
    }

    fn next(&mut self) -> u8 {
        let place = (self.at % 8) as usize;
        if place == 0 {
            let step = (self.at / 8).wrapping_mul(STEP);
            self.word = mix(self.seed.wrapping_add(step)).to_le_bytes();
        }
        let byte = self.word[place];
        self.at += 1;
        byte
    }
}

/// A checksum in which also the order counts.
#[derive(Clone, Copy)]
pub struct Sum(u64);

impl Sum {
    pub fn new() -> Sum {
        Sum(0xcbf2_9ce4_8422_2325)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn value(self) -> u64 {
        self.0
    }
}

/// The same dice for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
