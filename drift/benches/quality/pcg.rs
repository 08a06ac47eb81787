//! numpy's `default_rng(seed).permutation(bits)`, so that the recorded replicates are drawn again to the last bit.
//!
//! PCG64 (O'Neill 2014, XSL-RR 128/64) seeded as numpy does (`SeedSequence`), and the shuffle of Fisher and Yates
//! with masked rejection.

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// numpy's default generator.
pub(crate) struct Pcg {
    state: u128,
    increment: u128,
    /// The upper half of the last draw, when only its lower half was used.
    half: Option<u32>,
}

impl Pcg {
    /// As `numpy.random.default_rng(seed)`.
    pub(crate) fn new(seed: u32) -> Self {
        let [a, b, c, d] = words(seed).map(u128::from);
        let mut pcg = Self { state: 0, increment: ((c << 64 | d) << 1) | 1, half: None };
        pcg.step();
        pcg.state = pcg.state.wrapping_add(a << 64 | b);
        pcg.step();
        pcg
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    fn draw_64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    fn draw_32(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let both = self.draw_64();
            self.half = Some((both >> 32) as u32);
            both as u32
        })
    }

    /// Draws from 0 to `most`.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let drawn = self.draw_32() & mask;
            if drawn <= most {
                return drawn;
            }
        }
    }

    /// As `permutation` on a copy of `values`.
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let other = self.up_to(last as u32) as usize;
            values.swap(last, other);
        }
    }
}

/// numpy's `SeedSequence(seed).generate_state(4)`.
fn words(seed: u32) -> [u64; 4] {
    let mut pool = [0_u32; 4];
    let mut hash = 0x43b0_d7e5_u32;
    let mut hashed = |value: u32| {
        let value = value ^ hash;
        hash = hash.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(hash);
        value ^ value >> 16
    };
    for (i, slot) in pool.iter_mut().enumerate() {
        *slot = hashed(if i == 0 { seed } else { 0 });
    }
    for from in 0..4 {
        for to in (0..4).filter(|&to| to != from) {
            let mixed =
                pool[to].wrapping_mul(0xca01_f9dd).wrapping_sub(hashed(pool[from]).wrapping_mul(0x4973_f715));
            pool[to] = mixed ^ mixed >> 16;
        }
    }
    let mut hash = 0x8b51_f9dd_u32;
    let mut out = pool.iter().cycle().map(|&value| {
        let value = value ^ hash;
        hash = hash.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(hash);
        u64::from(value ^ value >> 16)
    });
    std::array::from_fn(|_| {
        let low = out.next().unwrap_or(0);
        out.next().unwrap_or(0) << 32 | low
    })
}
