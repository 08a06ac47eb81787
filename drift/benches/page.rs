//! Writes `docs/detectors.md`: what each detector is for, its parameters, and what it costs and does.
//!
//! Run with `cargo xtask detectors`, which puts the output in its place. Times are of the machine that it runs
//! on: compare the ratios. All else is the same everywhere.

#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "measure/rounds.rs"]
mod rounds;

use std::hint::black_box;
use std::time::Instant;

use visu_tility_drift::{AnyDetector, AnyParams, Detector, Input, Setting, Shape, Tier};

/// Values after which a change comes.
const CLEAN: usize = 2_000;
/// Values after a change in which it must be found.
const LIMIT: usize = 20_000;
const RUNS: u64 = 200;
const VALUES: usize = 100_000;
/// The run length at which detectors that have one are compared.
const ARL: f64 = 10_000.0;

fn main() {
    println!("{HEAD}");
    let unit = unit();
    println!(
        "| detector | false alarms | values | ns per value | in units | bytes | alarms on bits | alarms on N(0, 1) | .10 to .20 | .10 to .30 | one deviation |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for name in AnyParams::NAMES {
        if let Some(params) = AnyParams::by_name(name) {
            row(params, unit);
        }
    }
    for name in AnyParams::NAMES {
        if let Some(params) = AnyParams::by_name(name) {
            section(params);
        }
    }
}

const HEAD: &str = "\
# Detectors

Made by `cargo xtask detectors`, not by hand. Every detector here is chosen in a plan by its name (`type = \"change\"`, `detector = NAME`), in code by its parameters (`visu_tility::drift`); the page of each type there has its recurrence, a worked example, its edges and its sources.

**Which one.** Start from what is known:

| | use |
|---|---|
| right or wrong, the good level agreed (an SLO, a contract) | `e-sr` |
| right or wrong, the good level not known | `focus` |
| values of 0 to 1 that depend on each other, the good level not known | `confidence-sequence` |
| a limit that values may exceed now and then | `exceedance` |
| any score, with a sample of good ones | `conformal-sr` |
| latencies | `median-shift` |
| anything bounded, and no wish to think about it | `adwin` |
| a deployment of river or MOA that must not change | the same name, with `compat` |

**The table.** *False alarms*: `bound` means that the detector has an `arl`, the least average number of values between false alarms, which holds at any time; `known` that it is well known and useful, but its false alarms depend on the stream; `legacy` that it is there to reproduce other systems. *In units* is the time per value over that of one dependent multiply-add. *Bytes* are those of its written state after 100,000 values. The rest are alarms and delays in values: alarms per 100,000 on streams without a change (bits of probability .1; a standard normal), and mean delays, over 200 runs, of a change after 2,000 good values: error rates from .10 to .20 and .30, and a shift of one deviation. Detectors with an `arl` are at 10,000 and, where they have one, at a good level of .1; the others at their defaults. `early` counts runs that alarmed before the change, `missed` those that did not within 20,000 values. What is measured of the bounds, on more streams and at more run lengths, is in [guarantee.md](guarantee.md).
";

/// The parameters under which detectors are compared: an `arl` of 10,000, a good level of .1.
fn compared(params: AnyParams, normal: bool) -> Option<AnyDetector> {
    let mut params = params;
    if normal && !matches!(params.input(), Input::Any) {
        return None;
    }
    let numbers = [("arl", ARL), ("m_pre", 0.1), ("p0", 0.1), ("baseline", if normal { 0.0 } else { 0.1 })];
    for (name, value) in numbers {
        if params.get(name).is_some() {
            params.set(name, Setting::Number(value)).ok()?;
        }
    }
    if params.get("family").is_some() && params.set("family", Setting::Word(family(normal))).is_err() {
        return None;
    }
    params.build().ok()
}

const fn family(normal: bool) -> &'static str {
    if normal { "gaussian" } else { "bernoulli" }
}

/// Uniform numbers in [0, 1) (splitmix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bit(&mut self, p: f64) -> f64 {
        f64::from(self.next() < p)
    }

    /// A standard normal value (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// Nanoseconds of one dependent multiply-add.
fn unit() -> f64 {
    median((0..101).map(|_| rounds::calibration()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line of the table.
fn row(params: AnyParams, unit: f64) {
    let tier = match params.tier() {
        Tier::Guaranteed => "bound",
        Tier::Known => "known",
        Tier::Compatible => "legacy",
    };
    let values = match params.input() {
        Input::Bits => "bits",
        Input::Unit => "0 to 1",
        Input::Counts => "counts",
        Input::Any => "any",
    };
    let Some(fresh) = compared(params, false) else { return };
    let (ns, bytes) = cost(&fresh);
    let (p, at) = (0.1, CLEAN);
    let bits = |worse: f64| delay(&fresh, move |u, i| u.bit(if i < at { p } else { worse }));
    let normal = compared(params, true);
    let shift =
        normal.as_ref().map(|fresh| delay(fresh, move |u, i| u.normal() + f64::from(u8::from(i >= at))));
    println!(
        "| [`{name}`](#{name}) | {tier} | {values} | {ns:.1} | {:.1} | {bytes} | {} | {} | {} | {} | {} |",
        ns / unit,
        alarms(&fresh, |u| u.bit(0.1)),
        normal.as_ref().map_or_else(String::new, |fresh| alarms(fresh, Uniform::normal).to_string()),
        bits(0.2),
        bits(0.3),
        shift.unwrap_or_default(),
        name = params.name(),
    );
}

/// Median time per value on bits, and bytes of the written state.
fn cost(fresh: &AnyDetector) -> (f64, usize) {
    let mut source = Uniform(7);
    let bits: Vec<f64> = (0..VALUES).map(|_| source.bit(0.1)).collect();
    let mut detector = fresh.clone();
    let ns = median((0..9).map(|_| {
        detector.reset();
        let start = Instant::now();
        for &bit in &bits {
            black_box(detector.update(black_box(bit)));
        }
        start.elapsed().as_nanos() as f64 / VALUES as f64
    }));
    let mut bytes = Vec::new();
    detector.write_state(&mut bytes);
    (ns, bytes.len())
}

/// Alarms on 100,000 values without a change.
fn alarms(fresh: &AnyDetector, value: impl Fn(&mut Uniform) -> f64) -> usize {
    let (mut source, mut detector) = (Uniform(11), fresh.clone());
    (0..VALUES).filter(|_| detector.update(value(&mut source)).drift_detected()).count()
}

/// Mean delay of a change at `CLEAN`; with how many alarmed before it, and how many not at all.
fn delay(fresh: &AnyDetector, value: impl Fn(&mut Uniform, usize) -> f64) -> String {
    let (mut early, mut missed, mut found, mut sum) = (0, 0, 0, 0);
    for run in 0..RUNS {
        let (mut source, mut detector) = (Uniform(run << 32), fresh.clone());
        let mut before = false;
        for i in 0..CLEAN {
            before |= detector.update(value(&mut source, i)).drift_detected();
        }
        early += usize::from(before);
        let at = (CLEAN..CLEAN + LIMIT).find(|&i| detector.update(value(&mut source, i)).drift_detected());
        match at {
            Some(at) => (found, sum) = (found + 1, sum + at + 1 - CLEAN),
            None => missed += 1,
        }
    }
    let mut text = if found > 0 { format!("{:.0}", sum as f64 / f64::from(found)) } else { "-".to_owned() };
    let notes = [(early, "early"), (missed, "missed")];
    let notes: Vec<String> =
        notes.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if !notes.is_empty() {
        text = format!("{text} ({})", notes.join(", "));
    }
    text
}

/// A detector's section: when to use it, and its parameters.
fn section(params: AnyParams) {
    println!("\n## {}\n\n{}\n", params.name(), plain(params.when()));
    println!("| parameter | default | may be | meaning |");
    println!("|---|---|---|---|");
    for parameter in params.parameters() {
        let default = match params.get(parameter.name) {
            Some(Setting::Number(number)) => format!("{number:?}"),
            Some(Setting::Count(count)) => count.to_string(),
            Some(Setting::Word(word)) => format!("\"{word}\""),
            Some(Setting::Flag(flag)) => flag.to_string(),
            _ => String::new(),
        };
        let shape = match parameter.shape {
            Shape::Number => "number".to_owned(),
            Shape::Count { .. } => "whole number".to_owned(),
            Shape::Word(words) => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            }
            Shape::Flag => "true, false".to_owned(),
            _ => String::new(),
        };
        println!("| `{}` | `{default}` | {shape} | {} |", parameter.name, plain(parameter.about));
    }
}

/// A doc text without its links.
fn plain(text: &str) -> String {
    text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}
