//! What it shows: from one number, false alarms in 30 days, to a detector and the delay to expect of it.
//!
//! Run it with: `cargo run --release -p visu-tility-drift --example budget`
//!
//! You should see the budget kept on a year of good days, and how long a rise of the errors goes unseen, on
//! average and once:
//!
//! ```text
//! errors may alarm falsely 0.75 times in 30 days:
//!   once in 80000 values on average
//! latency may 0.25 times:
//!   once in 240000 values on average
//! proposed: e-sr, BoundedLevel
//!   error rate 0.0478 in the history, below 0.0537 with 95 %
//! a rise to 10 % is found after 386 values on average (standard error 12)
//! a year of 730000 good values: 6 false alarms; the budget allows 9.1
//! the rise: this time found after 165 values, up, said to be 90 values old
//! ```

use std::error::Error;

use visu_tility_drift::calibration::{Trial, Wish, predict_delay, propose};
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{Budget, Detector, Input, Mode};

/// Answers that are known to be right or wrong, a day.
const PER_DAY: f64 = 2_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    // One false alarm in 30 days for the model; its errors get three quarters of it, its latency the rest.
    let [errors, latency] = Budget::new(1.0)?.divide([3.0, 1.0])?;
    let arl = errors.arl(PER_DAY)?;
    println!("errors may alarm falsely {} times in 30 days:", errors.false_alarms_per_30_days);
    println!("  once in {arl} values on average");
    println!("latency may {} times:", latency.false_alarms_per_30_days);
    println!("  once in {} values on average", latency.arl(PER_DAY)?);

    // Two good days say how good the model is, but not exactly: the detector gets a bound, not the estimate.
    let (good, bad) = (Source::Bernoulli { p: 0.05 }, Source::Bernoulli { p: 0.1 });
    let history: Vec<f64> = good.stream(1)?.take(4_000).collect();
    let wish = Wish { input: Input::Bits, mode: Mode::Up, arl, confidence: 0.95 };
    let proposal = propose(&history, &wish)?;
    let level = proposal.baseline.ok_or("bits have a level")?;
    println!("proposed: {}, {:?}", proposal.params.name(), proposal.reason);
    println!("  error rate {:.4} in the history, below {:.4} with 95 %", level.estimate, level.bound);

    let detector = proposal.build()?;
    let trial = Trial { runs: 300, cap: 50_000, seed: 7 };
    let delay = predict_delay(&detector, &good, &bad, 2_000, trial)?;
    println!(
        "a rise to 10 % is found after {:.0} values on average (standard error {:.0})",
        delay.mean, delay.standard_error
    );

    // A year of good days, then the model goes bad.
    let mut watching = detector.clone();
    let year = (365.0 * PER_DAY) as usize;
    let mut stream = good.stream(99)?;
    let false_alarms = (0..year).filter(|_| watching.update(stream.draw()).drift_detected()).count();
    println!(
        "a year of {year} good values: {false_alarms} false alarms; the budget allows {:.1}",
        year as f64 / arl
    );
    stream.change(bad)?;
    let found = (1..50_000).find_map(|i| {
        let signal = watching.update(stream.draw());
        signal.drift_detected().then_some((i, signal))
    });
    let (after, signal) = found.ok_or("not found")?;
    println!(
        "the rise: this time found after {after} values, {}, said to be {} values old",
        signal.direction.as_str(),
        signal.since
    );
    Ok(())
}
