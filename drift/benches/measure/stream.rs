//! The streams that detectors are timed on, from a seeded generator (splitmix64).

use visu_tility_drift::Input;

/// Uniform numbers in [0, 1).
#[derive(Clone, Debug)]
pub struct Uniform(pub u64);

impl Uniform {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Errors: 1 with probability .1, else 0.
    Bits,
    /// Uniform in [0, 1).
    Uniform,
    /// Standard normal.
    Normal,
    /// Poisson counts of mean 4.
    Counts,
    /// Milliseconds from 20 up, with a heavy tail.
    Latency,
}

impl Stream {
    pub const ALL: [Self; 5] = [Self::Bits, Self::Uniform, Self::Normal, Self::Counts, Self::Latency];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bits => "bits",
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Counts => "counts",
            Self::Latency => "latency",
        }
    }

    /// Chooses a stream of values that a detector takes.
    pub const fn of(input: Input) -> Self {
        match input {
            Input::Bits | Input::Unit => Self::Bits,
            Input::Counts => Self::Counts,
            Input::Any => Self::Normal,
        }
    }

    /// Draws one value.
    pub fn draw(self, source: &mut Uniform) -> f64 {
        match self {
            Self::Bits => f64::from(source.next() < 0.1),
            Self::Uniform => source.next(),
            Self::Normal => {
                // Box and Muller's method.
                let radius = (-2.0 * (1.0 - source.next()).ln()).sqrt();
                radius * (std::f64::consts::TAU * source.next()).cos()
            }
            Self::Counts => {
                // Knuth's method: uniform numbers are multiplied until they fall below exp(-4).
                let (mut product, mut count) = (source.next(), 0.0);
                while product > 0.018_315_638_888_734_18 {
                    product *= source.next();
                    count += 1.0;
                }
                count
            }
            Self::Latency => {
                let u = source.next();
                20.0 * (1.0 + u) / (1.001 - u)
            }
        }
    }

    /// Draws so many values.
    pub fn take(self, seed: u64, values: usize) -> Vec<f64> {
        let mut source = Uniform(seed);
        (0..values).map(|_| self.draw(&mut source)).collect()
    }
}
