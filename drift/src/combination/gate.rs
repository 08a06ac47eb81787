//! The gate: when a detector that has spoken may speak again, and when it warns.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u64};
use crate::parameters::{parameters, words};
use crate::state::{self, COUNT_LIMIT, ensure};
use crate::{AnyDetector, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// When a detector is armed again after a drift.
///
/// | | a drift of the detector while not armed | armed again |
/// |---|---|---|
/// | `AtOnce` | cannot be | with the next value |
/// | `CoolDown` | a warning | after `cool_down` values |
/// | `Fallen` | a warning | when the statistic was below `fallen_share` of the threshold |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Rearm {
    /// With the next value.
    #[default]
    AtOnce,
    /// After a number of values.
    CoolDown,
    /// When the statistic has fallen.
    Fallen,
}

words!(Rearm { AtOnce = "at-once", CoolDown = "cool-down", Fallen = "fallen" });

parameters! {
    /// Parameters of [`Gate`].
    pub struct GateParams {
        /// Share of the threshold from which a quiet statistic is a warning, in (0, 1); 0 for no warnings
        /// but the detector's own.
        pub warn_share: f64 = 0.0,
        /// When to arm again after a drift.
        pub rearm: Rearm = Rearm::AtOnce,
        /// Finite values after a drift for which `CoolDown` holds back, at most 1e15.
        pub cool_down: u64 = 1_000,
        /// Share of the threshold below which `Fallen` arms again, in (0, 1].
        pub fallen_share: f64 = 0.5,
    }
}

impl GateParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { warn_share, cool_down, fallen_share, .. } = *self;
        ParamError::check("warn_share", warn_share, (0.0..1.0).contains(&warn_share), "in [0, 1)")?;
        let ok = cool_down <= 1_000_000_000_000_000;
        ParamError::check("cool_down", cool_down as f64, ok, "at most 1e15")?;
        let ok = fallen_share > 0.0 && fallen_share <= 1.0;
        ParamError::check("fallen_share", fallen_share, ok, "in (0, 1]")
    }
}

/// A detector with a policy of re-arming and a warning zone.
///
/// Use it so that one lasting change is one drift: with a detector that goes on gathering evidence
/// (`rearm = false`) and [`Rearm::Fallen`] the drift is over when the evidence is; with one that starts
/// afresh, [`Rearm::CoolDown`] keeps it still while the cause is repaired. Drifts that are held back come
/// out as warnings.
///
/// `warn_share` is a share of the statistic's own scale: for an e-value 0.1 is one step of a factor ten
/// before the alarm.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::combination::{Gate, GateParams, Rearm};
/// use visu_tility_drift::{Detector, Level, MixtureESr, MixtureParams};
///
/// let errors = MixtureESr::new(MixtureParams { rearm: false, ..Default::default() })?;
/// let params = GateParams { rearm: Rearm::Fallen, warn_share: 0.1, ..Default::default() };
/// let mut gate = Gate::new(params, errors)?;
/// // Bad from value 1000 to 1200, good before and after.
/// let error = |i: u64| f64::from(i * 7 % 10 < if (1000..1200).contains(&i) { 3 } else { 1 });
/// let levels: Vec<Level> = (0..6000).map(|i| gate.update(error(i)).level).collect();
/// let drifts: Vec<usize> = (0..6000).filter(|&i| levels[i] == Level::Drift).collect();
/// let first_warning = levels.iter().position(|&level| level == Level::Warning);
/// assert_eq!((first_warning, drifts), (Some(1026), vec![1043]));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// The detector is any one ([`Gate::new`]) or of one type ([`Gate::over`]), which can then be asked through the gate.
#[derive(Clone, Debug)]
pub struct Gate<D = AnyDetector> {
    params: GateParams,
    detector: D,
    armed: bool,
    /// Values left of the cool-down.
    left: u64,
    held: u64,
}

impl Gate {
    /// Puts a policy on a detector.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: GateParams, detector: impl Into<AnyDetector>) -> Result<Self, ParamError> {
        Self::over(params, detector.into())
    }
}

impl<D: Detector> Gate<D> {
    /// Puts a policy on a detector of one type.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn over(params: GateParams, detector: D) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, detector, armed: true, left: 0, held: 0 })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &GateParams {
        &self.params
    }

    /// Returns the detector.
    pub const fn detector(&self) -> &D {
        &self.detector
    }

    /// Is true when the next drift will be let through.
    pub const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Counts the drifts that were held back.
    pub const fn held(&self) -> u64 {
        self.held
    }
}

impl<D: Detector> Detector for Gate<D> {
    fn update(&mut self, value: f64) -> Signal {
        let mut signal = self.detector.update(value);
        if !value.is_finite() {
            return signal;
        }
        let GateParams { warn_share, rearm, cool_down, fallen_share } = self.params;
        if !self.armed {
            self.left = self.left.saturating_sub(1);
            self.armed = match rearm {
                Rearm::AtOnce => true,
                Rearm::CoolDown => self.left == 0,
                Rearm::Fallen => signal.statistic < fallen_share * signal.threshold,
            };
        }
        if signal.drift_detected() {
            if self.armed {
                self.armed = rearm == Rearm::AtOnce;
                // The value that ends the cool-down is let through.
                self.left = cool_down.saturating_add(1);
            } else {
                self.held = self.held.saturating_add(1);
                signal.level = Level::Warning;
            }
        } else if signal.level == Level::Normal
            && warn_share > 0.0
            && signal.threshold > 0.0
            && signal.statistic >= warn_share * signal.threshold
        {
            signal.level = Level::Warning;
        }
        signal
    }

    fn reset(&mut self) {
        self.detector.reset();
        (self.armed, self.left, self.held) = (true, 0, 0);
    }

    fn name(&self) -> &'static str {
        self.detector.name()
    }

    fn count(&self) -> u64 {
        self.detector.count()
    }

    fn ignored(&self) -> u64 {
        self.detector.ignored()
    }

    fn estimation(&self) -> Option<f64> {
        self.detector.estimation()
    }

    fn baseline(&self) -> Option<f64> {
        self.detector.baseline()
    }

    fn arl(&self) -> Option<f64> {
        self.detector.arl()
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        self.detector.set_arl(arl)
    }

    fn reaches(&self, arl: f64) -> bool {
        self.detector.reaches(arl)
    }

    fn can_forget(&self) -> bool {
        self.detector.can_forget()
    }

    fn forget_evidence(&mut self) -> bool {
        self.detector.forget_evidence()
    }

    fn reseed(&mut self, seed: u64) {
        self.detector.reseed(seed);
    }

    fn log_evidence(&self) -> Option<f64> {
        self.detector.log_evidence()
    }

    fn leaning(&self) -> (Direction, u64) {
        self.detector.leaning()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        out.push(u8::from(self.armed));
        put_u64(out, self.left);
        put_u64(out, self.held);
        self.detector.write_state(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "gate", VERSION, self.params.fingerprint())?;
        let armed = bytes.u8()?;
        ensure(armed == 1 || (armed == 0 && self.params.rearm != Rearm::AtOnce), "armed")?;
        let (left, held) = (bytes.u64()?, bytes.u64()?);
        ensure(left <= self.params.cool_down + 1 && held <= COUNT_LIMIT, "left")?;
        self.detector.read_state(bytes)?;
        (self.armed, self.left, self.held) = (armed == 1, left, held);
        Ok(())
    }
}

impl<D: Detector + Clone + Send + Sync + 'static> From<Gate<D>> for AnyDetector {
    fn from(gate: Gate<D>) -> Self {
        Self::Custom(Box::new(gate))
    }
}
