//! The candidate change locations of one side: the vertices of a convex hull.

use alloc::vec::Vec;

use super::cost::{Cost, Now};
use crate::codec::{DecodeError, Reader, put_f64, put_u16};
use crate::state::ensure;

/// Most candidates of one side. The number over independent values is about `ln n`: 19 ± 4.2 after 1e8.
pub(super) const CANDIDATES: usize = 56;

/// A place where the level may have changed.
#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    /// Number of values up to it.
    cut: f64,
    /// Their sum.
    sum: f64,
    /// No older candidate had a larger ratio than this when this one came.
    older: f64,
    /// The cost's `whole` of the values up to it.
    before: f64,
}

/// The best candidate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Best {
    pub(super) ratio: f64,
    pub(super) cut: f64,
    /// No candidate at all has a larger ratio than this.
    pub(super) bound: f64,
}

/// Candidates, oldest first, for a change upwards of `sign` times the values.
///
/// As points (number of values, their sum) they are the vertices of the lower convex hull, from the last
/// place where the level was at or below the known one on.
#[derive(Clone, Debug)]
pub(super) struct Hull {
    sign: f64,
    /// The known level in the scale of the sums, times `sign`.
    level: Option<f64>,
    len: usize,
    candidates: [Candidate; CANDIDATES],
}

impl Hull {
    pub(super) fn new(sign: f64, level: Option<f64>) -> Self {
        let level = level.map(|level| sign * level);
        Self { sign, level, len: 1, candidates: [Candidate::default(); CANDIDATES] }
    }

    /// Goes back to the beginning of the stream as the only candidate.
    pub(super) fn clear(&mut self) {
        self.candidates = [Candidate::default(); CANDIDATES];
        self.len = 1;
    }

    fn held(&self) -> &[Candidate] {
        self.candidates.get(..self.len).unwrap_or(&[])
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Drops the candidates that the newest value has put above the hull: none of them can ever be the best.
    #[inline]
    pub(super) fn prune(&mut self, now: &Now) {
        let (sign, level) = (self.sign, self.level);
        while let Some((top, rest)) = self.held().split_last() {
            let (run, rise) = (now.n - top.cut, sign * (now.sum - top.sum));
            let inside = match (rest.last(), level) {
                (Some(below), _) => rise * (top.cut - below.cut) <= sign * (top.sum - below.sum) * run,
                (None, Some(level)) => rise <= level * run,
                (None, None) => false,
            };
            if !inside {
                return;
            }
            self.len -= 1;
        }
    }

    /// Finds the best candidate. Where its ratio is below `floor`, an older one may be better, but not
    /// above `floor`.
    #[inline]
    pub(super) fn best<C: Cost>(&self, cost: &C, now: &Now, floor: f64) -> Best {
        let mut best = Best { ratio: 0.0, cut: now.n, bound: 0.0 };
        for candidate in self.held().iter().rev() {
            let ratio = cost.ratio(now, candidate.cut, candidate.sum, candidate.before);
            if ratio > best.ratio {
                best.ratio = ratio;
                best.cut = candidate.cut;
            }
            // What an older candidate gained up to this one, and what this one gained since.
            let rest = ratio + candidate.older;
            if rest <= best.ratio.max(floor) {
                best.bound = best.ratio.max(rest);
                return best;
            }
        }
        best.bound = best.ratio;
        best
    }

    /// Takes the newest value's place as a candidate. `bound` is of [`Hull::best`] at this value.
    #[inline]
    pub(super) fn push(&mut self, now: &Now, bound: f64) {
        if self.len == CANDIDATES {
            self.thin();
        }
        let newest = Candidate { cut: now.n, sum: now.sum, older: bound, before: now.whole };
        if let Some(place) = self.candidates.get_mut(self.len) {
            *place = newest;
            self.len += 1;
        }
    }

    /// Leaves out the candidate whose neighbours are nearest to each other, measured by their age.
    #[cold]
    fn thin(&mut self) {
        let newest = self.held().last().map_or(0.0, |last| last.cut);
        let mut nearest = (f64::INFINITY, self.len - 1);
        for (i, three) in self.held().windows(3).enumerate() {
            let [before, _, after] = three else { continue };
            let apart = (after.cut - before.cut) / (newest + 1.0 - before.cut);
            if apart < nearest.0 {
                nearest = (apart, i + 1);
            }
        }
        if let Some(tail) = self.candidates.get_mut(nearest.1..self.len) {
            tail.rotate_left(1);
            self.len -= 1;
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.len as u16);
        for candidate in self.held() {
            put_f64(out, candidate.cut);
            put_f64(out, candidate.sum);
            put_f64(out, candidate.older);
        }
    }

    /// Reads candidates that end at `now`; `step` says whether a difference of sums is possible over a
    /// number of values.
    pub(super) fn read<C: Cost>(
        &mut self,
        bytes: &mut Reader<'_>,
        cost: &C,
        now: &Now,
        step: impl Fn(f64, f64) -> bool,
    ) -> Result<(), DecodeError> {
        let len = usize::from(bytes.u16()?);
        ensure((1..=CANDIDATES).contains(&len), "candidates")?;
        let mut last = Candidate::default();
        for (i, place) in self.candidates.iter_mut().take(len).enumerate() {
            let (cut, sum, older) = (bytes.f64()?, bytes.finite("sum")?, bytes.f64()?);
            let whole = (0.0..=now.n).contains(&cut) && cut % 1.0 == 0.0;
            ensure(whole && (i == 0 || cut > last.cut), "cut")?;
            // With an unknown level the beginning of the stream stays for ever.
            ensure(i > 0 || self.level.is_some() || cut == 0.0, "first cut")?;
            ensure(step(cut - last.cut, sum - last.sum), "sum")?;
            ensure((0.0..=1e300).contains(&older), "bound")?;
            let before = if cut > 0.0 { cost.whole(cut, sum) } else { 0.0 };
            last = Candidate { cut, sum, older, before };
            *place = last;
        }
        ensure(last.cut == now.n && last.sum == now.sum, "newest cut")?;
        self.len = len;
        Ok(())
    }
}
