//! What is set of the median shift.

use alloc::format;

use super::chance::{self, ARL_LEAST, ARL_MOST};
use crate::ParamError;
use crate::parameters::parameters;
use crate::state::VALUE_LIMIT;

/// Values that both windows may hold together, so that the state stays within 4 KiB.
pub(super) const MOST: u16 = 240;

parameters! {
    /// Parameters of [`crate::MedianShift`].
    pub struct MedianShiftParams {
        /// Newest values, which are held against the reference. At least 1. Whether a shift is
        /// chance is judged by more of them where `arl` is large.
        pub recent: u16 = 8,
        /// Values before them, whose median and spread are the reference. At least 4, and with `recent` at most
        /// 240.
        pub reference: u16 = 60,
        /// Alarm threshold in units of the scale, above 0.
        pub threshold: f64 = 2.5,
        /// Share of the recent values that must have moved, 0.5 to 1: with 0.5 their median must have, with 1
        /// every one of them.
        pub share: f64 = 0.75,
        /// Floor of the scale in the stream's units, not negative.
        pub floor_absolute: f64 = 0.0,
        /// Floor of the scale as a share of the reference median's size, not negative. The default, with the
        /// default threshold, lets no shift of less than 0.25 % alarm. Set it to what matters to you: 0.08 asks
        /// for a shift of 20 %.
        pub floor_relative: f64 = 0.001,
        /// Least average number of values between false alarms, from 2 to 1e15 and no more than the windows can
        /// show; 0 for no bound.
        pub arl: f64 = 10_000.0,
    }
}

impl MedianShiftParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { recent, reference, threshold, share, floor_absolute, floor_relative, arl, .. } = *self;
        let room = recent.saturating_add(reference) <= MOST;
        ParamError::check("recent", f64::from(recent), recent >= 1, "at least 1")?;
        ParamError::check("reference", f64::from(reference), reference >= 4, "at least 4")?;
        ParamError::check("reference", f64::from(reference), room, "at most 240 together with `recent`")?;
        let ok = threshold > 0.0 && threshold <= 1e9;
        ParamError::check("threshold", threshold, ok, "above 0 and at most 1e9")?;
        ParamError::check("share", share, (0.5..=1.0).contains(&share), "0.5 to 1")?;
        let ok = (0.0..=VALUE_LIMIT).contains(&floor_absolute);
        ParamError::check("floor_absolute", floor_absolute, ok, "not negative")?;
        let ok = (0.0..=1e6).contains(&floor_relative);
        ParamError::check("floor_relative", floor_relative, ok, "not negative")?;
        let most = self.arl_most();
        if arl == 0.0 || (ARL_LEAST..=most).contains(&arl) {
            return Ok(());
        }
        // Rounded down, so that what is said is allowed.
        let most = if most < ARL_MOST {
            format!("{}, the most that these windows can show", most as u64)
        } else {
            "1e15".into()
        };
        ParamError::check("arl", arl, false, format!("0, or from 2 to {most}"))
    }

    /// Returns the largest `arl` that the windows can show: all the recent values that fit beyond the whole
    /// reference. At most 1e15, which every `reference` of 9 and more reaches.
    pub fn arl_most(&self) -> f64 {
        chance::arl_most(self)
    }

    /// Returns how many of so many recent values may have stayed behind.
    pub(super) fn spared(&self, recent: u16) -> usize {
        // The share may have been rounded up: 0.7 of 10 is 7, not 7 and a hair.
        ((1.0 - self.share) * f64::from(recent) + 1e-9) as usize
    }

    /// Returns how many recent values fit.
    pub(super) const fn recent_most(&self) -> u16 {
        MOST.saturating_sub(self.reference)
    }
}
