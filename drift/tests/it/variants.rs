//! Every detector, under its defaults and under parameters that take it other ways.

use std::sync::OnceLock;

use visu_tility_drift::Setting::{self, Count, Flag, Number, Word};
use visu_tility_drift::{AnyDetector, AnyParams};

/// A detector by its plan's name under some parameters.
pub(crate) fn with(name: &str, settings: &[(&str, Setting<'_>)]) -> AnyDetector {
    let mut params = AnyParams::by_name(name).unwrap();
    for (key, value) in settings {
        params.set(key, *value).unwrap();
    }
    params.build().unwrap()
}

/// All detectors afresh. They are built once: their copies share what takes time to build.
pub(crate) fn detectors() -> Vec<AnyDetector> {
    static ALL: OnceLock<Vec<AnyDetector>> = OnceLock::new();
    ALL.get_or_init(build).clone()
}

/// Every detector under its defaults, and those with more ways to go under several parameters.
fn build() -> Vec<AnyDetector> {
    let mut all: Vec<AnyDetector> = AnyParams::NAMES.iter().map(|name| with(name, &[])).collect();
    with_windows(&mut all);
    with_likelihoods(&mut all);
    with_evidence(&mut all);
    all
}

/// Detectors that compare windows.
fn with_windows(all: &mut Vec<AnyDetector>) {
    for compat in ["paper", "river", "moa"].map(Word) {
        let compat = ("compat", compat);
        for (clock, max_buckets) in [(1, 5), (7, 1), (32, 16)] {
            let settings = [
                compat,
                ("clock", Count(clock)),
                ("max_buckets", Count(max_buckets)),
                ("delta", Number(0.2)),
            ];
            all.push(with("adwin", &settings));
        }
        for mode in ["up", "down", "both"].map(Word) {
            all.push(with("page-hinkley", &[compat, ("mode", mode), ("threshold", Number(3.0))]));
        }
    }
    for (recent, reference, share) in [(10, 30, 0.5), (1, 4, 1.0), (40, 200, 0.8)] {
        let windows = [("recent", Count(recent)), ("reference", Count(reference)), ("share", Number(share))];
        for bound in [("arl", Number(0.0)), ("arl", Number(20.0))] {
            all.push(with("median-shift", &[windows[0], windows[1], windows[2], bound]));
        }
    }
    for (memory, rest, recovery) in [(100, 0, 1.0), (150, 3, 20.0)] {
        let settings = [
            ("memory", Count(memory)),
            ("rest", Count(rest)),
            ("recovery", Number(recovery)),
            ("min_instances", Count(0)),
            ("threshold", Number(0.001)),
        ];
        all.push(with("novelty", &settings));
    }
    for compat in ["paper", "river"].map(Word) {
        for (sample, window_size) in [("whole", 20), ("random", 20), ("random", 4), ("whole", 384)] {
            let settings = [
                ("compat", compat),
                ("sample", Word(sample)),
                ("window_size", Count(window_size)),
                ("stat_size", Count(window_size / 2)),
                ("alpha", Number(0.2)),
            ];
            all.push(with("kswin", &settings));
        }
    }
    for family in ["gaussian", "bernoulli", "poisson"].map(Word) {
        for (learn, runs, hazard) in [(0, 8, 0.3), (20, 64, 0.01)] {
            let settings = [
                ("family", family),
                ("learn", Count(learn)),
                ("runs", Count(runs)),
                ("hazard", Number(hazard)),
                ("settle", Count(1)),
            ];
            all.push(with("bocpd", &settings));
        }
    }
    all.extend(classic());
}

/// Detectors that compare likelihoods.
fn with_likelihoods(all: &mut Vec<AnyDetector>) {
    for family in ["gaussian", "bernoulli", "poisson"].map(Word) {
        for (mode, known, rearm) in
            [("up", true, true), ("down", false, false), ("both", true, false), ("both", false, true)]
        {
            let settings = [
                ("family", family),
                ("mode", Word(mode)),
                ("known", Flag(known)),
                ("baseline", Number(0.4)),
                ("arl", Number(100.0)),
                ("rearm", Flag(rearm)),
            ];
            all.push(with("focus", &settings));
        }
    }
    for family in ["gaussian", "bernoulli"].map(Word) {
        for (mode, target) in [("up", 0.6), ("down", 0.2), ("both", 0.6), ("both", 0.1)] {
            let settings = [
                ("family", family),
                ("mode", Word(mode)),
                ("baseline", Number(0.4)),
                ("target", Number(target)),
                ("threshold", Number(2.0)),
            ];
            all.push(with("cusum", &settings));
        }
    }
    all.push(with("cusum-moa", &[("threshold", Number(2.0))]));
    for (distance, reference, bins) in [("psi", 50, 5), ("l-infinity", 60, 2), ("tvd", 80, 32)] {
        let settings = [
            ("distance", Word(distance)),
            ("reference", Count(reference)),
            ("bins", Count(bins)),
            ("window", Count(10)),
            ("arl", Number(40.0)),
        ];
        all.push(with("distribution", &settings));
    }
}

/// Detectors that bet.
fn with_evidence(all: &mut Vec<AnyDetector>) {
    for family in ["bernoulli", "bounded", "normal"].map(Word) {
        for mode in ["up", "down", "both"].map(Word) {
            for (rearm, recursion) in
                [(true, "shiryaev-roberts"), (false, "cusum"), (true, "cusum"), (false, "sequential-test")]
            {
                let settings = [
                    ("family", family),
                    ("mode", mode),
                    ("m_pre", Number(0.4)),
                    ("band", Number(0.02)),
                    ("delta_upper", Number(0.3)),
                    ("sigma", Number(0.25)),
                    ("arl", Number(100.0)),
                    ("rearm", Flag(rearm)),
                    ("recursion", Word(recursion)),
                ];
                all.push(with("e-sr", &settings));
            }
        }
    }
    for mode in ["up", "down", "both"].map(Word) {
        for clock in [1, 8] {
            let range = [("low", Number(-1.0)), ("high", Number(2.5))];
            let settings =
                [("mode", mode), ("arl", Number(3.0)), ("clock", Count(clock)), range[0], range[1]];
            all.push(with("confidence-sequence", &settings));
        }
    }
    for (mode, learn) in [("up", 0), ("down", 30), ("up", 100)] {
        let settings = [
            ("mode", Word(mode)),
            ("learn", Count(learn)),
            ("quantile", Number(0.5)),
            ("delta_upper", Number(0.2)),
            ("arl", Number(5.0)),
        ];
        all.push(with("exceedance", &settings));
    }
    for mode in ["up", "down", "both"].map(Word) {
        for cuts in [10, 60] {
            let settings = [("mode", mode), ("cuts", Count(cuts)), ("arl", Number(3.0))];
            all.push(with("conformal-sr", &settings));
        }
    }
}

/// The detectors of other systems under parameters with which they alarm soon.
fn classic() -> Vec<AnyDetector> {
    let mut all = Vec::new();
    let [paper, river, moa] = ["paper", "river", "moa"].map(|word| ("compat", Word(word)));
    for compat in [paper, river, moa] {
        let levels = [("warning_threshold", Number(1.0)), ("drift_threshold", Number(1.5))];
        all.push(with("ddm", &[compat, ("warm_start", Count(5)), levels[0], levels[1]]));
        all.push(with("eddm", &[compat, ("warm_start", Count(3))]));
        let confidences = [("drift_confidence", Number(0.1)), ("warning_confidence", Number(0.3))];
        for two_sided in [false, true].map(|both| ("two_sided_test", Flag(both))) {
            all.push(with("hddm-a", &[compat, two_sided, confidences[0], confidences[1]]));
            let lambda = ("lambda_val", Number(0.2));
            all.push(with("hddm-w", &[compat, two_sided, lambda, confidences[0], confidences[1]]));
        }
        if compat != moa {
            for short in [0, 7] {
                let settings = [
                    compat,
                    ("sliding_window_size", Count(20)),
                    ("short_window_size", Count(short)),
                    ("confidence_level", Number(0.1)),
                ];
                all.push(with("fhddm", &settings));
            }
        }
        if compat != river {
            let concept = [("max_concept", Count(90)), ("min_concept", Count(70))];
            let limit = ("warning_limit", Count(4));
            all.push(with("rddm", &[compat, ("warm_start", Count(9)), limit, concept[0], concept[1]]));
            all.push(with(
                "stepd",
                &[compat, ("sliding_window_size", Count(9)), confidences[0], confidences[1]],
            ));
            all.push(with("ecdd", &[compat, ("warm_start", Count(3))]));
            all.push(with("gma", &[compat, ("alpha", Number(0.9)), ("threshold", Number(0.2))]));
            let blocks = [("block_size", Count(1)), ("compress_term", Count(5))];
            all.push(with("seed", &[compat, blocks[0], ("delta", Number(0.2))]));
            all.push(with("seed", &[compat, ("block_size", Count(4)), blocks[1]]));
        }
    }
    for mode in ["up", "down"].map(Word) {
        all.push(with("gma", &[("mode", mode), ("threshold", Number(0.2))]));
    }
    for arl in [100, 1000].map(Count) {
        all.push(with("ecdd", &[("run_length", arl), ("warning_share", Number(0.9))]));
    }
    all
}
