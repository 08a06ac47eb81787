//! Measures average run lengths without a change, and delays after one, of the detectors with a bound.
//!
//! Run it with: `cargo run --release -p visu-tility-drift --example guarantee -- [runs] [detector ...]`
//!
//! You should see run lengths of at least the nominal ones, and with 400 runs delays near these, from value
//! 2000 on at a nominal average of 10,000 (the first two are told the good level, the others are not):
//!
//! ```text
//!                      .10 to .15   .20   .30   .02 to .06   .002 to .008   .02
//! e-sr                        346   111    42          161            581   165
//! exceedance                  338   111    43          170            594   164
//! conformal-sr                851   185    58          289           3263   391
//! confidence-sequence        1829   319    91          654          11485   776
//! ```
//!
//! Every number is seeded. The table of delays is the mean over the runs that had not alarmed before the
//! change at value 2000; `early` counts those that had; `lost` those without an alarm 40,000 values after.

use std::collections::HashMap;
use std::error::Error;

use visu_tility_drift::{AnyDetector, AnyParams, Detector, Setting};

/// A source of uniform numbers (splitmix64).
struct Source(u64);

impl Source {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Student's t with three degrees of freedom.
    fn heavy(&mut self) -> f64 {
        let square: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (square / 3.0).sqrt()
    }
}

/// What values a stream has while nothing changes.
#[derive(Clone, Copy, Debug)]
enum Clean {
    Bits(f64),
    Uniform,
    /// Student's t squashed into [0, 1].
    Heavy,
}

impl Clean {
    fn next(self, source: &mut Source) -> f64 {
        match self {
            Self::Bits(p) => f64::from(source.uniform() < p),
            Self::Uniform => source.uniform(),
            Self::Heavy => (0.5 + source.heavy() / 20.0).clamp(0.0, 1.0),
        }
    }

    const fn mean(self) -> f64 {
        match self {
            Self::Bits(p) => p,
            Self::Uniform | Self::Heavy => 0.5,
        }
    }
}

/// The detector of a plan's name for streams of that mean, and how long it learns.
fn params(name: &str, clean: Clean, arl: f64) -> Result<AnyParams, Box<dyn Error>> {
    let mut params = AnyParams::by_name(name).ok_or("no such detector")?;
    params.set("arl", Setting::Number(arl))?;
    match name {
        "e-sr" => {
            let mean = clean.mean();
            params.set("m_pre", Setting::Number(mean))?;
            params.set("delta_lower", Setting::Number(mean.min(1.0 - mean) / 2.0))?;
            params.set("delta_upper", Setting::Number((9.0 * mean).min((1.0 - mean) * 0.8)))?;
            if !matches!(clean, Clean::Bits(_)) {
                params.set("family", Setting::Word("bounded"))?;
                params.set("delta_lower", Setting::Number(0.05))?;
                params.set("delta_upper", Setting::Number(0.4))?;
            }
        }
        "exceedance" if matches!(clean, Clean::Bits(_)) => {
            // The bits themselves, at an agreed share.
            params.set("learn", Setting::Count(0))?;
            params.set("limit", Setting::Number(0.5))?;
            params.set("share", Setting::Number(clean.mean()))?;
            params.set("delta_lower", Setting::Number(clean.mean() / 2.0))?;
        }
        "confidence-sequence" | "conformal-sr" => params.set("mode", Setting::Word("up"))?,
        _ => {}
    }
    Ok(params)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let runs: u64 = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["e-sr", "exceedance", "confidence-sequence", "conformal-sr"].map(String::from).into();
    }
    for name in &names {
        run_lengths(name, runs)?;
        delays(name, runs)?;
    }
    Ok(())
}

/// A copy of the detector, with random numbers of its own where it uses any.
fn seeded(fresh: &AnyDetector, mut params: AnyParams, run: u64) -> Result<AnyDetector, Box<dyn Error>> {
    if params.set("seed", Setting::Count(run + 1)).is_err() {
        return Ok(fresh.clone());
    }
    Ok(params.build()?)
}

/// Run lengths are cut at twenty times the nominal one, and counted as that.
fn run_lengths(name: &str, runs: u64) -> Result<(), Box<dyn Error>> {
    let streams = [0.002, 0.02, 0.1, 0.4].map(Clean::Bits).into_iter().chain([Clean::Uniform, Clean::Heavy]);
    for clean in streams {
        for arl in [1e3, 1e4] {
            let params = params(name, clean, arl)?;
            let fresh = params.build()?;
            let (mut total, mut alarms, mut least) = (0.0, 0_u64, 0_u64);
            for run in 0..runs {
                let (mut detector, mut source) = (seeded(&fresh, params, run)?, Source(run * 7_919 + 1));
                let most = 20 * arl as u64;
                let at = (1..=most).find(|_| detector.update(clean.next(&mut source)).drift_detected());
                total += at.unwrap_or(most) as f64;
                alarms += u64::from(at.is_some());
                least += u64::from(at.is_some_and(|at| at as f64 <= arl / 5.0));
            }
            let mean = total / runs as f64;
            println!(
                "{name:20} clean {clean:?}, arl {arl:6}: mean run {mean:9.0} ({alarms} of {runs} alarmed, {least} within arl / 5)"
            );
        }
    }
    Ok(())
}

fn delays(name: &str, runs: u64) -> Result<(), Box<dyn Error>> {
    let mut cached = HashMap::new();
    for (old, new) in [(0.1, 0.15), (0.1, 0.2), (0.1, 0.3), (0.02, 0.06), (0.002, 0.008), (0.002, 0.02)] {
        let key = format!("{old}");
        if !cached.contains_key(&key) {
            let params = params(name, Clean::Bits(old), 1e4)?;
            cached.insert(key.clone(), (params, params.build()?));
        }
        let Some((params, fresh)) = cached.get(&key) else { continue };
        let (mut total, mut found, mut early, mut lost) = (0_u64, 0_u64, 0_u64, 0_u64);
        for run in 0..runs {
            let (mut detector, mut source) = (seeded(fresh, *params, run)?, Source(run * 104_729 + 3));
            let early_here =
                (0..2_000).any(|_| detector.update(f64::from(source.uniform() < old)).drift_detected());
            if early_here {
                early += 1;
                continue;
            }
            let alarm = (1..=40_000_u64)
                .find(|_| detector.update(f64::from(source.uniform() < new)).drift_detected());
            match alarm {
                Some(at) => (total, found) = (total + at, found + 1),
                None => lost += 1,
            }
        }
        let mean = total as f64 / found.max(1) as f64;
        println!("{name:20} {old} to {new}: delay {mean:7.0} over {found}, early {early}, lost {lost}");
    }
    Ok(())
}
