//! A running error rate, its deviation, and where their sum was lowest: what DDM and RDDM watch.

use alloc::vec::Vec;

use crate::Compat;
use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::sqrt;
use crate::state::{self, ensure};

/// Above any rate plus its deviation.
const UNREACHED: f64 = 2.0;

/// The rate `p` of errors among `seen` values, `s = sqrt(p (1 - p) / seen)`, and both where `p + s` was
/// lowest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorRate {
    pub(crate) seen: u64,
    pub(crate) rate: f64,
    deviation: f64,
    low_rate: f64,
    low_deviation: f64,
}

impl ErrorRate {
    pub(crate) const fn new() -> Self {
        Self { seen: 0, rate: 0.0, deviation: 0.0, low_rate: UNREACHED, low_deviation: 0.0 }
    }

    /// Forgets the values and keeps the lowest sum.
    pub(crate) const fn restart(&mut self) {
        *self = Self { low_rate: self.low_rate, low_deviation: self.low_deviation, ..Self::new() };
    }

    /// Forgets the values for others, of which `ones` are 1 and the rest 0, and keeps the lowest sum.
    pub(crate) fn restart_with(&mut self, seen: u64, ones: u64) {
        self.seen = seen;
        let n = seen.max(1) as f64;
        self.rate = ones as f64 / n;
        self.deviation = sqrt(self.rate * (1.0 - self.rate) / n);
    }

    /// Takes a value from 0 to 1.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.seen += 1;
        let n = self.seen as f64;
        self.rate += (value - self.rate) / n;
        self.deviation = sqrt(self.rate * (1.0 - self.rate) / n);
    }

    /// Is true once the values may be judged.
    #[inline]
    pub(crate) const fn is_warm(&self, warm_start: u64, compat: Compat) -> bool {
        match compat {
            Compat::Paper => self.seen >= warm_start,
            Compat::River => self.seen > warm_start,
            // MOA counts from 1.
            Compat::Moa => self.seen + 1 >= warm_start,
        }
    }

    /// Keeps the present values if their sum is the lowest so far.
    ///
    /// With [`Compat::Paper`] a rate without any deviation says nothing yet and is not kept.
    #[inline]
    pub(crate) fn keep_lowest(&mut self, compat: Compat) {
        let spread = compat != Compat::Paper || self.deviation > 0.0;
        if spread && self.sum() <= self.low_rate + self.low_deviation {
            self.low_rate = self.rate;
            self.low_deviation = self.deviation;
        }
    }

    /// The rate plus its deviation.
    #[inline]
    pub(crate) fn sum(&self) -> f64 {
        self.rate + self.deviation
    }

    /// The lowest rate plus `factor` of its deviations; above every sum before there is a lowest.
    #[inline]
    pub(crate) fn limit(&self, factor: f64) -> f64 {
        self.low_rate + factor * self.low_deviation
    }

    /// The lowest rate, once there is one.
    pub(crate) fn lowest(&self) -> Option<f64> {
        (self.low_rate < UNREACHED).then_some(self.low_rate)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u64(out, self.seen);
        put_f64(out, self.rate);
        put_f64(out, self.deviation);
        put_f64(out, self.low_rate);
        put_f64(out, self.low_deviation);
    }

    pub(crate) fn read(bytes: &mut Reader<'_>, seen_max: u64) -> Result<Self, DecodeError> {
        let seen = state::count(bytes, "seen", seen_max)?;
        let (rate, deviation) = (state::unit(bytes, "rate")?, state::unit(bytes, "deviation")?);
        let (low_rate, low_deviation) = (bytes.f64()?, bytes.f64()?);
        let unit = 0.0..=1.0;
        let unset = low_rate == UNREACHED && low_deviation == 0.0;
        ensure(unset || unit.contains(&low_rate) && unit.contains(&low_deviation), "lowest")?;
        Ok(Self { seen, rate, deviation, low_rate, low_deviation })
    }
}
