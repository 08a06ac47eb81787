//! Decides which novelty is reported: each report makes the next one harder, for a while.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::math::exp;
use crate::state::ensure;

/// What a report adds to the other views' tiredness; to its own it adds 1.
const SHARED: f64 = 0.5;

/// How tired each of `N` views is, and the rest after the last report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Habituation<const N: usize> {
    tired: [f64; N],
    /// Values left of the rest.
    rest: u32,
    /// The statistic of the report that began it.
    last: f64,
}

/// How to habituate; see the fields of [`crate::NoveltyParams`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    pub(crate) threshold: f64,
    pub(crate) strength: f64,
    pub(crate) recovery: f64,
    pub(crate) rest: u32,
}

/// What came of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) statistic: f64,
    pub(crate) reported: bool,
    /// The view whose statistic it is.
    pub(crate) view: usize,
}

impl<const N: usize> Habituation<N> {
    pub(crate) const fn new() -> Self {
        Self { tired: [0.0; N], rest: 0, last: 0.0 }
    }

    /// Takes the novelty of one value in each view, already weighted.
    #[inline]
    pub(crate) fn judge(&mut self, novelty: &[f64; N], habit: Habit) -> Verdict {
        let keep = 1.0 - 1.0 / habit.recovery;
        let mut verdict = Verdict { statistic: 0.0, reported: false, view: 0 };
        for (view, (tired, &novelty)) in self.tired.iter_mut().zip(novelty).enumerate() {
            *tired *= keep;
            if novelty > verdict.statistic {
                let statistic = novelty * exp(-habit.strength * *tired);
                if statistic > verdict.statistic {
                    verdict = Verdict { statistic, view, ..verdict };
                }
            }
        }
        if self.rest > 0 {
            self.rest -= 1;
            if verdict.statistic <= self.last {
                return Verdict { statistic: 0.0, ..verdict };
            }
        }
        if verdict.statistic >= habit.threshold {
            verdict.reported = true;
            self.rest = habit.rest;
            self.last = verdict.statistic;
            for (view, tired) in self.tired.iter_mut().enumerate() {
                *tired += if view == verdict.view { 1.0 } else { SHARED };
            }
        }
        verdict
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.tired.iter().for_each(|&tired| put_f64(out, tired));
        put_u32(out, self.rest);
        put_f64(out, self.last);
    }

    pub(crate) fn read(bytes: &mut Reader<'_>, habit: Habit) -> Result<Self, DecodeError> {
        let mut next = Self::new();
        for tired in &mut next.tired {
            *tired = bytes.finite("tired")?;
            ensure((0.0..=habit.recovery + 1.0).contains(tired), "tired")?;
        }
        next.rest = bytes.u32()?;
        next.last = bytes.finite("last")?;
        ensure(next.rest <= habit.rest && next.last >= 0.0, "rest")?;
        Ok(next)
    }
}
