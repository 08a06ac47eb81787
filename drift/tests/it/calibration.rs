//! Budgets, bounds, run lengths, delays and proposals, against exact sums and published figures.

use proptest::prelude::*;
use visu_tility_drift::calibration::{
    Reason, RunLength, Trial, Wish, exceedance_bound, lower_mean, lower_share, measure_arl, predict_delay,
    propose, upper_mean, upper_share,
};
use visu_tility_drift::simulate::{Random, Source};
use visu_tility_drift::{
    Adwin, AdwinParams, AnyParams, ArlError, Budget, Detector, ExceedanceBits, ExceedanceBitsParams, Input,
    MixtureESr, MixtureParams, Mode, Tier,
};

fn mean_and_deviation(source: &Source, n: usize) -> (f64, f64) {
    let values: Vec<f64> = source.stream(11).unwrap().take(n).collect();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    (mean, (squares / n as f64).sqrt())
}

#[test]
fn simulated_laws_have_their_moments() {
    let n = 200_000;
    for (source, mean, deviation) in [
        (Source::Bernoulli { p: 0.02 }, 0.02, 0.14),
        (Source::Sticky { p: 0.2, phi: 0.5 }, 0.2, 0.4),
        (Source::Uniform { low: -1.0, high: 3.0 }, 1.0, 4.0 / 12.0_f64.sqrt()),
        (Source::Beta { a: 2.0, b: 6.0 }, 0.25, (12.0_f64 / 64.0 / 9.0).sqrt()),
        (Source::Beta { a: 0.5, b: 0.5 }, 0.5, 0.125_f64.sqrt()),
        (Source::Gaussian { mean: 5.0, deviation: 2.0 }, 5.0, 2.0),
        (Source::StudentT { freedom: 8.0, mean: 1.0, scale: 1.0 }, 1.0, (8.0_f64 / 6.0).sqrt()),
        (Source::Poisson { rate: 0.3 }, 0.3, 0.3_f64.sqrt()),
        (Source::Poisson { rate: 70.0 }, 70.0, 70.0_f64.sqrt()),
        (Source::Ar1 { phi: 0.9, mean: 2.0, deviation: 3.0 }, 2.0, 3.0),
    ] {
        let (m, d) = mean_and_deviation(&source, n);
        assert!(
            (m - mean).abs() < 0.03 * deviation && (d / deviation - 1.0).abs() < 0.02,
            "{source:?} {m} {d}"
        );
    }
    // Quartiles of Student's t with 3 degrees of freedom are at 0.7649 scales.
    let t = Source::StudentT { freedom: 3.0, mean: 0.0, scale: 2.0 };
    let inside = t.stream(1).unwrap().take(n).filter(|x| x.abs() < 2.0 * 0.764_892).count();
    assert!((inside as f64 / n as f64 - 0.5).abs() < 0.005, "{inside}");
    let history = Source::History { values: vec![1.0, 2.0, 3.0].into(), block: 3, shift: 10.0 };
    let block: Vec<f64> = history.stream(2).unwrap().take(3).collect();
    assert!((block[1] - block[0] == 1.0 || block[1] - block[0] == -2.0) && block.iter().sum::<f64>() == 36.0);
    assert_eq!(Source::Ar1 { phi: 1.0, mean: 0.0, deviation: 1.0 }.check().unwrap_err().param, "phi");
    assert_eq!(
        Source::History { values: [].into(), block: 1, shift: 0.0 }.check().unwrap_err().param,
        "values"
    );
}

/// scipy.stats.beta.ppf: the bounds of Clopper and Pearson.
#[test]
fn bounds_of_a_share_are_those_of_scipy() {
    for (ones, n, confidence, expected) in SCIPY_UPPER {
        let ours = upper_share(ones, n, confidence).unwrap();
        assert!((ours.bound / expected - 1.0).abs() < 1e-9, "{ones} {n} {confidence}: {ours:?} {expected}");
        let mirrored = lower_share(n - ones, n, confidence).unwrap();
        assert!((mirrored.bound - (1.0 - expected)).abs() < 1e-9);
    }
    // No ones in n: 1 - 0.05^(1/n).
    let none = upper_share(0, 1_000, 0.95).unwrap().bound;
    assert!((none - (1.0 - 0.05_f64.powf(0.001))).abs() < 1e-12);
    assert_eq!(upper_share(7, 7, 0.99).unwrap().bound, 1.0);
    assert_eq!(upper_share(0, 0, 0.95).unwrap_err().param, "n");
    assert_eq!(upper_share(1, 9, 0.3).unwrap_err().param, "confidence");
}

const SCIPY_UPPER: [(u64, u64, f64, f64); 6] = [
    (0, 50, 0.95, 0.058_155_079_116_972_25),
    (4, 2000, 0.95, 0.004_570_865_405_067_662),
    (200, 2000, 0.95, 0.111_723_093_135_996_83),
    (200, 2000, 0.999, 0.122_335_438_379_408_95),
    (7, 9, 0.9, 0.939_230_950_349_231_5),
    (50000, 1_000_000, 0.99, 0.050_509_292_694_038_49),
];

#[test]
fn bounds_cover_as_often_as_they_say() {
    let (mut share, mut mean, mut low) = (0, 0, 0);
    let runs = 2_000;
    for run in 0..runs {
        let bits: Vec<f64> =
            Source::Bernoulli { p: 0.03 }.stream(Random::fork(1, run)).unwrap().take(300).collect();
        let ones = bits.iter().sum::<f64>() as u64;
        share += u64::from(upper_share(ones, 300, 0.9).unwrap().bound < 0.03);
        let unit: Vec<f64> =
            Source::Beta { a: 1.0, b: 3.0 }.stream(Random::fork(2, run)).unwrap().take(100).collect();
        mean += u64::from(upper_mean(&unit, 0.9).unwrap().bound < 0.25);
        low += u64::from(lower_mean(&unit, 0.9).unwrap().bound > 0.25);
    }
    // The exact one is close to its 10 % from below (bits are lumpy), the other is safe.
    assert!((80..=215).contains(&share) && mean <= 100 && low <= 100, "{share} {mean} {low}");
}

#[test]
fn the_share_above_a_learned_limit_is_within_its_bound() {
    let params = ExceedanceBitsParams { quantile: 0.9, learn: 200, ..ExceedanceBitsParams::default() };
    let (n, rank) = ExceedanceBits::new(params).unwrap().learned_from().unwrap();
    let bound = exceedance_bound(n, rank, 0.95).unwrap();
    let (mut beyond, mut sum) = (0, 0.0);
    for run in 0..2_000 {
        let mut exceedance = ExceedanceBits::new(params).unwrap();
        let uniform = Source::Uniform { low: 0.0, high: 1.0 };
        uniform.stream(Random::fork(3, run)).unwrap().take(200).for_each(|x| _ = exceedance.update(x));
        let share = 1.0 - exceedance.limit().unwrap();
        sum += share;
        beyond += u64::from(share > bound.bound);
    }
    assert!((70..=130).contains(&beyond), "{beyond} of 2000 at 5 %");
    assert!((sum / 2_000.0 - bound.estimate).abs() < 0.002 && (bound.estimate - 21.0 / 201.0).abs() < 1e-12);
    // The figure of `ExceedanceBits`'s page.
    let page = exceedance_bound(1_000, 950, 0.99).unwrap().bound;
    assert!((0.067..0.0695).contains(&page), "{page}");
}

#[test]
fn budgets_add_up() {
    let month = Budget::new(1.0).unwrap();
    // One value a second.
    assert_eq!(month.arl(86_400.0), Ok(2_592_000.0));
    let parts = month.divide([1.0, 2.0, 4.0, 0.5, 3.3]).unwrap();
    let sum: f64 = parts.iter().map(|part| part.false_alarms_per_30_days).sum();
    assert!((sum - 1.0).abs() <= 1e-15, "{sum}");
    // Rates of the parts add up to the rate of the whole: sum of 1 / ARL.
    let rates: f64 = parts.iter().map(|part| 1.0 / part.arl(1_000.0).unwrap()).sum();
    assert!((rates * month.arl(1_000.0).unwrap() - 1.0).abs() < 1e-14);
    assert_eq!(Budget::spent(2_592_000.0, 86_400.0), Ok(month));
    // Ten alike: each must reach ten times as much alone, and ten merged the same together.
    assert_eq!(month.part(1.0, 10.0).unwrap().arl(100.0), Ok(30_000.0));
    assert!((month.merged_arl(&[(1.0, 100.0); 10]).unwrap() - 3_000.0).abs() < 1e-9);
    assert_eq!(month.divide([1.0, 0.0]).unwrap_err().param, "weight");
    assert_eq!(month.arl(0.0).unwrap_err().param, "values_per_day");
    assert_eq!(Budget::new(0.0).unwrap_err().param, "false_alarms_per_30_days");
}

#[test]
fn every_detector_with_a_guarantee_takes_an_average_run_length() {
    for name in AnyParams::NAMES {
        let mut params = AnyParams::by_name(name).unwrap();
        let before = params;
        match params.set_arl(5_000.0) {
            Ok(()) => assert!(params.build().is_ok()),
            Err(ArlError::NoArl(unset)) => {
                assert_eq!((unset, params), (*name, before));
                assert_ne!(params.tier(), Tier::Guaranteed);
            }
            Err(other) => panic!("{name}: {other}"),
        }
        let kept = params;
        assert!(params.set_arl(f64::NAN).is_err());
        assert_eq!(params, kept);
    }
}

#[test]
fn run_lengths_know_what_was_cut() {
    let mut measured = RunLength::default();
    assert_eq!((measured.mean(), measured.cut_mean(), measured.at_least(0.95)), (None, None, None));
    for values in [10, 20, 30] {
        measured.add(values, true);
    }
    assert_eq!((measured.mean(), measured.censored()), (Some(20.0), 0));
    // Deviation 10 over the root of 3.
    assert!((measured.standard_error().unwrap() - 10.0 / 3.0_f64.sqrt()).abs() < 1e-12);
    measured.add(100, false);
    assert_eq!((measured.mean(), measured.cut_mean()), (Some(160.0 / 3.0), Some(40.0)));
    // Without an alarm in a million values: at least a million over ln 20 at 95 %.
    let mut none = RunLength::default();
    none.add(1_000_000, false);
    let least = none.at_least(0.95).unwrap();
    assert!((least - 1e6 / 20.0_f64.ln()).abs() < 1.0, "{least}");
    // chi2.ppf(0.95, 8) = 15.507313: three alarms in 160 values.
    let least = measured.at_least(0.95).unwrap();
    assert!((least - 2.0 * 160.0 / 15.507_313).abs() < 1e-4, "{least}");
}

#[test]
fn cut_run_lengths_agree_with_whole_ones() {
    let detector = MixtureESr::new(MixtureParams { arl: 300.0, ..MixtureParams::default() }).unwrap();
    let source = Source::Bernoulli { p: 0.1 };
    let whole = measure_arl(&detector, &source, Trial { runs: 600, cap: 100_000, seed: 3 }).unwrap();
    let cut = measure_arl(&detector, &source, Trial { runs: 600, cap: 600, seed: 4 }).unwrap();
    assert!(whole.censored() == 0 && cut.censored() > 50);
    let (a, b) = (whole.mean().unwrap(), cut.mean().unwrap());
    // It starts with no evidence, so cutting at about the run length claims up to a fifth too much.
    assert!(a >= 300.0 && b >= 0.95 * a && b <= 1.3 * a && cut.cut_mean().unwrap() < a, "{a} {b}");
    let again = measure_arl(&detector, &source, Trial { runs: 600, cap: 600, seed: 4 }).unwrap();
    assert_eq!(cut, again);
}

/// facts/detection.md 2b: e-SR at a true run length of 10,000 sees .10 to .20 in 123 and to .30 in 40.
#[test]
fn predicted_delays_are_those_of_other_seeds() {
    let params = MixtureParams { m_pre: 0.1, arl: 5_700.0, delta_upper: 0.5, ..MixtureParams::default() };
    let bets = MixtureESr::new(params).unwrap();
    let good = Source::Bernoulli { p: 0.1 };
    for (p, published) in [(0.2, 123.0), (0.3, 40.0)] {
        let bad = Source::Bernoulli { p };
        let run =
            |seed| predict_delay(&bets, &good, &bad, 2_000, Trial { runs: 150, cap: 50_000, seed }).unwrap();
        let (predicted, measured) = (run(1), run(2));
        assert_eq!(predicted.missed, 0);
        let ratio = predicted.mean / measured.mean;
        assert!((0.8..1.25).contains(&ratio), "{predicted:?} {measured:?}");
        assert!((predicted.mean / published - 1.0).abs() < 0.2, "{predicted:?}");
    }
    // An unknown level, and the same through resampled history with a shift.
    let adwin = Adwin::new(AdwinParams::default()).unwrap();
    let values: Vec<f64> =
        Source::Gaussian { mean: 0.5, deviation: 0.1 }.stream(1).unwrap().take(3_000).collect();
    let history = |shift| Source::History { values: values.clone().into(), block: 1, shift };
    let gaussian = |mean| Source::Gaussian { mean, deviation: 0.1 };
    let trial = Trial { runs: 60, cap: 20_000, seed: 5 };
    let resampled = predict_delay(&adwin, &history(0.0), &history(0.05), 1_000, trial).unwrap();
    let direct = predict_delay(&adwin, &gaussian(0.5), &gaussian(0.55), 1_000, trial).unwrap();
    assert!((resampled.mean / direct.mean - 1.0).abs() < 0.2, "{resampled:?} {direct:?}");
}

/// A mean that counts what was cut off as found at the cap says less the sooner one gives up; the median does not.
#[test]
fn the_median_delay_does_not_depend_on_when_a_stream_is_given_up() {
    let params = MixtureParams { m_pre: 0.1, arl: 5_700.0, delta_upper: 0.5, ..MixtureParams::default() };
    let bets = MixtureESr::new(params).unwrap();
    let (good, bad) = (Source::Bernoulli { p: 0.1 }, Source::Bernoulli { p: 0.2 });
    let run = |runs, cap| predict_delay(&bets, &good, &bad, 500, Trial { runs, cap, seed: 3 }).unwrap();
    let whole = run(101, 50_000);
    let median = whole.median.unwrap();
    assert_eq!(whole.missed, 0);
    // Skewed to the right: half of the published mean of 123 and more, and less than it.
    assert!((60.0..123.0).contains(&median) && median < whole.mean, "{whole:?}");
    let cut = run(101, median.ceil() as u64 + 5);
    assert!(cut.missed > 20 && cut.mean < 0.8 * whole.mean, "{cut:?}");
    assert_eq!(cut.median, whole.median);
    let few = run(101, (0.8 * median) as u64);
    assert!(few.missed > few.runs / 2 && few.median.is_none(), "{few:?}");
    let even = run(2, 50_000);
    assert_eq!(even.median, (even.runs == 2).then_some(even.mean), "of two it is the mean");
}

#[test]
fn a_proposal_never_takes_an_estimate_for_known() {
    let history = |source: Source, n| -> Vec<f64> { source.stream(4).unwrap().take(n).collect() };
    let wish = Wish::default();
    for (p, n) in [(0.1, 4_000), (0.02, 10_000), (0.002, 20_000), (0.4, 4_000)] {
        let bits = history(Source::Bernoulli { p }, n);
        let proposal = propose(&bits, &wish).unwrap();
        assert_eq!((proposal.params.name(), proposal.reason), ("e-sr", Reason::BoundedLevel), "{p}");
        let AnyParams::MixtureESr(params) = proposal.params else { panic!("e-sr") };
        assert!(params.m_pre > proposal.baseline.unwrap().estimate && params.arl == 10_000.0);
        assert!(proposal.preparation.batch.is_none() && MixtureESr::new(params).is_ok());
        // Accuracy is the mirror image.
        let good: Vec<f64> = bits.iter().map(|x| 1.0 - x).collect();
        let mirrored = propose(&good, &Wish { mode: Mode::Down, ..wish }).unwrap();
        let AnyParams::MixtureESr(down) = mirrored.params else { panic!("e-sr") };
        assert!((down.m_pre - (1.0 - params.m_pre)).abs() < 1e-12 && down.mode == Mode::Down);
        assert!(mirrored.params.build().is_ok());
    }
    for (bits, wish) in [
        (history(Source::Bernoulli { p: 0.1 }, 200), wish),
        (history(Source::Bernoulli { p: 0.1 }, 4_000), Wish { mode: Mode::Both, ..wish }),
        (vec![], wish),
        (vec![f64::NAN; 10], wish),
        (history(Source::Gaussian { mean: 3.0, deviation: 1.0 }, 4_000), Wish { input: Input::Any, ..wish }),
    ] {
        let proposal = propose(&bits, &wish).unwrap();
        assert_ne!(proposal.reason, Reason::BoundedLevel);
        assert_ne!(proposal.params.name(), "e-sr");
        assert_eq!(proposal.preparation.standardize.is_some(), wish.input == Input::Any);
        assert!(proposal.params.build().is_ok() && proposal.preparation.validate().is_ok());
    }
    let sticky = propose(&history(Source::Sticky { p: 0.1, phi: 0.8 }, 100_000), &wish).unwrap();
    let length = sticky.preparation.batch.unwrap().length;
    assert!((45..90).contains(&length) && sticky.autocorrelation_time > 7.0, "{length}");
    assert_eq!(sticky.params.name(), "e-sr");
    assert_eq!(propose(&[], &Wish { arl: 1.0, ..wish }).unwrap_err().param, "arl");
}

/// The level itself is estimated anew for each run: what is promised must hold all the same.
#[test]
fn a_proposed_detector_keeps_its_run_length_on_fresh_data() {
    let source = Source::Bernoulli { p: 0.1 };
    let wish = Wish { arl: 500.0, ..Wish::default() };
    let (mut sum, mut runs) = (RunLength::default(), 0);
    for run in 0..150 {
        let history: Vec<f64> = source.stream(Random::fork(8, run)).unwrap().take(2_000).collect();
        let proposal = propose(&history, &wish).unwrap();
        if proposal.reason != Reason::BoundedLevel {
            continue;
        }
        runs += 1;
        let mut detector = proposal.build().unwrap();
        let mut stream = source.stream(Random::fork(9, run)).unwrap();
        let alarm = (1..=20_000).find(|_| detector.update(stream.draw()).drift_detected());
        sum.add(alarm.unwrap_or(20_000), alarm.is_some());
    }
    assert!(runs > 130 && sum.cut_mean().unwrap() > 750.0, "{runs} {sum:?}");
}

proptest! {
    #[test]
    fn proposals_never_fail_on_data(
        history in proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..400),
        down: bool,
        unit: bool,
    ) {
        let mode = if down { Mode::Down } else { Mode::Up };
        let input = if unit { Input::Unit } else { Input::Bits };
        let proposal = propose(&history, &Wish { input, mode, ..Wish::default() }).unwrap();
        prop_assert!(proposal.params.build().is_ok());
    }
}

#[test]
fn values_that_are_not_finite_are_left_out_of_both_bounds() {
    let values = [0.9, 0.8, 0.95, 0.9, 1.0, 0.85];
    let with = [&values[..], &[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]].concat();
    assert_eq!(lower_mean(&with, 0.95), lower_mean(&values, 0.95));
    assert_eq!(upper_mean(&with, 0.95), upper_mean(&values, 0.95));
}

#[test]
fn long_batches_do_not_cost_the_guarantee() {
    let source = Source::Ar1 { phi: 0.98, mean: 0.0, deviation: 1.0 };
    let history: Vec<f64> = source.stream(1).unwrap().take(40_000).collect();
    let wish = Wish { input: Input::Any, arl: 10_000.0, ..Wish::default() };
    let proposal = propose(&history, &wish).unwrap();
    let batch = proposal.preparation.batch.unwrap().length;
    assert!(batch > 100, "{batch}");
    assert_eq!(proposal.reason, Reason::UnknownLevel);
}

#[test]
fn a_proposal_for_values_of_any_law_keeps_its_run_length_whatever_the_law() {
    let laws = [
        Source::StudentT { freedom: 3.0, mean: 0.0, scale: 1.0 },
        Source::Beta { a: 0.5, b: 5.0 },
        Source::Gaussian { mean: 5.0, deviation: 2.0 },
    ];
    let wish = Wish { input: Input::Any, mode: Mode::Both, arl: 5_000.0, ..Wish::default() };
    for law in laws {
        let mut alarms = 0;
        for seed in 0..5 {
            let history: Vec<f64> = law.stream(seed).unwrap().take(5_000).collect();
            let mut detector = propose(&history, &wish).unwrap().build().unwrap();
            let stream = law.stream(seed + 100).unwrap().take(20_000);
            alarms += stream.filter(|&value| detector.update(value).drift_detected()).count();
        }
        // 20 in 100,000 values.
        assert!(alarms <= 20, "{law:?}: {alarms}");
    }
}

/// Ties of bits are broken by random numbers: with the same ones in all runs, this was 152 to 239 by the seed.
#[test]
fn a_prediction_does_not_hang_on_the_random_numbers_of_the_detector() {
    let (good, bad) = (Source::Bernoulli { p: 0.1 }, Source::Bernoulli { p: 0.3 });
    let predict = |seed| {
        let params = visu_tility_drift::ConformalSrParams { seed, ..Default::default() };
        let scores = visu_tility_drift::ConformalSr::new(params).unwrap();
        predict_delay(&scores, &good, &bad, 500, Trial { runs: 100, cap: 5_000, seed: 9 }).unwrap()
    };
    assert_eq!(predict(1), predict(2));
}
