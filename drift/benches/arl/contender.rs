//! The detectors with a bound, each in the forms in which it is measured, and what each is told of a stream.

use visu_tility_drift::{
    AnyDetector, AnyParams, BatcherParams, ConfidenceSequenceParams, ConformalSrParams, CusumFamily,
    CusumParams, DistributionShiftParams, ExceedanceBitsParams, ExceedanceParams, Family, FocusFamily,
    FocusParams, MedianShiftParams, MixtureParams, Mode, PreparationParams, Prepared, Setting,
    StandardizerParams,
};

use crate::law::{Kind, Law};

/// A detector in one form.
pub(crate) struct Contender {
    /// Its name in a plan.
    pub(crate) name: &'static str,
    pub(crate) form: &'static str,
    /// What it is told; nothing where it does not take such values.
    setup: fn(&Law, u64) -> Option<Setup>,
}

/// Parameters, and what stands in front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) params: AnyParams,
    pub(crate) preparation: PreparationParams,
}

impl<T: Into<AnyParams>> From<T> for Setup {
    fn from(params: T) -> Self {
        Self { params: params.into(), preparation: PreparationParams::default() }
    }
}

impl Contender {
    /// The detector for a stream, given means of so many values (1 for values), at an `arl` counted in these.
    pub(crate) fn setup(&self, law: &Law, length: u64, arl: f64) -> Option<Setup> {
        let mut setup = (self.setup)(law, length)?;
        setup.params.set_arl(arl).ok()?;
        Some(setup)
    }
}

impl Setup {
    /// The detector of a run; one that draws random numbers gets a seed of its own.
    pub(crate) fn build(&self, run: u64) -> AnyDetector {
        let mut params = self.params;
        let _ = params.set("seed", Setting::Count(run + 1));
        let detector = params.build().unwrap();
        if self.preparation == PreparationParams::default() {
            detector
        } else {
            Prepared::new(self.preparation, detector).unwrap().into()
        }
    }

    /// Whether runs differ in more than the stream.
    pub(crate) fn is_random(&self) -> bool {
        self.params.get("seed").is_some()
    }

    /// Values that it learns from and does not judge, of those that it is given.
    pub(crate) fn learning(&self) -> u64 {
        let bits = self.preparation.exceedance.map_or(0, |bits| if bits.known { 0 } else { bits.learn });
        bits + match self.params {
            AnyParams::Exceedance(params) => u64::from(params.learn),
            AnyParams::DistributionShift(params) => u64::from(params.reference),
            _ => 0,
        }
    }
}

/// Every form of every detector with a bound.
pub(crate) const ALL: [Contender; 19] = [
    Contender { name: "e-sr", form: "up", setup: e_sr_up },
    Contender { name: "e-sr", form: "down", setup: e_sr_down },
    Contender { name: "e-sr", form: "both, band of a tenth", setup: e_sr_both },
    Contender { name: "e-sr", form: "normal, both", setup: e_sr_normal },
    Contender { name: "focus", form: "unknown, both", setup: |law, n| focus(law, n, false, Mode::Both) },
    Contender { name: "focus", form: "unknown, up", setup: |law, n| focus(law, n, false, Mode::Up) },
    Contender { name: "focus", form: "known, both", setup: |law, n| focus(law, n, true, Mode::Both) },
    Contender { name: "focus", form: "known, up", setup: |law, n| focus(law, n, true, Mode::Up) },
    Contender { name: "cusum", form: "to twice, up", setup: |law, n| cusum(law, n, Mode::Up) },
    Contender { name: "cusum", form: "to twice, both", setup: |law, n| cusum(law, n, Mode::Both) },
    Contender { name: "exceedance", form: "agreed limit", setup: agreed },
    Contender { name: "exceedance", form: "learnt limit", setup: learnt },
    Contender { name: "confidence-sequence", form: "both", setup: |law, _| sequence(law, Mode::Both) },
    Contender { name: "confidence-sequence", form: "up", setup: |law, _| sequence(law, Mode::Up) },
    Contender { name: "conformal-sr", form: "both", setup: |law, _| conformal(law, Mode::Both) },
    Contender { name: "conformal-sr", form: "up", setup: |law, _| conformal(law, Mode::Up) },
    Contender { name: "median-shift", form: "any law", setup: latencies },
    Contender { name: "median-shift", form: "places alone", setup: places },
    Contender { name: "distribution", form: "Jensen-Shannon", setup: distribution },
];

/// The change sizes that `calibration::propose` sets: half the level or a sixth of a deviation, up to 0.5.
fn proposed(level: f64, deviation: f64, room: f64) -> (f64, f64) {
    let room = 0.999 * room;
    let lower = (0.5 * level).min(deviation / 6.0).min(room);
    (lower, 0.5_f64.min(room).max(lower))
}

fn mixture(law: &Law, mode: Mode, band: f64) -> Option<Setup> {
    let m_pre = law.mean;
    let family = match law.kind {
        Kind::Bits => Family::Bernoulli,
        Kind::Unit | Kind::Squashed | Kind::Batched { .. } => Family::Bounded,
        _ => return None,
    };
    let (up, down) = (1.0 - m_pre - band, m_pre - band);
    let (bad, room) = match mode {
        Mode::Up => (m_pre, up),
        Mode::Down => (1.0 - m_pre, down),
        Mode::Both => (m_pre, up.min(down)),
    };
    let (delta_lower, delta_upper) = proposed(bad, law.deviation, room);
    Some(MixtureParams { family, mode, m_pre, band, delta_lower, delta_upper, ..Default::default() }.into())
}

fn e_sr_up(law: &Law, _: u64) -> Option<Setup> {
    mixture(law, Mode::Up, 0.0)
}

fn e_sr_down(law: &Law, _: u64) -> Option<Setup> {
    mixture(law, Mode::Down, 0.0)
}

fn e_sr_both(law: &Law, _: u64) -> Option<Setup> {
    mixture(law, Mode::Both, 0.1 * law.mean.min(1.0 - law.mean))
}

/// Values within [0, 1] are sub-Gaussian of scale 0.5.
fn e_sr_normal(law: &Law, length: u64) -> Option<Setup> {
    let sigma = match law.kind {
        Kind::Normal => 1.0,
        Kind::Unit => 0.5,
        Kind::Batched { .. } => law.deviation_of_means(length),
        _ => return None,
    };
    Some(
        MixtureParams {
            family: Family::Normal,
            mode: Mode::Both,
            m_pre: law.mean,
            delta_lower: sigma / 4.0,
            delta_upper: 2.0 * sigma,
            sigma,
            ..Default::default()
        }
        .into(),
    )
}

/// `FOCuS` on bits, counts and normal values as they are, on autocorrelated ones behind batcher and standardiser,
/// and on any others as exceedances of a quantile of the first 1,000 (unknown level) or of a known one.
fn focus(law: &Law, _: u64, known: bool, mode: Mode) -> Option<Setup> {
    let params = FocusParams { mode, known, baseline: law.mean, ..Default::default() };
    let bits = FocusParams { family: FocusFamily::Bernoulli, ..params };
    match law.kind {
        Kind::Bits => Some(bits.into()),
        Kind::Counts => Some(FocusParams { family: FocusFamily::Poisson, ..params }.into()),
        Kind::Normal => Some(FocusParams { family: FocusFamily::Gaussian, ..params }.into()),
        Kind::Batched { .. } if known => None,
        Kind::Batched { .. } => {
            let mut setup = Setup::from(FocusParams { family: FocusFamily::Gaussian, ..params });
            setup.preparation.standardize = Some(StandardizerParams::default());
            Some(setup)
        }
        Kind::Squashed => None,
        Kind::Unit | Kind::Heavy => {
            let mut setup = Setup::from(FocusParams { baseline: law.share(), ..bits });
            setup.preparation.exceedance = Some(exceedances(law, known));
            Some(setup)
        }
    }
}

fn exceedances(law: &Law, known: bool) -> ExceedanceBitsParams {
    let limit = if known { law.limit } else { 0.0 };
    ExceedanceBitsParams { known, limit, ..Default::default() }
}

/// Tuned to twice the rate (.4: to .6), to a deviation; on values of other laws, of exceedances of a limit.
fn cusum(law: &Law, length: u64, mode: Mode) -> Option<Setup> {
    let bits = |p: f64| CusumParams { mode, baseline: p, target: (2.0 * p).min(0.6), ..Default::default() };
    let normal = |baseline, sigma| CusumParams {
        family: CusumFamily::Gaussian,
        mode,
        baseline,
        target: baseline + sigma,
        sigma,
        ..Default::default()
    };
    match law.kind {
        Kind::Bits => Some(bits(law.mean).into()),
        Kind::Normal => Some(normal(law.mean, 1.0).into()),
        Kind::Batched { .. } => Some(normal(law.mean, law.deviation_of_means(length)).into()),
        Kind::Unit | Kind::Heavy => {
            let mut setup = Setup::from(bits(law.share()));
            setup.preparation.exceedance = Some(exceedances(law, true));
            Some(setup)
        }
        Kind::Squashed | Kind::Counts => None,
    }
}

fn agreed(law: &Law, length: u64) -> Option<Setup> {
    let share = law.share();
    let (delta_lower, delta_upper) = proposed(share, (share * (1.0 - share)).sqrt(), 1.0 - share);
    let limit = match law.kind {
        Kind::Batched { .. } => law.mean + 1.644_853_626_951_472_6 * law.deviation_of_means(length),
        Kind::Squashed | Kind::Counts => return None,
        _ => law.limit,
    };
    Some(ExceedanceParams { learn: 0, limit, share, delta_lower, delta_upper, ..Default::default() }.into())
}

fn learnt(law: &Law, _: u64) -> Option<Setup> {
    (law.kind != Kind::Squashed).then(|| ExceedanceParams::default().into())
}

fn sequence(law: &Law, mode: Mode) -> Option<Setup> {
    let takes = matches!(law.kind, Kind::Bits | Kind::Unit | Kind::Squashed | Kind::Batched { .. });
    takes.then(|| ConfidenceSequenceParams { mode, ..Default::default() }.into())
}

fn conformal(law: &Law, mode: Mode) -> Option<Setup> {
    (law.kind != Kind::Squashed).then(|| ConformalSrParams { mode, ..Default::default() }.into())
}

fn distribution(law: &Law, _: u64) -> Option<Setup> {
    (law.kind != Kind::Squashed).then(|| DistributionShiftParams::default().into())
}

fn latencies(law: &Law, _: u64) -> Option<Setup> {
    (law.kind != Kind::Squashed).then(|| MedianShiftParams::default().into())
}

/// Any distance is enough: the run length is that of the test by places.
fn places(law: &Law, _: u64) -> Option<Setup> {
    let params = MedianShiftParams { threshold: 1e-6, ..Default::default() };
    (law.kind != Kind::Squashed).then(|| params.into())
}

/// What stands in front of a detector of autocorrelated values.
pub(crate) fn batched(setup: &Setup) -> PreparationParams {
    PreparationParams { batch: Some(BatcherParams::default()), ..setup.preparation }
}
