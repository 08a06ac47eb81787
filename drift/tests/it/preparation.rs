//! What the stages of preparation learn, keep and promise.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::codec::Reader;
use visu_tility_drift::simulate::{Random, Source};
use visu_tility_drift::{
    Adwin, AdwinParams, Batcher, BatcherParams, Compat, Detector, ExceedanceBits, ExceedanceBitsParams,
    Family, GapParams, MixtureESr, MixtureParams, Outside, Preparation, PreparationParams, Prepared,
    RangeGuardParams, Season, SeasonalParams, SeasonalResidual, StandardizerParams,
};

fn learned_length(source: &Source, seed: u64) -> u64 {
    let mut batcher = Batcher::new(BatcherParams::default()).unwrap();
    let mut stream = source.stream(seed).unwrap();
    while batcher.length().is_none() {
        assert_eq!(batcher.update(stream.draw()), None);
    }
    batcher.length().unwrap()
}

fn ar1(phi: f64) -> Source {
    Source::Ar1 { phi, mean: 0.0, deviation: 1.0 }
}

fn adwin_alarms(params: PreparationParams, stream: impl Iterator<Item = (f64, i64)>) -> usize {
    let river = AdwinParams { compat: Compat::River, ..AdwinParams::default() };
    let mut adwin = Prepared::new(params, Adwin::new(river).unwrap()).unwrap();
    stream.filter(|&(x, t)| adwin.update_at(x, t).is_some_and(|signal| signal.drift_detected())).count()
}

#[test]
fn independent_streams_get_batches_of_one() {
    let sources = [
        Source::Bernoulli { p: 0.002 },
        Source::Bernoulli { p: 0.1 },
        Source::Gaussian { mean: 1e9, deviation: 1.0 },
        Source::StudentT { freedom: 3.0, mean: 0.0, scale: 1.0 },
        Source::Poisson { rate: 0.05 },
        Source::Beta { a: 0.5, b: 20.0 },
    ];
    for source in &sources {
        let longer = (0..200).filter(|&run| learned_length(source, Random::fork(1, run)) > 1).count();
        assert!(longer <= 1, "{source:?}: {longer} of 200");
    }
}

/// The integrated autocorrelation time of a first-order autoregression is (1 + phi) / (1 - phi).
#[test]
fn the_autocorrelation_time_is_that_of_theory() {
    for (phi, low, high) in [(0.5, 0.9, 1.3), (0.9, 0.9, 1.5)] {
        let time = (1.0 + phi) / (1.0 - phi);
        for source in [ar1(phi), Source::Sticky { p: 0.3, phi }] {
            let params = BatcherParams { learn: 65_536, ..BatcherParams::default() };
            let mut batcher = Batcher::new(params).unwrap();
            source.stream(3).unwrap().take(65_536).for_each(|x| _ = batcher.update(x));
            let ratio = batcher.autocorrelation_time().unwrap() / time;
            assert!((low..high).contains(&ratio), "{source:?}: {ratio}");
            assert_eq!(batcher.length(), Some((6.0 * ratio * time).ceil() as u64));
        }
    }
}

#[test]
fn batches_silence_adwin_on_autoregressions() {
    let count = |phi, batch| {
        let params = PreparationParams { batch, ..PreparationParams::default() };
        adwin_alarms(params, ar1(phi).stream(7).unwrap().take(200_000).map(|x| (x, 0)))
    };
    let fixed = |length| Some(BatcherParams { length, ..BatcherParams::default() });
    // facts/detection.md has 12,631 / 60 / 1 / 0 in two million values, and 708 / 1 / 0.
    let strong = [None, fixed(10), fixed(30), fixed(100), Some(BatcherParams::default())];
    let strong = strong.map(|batch| count(0.9, batch));
    assert!((1_100..1_450).contains(&strong[0]) && strong[1] < 20, "{strong:?}");
    assert!(strong[2] <= 2 && strong[3] == 0 && strong[4] == 0, "{strong:?}");
    let weak = [None, fixed(10), Some(BatcherParams::default())].map(|batch| count(0.5, batch));
    assert!((40..110).contains(&weak[0]) && weak[1] <= 1 && weak[2] == 0, "{weak:?}");
}

#[test]
fn the_pause_of_a_batch_is_not_in_its_mean_and_parts_it_from_the_one_before() {
    let mut batcher = Batcher::new(BatcherParams { length: 20, ..BatcherParams::default() }).unwrap();
    let means: Vec<f64> = (0..40).filter_map(|i| batcher.update(f64::from(i % 20))).collect();
    assert_eq!(means, [11.0, 11.0], "of 3 to 19");
    // Whole batches of six autocorrelation times: a correlation of 0.04, from the variances in closed form.
    let correlation = |pause, phi: f64| {
        let params =
            BatcherParams { length: (6.0 * (1.0 + phi) / (1.0 - phi)) as u64, pause, ..Default::default() };
        let mut batcher = Batcher::new(params).unwrap();
        let stream = ar1(phi).stream(31).unwrap().take(2_000_000);
        let means: Vec<f64> = stream.filter_map(|x| batcher.update(x)).collect();
        let square: f64 = means.iter().map(|x| x * x).sum();
        means.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / square
    };
    for phi in [0.5, 0.9] {
        let (whole, paused) = (correlation(0.0, phi), correlation(0.15, phi));
        assert!((0.03..0.055).contains(&whole) && paused.abs() < 0.02, "{phi}: {whole} {paused}");
    }
    let refused = Batcher::new(BatcherParams { pause: 0.95, ..BatcherParams::default() });
    assert_eq!(refused.unwrap_err().param, "pause");
}

/// Counted in batches, which is the stricter reading: in values the run length is the batch times more.
#[test]
fn the_guarantee_holds_behind_the_batcher() {
    for (source, m_pre) in [
        (Source::Ar1 { phi: 0.5, mean: 0.5, deviation: 0.2 }, 0.5),
        (Source::Ar1 { phi: 0.9, mean: 0.5, deviation: 0.2 }, 0.5),
        (Source::Sticky { p: 0.1, phi: 0.5 }, 0.1),
        (Source::Sticky { p: 0.1, phi: 0.9 }, 0.1),
    ] {
        for family in [Family::Bernoulli, Family::Bounded] {
            let params =
                MixtureParams { family, m_pre, delta_upper: 0.45, arl: 200.0, ..MixtureParams::default() };
            let bets = MixtureESr::new(params).unwrap();
            let mut raw = bets.clone();
            let batch = Some(BatcherParams::default());
            let params = PreparationParams { batch, ..PreparationParams::default() };
            let mut prepared = Prepared::new(params, bets).unwrap();
            let (mut batches, mut alarms, mut raw_alarms) = (0_u64, 0_u64, 0_u64);
            for x in source.stream(5).unwrap().take(300_000) {
                raw_alarms += u64::from(raw.update(x).drift_detected());
                if let Some(signal) = prepared.update_at(x, 0) {
                    batches += 1;
                    alarms += u64::from(signal.drift_detected());
                }
            }
            let arl = batches as f64 / alarms as f64;
            let error = arl / (alarms as f64).sqrt();
            assert!(arl + 2.0 * error >= 200.0, "{source:?} {family:?}: {arl}");
            assert!(300_000.0 / alarms as f64 > 2_000.0);
            // Without it, the bound is broken wherever dependence is strong.
            let strong = matches!(source, Source::Sticky { phi: 0.9, .. });
            assert!(!strong || 300_000.0 / (raw_alarms as f64) < 100.0, "{raw_alarms}");
        }
    }
}

#[test]
fn batches_follow_a_lasting_change_of_the_dependence_and_not_one_step() {
    let params = BatcherParams { recheck: 1_000, ..BatcherParams::default() };
    let mut batcher = Batcher::new(params).unwrap();
    let mut stream = Source::Gaussian { mean: 0.0, deviation: 1.0 }.stream(1).unwrap();
    (0..20_000).for_each(|_| _ = batcher.update(stream.draw()));
    assert_eq!(batcher.length(), Some(1));
    // One step of the level, three deviations high.
    (0..200_000).for_each(|_| _ = batcher.update(3.0 + stream.draw()));
    assert_eq!(batcher.length(), Some(1));
    stream.change(ar1(0.9)).unwrap();
    (0..200_000).for_each(|_| _ = batcher.update(3.0 + stream.draw()));
    assert!((80..250).contains(&batcher.length().unwrap()), "{:?}", batcher.length());
    stream.change(Source::Gaussian { mean: 0.0, deviation: 1.0 }).unwrap();
    (0..300_000).for_each(|_| _ = batcher.update(3.0 + stream.draw()));
    assert_eq!(batcher.length(), Some(1));
}

/// In the first 2,048 values there are four errors or so, in the wider windows after them enough.
#[test]
fn runs_of_rare_errors_are_seen_in_time() {
    let batches = |source: Source| {
        (0..10).filter(move |&run| {
            let mut batcher = Batcher::new(BatcherParams::default()).unwrap();
            source.stream(run).unwrap().take(400_000).for_each(|x| _ = batcher.update(x));
            batcher.length() > Some(8)
        })
    };
    assert!(batches(Source::Sticky { p: 0.002, phi: 0.5 }).count() >= 9);
    assert_eq!(batches(Source::Bernoulli { p: 0.002 }).count(), 0);
}

#[test]
fn a_constant_start_is_not_taken_for_independence() {
    let mut batcher = Batcher::new(BatcherParams::default()).unwrap();
    (0..10_000).for_each(|_| _ = batcher.update(7.0));
    assert_eq!(batcher.length(), Some(1));
    ar1(0.9).stream(1).unwrap().take(120_000).for_each(|x| _ = batcher.update(x));
    assert!(batcher.length().unwrap() > 80, "{:?}", batcher.length());
}

/// Ten-minute values of two years, with a day, a weekend and noise of deviation 1.
fn seasonal(phi: f64) -> impl Iterator<Item = (f64, i64)> {
    let mut noise = ar1(phi).stream(4).unwrap();
    (0..2 * 52 * 1_008).map(move |i: i64| {
        let seconds = i * 600;
        let (hour, day) = (seconds / 3_600 % 24, seconds / 86_400 % 7);
        let wave = 3.0 * (hour as f64 / 24.0 * core::f64::consts::TAU).sin();
        (10.0 + wave - if day >= 5 { 2.0 } else { 0.0 } + noise.draw(), seconds)
    })
}

#[test]
fn the_residual_of_a_season_silences_adwin() {
    let season = |params| PreparationParams { seasonal: Some(params), ..PreparationParams::default() };
    let raw = adwin_alarms(PreparationParams::default(), seasonal(0.0));
    let week = adwin_alarms(season(SeasonalParams::default()), seasonal(0.0));
    let day = SeasonalParams { season: Season::Day, ..SeasonalParams::default() };
    let day = adwin_alarms(season(day), seasonal(0.0));
    assert!(raw > 1_000 && week <= 3 && day > 100, "{raw} {week} {day}");
    // Where the noise is dependent as well, it takes both.
    let both =
        PreparationParams { batch: Some(BatcherParams::default()), ..season(SeasonalParams::default()) };
    assert!(adwin_alarms(both, seasonal(0.5)) <= 1);
}

#[test]
fn an_hour_is_learned_like_its_median_and_deviation() {
    let mut residual = SeasonalResidual::new(SeasonalParams::default()).unwrap();
    let mut sizes = Vec::new();
    for (x, seconds) in seasonal(0.0) {
        if let Some(z) = residual.update(x, seconds) {
            sizes.push(z.abs());
        }
    }
    assert_eq!(residual.learned_cells(), 168);
    // 1970-01-01 was a Thursday: hours 0 to 23 of the week are Thursday's.
    for (hour, level) in [(6, 13.0), (18, 7.0), (5 * 24 + 6, 11.0), (5 * 24 + 18, 5.0)] {
        let (learned, deviation) = residual.hour(hour * 3_600).unwrap();
        assert!((learned - level).abs() < 0.35, "{hour}: {learned}");
        assert!((deviation - 1.0).abs() < 0.35, "{hour}: {deviation}");
    }
    sizes.sort_by(f64::total_cmp);
    // The median size of a standard normal number is 0.6745.
    let median = sizes[sizes.len() / 2];
    assert!((median - 0.6745).abs() < 0.05, "{median}");
}

#[test]
fn a_change_of_the_level_is_not_learned_away_at_once() {
    for (rate, per_hour) in [(0.05, 6), (0.05, 600), (0.0, 6)] {
        let params = SeasonalParams { rate, ..SeasonalParams::default() };
        let mut residual = SeasonalResidual::new(params).unwrap();
        let mut noise = Source::Gaussian { mean: 0.0, deviation: 1.0 }.stream(2).unwrap();
        // One hour a week is enough to see it.
        let mut weeks = Vec::new();
        for week in 0..130 {
            let shift = if week < 30 { 0.0 } else { 2.0 };
            let mut sum = 0.0;
            for i in 0..per_hour {
                let seconds = week * 7 * 86_400 + i * 3_600 / per_hour;
                sum += residual.update(noise.draw() + shift, seconds).unwrap_or_default();
            }
            weeks.push(sum / per_hour as f64);
        }
        let after = |from: usize| weeks[30 + from..40 + from].iter().sum::<f64>() / 10.0;
        eprintln!(
            "rate {rate} x{per_hour}: {:.2} {:.2} {:.2} {:.2}",
            after(0),
            after(10),
            after(20),
            after(40)
        );
        assert!(after(0) > 1.2, "{}", after(0));
        assert!(rate > 0.0 || after(90) > 1.5, "{}", after(90));
        assert!(rate == 0.0 || after(90) < 0.5, "{}", after(90));
    }
}

#[test]
fn the_limit_of_an_exceedance_is_the_order_statistic() {
    for (quantile, learn) in [(0.95, 1_000_u64), (0.5, 100), (0.01, 900), (0.999, 5_000), (0.9, 11)] {
        let mut exceedance =
            ExceedanceBits::new(ExceedanceBitsParams { quantile, learn, ..ExceedanceBitsParams::default() })
                .unwrap();
        let mut values: Vec<f64> = Source::StudentT { freedom: 3.0, mean: 0.0, scale: 1.0 }
            .stream(9)
            .unwrap()
            .take(learn as usize)
            .collect();
        assert!(values.iter().all(|&x| exceedance.update(x).is_none() && exceedance.bytes() <= 600));
        values.sort_by(f64::total_cmp);
        let rank = (quantile * learn as f64 - 1e-9).ceil() as usize;
        assert_eq!(exceedance.limit(), Some(values[rank - 1]), "{quantile} {learn}");
        assert_eq!(exceedance.learned_from(), Some((learn, rank as u64)));
    }
    let known = ExceedanceBitsParams { known: true, limit: 3.0, ..ExceedanceBitsParams::default() };
    let mut known = ExceedanceBits::new(known).unwrap();
    assert_eq!([3.0, 3.1].map(|x| known.update(x)), [Some(0.0), Some(1.0)]);
}

#[test]
fn standardised_means_keep_their_deviation_when_the_batch_changes() {
    let batch = BatcherParams { recheck: 1_000, ..BatcherParams::default() };
    let standardize = StandardizerParams { learn: 500, clip: 10.0 };
    let params = PreparationParams {
        batch: Some(batch),
        standardize: Some(standardize),
        ..PreparationParams::default()
    };
    let mut preparation = Preparation::new(params).unwrap();
    let mut stream = ar1(0.5).stream(1).unwrap();
    let spread = |preparation: &mut Preparation, stream: &mut dyn Iterator<Item = f64>| {
        let scores: Vec<f64> = stream.filter_map(|x| preparation.update(x, 0)).collect();
        (scores.iter().map(|z| z * z).sum::<f64>() / scores.len() as f64).sqrt()
    };
    spread(&mut preparation, &mut stream.by_ref().take(20_000));
    let first = preparation.status().batch_length.unwrap();
    let before = spread(&mut preparation, &mut stream.by_ref().take(50_000));
    stream.change(ar1(0.9)).unwrap();
    stream.by_ref().take(250_000).for_each(|x| _ = preparation.update(x, 0));
    let second = preparation.status().batch_length.unwrap();
    let after = spread(&mut preparation, &mut stream.by_ref().take(300_000));
    assert!(second > 3 * first, "{first} {second}");
    // The variance of means grew by the autocorrelation time, 3 to 19, and shrank by the longer batch.
    assert!((0.8..1.25).contains(&before) && (0.75..1.4).contains(&after), "{before} {after}");
}

#[test]
fn a_gap_starts_the_detector_afresh_and_gives_up_the_batch() {
    let gap = GapParams { longest_seconds: 600, latest_seconds: 0 };
    let batch = BatcherParams { length: 4, ..BatcherParams::default() };
    let params = PreparationParams { gap: Some(gap), batch: Some(batch), ..PreparationParams::default() };
    let mut prepared = Prepared::new(params, Adwin::new(AdwinParams::default()).unwrap()).unwrap();
    (0..102).for_each(|i| _ = prepared.update_at(0.0, i));
    assert_eq!(prepared.detector().count(), 25);
    // Two values of a batch were waiting; the one after the gap begins another.
    (0..3).for_each(|i| assert!(prepared.update_at(1.0, 5_000 + i).is_none()));
    assert_eq!(prepared.update_at(1.0, 5_003).map(|signal| signal.drift_detected()), Some(false));
    assert_eq!((prepared.detector().count(), prepared.detector().estimation()), (1, Some(1.0)));
    assert_eq!(prepared.preparation().status().gaps, 1);
}

/// Half-hourly electricity, with strong seasons; from `VISU_TILITY_STREAMS`, or beside the workspace.
#[test]
fn electricity_is_quiet_behind_season_and_batch() {
    let Some(file) = electricity() else {
        eprintln!("skipped: no electricity stream; set VISU_TILITY_STREAMS");
        return;
    };
    let mut demand = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["kind"] == "Feature:nswdemand" {
            demand.push(event["value"].as_f64().unwrap());
        }
    }
    // Every half hour from 1996-06-17 16:00 UTC.
    let start = 835_027_200;
    let stream = || demand.iter().zip(0_i64..).map(|(&x, i)| (x, start + i * 1_800));
    let standardize = Some(StandardizerParams::default());
    let raw = PreparationParams { standardize, ..PreparationParams::default() };
    let season = PreparationParams {
        seasonal: Some(SeasonalParams::default()),
        batch: Some(BatcherParams::default()),
        ..PreparationParams::default()
    };
    let (raw, season) = (adwin_alarms(raw, stream()), adwin_alarms(season, stream()));
    // The season alone does not do it: what is left of a half hour resembles the next.
    assert!(raw > 150 && season <= 3, "{raw} {season}");
}

fn electricity() -> Option<File> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real/streams");
    let folder = std::env::var_os("VISU_TILITY_STREAMS").map_or(beside, Into::into);
    File::open(folder.join("electricity.events.ndjson.gz")).ok()
}

fn all_stages() -> Vec<PreparationParams> {
    let off = PreparationParams::default();
    let range = RangeGuardParams { low: -2.0, high: 2.0, outside: Outside::Refuse };
    let clamp = RangeGuardParams { outside: Outside::Clamp, ..range };
    let gap = GapParams { longest_seconds: 50_000, latest_seconds: 9_000 };
    let seasonal = SeasonalParams { season: Season::WeekOrDay, learn: 1, rate: 0.1, clip: 5.0 };
    let exceedance = ExceedanceBitsParams { quantile: 0.8, learn: 20, ..ExceedanceBitsParams::default() };
    let batch = BatcherParams { learn: 256, recheck: 10, longest: 3, times: 2.0, ..BatcherParams::default() };
    let fixed = BatcherParams { length: 3, ..batch };
    let standardize = StandardizerParams { learn: 20, clip: 5.0 };
    vec![
        off,
        PreparationParams { range: Some(range), ..off },
        PreparationParams { gap: Some(gap), range: Some(clamp), ..off },
        PreparationParams { seasonal: Some(seasonal), ..off },
        PreparationParams { exceedance: Some(exceedance), ..off },
        PreparationParams { batch: Some(batch), ..off },
        PreparationParams { batch: Some(fixed), standardize: Some(standardize), ..off },
        PreparationParams {
            gap: Some(gap),
            range: Some(range),
            seasonal: Some(seasonal),
            exceedance: Some(ExceedanceBitsParams { learn: 275, ..exceedance }),
            batch: Some(batch),
            standardize: Some(standardize),
        },
    ]
}

fn values() -> impl Strategy<Value = Vec<(f64, i64)>> {
    let value = prop_oneof![
        12 => -3.0..3.0,
        4 => prop_oneof![Just(0.0), Just(1.0), Just(-0.0)],
        1 => any::<u64>().prop_map(f64::from_bits),
    ];
    let time = prop_oneof![12 => 0_i64..2_000_000, 1 => any::<i64>()];
    let runs = vec((value, time), 0..900);
    (runs, any::<bool>()).prop_map(|(mut all, ordered)| {
        if ordered {
            let mut times: Vec<i64> = all.iter().map(|&(_, t)| t).collect();
            times.sort_unstable();
            all.iter_mut().zip(times).for_each(|(pair, t)| pair.1 = t);
        }
        all
    })
}

fn state(preparation: &Preparation) -> Vec<u8> {
    let mut bytes = Vec::new();
    preparation.write_state(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_snapshot_of_the_stages_at_any_point_changes_nothing(stream in values(), cut in 0_usize..900) {
        let cut = cut.min(stream.len());
        for params in all_stages() {
            let mut whole = Preparation::new(params).unwrap();
            for &(x, t) in &stream[..cut] {
                whole.update(x, t);
            }
            let bytes = state(&whole);
            prop_assert!(bytes.len() <= 4_096, "{} bytes", bytes.len());
            let mut restored = Preparation::new(params).unwrap();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(restored.read_state(&mut reader), Ok(()), "{:?}", params);
            prop_assert_eq!(reader.finish(), Ok(()));
            for &(x, t) in &stream[cut..] {
                let (a, b) = (whole.update(x, t), restored.update(x, t));
                prop_assert!(a.is_none_or(f64::is_finite));
                prop_assert_eq!(a.map(f64::to_bits), b.map(f64::to_bits));
            }
            prop_assert_eq!(state(&whole), state(&restored));
            prop_assert_eq!(whole.status(), restored.status());
            let counts = whole.status().counts;
            prop_assert_eq!(counts.given, stream.len() as u64);
            let kept = counts.missing + counts.outside + counts.too_late + counts.learning + counts.batched;
            prop_assert_eq!(counts.passed + kept, counts.given);
        }
    }

    #[test]
    fn reading_any_bytes_fails_or_gives_working_stages(
        stream in values(),
        noise in vec(any::<u8>(), 0..64),
        at in 0_usize..5_000,
    ) {
        for params in all_stages() {
            let mut source = Preparation::new(params).unwrap();
            for &(x, t) in &stream {
                source.update(x, t);
            }
            let fresh = state(&Preparation::new(params).unwrap());
            let mut bytes = state(&source);
            let at = at % bytes.len();
            for (byte, &other) in bytes[at..].iter_mut().zip(&noise[..noise.len().min(9)]) {
                *byte = other;
            }
            for bytes in [&bytes[..], &bytes[..at], &noise] {
                let mut target = Preparation::new(params).unwrap();
                if target.read_state(&mut Reader::new(bytes)).is_err() {
                    prop_assert_eq!(&state(&target), &fresh, "a failed read must change nothing");
                }
                for &(x, t) in &stream {
                    prop_assert!(target.update(x, t).is_none_or(f64::is_finite));
                }
            }
        }
    }
}
