//! The common reading in one cache line.
//!
//! While the first version and kind of a model is watched by one small check, with nothing firing, due or
//! waiting, a reading needs its key, three numbers of the check and two of the series. They are kept here;
//! whatever is not this case closes the lane, which writes them back, and goes the long way.

use visu_tility_drift::Ewma;

use super::body::{Body, NEVER};
use super::{Reading, SeriesKey};
use crate::check::SmallCheck;
use crate::time::Timestamp;

/// What the common reading touches.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Lane {
    /// The key of the first series; 0, which is no key, while the lane is closed.
    key: u64,
    newest: Timestamp,
    /// Values taken since it was opened.
    taken: u64,
    pub last_offset: u64,
    check: SmallCheck,
}

impl Lane {
    /// No reading fits.
    pub const CLOSED: Self = Self {
        key: 0,
        newest: Timestamp::EPOCH,
        taken: 0,
        last_offset: 0,
        check: SmallCheck { state: f64::NAN, limit: 0.0, smoothing: f64::NAN },
    };

    /// Takes what the body's first series needs for the common reading, if it is in that case.
    pub fn open(body: &Body) -> Self {
        let fits = |body: &Body| {
            let series = body.series.first()?;
            let instance = series.first.as_ref()?;
            let plain = series.wanted == 0 && series.back_run == 0 && instance.life.is_none();
            let alone = plain && body.switches.is_empty() && series.info.rest.is_empty();
            let check = instance.state.small().filter(|_| alone && body.next_deadline == NEVER)?;
            let (key, newest) = (series.key.get(), series.newest);
            Some(Self { key, newest, taken: 0, last_offset: body.last_offset, check })
        };
        fits(body).unwrap_or(Self::CLOSED)
    }

    /// Is true while it holds the first series' state.
    pub const fn is_open(&self) -> bool {
        self.key != 0
    }

    /// Values taken that the body does not know of.
    pub const fn taken_since(&self) -> u64 {
        self.taken
    }

    /// Takes a reading if it is the common case; otherwise changes nothing.
    #[inline]
    pub fn take(&mut self, key: SeriesKey, reading: &Reading) -> bool {
        let value = reading.value;
        if self.key != key.get() || reading.at <= self.newest || value.is_nan() {
            return false;
        }
        let check = &mut self.check;
        if check.smoothing.is_nan() {
            if value > check.limit {
                return false;
            }
            check.state = value;
        } else {
            let mean = Ewma::step(check.smoothing, check.state, value);
            if mean < check.limit {
                return false;
            }
            check.state = mean;
        }
        self.newest = reading.at;
        self.taken += 1;
        self.last_offset = reading.offset;
        true
    }

    /// Writes back what it holds.
    pub fn close(&mut self, body: &mut Body) {
        if !self.is_open() {
            return;
        }
        if let Some(series) = body.series.first_mut() {
            series.newest = self.newest;
            series.taken += self.taken;
            if let Some(instance) = &mut series.first {
                instance.state.set_small(self.check.state);
            }
        }
        body.last_offset = self.last_offset;
        *self = Self::CLOSED;
    }
}

#[cfg(test)]
mod tests {
    use crate::ModelMonitor;

    #[test]
    fn what_the_common_reading_touches_is_one_cache_line() {
        assert_eq!((size_of::<ModelMonitor>(), align_of::<ModelMonitor>()), (64, 64));
        assert_eq!(size_of::<Option<ModelMonitor>>(), 64);
    }
}
