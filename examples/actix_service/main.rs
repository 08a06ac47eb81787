//! # An inference service with the monitoring inside
//!
//! What it shows: a whole actix-web service. It trains a classifier on 800 scanned digits (`model.rs`),
//! answers `POST /predict`, publishes for each prediction how long it took, how sure the model was and, when
//! the caller knows the truth, whether it was right; `GET /monitoring/models` says how the model is.
//!
//! Run it with: `cargo run --example actix_service`, which starts the service on a free port, sends itself
//! digits over HTTP (`demo.rs`) and ends; or as a service, until Ctrl-C:
//!
//! ```sh
//! cargo run --release --example actix_service -- --serve 127.0.0.1:8080
//! curl localhost:8080/monitoring/models
//! ```
//!
//! You should see: most digits read right, then the camera moved by a pixel, most read wrong and an alert,
//! then the camera put right and the alert over; what a bad request is answered; and who watches what.

mod demo;
mod model;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::error::{ErrorBadRequest, ErrorInternalServerError, ErrorServiceUnavailable};
use actix_web::{App, HttpServer, get, post, web};
use serde::{Deserialize, Serialize};
use visu_tility::monitoring::{
    Clock, ManualClock, MetricKind, ModelHandle, ModelStatus, Monitoring, MonitoringHandle, ObserverAction,
    PublishError, SystemClock,
};

use model::{Classifier, PIXELS};

type Failure = Box<dyn std::error::Error>;

/// What every worker of the server shares.
struct Service {
    classifier: Classifier,
    monitoring: MonitoringHandle,
    /// Of the one model served here; its name is looked up once, not per event.
    digits: ModelHandle,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Grey values 0 to 16, row by row.
    pixels: Vec<f64>,
    /// The digit that it truly is, if that is known.
    label: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    digit: usize,
    confidence: f64,
}

#[post("/predict")]
async fn predict(
    service: web::Data<Service>,
    question: web::Json<Question>,
) -> actix_web::Result<web::Json<Answer>> {
    let begun = Instant::now();
    let Question { pixels, label } = question.into_inner();
    if pixels.len() != PIXELS {
        return Err(ErrorBadRequest(format!("`pixels` are {}, must be {PIXELS}", pixels.len())));
    }
    if let Some(wrong) = pixels.iter().find(|pixel| !(0.0..=16.0).contains(*pixel)) {
        return Err(ErrorBadRequest(format!("a pixel is {wrong}, must be from 0 to 16")));
    }
    if let Some(wrong) = label.filter(|label| *label > 9) {
        return Err(ErrorBadRequest(format!("`label` is {wrong}, must be from 0 to 9")));
    }
    let (digit, confidence) = service.classifier.classify(&pixels).map_err(ErrorInternalServerError)?;
    let ms = begun.elapsed().as_secs_f64() * 1_000.0;
    let correct = label.map(|label| label == digit);
    if let Err(error) = measured(&service.digits, correct, confidence, ms) {
        eprintln!("prediction was not measured: {error}"); // the caller gets the answer all the same
    }
    Ok(web::Json(Answer { digit, confidence }))
}

/// Publishes what is known of one prediction.
fn measured(
    digits: &ModelHandle,
    correct: Option<bool>,
    confidence: f64,
    ms: f64,
) -> Result<(), PublishError> {
    let correct = correct.map(|correct| (MetricKind::Correct, f64::from(u8::from(correct))));
    let others = [(MetricKind::Confidence, confidence), (MetricKind::LatencyMs, ms)];
    digits.try_publish_all(correct.into_iter().chain(others)).map(|_| ())
}

#[get("/monitoring/models")]
async fn models(service: web::Data<Service>) -> actix_web::Result<web::Json<Vec<ModelStatus>>> {
    Ok(web::Json(service.monitoring.model_statuses().await.map_err(ErrorServiceUnavailable)?))
}

#[actix_web::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--serve"), address) => Some(address.unwrap_or_else(|| "127.0.0.1:8080".to_owned())),
        (Some(other), _) => return Err(format!("unknown argument {other}; known: --serve ADDRESS").into()),
    };
    let digits = model::digits()?;
    let (known, unknown) = digits.split_at(800);
    let classifier = Classifier::train(known)?;

    let serving = address.is_some();
    // The demonstration keeps a time of its own, so that it does not depend on how fast this machine is.
    let told = Arc::new(ManualClock::new(demo::begins()?));
    let clock: Arc<dyn Clock> = if serving { Arc::new(SystemClock) } else { told.clone() };
    let monitoring = Monitoring::builder().clock(clock).start()?; // the default plan: watches every kind
    monitoring.subscribe_actions_fn(move |record| match &record.action {
        ObserverAction::Alert(alert) if serving => println!("{}: {}", alert.phase, alert.summary),
        // How fast this machine is differs from run to run: the demonstration speaks of correctness only.
        ObserverAction::Alert(alert) if record.kind == Some(MetricKind::Correct) => {
            demo::tell(record, alert);
        }
        _ => {}
    });
    let service = web::Data::new(Service {
        classifier,
        monitoring: monitoring.clone(),
        digits: monitoring.model("digits")?,
    });
    let app = move || App::new().app_data(service.clone()).service(predict).service(models);
    let server = HttpServer::new(app).workers(2).bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    let bound = *server.addrs().first().ok_or("no address was bound")?;
    let server = server.run(); // ends on Ctrl-C, after answering what was asked before
    if serving {
        println!("serving on http://{bound}");
        server.await?;
    } else {
        let handle = server.handle();
        let ended = actix_web::rt::spawn(server);
        demo::run(&format!("http://{bound}"), unknown, &monitoring, &told).await?;
        handle.stop(true).await;
        ended.await??;
    }
    let report = monitoring.shutdown(Duration::from_secs(5)).await;
    println!("shut down, {}", if report.complete { "nothing was cut" } else { "not all was done in time" });
    Ok(())
}
