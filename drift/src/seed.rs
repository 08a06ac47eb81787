//! SEED: blocks of values, cut where the means on both sides differ too much.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u16, put_u32, put_u64};
use crate::math::{ln, sqrt};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, bounded};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// As many blocks are kept; the most alike neighbours are then merged to make room.
const BLOCKS_MAX: usize = 128;

parameters! {
    /// Parameters of [`Seed`].
    pub struct SeedParams {
        /// Chance of a false drift of one test at one time, in (0, 1).
        pub delta: f64 = 0.05,
        /// Values in a block, from 1 to 1000000. A test is made when a block is full.
        pub block_size: u32 = 32,
        /// Distance of the means of neighbouring blocks up to which they are merged, in the stream's units, not
        /// negative.
        pub epsilon_prime: f64 = 0.01,
        /// Growth of that distance with each round of merging, as a share of it, not negative.
        pub alpha: f64 = 0.8,
        /// Blocks from one round of merging to the next, above 0.
        pub compress_term: u32 = 75,
        /// Whose algorithm to follow. river has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl SeedParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { delta, block_size: size, epsilon_prime: epsilon, alpha, compress_term, compat } = *self;
        ParamError::check("delta", delta, delta > 0.0 && delta < 1.0, "in (0, 1)")?;
        let ok = (1..=1_000_000).contains(&size);
        ParamError::check("block_size", f64::from(size), ok, "from 1 to 1000000")?;
        let natural = |value: f64| (0.0..=VALUE_LIMIT).contains(&value);
        ParamError::check("epsilon_prime", epsilon, natural(epsilon), "not negative")?;
        ParamError::check("alpha", alpha, natural(alpha), "not negative")?;
        ParamError::check("compress_term", f64::from(compress_term), compress_term > 0, "above 0")?;
        compat.refuse(Compat::River, "\"paper\" or \"moa\": river has no SEED")
    }
}

/// SEED: an adaptive window of blocks, for a change of the mean in either direction.
///
/// Use it as [`crate::Adwin`], to which it is close: it looks at fewer cuts, so it is cheaper, and each change
/// is found at the end of a block. Values should be bounded or light-tailed.
///
/// # Recurrence
///
/// Values fill blocks of `block_size`. When one is full, every boundary between blocks cuts the window in two,
/// with `n_0` and `n_1` values of means `m_0` and `m_1`. With the variance `v` of all `n` values,
/// `h = 1 / n_0 + 1 / n_1` and `l = ln(2 ln(n) / delta)`, [`Level::Drift`] when at some boundary
///
/// `|m_0 - m_1| > sqrt(2 h v l) + 2/3 h l`;
///
/// the values before the newest such boundary are forgotten, and the rest is tested again. With every
/// `compress_term` blocks, neighbours whose means are at most `epsilon_prime (1 + alpha k)` apart are merged,
/// `k` being the rounds since the last drift.
///
/// In the signal, `statistic` is the difference of the means at the boundary that was cut or came closest to
/// it at the last test, `threshold` its bound, `since` the values after the newest cut.
///
/// # Cost
///
/// Two divisions a value, and two for each of at most 128 blocks once per block; 3 KiB on the heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Seed, SeedParams};
///
/// let mut seed = Seed::new(SeedParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let (at, signal) = (0..1000)
///     .map(|i| (i, seed.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (543, 32, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. When 128 blocks are
/// held, the two neighbours with the closest means are merged, whatever `epsilon_prime`. As with [`crate::Adwin`]
/// a mean more than 1e10 deviations from 0 leaves too few digits for the deviations: of 10,000 normal values without a
/// change, 0 alarms came up to 1e12 deviations, 9 to 40 from 1e13 to 1e15, and none at 1e16, where all values are alike.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::Moa`] |
/// |---|---|---|
/// | variance of a value that comes | about the mean of the window | the value counts in the sum it is held against |
/// | variance after a cut | of what is left | what the values left had added when they came |
/// | blocks held | 128 | 128; MOA has no limit |
///
/// The growth of the merging distance is our reading. MOA's is not known: over 12,000 values or so the alarms
/// agree whatever it is, on longer stationary stretches a boundary may be kept here that MOA has merged.
///
/// # References
///
/// Huang, Koh, Dobbie, Pears, "Detecting Volatility Shift in Data Streams", ICDM 2014 (blocks, compression);
/// Bifet, Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007 (the bound).
#[derive(Clone, Debug)]
pub struct Seed {
    params: SeedParams,
    tally: Tally,
    /// From the oldest to the newest; the newest may be open.
    blocks: Vec<Block>,
    /// Values in the newest block that came after it was opened.
    filled: u32,
    /// Full blocks since the last round of merging.
    term: u32,
    /// Rounds of merging since the last drift.
    rounds: u64,
    window: Block,
    statistic: f64,
    threshold: f64,
}

/// Some values in a row: how many, their sum, and how far they spread.
///
/// With [`Compat::Moa`] the spread is what each value added to the window's when it came; else it is the sum
/// of squared deviations from the block's own mean.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    count: u64,
    sum: f64,
    spread: f64,
}

impl Block {
    #[inline]
    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// Adds a value under its own mean.
    #[inline]
    fn add(&mut self, value: f64) {
        if self.count > 0 {
            let n = self.count as f64;
            let apart = value - self.sum / n;
            self.spread += apart * apart * (n / (n + 1.0));
        }
        self.count += 1;
        self.sum += value;
    }

    /// Returns both as one; `between` adds the spread of the two means.
    fn with(&self, other: &Self, between: bool) -> Self {
        let (a, b) = (self.count as f64, other.count as f64);
        let apart = self.mean() - other.mean();
        let extra = if between && a > 0.0 && b > 0.0 { apart * apart * (a / (a + b) * b) } else { 0.0 };
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            spread: self.spread + other.spread + extra,
        }
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(other.count),
            sum: self.sum - other.sum,
            spread: (self.spread - other.spread).max(0.0),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        put_f64(out, self.sum);
        put_f64(out, self.spread);
    }

    fn read(bytes: &mut Reader<'_>, count_max: u64) -> Result<Self, DecodeError> {
        let count = state::count(bytes, "block", count_max)?;
        let (sum, spread) = (bounded(bytes, "sum", 1e30)?, bytes.f64()?);
        state::ensure((0.0..=1e260).contains(&spread), "spread")?;
        Ok(Self { count, sum, spread })
    }
}

/// A boundary at which the window was held against its bound.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Blocks before it.
    blocks: usize,
    /// Values after it.
    after: u64,
    growth: f64,
    threshold: f64,
    drift: bool,
}

impl Seed {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: SeedParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &SeedParams {
        &self.params
    }

    fn fresh(params: SeedParams) -> Self {
        Self {
            params,
            tally: Tally::default(),
            blocks: Vec::with_capacity(BLOCKS_MAX),
            filled: 0,
            term: 0,
            rounds: 0,
            window: Block::default(),
            statistic: 0.0,
            threshold: 1.0,
        }
    }

    /// Counts the values of the window.
    pub fn width(&self) -> u64 {
        self.blocks.iter().map(|block| block.count).sum()
    }

    fn is_moa(&self) -> bool {
        self.params.compat == Compat::Moa
    }

    fn take(&mut self, value: f64) {
        if self.filled == 0 {
            if self.blocks.len() >= BLOCKS_MAX {
                self.make_room();
            }
            self.blocks.push(Block::default());
        }
        self.filled += 1;
        let moa = self.is_moa();
        let Some(block) = self.blocks.last_mut() else { return };
        if !moa {
            block.add(value);
            return;
        }
        let n = self.window.count as f64;
        self.window.count += 1;
        self.window.sum += value;
        block.count += 1;
        block.sum += value;
        if n > 0.0 {
            let apart = value - self.window.sum / n;
            let added = n / (n + 1.0) * apart * apart;
            self.window.spread += added;
            block.spread += added;
        }
    }

    /// Merges the two neighbours with the closest means.
    #[cold]
    fn make_room(&mut self) {
        let apart = |pair: &[Block]| match pair {
            [a, b] => (a.mean() - b.mean()).abs(),
            _ => f64::MAX,
        };
        let closest = self.blocks.windows(2).enumerate().min_by(|a, b| apart(a.1).total_cmp(&apart(b.1)));
        if let Some((at, [a, b])) = closest {
            let merged = a.with(b, !self.is_moa());
            self.blocks.splice(at..at + 2, [merged]);
        }
    }

    /// Merges neighbours whose means are close.
    #[cold]
    fn compress(&mut self) {
        let SeedParams { epsilon_prime, alpha, .. } = self.params;
        let reach = epsilon_prime * (1.0 + alpha * self.rounds as f64);
        self.rounds += 1;
        let between = !self.is_moa();
        self.blocks.dedup_by(|next, kept| {
            let close = (kept.mean() - next.mean()).abs() <= reach;
            if close {
                *kept = kept.with(next, between);
            }
            close
        });
    }

    /// Sums the blocks up, unless that is kept.
    fn total(&self) -> Block {
        if self.is_moa() {
            return self.window;
        }
        self.blocks.iter().fold(Block::default(), |all, block| all.with(block, true))
    }

    /// Finds the newest boundary past its bound, or the one that comes closest.
    fn find(&self) -> Option<Cut> {
        let all = self.total();
        let n = all.count as f64;
        let log = ln(2.0 * ln(n) / self.params.delta);
        let variance = all.spread / n;
        let (mut after, mut sum_after) = (0, 0.0);
        let mut best: Option<(f64, Cut)> = None;
        for (blocks, block) in self.blocks.iter().enumerate().skip(1).rev() {
            after += block.count;
            sum_after += block.sum;
            let (a, b) = ((all.count - after) as f64, after as f64);
            let growth = sum_after / b - (all.sum - sum_after) / a;
            let h = 1.0 / a + 1.0 / b;
            let threshold = sqrt(2.0 * h * variance * log) + 2.0 / 3.0 * h * log;
            let drift = growth.abs() > threshold;
            let excess = growth.abs() - threshold;
            if drift || best.is_none_or(|(most, _)| excess > most) {
                let cut = Cut { blocks, after, growth, threshold, drift };
                if drift {
                    return Some(cut);
                }
                best = Some((excess, cut));
            }
        }
        best.map(|(_, cut)| cut)
    }

    /// Tests the window, which ends with a full block, until no boundary is past its bound.
    fn test(&mut self) -> Option<Cut> {
        let mut first: Option<Cut> = None;
        while self.blocks.len() > 1 {
            let Some(cut) = self.find() else { break };
            if !cut.drift {
                return Some(first.unwrap_or(cut));
            }
            if self.is_moa() {
                let gone = self.blocks.iter().take(cut.blocks);
                self.window = gone.fold(self.window, |window, block| window.without(block));
            }
            self.blocks.drain(..cut.blocks);
            self.rounds = 0;
            first = Some(Cut { after: cut.after, ..first.unwrap_or(cut) });
        }
        first
    }
}

impl Detector for Seed {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        self.take(value);
        if self.filled < self.params.block_size {
            return Signal::quiet(self.statistic, self.threshold);
        }
        self.filled = 0;
        self.term += 1;
        if self.term >= self.params.compress_term {
            self.term = 0;
            self.compress();
        }
        let Some(cut) = self.test() else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        let (statistic, threshold) = (cut.growth.abs(), cut.threshold);
        if !cut.drift {
            (self.statistic, self.threshold) = (statistic, threshold);
            return Signal::quiet(statistic, threshold);
        }
        // Until the next test there is nothing to say.
        (self.statistic, self.threshold) = (0.0, threshold);
        let direction = if cut.growth > 0.0 { Direction::Up } else { Direction::Down };
        Signal { level: Level::Drift, direction, statistic, threshold, since: cut.after }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "seed"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        let all = self.total();
        (all.count > 0).then(|| all.mean())
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u32(out, self.filled);
        put_u32(out, self.term);
        put_u64(out, self.rounds);
        self.window.write(out);
        put_f64(out, self.statistic);
        put_f64(out, self.threshold);
        put_u16(out, self.blocks.len() as u16);
        self.blocks.iter().for_each(|block| block.write(out));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "seed", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let (filled, term) = (bytes.u32()?, bytes.u32()?);
        state::ensure(filled < self.params.block_size, "filled")?;
        state::ensure(term < self.params.compress_term, "term")?;
        let rounds = state::count(bytes, "rounds", tally.taken)?;
        let window = Block::read(bytes, tally.taken)?;
        let (statistic, threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
        let held = usize::from(bytes.u16()?);
        state::ensure(held <= BLOCKS_MAX && (held > 0 || filled == 0), "blocks")?;
        let mut blocks = Vec::with_capacity(BLOCKS_MAX);
        for _ in 0..held {
            let block = Block::read(bytes, tally.taken)?;
            state::ensure(block.count > 0, "block")?;
            blocks.push(block);
        }
        // Every count may be as large as all that was taken, so that their sum is not of 64 bits.
        let width = blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(block.count));
        state::ensure(width <= tally.taken, "width")?;
        state::ensure(window.count == if self.is_moa() { width } else { 0 }, "window")?;
        let params = self.params;
        *self = Self { params, tally, blocks, filled, term, rounds, window, statistic, threshold };
        Ok(())
    }
}
