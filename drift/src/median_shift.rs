//! The median-shift monitor: a latency that moved, told apart from a latency that spiked.

mod chance;
mod params;

use alloc::vec::Vec;

use chance::{ARL_LEAST, ARL_MOST, Test};
use params::MOST;
pub use params::MedianShiftParams;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::sorted;
use crate::state::{self, Tally, bounded, ensure};
use crate::{Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 3;
/// Makes the median absolute deviation of a normal distribution its standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// Most of the last values against median and spread of those before, with a bound on false alarms.
///
/// Use it for latencies and other heavy-tailed series whose level moves in steps, a few values per
/// minute: neither single spikes nor bursts in which every other value spikes move it, a shift is found
/// `recent` values later or a little sooner. Do not use it for a tail that grows while the median stands (watch a
/// quantile for that), nor for slow ramps, which the reference follows, nor for values that hang together over
/// longer than `recent` (put a batcher in front). A level that moves by less than its values spread is not seen, and
/// becomes the reference: where that matters, as for an accuracy, use [`crate::ConformalSr`]. Bits and values of
/// few levels are seen only to leave the levels where they were: the places of equal values say nothing.
///
/// # Recurrence
///
/// Let `m` be the median and `d` the median absolute deviation of the `reference` values before the last `r`
/// (`recent`, or more with a large `arl`), `c` the median of the last `recent`, and `e` their edge: the value nearest
/// to `m` once a share of `1 - share` of them, those on `m`'s side, is left out. The windows are apart by
///
/// `|e - m| / (1.4826 d + |c - e| + max(floor_absolute, floor_relative |m|))`
///
/// where `c` and `e` lie on one side of `m`, else by 0. The shift is so measured against the spread of both
/// windows, and of the recent one only on the side that faces the reference: a tail that points away from it
/// hides no shift. When that reaches `threshold` and the shift is no chance, it is [`Level::Drift`].
///
/// Chance is judged by the last `r` values against those of the reference that came since the last alarm, `n` of
/// them: for each place `j` among the `r`, from the one nearest to the reference to the edge, by the number of the
/// `n` that lie at or beyond the value there. When every order is as likely it is at most `k` with the chance of
/// the negative hypergeometric law, the sum over `i` to `k` of
/// `C(r - j + i - 1, i) C(n - i + j, j) / C(n + r, r)` with `j` from 0. So some of the `r` may have stayed behind,
/// or some of the reference have been as far out.
///
/// The shift is no chance when one of these is at most `9 / (32 arl)`, divided by the two directions and the number
/// of places. Until the reference is full again after an alarm, `1 / (4 reference)` is added to that before it is
/// divided. `r` is as large as it must be for a shift of all `r` to show while one in ten of the
/// reference lies beyond: 8 up to an `arl` of 100,000 at the defaults, 15 for one of a thousand million.
///
/// The first alarm can come once half of the reference is there. After an alarm the last `r` values become
/// the start of a new reference, which counts again from `r` values on (or half of it, if that is
/// less). Until it is full, the scale that the alarm was measured with stands for the values that are still
/// missing, each with the same weight.
///
/// In the signal, `statistic` is the distance above (at most `f64::MAX`; `threshold` while a greater one may be
/// chance), `threshold` the parameter, `since` counts from the oldest of the last `r` that lies nearer to `e`
/// than to `m`.
///
/// # Guarantee
///
/// While nothing changes and the values do not depend on each other (or can change places), there are on average at
/// most `n / arl` false alarms in the first `n` values, for every `n`, and so at most one in `arl` values in the long
/// run; and at least `arl` values before the first: whatever their law, ties and spikes included. In `n` values that
/// begin elsewhere there may be one more on average, for all that is proved. With `arl` as 0 there is no bound.
///
/// For since an alarm the values are as exchangeable as before it, so that a test of level `a` rejects with a chance
/// of at most `a` at each of them, whatever the alarm was for. The time from one alarm to the next is then at most
/// `k` with a chance of at most `e + a k`, with `a = 9 / (32 arl)` and `e = 1/4` for all that is added after an
/// alarm. That is as if one alarm in four brought another at once, and the others came at a time that is uniform up
/// to `(1 - e) / a`; of a renewal process of uniform times no more than two alarms come in such a time on average
/// (its times age, so what is left of one is on average no more than half of it), hence at most
/// `2 a n / (1 - e)^2 = n / arl`. A run length that is moved while the reference fills makes that inexact by a
/// few steps. Measured run lengths are five times `arl` by the test alone, since windows overlap, and ten times and
/// more with the distance.
///
/// # Defaults
///
/// Windows, share and threshold were chosen on 18 labelled series of internet round-trip times (137,936 values, 334
/// changes; an alarm counts from 2 values before to 30 after a change), where without a bound they reach an F1 of
/// 0.787: precision 0.77, recall 0.81, 0.59 false alarms per 1,000. With the bound at its default, F1 is 0.771:
/// precision 0.82, recall 0.73, a mean delay of 5.8 values and 0.38 false alarms per 1,000. Of the test two forms were
/// scored there: without what is added after an alarm F1 is 0.76. That the distance is that of `recent` values and
/// not of all `r` was decided on another scored stream, `lat_regimes_a`. `cargo xtask quality --only rtt` measures
/// what is left. Medians alone (`share` 0.5, 10 against 30, `threshold` 4) reach 0.72, ADWIN at its best
/// setting 0.52, Page-Hinkley 0.42. Other series will differ.
///
/// # Cost
///
/// Both windows are kept sorted: two moves of a few hundred bytes per value; deviations are looked up by
/// bisection, and only when the edge lies beyond the median. Chance is judged only when the distance is reached;
/// where that is every few values, the detector takes twice its time. At the defaults 1,088 bytes beside the struct.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, MedianShift, MedianShiftParams};
///
/// let mut latency = MedianShift::new(MedianShiftParams::default())?;
/// // About 20 ms with a spike every 25 values; about 26 ms from value 200 on.
/// let level = |i: u64| if i < 200 { 20.0 } else { 26.0 };
/// let value = |i: u64| if i % 25 == 0 { 400.0 } else { level(i) + (i * 7 % 5) as f64 * 0.2 };
/// let (at, signal) = (0..400)
///     .map(|i| (i, latency.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.direction, signal.since), (206, Direction::Up, 7));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. With both floors
/// 0 a constant reference makes any other level as far away as can be. An `arl` beyond what the windows can show
/// ([`MedianShiftParams::arl_most`]) is refused as a parameter and held there by [`Detector::set_arl`].
///
/// # References
///
/// Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974), section 5 (the
/// median absolute deviation as a scale). The places are those of a precedence test: Nelson, "Tables for a
/// precedence life test", Technometrics 5 (1963); Balakrishnan and Ng, "Precedence-Type Tests and Applications"
/// (2006). The monitor itself is a plain two-window comparison.
#[derive(Clone, Debug)]
pub struct MedianShift {
    params: MedianShiftParams,
    test: Test,
    tally: Tally,
    statistic: f64,
    /// Scale of the reference at the last alarm, or 0.
    carried: f64,
    /// The last values in order of arrival, as a ring once it is full.
    ring: Vec<f64>,
    /// Place of the oldest value in `ring`.
    oldest: usize,
    older: Vec<f64>,
    newer: Vec<f64>,
    /// Values since the last alarm, at most as many as both windows can hold.
    fresh: u16,
}

impl MedianShift {
    /// Builds a monitor that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: MedianShiftParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self {
            params,
            test: Test::new(&params, params.arl),
            tally: Tally::default(),
            statistic: 0.0,
            carried: 0.0,
            ring: Vec::new(),
            oldest: 0,
            older: Vec::new(),
            newer: Vec::new(),
            fresh: 0,
        })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &MedianShiftParams {
        &self.params
    }

    /// Counts the bytes that the monitor holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        let room = self.ring.capacity() + self.older.capacity() + self.newer.capacity();
        size_of::<Self>() + room * size_of::<f64>()
    }

    /// Returns how many of the newest values chance is judged by: `r` of the page, which follows from the run length.
    pub fn recent(&self) -> usize {
        usize::from(self.test.recent)
    }

    /// Returns how many values both windows hold.
    fn room(&self) -> usize {
        self.recent() + usize::from(self.params.reference)
    }

    /// Returns the value that came so many values ago, 1 for the newest.
    fn ago(&self, age: usize) -> Option<f64> {
        let held = self.ring.len();
        let at = self.oldest + held.checked_sub(age)?;
        self.ring.get(if at < held { at } else { at - held }).copied()
    }

    /// Moves the windows on by one value.
    fn slide(&mut self, value: f64) {
        if self.ring.capacity() < self.room() {
            self.allocate();
        }
        self.fresh = (self.fresh + 1).min(MOST);
        let newest = usize::from(self.params.recent);
        if self.newer.len() < newest {
            sorted::insert(&mut self.newer, value);
            self.ring.push(value);
            return;
        }
        let Some(passing) = self.ago(newest) else { return };
        sorted::replace(&mut self.newer, passing, value);
        let joining = self.ago(self.recent());
        if self.ring.len() == self.room() {
            let (Some(slot), Some(joining)) = (self.ring.get_mut(self.oldest), joining) else { return };
            let leaving = core::mem::replace(slot, value);
            sorted::replace(&mut self.older, leaving, joining);
            self.oldest = if self.oldest + 1 == self.ring.len() { 0 } else { self.oldest + 1 };
        } else {
            if let Some(joining) = joining {
                sorted::insert(&mut self.older, joining);
            }
            self.ring.push(value);
        }
    }

    /// Takes all memory at once, exactly as much as is needed.
    #[cold]
    fn allocate(&mut self) {
        let (recent, reference) = (usize::from(self.params.recent), usize::from(self.params.reference));
        self.ring.reserve_exact(self.room().saturating_sub(self.ring.len()));
        self.older.reserve_exact(reference.saturating_sub(self.older.len()));
        self.newer.reserve_exact(recent.saturating_sub(self.newer.len()));
    }

    /// Measures how far apart the two windows are; nothing while it learns.
    fn measure(&self) -> Option<Apart> {
        let half = usize::from(self.params.reference / 2) + 1;
        let enough = if self.carried > 0.0 { half.min(self.recent()) } else { half };
        if self.older.len() < enough {
            return None;
        }
        let center = sorted::median(&self.older)?;
        let middle = sorted::median(&self.newer)?;
        let spared = self.params.spared(self.params.recent);
        let up = middle > center;
        let edge = if up {
            self.newer.get(spared)?.min(middle)
        } else {
            self.newer.get(self.newer.len().checked_sub(spared + 1)?)?.max(middle)
        };
        let gap = if up { edge - center } else { center - edge };
        if gap <= 0.0 {
            return Some(Apart { statistic: 0.0, scale: 0.0, center, edge });
        }
        let scale = self.scale(center);
        let floor = self.params.floor_absolute.max(self.params.floor_relative * center.abs());
        let statistic = (gap / (scale + (middle - edge).abs() + floor)).min(f64::MAX);
        Some(Apart { statistic, scale, center, edge })
    }

    /// Returns the reference's standard deviation by its median absolute deviation, filled up by the carried
    /// one while the reference is not full.
    fn scale(&self, center: f64) -> f64 {
        let own = MAD_TO_DEVIATION * sorted::deviation(&self.older, center);
        let (held, room) = (self.older.len() as f64, f64::from(self.params.reference));
        if held >= room || self.carried <= 0.0 {
            return own;
        }
        (held * own + (room - held) * self.carried) / room
    }

    /// Counts the newest values from the oldest of the recent ones that lies on the new side.
    fn since(&self, apart: &Apart) -> u64 {
        let halfway = f64::midpoint(apart.center, apart.edge);
        let up = apart.edge > apart.center;
        let (newer, older) = self.ring.split_at_checked(self.oldest).unwrap_or((&[], &self.ring));
        let recent = self.recent();
        let moved = older.iter().chain(newer).skip(self.ring.len().saturating_sub(recent));
        let behind = moved.take_while(|&&value| if up { value < halfway } else { value > halfway }).count();
        (recent - behind.min(recent)) as u64
    }

    /// Keeps the newest values only, as the start of a new reference.
    fn learn_anew(&mut self) {
        self.ring.rotate_left(self.oldest);
        self.ring.drain(..self.ring.len().saturating_sub(self.recent()));
        self.oldest = 0;
        self.older.clear();
        self.fresh = 0;
    }

    /// Whether the recent values are too far from those since the last alarm for chance, by a test.
    #[cold]
    fn is_significant(&self, test: &Test, up: bool) -> bool {
        if test.arl == 0.0 {
            return true;
        }
        let (held, newest) = (self.ring.len(), usize::from(test.recent));
        let spent = held.saturating_sub(usize::from(self.fresh));
        let Some(reference) = held.checked_sub(spent + newest).filter(|n| *n > 0) else {
            return false;
        };
        let (newer, older) = self.ring.split_at_checked(self.oldest).unwrap_or((&[], &self.ring));
        let mut values = older.iter().chain(newer).copied().skip(spent);
        let before = values.clone().take(reference);
        let mut room = [0.0; MOST as usize];
        let Some(recent) = room.get_mut(..newest) else { return false };
        // From the side of the reference outwards.
        recent.iter_mut().zip(values.by_ref().skip(reference)).for_each(|(place, value)| *place = value);
        recent.sort_unstable_by(|a, b| if up { a.total_cmp(b) } else { b.total_cmp(a) });
        recent.iter().take(self.params.spared(test.recent) + 1).enumerate().any(|(place, edge)| {
            let beyond = before.clone().filter(|x| if up { x >= edge } else { x <= edge }).count();
            test.rejects_place(place, reference, beyond, spent > 0)
        })
    }

    /// Takes another run length, and as many recent values as that asks for.
    fn adopt(&mut self, arl: f64) {
        let (before, test) = (self.test.recent, Test::new(&self.params, arl));
        self.test = test;
        if test.recent == before || self.ring.is_empty() {
            return;
        }
        self.ring.rotate_left(self.oldest);
        self.oldest = 0;
        self.ring.drain(..self.ring.len().saturating_sub(self.room()));
        if self.ring.capacity() < self.room() {
            self.allocate();
        }
        let (held, newest) = (self.ring.len(), usize::from(self.params.recent));
        let older = self.ring.get(..held.saturating_sub(self.recent())).unwrap_or_default();
        let newer = self.ring.get(held.saturating_sub(newest)..).unwrap_or_default();
        for (window, values) in [(&mut self.older, older), (&mut self.newer, newer)] {
            window.clear();
            window.extend_from_slice(values);
            window.sort_unstable_by(f64::total_cmp);
        }
    }
}

/// How far apart the two windows are.
struct Apart {
    statistic: f64,
    /// Scale of the reference; 0 when it was not asked for.
    scale: f64,
    /// Median of the reference.
    center: f64,
    /// The recent value that is held against it.
    edge: f64,
}

impl Detector for MedianShift {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = self.params.threshold;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        self.slide(value);
        let Some(apart) = self.measure() else {
            self.statistic = 0.0;
            return Signal::quiet(0.0, threshold);
        };
        let statistic = apart.statistic;
        self.statistic = statistic;
        if statistic < threshold {
            return Signal::quiet(statistic, threshold);
        }
        let up = apart.edge > apart.center;
        if !self.is_significant(&self.test, up) {
            self.statistic = threshold;
            return Signal::quiet(threshold, threshold);
        }
        let since = self.since(&apart);
        let direction = if up { Direction::Up } else { Direction::Down };
        self.carried = apart.scale;
        self.learn_anew();
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    fn reset(&mut self) {
        self.tally = Tally::default();
        self.statistic = 0.0;
        self.carried = 0.0;
        self.ring.clear();
        self.oldest = 0;
        self.older.clear();
        self.newer.clear();
        self.fresh = 0;
    }

    fn name(&self) -> &'static str {
        "median-shift"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        sorted::median(&self.newer)
    }

    fn baseline(&self) -> Option<f64> {
        sorted::median(&self.older)
    }

    fn arl(&self) -> Option<f64> {
        (self.test.arl > 0.0).then_some(self.test.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        if self.test.arl == 0.0 {
            return false;
        }
        if let Some(arl) = state::run_length(arl, ARL_LEAST, ARL_MOST)
            && arl != self.test.arl
        {
            self.adopt(arl);
        }
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        let Some(arl) = state::run_length(arl, ARL_LEAST, ARL_MOST).filter(|_| self.test.arl > 0.0) else {
            return false;
        };
        let far = self.measure().filter(|apart| apart.statistic >= self.params.threshold);
        far.is_some_and(|apart| self.is_significant(&Test::new(&self.params, arl), apart.edge > apart.center))
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.test.arl);
        put_u64(out, self.fresh.into());
        put_f64(out, self.statistic);
        put_f64(out, self.carried);
        put_u64(out, self.ring.len() as u64);
        let (newer, older) = self.ring.split_at_checked(self.oldest).unwrap_or((&[], &self.ring));
        for &value in older.iter().chain(newer) {
            put_f64(out, value);
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "median-shift", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let arl = bytes.f64()?;
        let ok = if self.params.arl == 0.0 {
            arl == 0.0
        } else {
            arl >= ARL_LEAST && arl <= self.params.arl_most()
        };
        ensure(ok, "arl")?;
        let fresh = state::count(bytes, "fresh", MOST.into())? as u16;
        let statistic = bytes.finite("statistic")?;
        ensure(statistic >= 0.0, "statistic")?;
        let carried = bounded(bytes, "carried", 4.0)?;
        ensure(carried >= 0.0, "carried")?;
        let held = bytes.u64()?;
        let mut next = Self::new(self.params).map_err(|_| DecodeError::Range { field: "params" })?;
        next.adopt(arl);
        ensure(held <= next.room() as u64 && held <= tally.taken, "held")?;
        for _ in 0..held {
            next.slide(bounded(bytes, "value", 1.0)?);
        }
        *self = Self { tally, statistic, carried, fresh, ..next };
        Ok(())
    }
}
