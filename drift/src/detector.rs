//! How a detector is asked.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader};
use crate::{Direction, Signal};

/// A streaming change detector: one value in, one [`Signal`] out.
///
/// # Contract
///
/// - `update` never panics and never fails. A value that is not finite is counted (see
///   [`Detector::ignored`]) and changes nothing else: the returned signal repeats the last one with
///   [`crate::Level::Normal`].
/// - State is bounded: at most 4 KiB, whatever the length of the stream.
/// - Two detectors built with the same parameters and fed the same values give the same signals, bit
///   for bit; so does one that was written with [`Detector::write_state`] and read back anywhere in
///   between.
/// - After a drift the detector arms itself again as its page says.
pub trait Detector {
    /// Takes the next value of the stream.
    fn update(&mut self, value: f64) -> Signal;

    /// Forgets the stream and starts afresh with the same parameters.
    fn reset(&mut self);

    /// Names the detector as a plan would, for example `page-hinkley`.
    fn name(&self) -> &'static str;

    /// Counts the finite values seen since it was built or last reset by the caller.
    fn count(&self) -> u64;

    /// Counts the values that were not finite and were left out.
    fn ignored(&self) -> u64;

    /// Returns the stream's present level as the detector sees it, or nothing when it keeps none.
    fn estimation(&self) -> Option<f64> {
        None
    }

    /// Returns the level that the present one is held against, or nothing when it keeps none.
    fn baseline(&self) -> Option<f64> {
        None
    }

    /// Returns the least average number of values between false alarms that the threshold stands for, or
    /// nothing when the detector has no such bound.
    fn arl(&self) -> Option<f64> {
        None
    }

    /// Moves the threshold so that on average at least `arl` values pass between false alarms, and says
    /// whether the detector can. What it has seen is kept; the threshold is a part of its written state.
    ///
    /// `arl` is held within what the parameter `arl` may be; a `NaN` changes nothing. Right after it was lowered the
    /// evidence gathered under the larger one counts in full: an alarm is likelier for about one run length of the
    /// new one. Who lowers that of many detectors at a time asks [`Detector::reaches`] first.
    fn set_arl(&mut self, arl: f64) -> bool {
        let _ = arl;
        false
    }

    /// Is true when the evidence gathered so far is at or above the threshold of that run length: lowered to it, the
    /// detector would alarm at the next value though that value says nothing.
    ///
    /// `arl` is held within its range as by [`Detector::set_arl`]. False for a detector without a run length, and for
    /// one that judges whole windows and carries nothing from one to the next. Right after a drift it may still be true.
    fn reaches(&self, arl: f64) -> bool {
        let _ = arl;
        false
    }

    /// Is true when the detector can tell the evidence for a change from what it has learnt of the level before it, so that
    /// [`Detector::forget_evidence`] does something. Cost: next to nothing.
    fn can_forget(&self) -> bool {
        false
    }

    /// Drops the evidence for a change gathered so far and keeps what was learnt of the level before it, and says whether
    /// the detector can, which is [`Detector::can_forget`]. Where both are one, nothing is done.
    ///
    /// As if the values so far had said nothing: it can only make alarms rarer, and a change that is under way is found by
    /// what is still to come.
    fn forget_evidence(&mut self) -> bool {
        false
    }

    /// Has the random numbers of a detector that uses some go on from another place; others do nothing.
    ///
    /// For copies of one detector that watch different streams: with the same random numbers their false alarms
    /// would come together. [`Detector::reset`] returns to the parameters' own seed.
    fn reseed(&mut self, seed: u64) {
        let _ = seed;
    }

    /// Returns the natural logarithm of the detector's e-value, or nothing when it has none (yet).
    ///
    /// While nothing has changed, the e-value at any stopping time is on average at most the number of
    /// values since the detector was built, last reset or last started afresh ("e-detector": Shin, Ramdas
    /// and Rinaldo, arXiv 2203.03532), so an alarm when it reaches `A` comes on average
    /// after at least `A` values; and the weighted average of several is another one
    /// ([`crate::combination::EvidenceMerge`]).
    fn log_evidence(&self) -> Option<f64> {
        None
    }

    /// Returns which way the detector's e-value points at present, and for how many values it has; unknown and 0
    /// when it has none.
    fn leaning(&self) -> (Direction, u64) {
        (Direction::Unknown, 0)
    }

    /// Appends the state (not the parameters) in the crate's versioned little-endian form.
    fn write_state(&self, out: &mut Vec<u8>);

    /// Replaces the state by one that [`Detector::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the detector as it was, when the bytes are cut short, of an unknown version, of
    /// other parameters, or hold a value out of its range.
    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError>;
}
