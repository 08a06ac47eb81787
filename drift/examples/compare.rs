//! What it shows: when each detector sees the same change, and what a snapshot is good for.
//!
//! Run it with: `cargo run -p visu-tility-drift --example compare`
//!
//! You should see `e-sr` first, soon after value 3000, where errors go from 10 % to 30 %:
//!
//! ```text
//! e-sr           value 3017  up    since   114
//! adwin          value 3071  up    since   160
//! page-hinkley   value 3186  up    since   582
//! the restored detector agrees: true
//! ```

use std::error::Error;

use visu_tility_drift::codec::Reader;
use visu_tility_drift::{
    Adwin, AdwinParams, AnyDetector, Detector, MixtureESr, MixtureParams, PageHinkley, PageHinkleyParams,
};

/// Errors as they come from a model: one in ten, then three in ten from value 3000 on.
fn errors() -> impl Iterator<Item = f64> {
    let mut state = 42_u64;
    (0..6000).map(move |i| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
        f64::from(uniform < if i < 3000 { 0.1 } else { 0.3 })
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let detectors: [AnyDetector; 3] = [
        MixtureESr::new(MixtureParams { arl: 100_000.0, ..MixtureParams::default() })?.into(),
        Adwin::new(AdwinParams::default())?.into(),
        PageHinkley::new(PageHinkleyParams::default())?.into(),
    ];
    for mut detector in detectors {
        let alarm = errors()
            .enumerate()
            .map(|(i, error)| (i, detector.update(error)))
            .find(|(_, signal)| signal.drift_detected());
        match alarm {
            Some((i, signal)) => println!(
                "{:14} value {i:4}  {:4}  since {:5}",
                detector.name(),
                signal.direction.as_str(),
                signal.since
            ),
            None => println!("{:14} no alarm", detector.name()),
        }
    }

    // A detector that is written down half-way and read back goes on as if nothing had happened.
    let mut whole = Adwin::new(AdwinParams::default())?;
    for error in errors().take(2000) {
        whole.update(error);
    }
    let mut bytes = Vec::new();
    whole.write_state(&mut bytes);
    let mut restored = Adwin::new(AdwinParams::default())?;
    restored.read_state(&mut Reader::new(&bytes))?;
    let agrees = errors().skip(2000).all(|error| whole.update(error) == restored.update(error));
    println!("the restored detector agrees: {agrees}");
    Ok(())
}
