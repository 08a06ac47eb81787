//! The demonstration: a client that sends the service digits over HTTP and prints what comes of it.

use std::time::Duration;

use awc::Client;
use serde_json::{Value, json};
use visu_tility::monitoring::{
    ActionRecord, Alert, AlertPhase, Clock, ManualClock, MonitoringHandle, Timestamp,
};

use crate::model::Digit;
use crate::{Answer, Failure};

/// When the first digit is sent.
pub(crate) fn begins() -> Result<Timestamp, Failure> {
    Ok(Timestamp::parse("2026-01-05T08:00:00Z").ok_or("not a time")?)
}

/// Prints an alert, without the numbers.
pub(crate) fn tell(record: &ActionRecord, alert: &Alert) {
    let what = if alert.phase == AlertPhase::Resolved { "is well again" } else { "is worse than before" };
    let (model, observer) = (&record.id.model_id, &record.id.observer);
    println!("  {observer}: {model} {what}, told at value {}", record.series_index + 1);
}

/// Sends digits as the camera sees them, one a second, then some bad requests, then asks how the model is.
pub(crate) async fn run(
    url: &str,
    digits: &[Digit],
    monitoring: &MonitoringHandle,
    clock: &ManualClock,
) -> Result<(), Failure> {
    let client = Client::default();
    let (before, rest) = digits.split_at(400);
    let (moved, after) = rest.split_at(200);
    for (stretch, digits, shift) in [
        ("camera in place", before, false),
        ("camera moved", moved, true),
        ("camera put right", after, false),
    ] {
        println!("{stretch}");
        let mut right = 0;
        for digit in digits {
            clock.set(clock.now().plus(Duration::from_secs(1)));
            let pixels = if shift { digit.shifted() } else { digit.pixels.clone() };
            let question = json!({ "pixels": pixels, "label": digit.label });
            let mut response = client.post(format!("{url}/predict")).send_json(&question).await?;
            let answer: Answer = response.json().await?;
            right += usize::from(answer.digit == digit.label);
        }
        monitoring.flush().await?;
        println!("  {right} of {} digits read right", digits.len());
    }

    println!("bad requests");
    let blank = vec![0; 64];
    for bad in [json!({ "pixels": [0, 1] }), json!({ "pixels": blank, "label": 10 }), json!({ "pixel": [] })]
    {
        let mut response = client.post(format!("{url}/predict")).send_json(&bad).await?;
        let text = String::from_utf8_lossy(&response.body().await?).into_owned();
        println!("  {}: {text}", response.status());
    }

    println!("who watches what");
    let models: Value = client.get(format!("{url}/monitoring/models")).send().await?.json().await?;
    for model in list(&models, "") {
        println!("  {} is {}", text(model, "/model_id"), text(model, "/phase"));
        for series in list(model, "/monitor/series") {
            let names: Vec<&str> =
                list(series, "/observers").map(|observer| text(observer, "/name")).collect();
            println!("  {}: {}", text(series, "/kind"), names.join(", "));
        }
    }
    Ok(())
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("?")
}
