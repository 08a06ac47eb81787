//! Simulates the thresholds of `FOCuS` and prints `src/focus/table.rs`.
//!
//! `cargo run --release -p visu-tility-drift --example focus_table > drift/src/focus/table.rs`
//!
//! For each family, level known or not, and one or two sides, streams without a change are run at many
//! levels, each until its statistic has passed the highest threshold or for 20,000 values. The rate of first
//! crossings per value, plus two standard errors, is taken at the level where it is worst; the threshold of
//! an average run length is the least at which that rate is below its inverse. Seeds are fixed.
//!
//! With `check` as its argument it measures run lengths under the thresholds of the crate, and the share of
//! runs that end early. With `published` it prints run lengths to hold against the table of the authors of `FOCuS`.

use visu_tility_drift::{Detector, Focus, FocusFamily, FocusParams, Mode, ParamError};

const LOWEST: f64 = 3.5;
const STEP: f64 = 0.125;
const HEIGHTS: usize = 61;
const RUNS: u32 = 400;
const LONGEST: u32 = 20_000;
const BITS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];
const COUNTS: [f64; 12] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 7.0, 12.0, 25.0, 60.0];

/// splitmix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        loop {
            let (a, b) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = a * a + b * b;
            if s > 0.0 && s < 1.0 {
                return a * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }

    /// Inversion, from 0 up.
    fn poisson(&mut self, rate: f64) -> f64 {
        let u = self.uniform();
        let (mut k, mut mass) = (0.0, (-rate).exp());
        let mut below = mass;
        while u > below && k < 500.0 {
            k += 1.0;
            mass *= rate / k;
            below += mass;
        }
        k
    }

    fn value(&mut self, family: FocusFamily, level: f64) -> f64 {
        match family {
            FocusFamily::Gaussian => level + self.normal(),
            FocusFamily::Bernoulli => f64::from(self.uniform() < level),
            FocusFamily::Poisson => self.poisson(level),
        }
    }
}

/// Returns the first value at which each of `heights` was reached, `longest` where it was not.
fn passages(mut detector: Focus, heights: &[f64], longest: u32, mut next: impl FnMut() -> f64) -> Vec<u32> {
    let mut found = Vec::new();
    for i in 1..=longest {
        let statistic = detector.update(next()).statistic;
        found.extend(heights.iter().skip(found.len()).take_while(|&&h| statistic >= h).map(|_| i));
        if found.len() == heights.len() {
            break;
        }
    }
    found.resize(heights.len(), longest + 1);
    found
}

/// The upper limit of the crossings per value of each height at one level.
fn rates(params: FocusParams, level: f64, heights: &[f64], seed: u64) -> Result<Vec<f64>, ParamError> {
    let (fresh, mut random) = (Focus::new(params)?, Random(seed));
    let (mut crossed, mut values) = (vec![0.0; heights.len()], vec![0.0; heights.len()]);
    // The Gaussian ratio does not depend on the level: one is enough, and looked at longer.
    let runs = if params.family == FocusFamily::Gaussian { 10 * RUNS } else { RUNS };
    for _ in 0..runs {
        let first = passages(fresh.clone(), heights, LONGEST, || random.value(params.family, level));
        for ((crossed, values), &at) in crossed.iter_mut().zip(&mut values).zip(&first) {
            *crossed += f64::from(u8::from(at <= LONGEST));
            *values += f64::from(at.min(LONGEST));
        }
    }
    let upper = |(crossed, values): (&f64, &f64)| (crossed + 2.0 * crossed.sqrt() + 2.0) / values;
    Ok(crossed.iter().zip(&values).map(upper).collect())
}

/// The levels and directions to try.
fn nulls(family: FocusFamily, two_sided: bool) -> Vec<(f64, Mode)> {
    let levels: Vec<f64> = match family {
        FocusFamily::Gaussian => vec![0.0],
        // Downwards at `p` is upwards at `1 - p`.
        FocusFamily::Bernoulli if two_sided => BITS.to_vec(),
        FocusFamily::Bernoulli => BITS.iter().flat_map(|&p| [p, 1.0 - p]).collect(),
        FocusFamily::Poisson => COUNTS.to_vec(),
    };
    let modes: &[Mode] = match family {
        _ if two_sided => &[Mode::Both],
        FocusFamily::Poisson => &[Mode::Up, Mode::Down],
        _ => &[Mode::Up],
    };
    levels.iter().flat_map(|&level| modes.iter().map(move |&mode| (level, mode))).collect()
}

/// The thresholds of one family and form, for run lengths of `10^2`, `10^2.25` and so on.
fn column(family: FocusFamily, known: bool, two_sided: bool, seed: u64) -> Result<Vec<f64>, ParamError> {
    let heights: Vec<f64> = (0..HEIGHTS).map(|i| LOWEST + STEP * i as f64).collect();
    let mut worst = vec![0.0_f64; HEIGHTS];
    for (i, (level, mode)) in (0..).zip(nulls(family, two_sided)) {
        let baseline = if known { level } else { 0.5 };
        // Statistics are exact from half the threshold up.
        let threshold = 2.0 * LOWEST;
        let params =
            FocusParams { family, mode, known, baseline, threshold, rearm: false, ..FocusParams::default() };
        let found = rates(params, level, &heights, seed + i)?;
        worst.iter_mut().zip(found).for_each(|(worst, rate)| *worst = worst.max(rate));
    }
    let knots = (8..=18).map(|quarter| 10_f64.powf(0.25 * f64::from(quarter)));
    Ok(knots
        .map(|arl| {
            let last = worst.iter().rposition(|&rate| rate * arl > 1.0);
            LOWEST + STEP * last.map_or(0, |i| i + 1) as f64
        })
        .collect())
}

fn print_table() -> Result<(), ParamError> {
    println!("//! Thresholds by simulation: printed by `examples/focus_table.rs`, never edited.\n");
    println!("use crate::FocusFamily;\n");
    println!("/// Average run lengths `10^2`, `10^2.25`, up to `10^4.5`.");
    println!("pub(super) const KNOTS: usize = 11;\n");
    println!("/// The thresholds of a family, with the level known or not, and one or two sides.");
    println!(
        "pub(super) const fn thresholds(family: FocusFamily, known: bool, two_sided: bool) -> [f64; KNOTS] {{"
    );
    println!("    match (family, known, two_sided) {{");
    let families = [FocusFamily::Gaussian, FocusFamily::Bernoulli, FocusFamily::Poisson];
    for (i, family) in (0..).zip(families) {
        for (j, (known, two_sided)) in (0..).zip([(false, false), (false, true), (true, false), (true, true)])
        {
            let column = column(family, known, two_sided, 1_000_000 * (i + 1) + 100_000 * j)?;
            println!("        (FocusFamily::{family:?}, {known}, {two_sided}) => {{");
            println!("            {column:?}");
            println!("        }}");
        }
    }
    println!("    }}\n}}");
    Ok(())
}

/// Run lengths at the thresholds of the authors' table `avg_run_len`, with the seed.
fn print_published() -> Result<(), ParamError> {
    let published = [(4.6, 129), (5.8, 386), (7.0, 1_202), (8.2, 3_076), (9.4, 9_193)];
    let heights = published.map(|(height, _)| height);
    for known in [false, true] {
        let params = FocusParams {
            family: FocusFamily::Gaussian,
            known,
            baseline: 0.0,
            threshold: 8.0,
            rearm: false,
            ..FocusParams::default()
        };
        let (fresh, mut random) = (Focus::new(params)?, Random(11));
        let mut sums = vec![0.0; heights.len()];
        for _ in 0..2_000 {
            let first = passages(fresh.clone(), &heights, u32::MAX - 1, || random.normal());
            sums.iter_mut().zip(first).for_each(|(sum, at)| *sum += f64::from(at));
        }
        for ((height, theirs), sum) in published.iter().zip(sums) {
            println!("known {known:5} seed 11 threshold {height}: {:.0}, published {theirs}", sum / 2_000.0);
        }
    }
    Ok(())
}

/// Run lengths over 8 million values with re-arming, seed 4242, at a nominal 10,000; and the share of runs that
/// end within 2,000 values, which is 0.181 without memory.
fn print_check() -> Result<(), ParamError> {
    let levels: [(FocusFamily, &[f64]); 3] = [
        (FocusFamily::Gaussian, &[0.0]),
        (FocusFamily::Bernoulli, &[0.000_2, 0.002, 0.02, 0.1, 0.4, 0.85]),
        (FocusFamily::Poisson, &[0.05, 1.0, 8.0, 40.0]),
    ];
    for (family, levels) in levels {
        for (&level, known) in levels.iter().flat_map(|level| [(level, false), (level, true)]) {
            let baseline = if known { level } else { 0.5 };
            let params = FocusParams { family, known, baseline, arl: 1e4, ..FocusParams::default() };
            let (mut focus, mut random) = (Focus::new(params)?, Random(4_242));
            let (mut runs, mut early, mut run) = (0_u32, 0_u32, 0_u32);
            for _ in 0..8_000_000 {
                run += 1;
                if focus.update(random.value(family, level)).drift_detected() {
                    runs += 1;
                    early += u32::from(run <= 2_000);
                    run = 0;
                }
            }
            let (length, share) = (8e6 / f64::from(runs), f64::from(early) / f64::from(runs));
            println!(
                "{family:?} {level}, known {known:5}: {runs} alarms, one in {length:.0}, {share:.3} early"
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), ParamError> {
    match std::env::args().nth(1).as_deref() {
        Some("published") => print_published(),
        Some("check") => print_check(),
        _ => print_table(),
    }
}
