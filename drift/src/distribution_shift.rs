//! A change of the distribution, seen by comparing windows with the first values.

use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::distance::{BinnedDistance, count_right_closed, separated_edges};
use crate::histogram_drift::{Windows, read_reference, write_reference};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, ensure};
use crate::{Detector, ParamError, Signal};

/// The largest `arl`.
const ARL_MOST: f64 = 1e12;
const VERSION: u8 = 3;

/// The edges are the quantiles of at most this many first values.
const EDGES_FROM: u32 = 256;

parameters! {
    /// Parameters of [`DistributionShift`].
    pub struct DistributionShiftParams {
        /// The reference is this many first values, from 50 to 1,000,000.
        pub reference: u32 = 1_000,
        /// Bins of about equal shares of the reference, from 2 to 32.
        pub bins: u32 = 10,
        /// Values in each compared window, from 10 to 1,000,000.
        pub window: u32 = 200,
        /// Which distance of the histograms is looked at.
        pub distance: BinnedDistance = BinnedDistance::JensenShannon,
        /// Average number of values between false alarms, from twice the window to 1e12.
        pub arl: f64 = 10_000.0,
    }
}

impl DistributionShiftParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { reference, bins, window, arl, .. } = *self;
        let ok = (50..=1_000_000).contains(&reference);
        ParamError::check("reference", f64::from(reference), ok, "from 50 to 1000000")?;
        ParamError::check("bins", f64::from(bins), (2..=32).contains(&bins), "from 2 to 32")?;
        let ok = (10..=1_000_000).contains(&window);
        ParamError::check("window", f64::from(window), ok, "from 10 to 1000000")?;
        let ok = arl >= 2.0 * f64::from(window) && arl <= ARL_MOST;
        if !ok && arl == Self::default().arl {
            // Whoever set the window alone knows of no `arl`.
            let allowed = "from 10 to half of `arl`, which is 10000 unless it is given";
            return ParamError::check("window", f64::from(window), ok, allowed);
        }
        ParamError::check("arl", arl, ok, "at least twice the window, at most 1e12")
    }
}

/// Compares the histogram of each window of values with that of the first ones.
///
/// Use it on features, scores and predictions, where any change of the distribution matters: of the level, the
/// spread, the shape, the share of a value. For a change of a level alone a detector of means is faster; for a
/// reference from elsewhere take [`crate::HistogramDrift`]. Values must be independent, or batched until they are.
///
/// # How
///
/// The first values, up to 256, give the edges of `bins` bins by their quantiles; they and the next, up to
/// `reference`, are counted. Where the least value is itself an edge, what lies below
/// it gets a bin of its own. From then on each `window` values are held against a threshold of level `window / arl`,
/// which knows both sizes, the reference's own noise, and the shares: a fitted one
/// ([`crate::distance::NullLaw`]) and, when a window has passed it, the exact one
/// ([`BinnedDistance::threshold_of_table`]). See [`crate::HistogramDrift`].
///
/// After a drift, the next values are the new reference. While a reference is learnt the signal has statistic 0 and
/// threshold 1.
///
/// # Cost
///
/// A comparison with each edge a value. When the reference is complete its law is fitted, about 10 us a bin; a
/// window that passes the fitted threshold costs up to 1 ms more (10 bins; 32 bins 2 ms). State at most 2.2 KiB while the edges are learnt, 0.8 KiB after.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, DistributionShift, DistributionShiftParams};
///
/// let mut scores = DistributionShift::new(DistributionShiftParams::default())?;
/// // The spread halves at 3,000; the mean stays.
/// let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
/// let value = |i: u64| noise(i) * if i < 3_000 { 1.0 } else { 0.5 };
/// let alarm = (0..6_000).find(|&i| scores.update(value(i)).drift_detected());
/// assert_eq!(alarm, Some(3_199));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. A constant reference makes
/// three bins: below, equal, above.
///
/// # References
///
/// The distances and the law behind the threshold: [`BinnedDistance`].
#[derive(Clone, Debug)]
pub struct DistributionShift {
    params: DistributionShiftParams,
    tally: Tally,
    arl: f64,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Values for the edges.
    Edges(Vec<f64>),
    /// Edges are there, the reference is counted.
    Counting {
        edges: Vec<f64>,
        counts: Vec<u64>,
        counted: u32,
    },
    Watching(Windows),
}

const LEARNING: Signal = Signal::quiet(0.0, 1.0);

impl DistributionShift {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: DistributionShiftParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, tally: Tally::default(), arl: params.arl, phase: Phase::Edges(Vec::new()) })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &DistributionShiftParams {
        &self.params
    }

    /// The least run length: two windows.
    fn arl_least(&self) -> f64 {
        2.0 * f64::from(self.params.window)
    }

    fn learn(&mut self, value: f64) {
        let complete = match &mut self.phase {
            Phase::Edges(values) => {
                values.push(value);
                let enough = self.params.reference.min(EDGES_FROM);
                if values.len() < enough as usize {
                    return;
                }
                let edges = separated_edges(values, self.params.bins as usize).unwrap_or_default();
                let counts = count_right_closed(values, &edges);
                self.phase = Phase::Counting { edges, counts, counted: enough };
                enough == self.params.reference
            }
            Phase::Counting { edges, counts, counted } => {
                let bin = edges.partition_point(|&edge| edge < value);
                counts.iter_mut().skip(bin).take(1).for_each(|count| *count += 1);
                *counted += 1;
                *counted == self.params.reference
            }
            Phase::Watching(_) => false,
        };
        if complete {
            self.watch();
        }
    }

    /// Begins to watch, or to learn again where the counts allow no law (they always do).
    fn watch(&mut self) {
        let Phase::Counting { edges, counts, .. } = &mut self.phase else { return };
        let (edges, counts) = (core::mem::take(edges), core::mem::take(counts));
        let DistributionShiftParams { distance, window, .. } = self.params;
        self.phase = Windows::new(edges, counts, distance, window, self.arl)
            .map_or_else(|_| Phase::Edges(Vec::new()), Phase::Watching);
    }
}

impl Detector for DistributionShift {
    #[inline]
    fn update(&mut self, value: f64) -> Signal {
        let admitted = self.tally.admit(value);
        match (&mut self.phase, admitted) {
            (Phase::Watching(windows), Some(value)) => {
                let signal = windows.update(value);
                if signal.drift_detected() {
                    self.phase = Phase::Edges(Vec::new());
                }
                signal
            }
            (Phase::Watching(windows), None) => windows.quiet(),
            (_, Some(value)) => {
                self.learn(value);
                LEARNING
            }
            (_, None) => LEARNING,
        }
    }

    fn reset(&mut self) {
        self.tally = Tally::default();
        self.phase = Phase::Edges(Vec::new());
    }

    fn name(&self) -> &'static str {
        "distribution"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn arl(&self) -> Option<f64> {
        Some(self.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        if let Some(arl) = state::run_length(arl, self.arl_least(), ARL_MOST) {
            self.arl = arl;
            if let Phase::Watching(windows) = &mut self.phase {
                windows.aim(arl);
            }
        }
        true
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.arl);
        match &self.phase {
            Phase::Edges(values) => {
                out.push(0);
                put_u32(out, values.len() as u32);
                for &value in values {
                    put_f64(out, value);
                }
            }
            Phase::Counting { edges, counts, .. } => {
                out.push(1);
                put_u32(out, edges.len() as u32);
                for &edge in edges {
                    put_f64(out, edge);
                }
                for &count in counts {
                    put_u64(out, count);
                }
            }
            Phase::Watching(windows) => {
                out.push(2);
                write_reference(windows, out);
                windows.write(out);
            }
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "distribution", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let arl = state::read_run_length(bytes, self.arl_least(), ARL_MOST)?;
        let DistributionShiftParams { reference, distance, window, .. } = self.params;
        let phase = match bytes.u8()? {
            0 => {
                let held = bytes.u32()?;
                ensure(held < reference.min(EDGES_FROM), "values")?;
                let mut values = vec![];
                for _ in 0..held {
                    let value = bytes.finite("values")?;
                    ensure(value.abs() <= VALUE_LIMIT, "values")?;
                    values.push(value);
                }
                Phase::Edges(values)
            }
            1 => {
                let (edges, counts) = read_reference(bytes, u64::from(reference) - 1)?;
                let counted = counts.iter().sum::<u64>() as u32;
                ensure(counted >= reference.min(EDGES_FROM), "counts")?;
                Phase::Counting { edges, counts, counted }
            }
            2 => {
                let (edges, counts) = read_reference(bytes, reference.into())?;
                ensure(counts.iter().sum::<u64>() == u64::from(reference), "counts")?;
                let windows = Windows::new(edges, counts, distance, window, arl);
                let mut windows = windows.map_err(|_| DecodeError::Range { field: "counts" })?;
                windows.read(bytes)?;
                Phase::Watching(windows)
            }
            _ => return Err(DecodeError::Range { field: "phase" }),
        };
        *self = Self { params: self.params, tally, arl, phase };
        Ok(())
    }
}
