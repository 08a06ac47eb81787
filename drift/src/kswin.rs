//! KSWIN: a Kolmogorov-Smirnov test of the newest values against the older ones of a sliding window.

mod window;

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u32, put_u64};
use crate::kolmogorov::{critical_steps, p_of_scipy, p_of_steps, steps};
use crate::math::{ln, sqrt};
use crate::parameters::{parameters, words};
use crate::splitmix::SplitMix64;
use crate::state::{self, Tally, bounded, ensure};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};
use window::{Apart, Window};

const VERSION: u8 = 1;

/// The longest window: its state stays below 4 KiB.
const LONGEST: u16 = 384;

/// What [`Kswin`] holds the newest values against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum KswinSample {
    /// All older values of the window.
    #[default]
    Whole,
    /// As many of them as there are newest values, drawn anew at each value.
    Random,
}

words!(KswinSample { Whole = "whole", Random = "random" });

parameters! {
    /// Parameters of [`Kswin`].
    pub struct KswinParams {
        /// Level of each single test, in (0, 1). Tests overlap, one a value: false alarms are far rarer.
        pub alpha: f64 = 0.005,
        /// Values in the window, 4 to 384.
        pub window_size: u16 = 100,
        /// Newest values that are tested against the older ones, 2 to half of the window.
        pub stat_size: u16 = 30,
        /// What they are tested against. Ignored with [`Compat::River`], which draws.
        pub sample: KswinSample = KswinSample::Whole,
        /// Start of the generator that draws samples.
        pub seed: u64 = 1,
        /// Whose algorithm to follow; MOA has none, and is taken as the paper.
        pub compat: Compat = Compat::Paper,
    }
}

impl KswinParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { alpha, window_size, stat_size, .. } = *self;
        ParamError::check("alpha", alpha, alpha > 0.0 && alpha < 1.0, "in (0, 1)")?;
        let ok = (4..=LONGEST).contains(&window_size);
        ParamError::check("window_size", window_size.into(), ok, "from 4 to 384")?;
        let ok = stat_size >= 2 && stat_size <= window_size / 2;
        ParamError::check("stat_size", stat_size.into(), ok, "from 2 to half of `window_size`")
    }

    fn draws(&self) -> bool {
        self.compat == Compat::River || self.sample == KswinSample::Random
    }

    /// The sizes of the two samples that are compared.
    fn sizes(&self) -> (u64, u64) {
        let older = if self.draws() { self.stat_size } else { self.window_size - self.stat_size };
        (older.into(), self.stat_size.into())
    }

    /// The gap of two samples that have nothing in common: what a gap is a part of.
    fn unit(&self) -> u64 {
        let (older, newer) = self.sizes();
        if self.draws() { newer } else { older * newer }
    }

    /// The smallest gap that is a drift.
    fn critical(&self) -> u32 {
        let (older, newer) = self.sizes();
        let steps = steps(older, newer);
        let size = newer as f64;
        let by_p = || critical_steps(older, newer, self.alpha);
        let above = |least: f64| (0..=newer).find(|h| *h as f64 / size > least).unwrap_or(steps + 1);
        let least = if self.compat == Compat::River {
            by_p().max(above(0.1))
        } else if self.draws() {
            above(sqrt(-ln(self.alpha) / size))
        } else {
            by_p()
        };
        (least * (self.unit() / steps)) as u32
    }
}

/// KSWIN: are the newest `stat_size` values of a sliding window distributed as the older ones are?
///
/// Use it for changes of any shape (spread, tails, modes) in continuous values, where a detector of means
/// is blind. It does not see changes that are slower than its window, and is weak on 0/1 streams. Its level
/// is that of each single test and there is one test a value: at the defaults a stream of independent values
/// has about one false alarm in 990 values (in 350 with [`KswinSample::Random`], in 770 with
/// [`Compat::River`]; measured on 10^6 normal values), a correlated one many more.
///
/// # Recurrence
///
/// Of the last `window_size` values, let `R` be the newest `stat_size`, and `W` the older ones
/// ([`KswinSample::Whole`]) or `stat_size` of them drawn without replacement ([`KswinSample::Random`]).
/// [`Level::Drift`] when the two-sample statistic `D(W, R)` (see [`crate::KolmogorovSmirnov`]) reaches a
/// bound that depends on the parameters only and is computed once:
///
/// | | drift when | after a drift |
/// |---|---|---|
/// | `Whole` | the exact p-value of `D` is at most `alpha` | `R` is kept |
/// | `Random` | `D > sqrt(-ln(alpha) / stat_size)`, the paper's bound | `R` is kept |
/// | [`Compat::River`] | the exact p-value is at most `alpha` and `D > 0.1` | all is forgotten, the seed is set anew |
///
/// The paper draws a sample so that both sides are of one size. `Whole` is the default because the exact
/// distribution is known for any two sizes: with all older values the same shift is seen sooner, and without
/// the luck of each draw there are fewer false alarms.
///
/// In the signal, `statistic` is `D`, `threshold` the least `D` that is a drift (above 1 when the sizes
/// cannot reach the level), `direction` the way that the newest values lie where the distributions are
/// farthest apart, and `since` the number of newest values that differ most from the rest of the window.
///
/// # Cost
///
/// The window is kept sorted: a search, a move of at most 4 KB, and one pass over it per value, without a
/// p-value and without sorting. The worst is a value that makes a drift, which is dated over all splits: 35 µs at
/// the longest window, 5 µs by default. 10 bytes for each value of the window.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Kswin, KswinParams};
///
/// let mut test = Kswin::new(KswinParams::default())?;
/// // The mean stays; from value 300 on the spread is four times as large.
/// let noise = |i: u64| (i * 37 % 101) as f64 / 50.0 - 1.0;
/// let value = |i: u64| noise(i) * if i < 300 { 1.0 } else { 4.0 };
/// let (at, signal) = (0..600)
///     .map(|i| (i, test.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since), (328, 28));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. Nothing is tested
/// before the window is full. A constant stream has `D = 0`.
///
/// # Differences
///
/// river draws with Python's `random.sample`; here splitmix64 is used, one number for each value of the
/// window in order of size (selection sampling, Knuth's Algorithm S), so single drifts differ with the draws.
/// [`Kswin::update_with_sample`] takes river's own draws and then agrees to the index. river's `p_value` is
/// [`Kswin::p_value`].
///
/// # References
///
/// Raab, Heusinger and Schleif, "Reactive Soft Prototype Computing for Concept Drift Streams",
/// Neurocomputing 416 (2020); the distributions as in [`crate::KolmogorovSmirnov`].
#[derive(Clone, Debug)]
pub struct Kswin {
    params: KswinParams,
    tally: Tally,
    window: Window,
    generator: u64,
    /// The last gap, or nothing when nothing was tested.
    gap: Option<u32>,
    /// The least gap that is a drift.
    critical: u32,
    /// What the gap is divided by.
    unit: f64,
    stale: bool,
}

impl Kswin {
    /// Builds a test that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: KswinParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self {
            params,
            tally: Tally::default(),
            window: Window::new(params.window_size.into()),
            generator: params.seed,
            gap: None,
            critical: params.critical(),
            unit: params.unit() as f64,
            stale: false,
        })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &KswinParams {
        &self.params
    }

    /// Returns the exact two-sided p-value of the last test, or nothing when the window was not full. With
    /// [`Compat::River`] it is scipy's, which falls back to the asymptotic one where rounding takes the exact
    /// one above 1.
    ///
    /// Not needed for the signal; takes some microseconds.
    pub fn p_value(&self) -> Option<f64> {
        let (older, newer) = self.params.sizes();
        let gap = u64::from(self.gap?) / (self.params.unit() / steps(older, newer));
        Some(if self.params.compat == Compat::River {
            p_of_scipy(newer, gap)
        } else {
            p_of_steps(older, newer, gap)
        })
    }

    /// Counts the bytes that the test holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.window.bytes()
    }

    /// Takes the next value like [`Detector::update`], with a sample drawn elsewhere: the places, 0 for the
    /// oldest value, among the first `window_size - stat_size` of the window.
    ///
    /// It is there to reproduce recorded runs of river. A sample that is not `stat_size` different places is
    /// left aside, and one drawn here; any is while the window is not full, or nothing is drawn.
    pub fn update_with_sample(&mut self, value: f64, sample: &[usize]) -> Signal {
        self.step(value, Some(sample))
    }

    fn step(&mut self, value: f64, sample: Option<&[usize]>) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic(), self.threshold());
        };
        if self.stale {
            self.forget();
        }
        self.window.push(value);
        if !self.window.is_full() {
            self.gap = None;
            return Signal::quiet(0.0, self.threshold());
        }
        let apart = self.test(sample);
        self.gap = Some(apart.gap());
        let (statistic, threshold) = (self.statistic(), self.threshold());
        if apart.gap() < self.critical {
            return Signal::quiet(statistic, threshold);
        }
        let since = self.window.likeliest_split();
        if self.params.compat == Compat::River {
            self.stale = true;
        } else {
            self.window.keep_newest(self.params.stat_size);
        }
        let direction = if apart.above >= -apart.below { Direction::Up } else { Direction::Down };
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    fn test(&mut self, sample: Option<&[usize]>) -> Apart {
        if !self.params.draws() {
            return self.window.split(self.params.stat_size);
        }
        match sample.and_then(|sample| self.marks(sample)) {
            Some(marks) => {
                let newer = self.params.stat_size;
                self.window.apart(|age| {
                    if age < newer { -1 } else { marks.get(usize::from(age)).copied().unwrap_or(0) }
                })
            }
            None => self.draw(),
        }
    }

    /// Compares with a random sample, drawn on the way.
    fn draw(&mut self) -> Apart {
        let newer = self.params.stat_size;
        let mut left = u64::from(self.params.window_size - newer);
        let mut wanted = u64::from(newer);
        let mut random = SplitMix64::new(self.generator);
        let apart = self.window.apart(|age| {
            let older = u64::from(age >= newer);
            // One of `left` is taken with probability `wanted / left`.
            let taken = older & u64::from(((random.next() >> 32) * left) >> 32 < wanted);
            left -= older;
            wanted -= taken;
            taken as i32 + older as i32 - 1
        });
        self.generator = random.state();
        apart
    }

    /// Marks by age what a sample of places takes, when it is one.
    fn marks(&self, sample: &[usize]) -> Option<Vec<i32>> {
        let size = usize::from(self.params.window_size);
        let older = size - usize::from(self.params.stat_size);
        let mut marks = alloc::vec![0; size];
        for place in sample {
            let mark = marks.iter_mut().rev().take(older).nth(*place)?;
            if *mark == 1 {
                return None;
            }
            *mark = 1;
        }
        (sample.len() == usize::from(self.params.stat_size)).then_some(marks)
    }

    fn forget(&mut self) {
        self.window.clear();
        self.generator = self.params.seed;
        self.gap = None;
        self.stale = false;
    }

    fn statistic(&self) -> f64 {
        self.gap.map_or(0.0, |gap| f64::from(gap) / self.unit)
    }

    fn threshold(&self) -> f64 {
        f64::from(self.critical) / self.unit
    }
}

impl Detector for Kswin {
    fn update(&mut self, value: f64) -> Signal {
        self.step(value, None)
    }

    fn reset(&mut self) {
        self.tally = Tally::default();
        self.forget();
    }

    fn name(&self) -> &'static str {
        "kswin"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    /// Returns the mean of the newest `stat_size` values.
    fn estimation(&self) -> Option<f64> {
        self.window.mean(|age| age < self.params.stat_size)
    }

    /// Returns the mean of the older values of the window.
    fn baseline(&self) -> Option<f64> {
        self.window.mean(|age| age >= self.params.stat_size)
    }

    fn reseed(&mut self, seed: u64) {
        self.generator = seed;
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.generator);
        put_u32(out, self.gap.unwrap_or(u32::MAX));
        out.push(u8::from(self.stale));
        put_u32(out, self.window.len() as u32);
        for value in self.window.by_arrival() {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "kswin", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let generator = bytes.u64()?;
        let gap = bytes.u32()?;
        ensure(gap == u32::MAX || f64::from(gap) <= self.unit, "gap")?;
        let stale = bytes.u8()?;
        ensure(stale <= 1, "stale")?;
        let held = bytes.u32()?;
        ensure(held <= u32::from(self.params.window_size) && u64::from(held) <= tally.taken, "held")?;
        let mut window = Window::new(self.params.window_size.into());
        for _ in 0..held {
            window.push(bounded(bytes, "value", 1.0)?);
        }
        let gap = (gap != u32::MAX).then_some(gap);
        *self = Self { tally, window, generator, gap, stale: stale == 1, ..*self };
        Ok(())
    }
}
