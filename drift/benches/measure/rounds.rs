//! Times a step over a stream in many short rounds, each after a round of the calibration loop.
//!
//! A round lasts about a fifth of a millisecond, so that most rounds pass without the scheduler: the least of
//! them is the cost on a machine of one's own, and a median far above it shows that this one was shared.

use std::hint::black_box;
use std::time::Instant;

/// What a round should last, in nanoseconds.
const ROUND: f64 = 200_000.0;

/// Nanoseconds per value.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Median over the rounds.
    pub median: f64,
    /// Least of the rounds.
    pub least: f64,
    /// Median of the calibration loop in the same rounds.
    pub unit: f64,
}

impl Timing {
    /// Returns the median as a multiple of the calibration loop's.
    pub fn ratio(&self) -> f64 {
        self.median / self.unit
    }

    /// Returns the one with the smaller median, with the least of both.
    pub fn calmer(self, other: Self) -> Self {
        let calmer = if other.median < self.median { other } else { self };
        Self { least: self.least.min(other.least), ..calmer }
    }
}

/// Times `step` over the stream, which is repeated as often as needed, after a warm-up over all of it.
pub fn time(stream: &[f64], rounds: usize, mut step: impl FnMut(f64)) -> Timing {
    let start = Instant::now();
    for &value in stream {
        step(black_box(value));
    }
    let rough = start.elapsed().as_nanos() as f64 / stream.len() as f64;
    let length = ((ROUND / rough.max(1.0)) as usize).clamp(200, stream.len().max(200));
    let mut values = stream.iter().copied().cycle();
    let mut chunk = Vec::with_capacity(length);
    let (mut times, mut units) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for _ in 0..rounds {
        units.push(calibration());
        chunk.clear();
        chunk.extend(values.by_ref().take(length));
        let start = Instant::now();
        for &value in &chunk {
            step(black_box(value));
        }
        times.push(start.elapsed().as_nanos() as f64 / length as f64);
    }
    times.sort_by(f64::total_cmp);
    units.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    Timing { median: at(&times, rounds / 2), least: at(&times, 0), unit: at(&units, rounds / 2) }
}

/// Nanoseconds of one dependent multiply-add, over a twentieth of a millisecond or less.
///
/// The sum stays in a register: through memory the time would hang on how the loop happens to be compiled.
pub fn calibration() -> f64 {
    const STEPS: u32 = 16_000;
    let (factor, addend) = (black_box(0.999_999), black_box(0.5));
    let mut sum = 1.0_f64;
    let start = Instant::now();
    for _ in 0..STEPS {
        sum = sum * factor + addend;
    }
    black_box(sum);
    start.elapsed().as_nanos() as f64 / f64::from(STEPS)
}
