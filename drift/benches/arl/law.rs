//! The streams without a change that run lengths are measured on.

use visu_tility_drift::BatcherParams;
use visu_tility_drift::simulate::{Random, Source, Stream};

/// A stream's law, and what a user who knows it would tell a detector.
#[derive(Clone, Debug)]
pub(crate) struct Law {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    /// What one value in 20 exceeds.
    pub(crate) limit: f64,
}

/// What a detector can do with the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Zeros and ones.
    Bits,
    /// In [0, 1].
    Unit,
    /// Normal.
    Normal,
    /// Any, with heavy tails.
    Heavy,
    /// The same, squashed into [0, 1].
    Squashed,
    Counts,
    /// Autocorrelated, in [0, 1] but for five deviations, behind the automatic batcher.
    Batched {
        phi: f64,
    },
}

impl Law {
    pub(crate) fn bits(name: &'static str, p: f64) -> Self {
        let deviation = (p * (1.0 - p)).sqrt();
        Self { name, kind: Kind::Bits, source: Source::Bernoulli { p }, mean: p, deviation, limit: 0.5 }
    }

    /// The share of values above `limit` while nothing changes.
    pub(crate) fn share(&self) -> f64 {
        if self.kind == Kind::Bits { self.mean } else { 0.05 }
    }

    pub(crate) fn draw(&self, stream: &mut Stream) -> f64 {
        let value = stream.draw();
        if self.kind == Kind::Squashed { (0.5 + value / 20.0).clamp(0.0, 1.0) } else { value }
    }

    pub(crate) fn stream(&self, seed: u64, run: u64) -> Stream {
        self.source.stream(Random::fork(seed, run)).unwrap()
    }

    /// The deviation that a user who knows the law would state for means of batches of so many values, by the page
    /// of [`visu_tility_drift::Batcher`].
    pub(crate) fn deviation_of_means(&self, length: u64) -> f64 {
        let time = match self.kind {
            Kind::Batched { phi } => (1.0 + phi) / (1.0 - phi),
            _ => 1.0,
        };
        let pause = (length as f64 * BatcherParams::default().pause).floor();
        self.deviation * (time / (length as f64 - pause)).sqrt()
    }

    pub(crate) fn all() -> Vec<Self> {
        let beta = |x: f64| 1.0 - (1.0 - x).powi(6) - 6.0 * x * (1.0 - x).powi(5);
        let uniform = Source::Uniform { low: 0.0, high: 1.0 };
        let heavy = Source::StudentT { freedom: 3.0, mean: 0.0, scale: 1.0 };
        let normal = Source::Gaussian { mean: 0.0, deviation: 1.0 };
        let regressive = |name, phi| Self {
            name,
            kind: Kind::Batched { phi },
            source: Source::Ar1 { phi, mean: 0.5, deviation: 0.1 },
            mean: 0.5,
            deviation: 0.1,
            limit: f64::NAN,
        };
        let of =
            |name, kind, source, mean, deviation, limit| Self { name, kind, source, mean, deviation, limit };
        vec![
            Self::bits("bits .002", 0.002),
            Self::bits("bits .02", 0.02),
            Self::bits("bits .1", 0.1),
            Self::bits("bits .4", 0.4),
            of("uniform", Kind::Unit, uniform, 0.5, (1.0_f64 / 12.0).sqrt(), 0.95),
            of(
                "Beta(2, 5)",
                Kind::Unit,
                Source::Beta { a: 2.0, b: 5.0 },
                2.0 / 7.0,
                (10.0_f64 / 392.0).sqrt(),
                root(beta, 0.95),
            ),
            of("normal", Kind::Normal, normal, 0.0, 1.0, 1.644_853_626_951_472_6),
            of("Student t3", Kind::Heavy, heavy.clone(), 0.0, 3.0_f64.sqrt(), 2.353_363_434_801_824),
            of("t3 squashed", Kind::Squashed, heavy, 0.5, 0.08, 0.5 + 2.353_363_434_801_824 / 20.0),
            of("Poisson 4", Kind::Counts, Source::Poisson { rate: 4.0 }, 4.0, 2.0, 7.5),
            regressive("AR(1) .5", 0.5),
            regressive("AR(1) .9", 0.9),
        ]
    }
}

/// Where a growing function of [0, 1] has a value.
fn root(f: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if f(middle) < value { low = middle } else { high = middle }
    }
    high
}

/// A seed for a row, from its table's seed and its name: a row's numbers do not depend on the others.
pub(crate) fn row_seed(table: u64, row: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = row.bytes().fold(0xcbf2_9ce4_8422_2325 ^ table, mix);
    // As few digits as a person can copy.
    Random::fork(hash, table) >> 40
}
