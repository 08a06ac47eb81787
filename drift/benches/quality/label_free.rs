//! What shows without labels: confidence and features of `car_loan`, whose drift at 8750 costs three points of
//! accuracy only.

use serde_json::{Value, json};
use visu_tility_drift::Setting::{Number, Word};
use visu_tility_drift::{Standardizer, StandardizerParams};

use crate::Outcome;
use crate::contender::{Contender, Feed};
use crate::data::{Data, positions};
use crate::matching::Episodes;
use crate::report::{Bar, Report};

const PROTOCOL: &str = "`Confidence` and the features of `car_loan`; features are scaled by mean and deviation of their \
    first 1,000 values (which are not watched); delay from the drift at 8750 to the first alarm, alarms before it (false), alarms \
    after the first. `debt_to_income_ratio` does not change: there every alarm is false.";

/// The drift is to be seen within so many values.
const BOUND: usize = 150;
/// The kind that does not change.
const CONTROL: &str = "Feature:debt_to_income_ratio";
/// What the default plan makes of one false alarm in 30 days at the stream's 41 values a day (taken as 64) and six
/// detectors (taken as eight): 30 days of 64 values for each of eight. The bar is asked of it.
const DEFAULT: &str = "conformal-sr, ARL 15,360 (the default plan)";

const CONTENDERS: [Contender; 4] = [
    Contender { label: DEFAULT, parts: &[("conformal-sr", &[("arl", Number(15_360.0))])], feed: Feed::Plain },
    Contender {
        label: "conformal-sr, ARL 1e6",
        parts: &[("conformal-sr", &[("arl", Number(1e6))])],
        feed: Feed::Plain,
    },
    Contender { label: "adwin", parts: &[("adwin", &[("compat", Word("river"))])], feed: Feed::Plain },
    Contender {
        label: "focus, normal values, ARL 1e6",
        parts: &[("focus", &[("family", Word("gaussian")), ("arl", Number(1e6))])],
        feed: Feed::Plain,
    },
];

/// Scales by the first values, which are not seen afterwards.
fn scaled(values: &[f64]) -> Vec<f64> {
    let mut scores = Standardizer::new(StandardizerParams::default()).expect("defaults are in range");
    values.iter().filter_map(|&value| scores.update(value)).collect()
}

pub(crate) fn run(data: &Data) -> Outcome {
    let labels = data.json("real/shippable/car_loan.labels.json")?;
    let drifts: Vec<(usize, usize)> =
        positions(&labels["drifts"], "event").into_iter().map(|at| (at, at)).collect();
    let kinds = data.stream("real/shippable/car_loan.events.ndjson.gz")?;
    let mut rows = Vec::new();
    let (mut soonest, mut early, mut notes) = (None::<usize>, 0, Vec::new());
    for contender in &CONTENDERS {
        let Some(mut panel) = contender.build() else {
            notes.push(format!("not in this build: {}", contender.label));
            continue;
        };
        let watched = |kind: &str| kind == "Confidence" || kind.starts_with("Feature:");
        for (kind, values) in kinds.iter().filter(|(kind, _)| watched(kind)) {
            let watched = if kind == "Confidence" { values.clone() } else { scaled(values) };
            let skipped = values.len() - watched.len();
            let mut found = panel.alarms(watched.into_iter());
            for at in &mut found {
                *at += skipped;
            }
            let changes: &[_] = if kind == CONTROL { &[] } else { &drifts };
            let told = Episodes::new(changes, &found, values.len());
            if contender.label == DEFAULT {
                early += told.false_alarms;
                soonest = soonest.into_iter().chain(told.delays.iter().flatten().copied()).min();
            }
            let delay = told.delays.first().copied().flatten();
            rows.push(vec![
                json!(kind),
                json!(contender.label),
                json!(delay),
                json!(told.false_alarms),
                json!(told.repeats),
            ]);
        }
    }
    let after = soonest.map_or_else(|| "never".to_owned(), |delay| format!("after {delay}"));
    let what = format!(
        "seen within {BOUND} values without labels: {after}; {early} false alarms before, in seven months in which \
         the budget allows seven"
    );
    Ok(Report {
        title: "Without labels",
        protocol: PROTOCOL,
        columns: vec!["kind", "detector", "delay", "false", "repeats"],
        rows,
        bars: vec![Bar { what, met: soonest.is_some_and(|delay| delay <= BOUND) && early <= 7 }],
        notes,
        detail: Value::Null,
    })
}
