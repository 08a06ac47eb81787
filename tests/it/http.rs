//! The surface over HTTP, in front of a monitoring in this process.

mod attack;
mod sockets;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, rt::System};
use serde_json::{Value, json};
use visu_tility::http::{HttpLimits, HttpSurface};
use visu_tility::monitoring::{
    AdmissionPolicy, DurabilityPolicy, Glob, MetricEvent, MetricObserver, Monitoring, MonitoringBuilder,
    NewModels, ObserverAction, ObserverError,
};
use visu_tility::store::{Effect, MemoryDisk, Operation, StoreError, StoreLimits};

const GOOD: &str = r#"{"model_id":"m","kind":"F1","value":0.5}"#;
const BAD: &str = r#"{"model_id":"m","kind":"F1","value":2}"#;

/// Asks a surface several things, one after the other; answers status, `Retry-After` and body of each.
fn ask(surface: &HttpSurface, requests: Vec<TestRequest>) -> Vec<(u16, Option<String>, Value)> {
    System::new().block_on(async {
        let app = init_service(App::new().configure(|config| surface.configure(config))).await;
        let mut answers = Vec::new();
        for request in requests {
            let response = call_service(&app, request.to_request()).await;
            let status = response.status().as_u16();
            let after = response.headers().get(RETRY_AFTER).map(|after| after.to_str().unwrap().to_owned());
            let body = to_bytes(response.into_body()).await.unwrap();
            answers.push((status, after, serde_json::from_slice(&body).unwrap_or(Value::Null)));
        }
        answers
    })
}

fn post(body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::post().uri("/v1/events").set_payload(body.into())
}

fn get(uri: &str) -> TestRequest {
    TestRequest::get().uri(uri)
}

fn surface(builder: MonitoringBuilder) -> HttpSurface {
    HttpSurface::new(builder.start().unwrap())
}

fn over(disk: &MemoryDisk) -> MonitoringBuilder {
    let (store, _) = disk.open(StoreLimits::default()).unwrap();
    let policy = DurabilityPolicy { gather_max: Duration::ZERO, ..DurabilityPolicy::default() };
    Monitoring::builder().store(Box::new(store)).durability(policy)
}

#[test]
fn each_event_of_a_body_is_taken_or_refused_with_its_place_and_the_reason() {
    let lines = format!("{GOOD}\n{BAD}\n\n{GOOD}\n");
    let future = r#"{"model_id":"m","kind":"F1","value":0.5,"ts":"2199-01-01T00:00:00Z"}"#;
    let array = format!("[{BAD},{GOOD},{future}]");
    let asked = vec![post(GOOD), post(lines), post(array), post(BAD), post(" \n"), post("[1,"), post("[]")];
    let answers = ask(&surface(Monitoring::builder()), asked);
    assert_eq!(answers[0].2, json!({"accepted":1,"first_offset":0,"rejected":0,"rejections":[]}));
    let reason = "field `value` is 2, must be a number from 0 to 1 for F1";
    let one = json!([{"index":1,"reason":reason,"retry":false}]);
    assert_eq!(answers[1].2, json!({"accepted":2,"first_offset":1,"rejected":1,"rejections":one}));
    let (places, reasons): (Vec<_>, Vec<_>) = answers[2].2["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), one["reason"].as_str().unwrap()))
        .unzip();
    assert_eq!((places, answers[2].2["accepted"].as_u64()), (vec![0, 2], Some(1)));
    assert!(reasons[1].contains("must be at most 60 s ahead of the clock"), "{reasons:?}");
    assert_eq!(answers[3].2["first_offset"], Value::Null);
    assert_eq!(
        answers.iter().map(|answer| answer.0).collect::<Vec<_>>(),
        [200, 207, 207, 400, 400, 400, 400]
    );
    assert!(answers.iter().all(|answer| answer.1.is_none()), "none of them passes by itself");
}

#[test]
fn a_packed_body_is_unpacked_and_one_that_is_packed_otherwise_is_refused() {
    use std::io::Write;
    let pack = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let limits = HttpLimits { body_bytes_max: 4_096, ..HttpLimits::default() };
    let surface = surface(Monitoring::builder()).limits(limits).unwrap();
    let packed = |body: Vec<u8>, how: &str| post(body).insert_header(("content-encoding", how));
    let whole = pack(&format!("{GOOD}\n{GOOD}"));
    let bomb = pack(&format!("{GOOD}\n").repeat(1_000));
    assert!(bomb.len() < 4_096);
    let answers = ask(
        &surface,
        vec![
            packed(whole.clone(), "gzip"),
            packed(whole[..20].to_vec(), "GZIP"),
            packed(bomb, "gzip"),
            packed(whole, "br"),
            post(format!("{GOOD}\n").repeat(1_000)),
        ],
    );
    assert_eq!(answers[0].2["accepted"], 2);
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [200, 400, 413, 415, 413]);
}

#[test]
fn more_events_than_are_allowed_are_refused_and_a_long_list_of_refusals_is_cut() {
    let limits = HttpLimits { events_max: 10, listed_max: 3, ..HttpLimits::default() };
    let surface = surface(Monitoring::builder()).limits(limits).unwrap();
    let answers = ask(
        &surface,
        vec![
            post(format!("{GOOD}\n").repeat(11)),
            post(format!("{BAD}\n").repeat(10)),
            get("/v1/models?limit=4"),
        ],
    );
    assert_eq!((answers[0].0, answers[1].0, answers[2].0), (413, 400, 400));
    assert_eq!(answers[1].2["rejected"], 10);
    assert_eq!(answers[1].2["rejections"].as_array().unwrap().len(), 3);
    assert_eq!(answers[2].2["error"], "`limit` is \"4\", must be a whole number from 1 to 3");
}

#[test]
fn models_come_a_page_at_a_time_also_those_that_sleep_in_the_store() {
    let disk = MemoryDisk::new();
    let event = |model: &str| format!(r#"{{"model_id":"{model}","kind":"F1","value":0.5}}"#);
    let before = surface(over(&disk));
    System::new().block_on(async { assert_eq!(before.monitoring().recovered().await.failed, None) });
    let lines: Vec<String> = ["d", "b", "a", "c"].map(event).to_vec();
    assert_eq!(ask(&before, vec![post(lines.join("\n"))])[0].0, 200);
    System::new().block_on(async {
        let report = before.monitoring().shutdown(Duration::from_mins(1)).await;
        assert!(report.complete, "{report:?}");
    });
    let after = surface(over(&disk));
    System::new().block_on(async { assert_eq!(after.monitoring().recovered().await.failed, None) });
    assert_eq!(ask(&after, vec![post(event("bb"))])[0].0, 200);
    // What is acknowledged is durable, and handled a little later.
    System::new().block_on(async { after.monitoring().flush().await.unwrap() });
    let answers = ask(
        &after,
        vec![
            get("/v1/models?limit=2"),
            get("/v1/models?limit=2&after=b"),
            get("/v1/models?after=c"),
            get("/v1/models/b"),
            get("/v1/models?limit=1&after=a"),
            get("/v1/models/none"),
            get("/v1/models?first=1"),
            get("/v1/models?limit=x"),
        ],
    );
    let row = |id: &str, phase: &str| json!({"model_id":id,"phase":phase});
    let page = |rows: &[Value], next: Value| json!({"models":rows,"next":next});
    assert_eq!(answers[0].2, page(&[row("a", "asleep"), row("b", "asleep")], json!("b")));
    assert_eq!(answers[1].2, page(&[row("bb", "running"), row("c", "asleep")], json!("c")));
    assert_eq!(answers[2].2, page(&[row("d", "asleep")], Value::Null));
    // Asked for by name it is woken and shows what was kept.
    assert_eq!((answers[3].0, &answers[3].2["monitor"]["taken"]), (200, &json!(1)));
    assert_eq!(answers[4].2["models"], json!([row("b", "running")]));
    assert_eq!((answers[5].0, answers[6].0), (404, 400));
    assert_eq!(answers[7].2["error"], "`limit` is \"x\", must be a whole number from 1 to 1000");
}

#[test]
fn a_store_that_takes_nothing_is_told_with_when_to_come_again() {
    for (error, after) in [
        (StoreError::DiskFull { detail: "no space".into() }, "1"),
        (StoreError::ReadOnly { path: "x".into(), detail: "rights".into() }, "30"),
    ] {
        let disk = MemoryDisk::new();
        let surface = surface(over(&disk));
        System::new().block_on(async { assert_eq!(surface.monitoring().recovered().await.failed, None) });
        disk.set_hook(move |_, operation| match operation {
            Operation::Write(_) => Effect::Fail(error.clone()),
            _ => Effect::Proceed,
        });
        let answers = ask(&surface, vec![get("/readyz"), post(GOOD), get("/readyz"), get("/healthz")]);
        assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [200, 503, 503, 200]);
        assert_eq!(answers[1].1.as_deref(), Some(after));
        // Where somebody must act, the event is not said to be taken by itself.
        assert_eq!(answers[1].2["rejections"][0]["retry"], after == "1");
        assert!(answers[2].2["error"].as_str().unwrap().contains("the store takes nothing"), "{answers:?}");
    }
}

/// Does not come back while the test holds the gate.
#[derive(Clone)]
struct Waits(Arc<Mutex<()>>);

impl MetricObserver for Waits {
    fn name(&self) -> &'static str {
        "waits"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        drop(self.0.lock());
        Ok(ObserverAction::NoOp)
    }
}

#[test]
fn an_observer_that_is_stuck_is_named_by_whether_it_is_ready_until_it_comes_back() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let surface = surface(Monitoring::builder().observer(Box::new(Waits(Arc::clone(&gate)))).watch_by_hand());
    ask(&surface, vec![post(GOOD)]);
    while surface.monitoring().look_for_stuck(Duration::ZERO) == 0 {
        std::thread::yield_now();
    }
    surface.monitoring().look_for_stuck(Duration::from_secs(31));
    let answers = ask(&surface, vec![get("/readyz"), get("/v1/models/m"), post(GOOD)]);
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [503, 503, 200]);
    assert_eq!((answers[0].1.as_deref(), answers[1].1.as_deref()), (Some("30"), Some("30")));
    assert_eq!(answers[0].2["status"], "stuck");
    let why = answers[0].2["error"].as_str().unwrap();
    assert!(
        why.contains("observer `waits` of model `m` for 31 s") && why.contains("without a store"),
        "{why}"
    );
    drop(held);
    while surface.monitoring().watchdog().given_up().is_some() {
        std::thread::yield_now();
    }
    assert_eq!(ask(&surface, vec![get("/readyz")])[0].0, 200);
}

#[test]
fn what_has_ended_takes_nothing_and_another_method_is_told_so() {
    let surface = surface(Monitoring::builder());
    assert_eq!(ask(&surface, vec![get("/v1/events")])[0].0, StatusCode::METHOD_NOT_ALLOWED.as_u16());
    System::new().block_on(async {
        let _ = surface.monitoring().shutdown(Duration::from_mins(1)).await;
    });
    let answers = ask(&surface, vec![post(GOOD), get("/readyz"), get("/v1/models")]);
    assert!(answers.iter().all(|answer| answer.0 == 503 && answer.1.is_some()), "{answers:?}");
}

#[test]
fn unknown_models_are_told_apart_by_status_and_a_flood_of_them_stays_within_its_bound() {
    let quota = |new_max, seen_min| {
        AdmissionPolicy::Quota(NewModels { new_max, seen_min, period: Duration::from_hours(1) })
    };
    let list = AdmissionPolicy::AllowList(vec![Glob::new("m")]);
    let other = GOOD.replace("\"m\"", "\"n\"");
    for (policy, status, text) in [
        (list, 403, "must be a known model or match m"),
        (quota(1, 3), 429, "be sent 3 times first"),
        (quota(0, 1), 429, "0 new ones are taken per 3600 s"),
    ] {
        let surface = surface(Monitoring::builder().admission(policy));
        let answers =
            ask(&surface, vec![post(other.clone()), post(format!("{other}\n{BAD}")), get("/v1/admission")]);
        assert_eq!(answers[0].0, status, "{answers:?}");
        let first = &answers[0].2["rejections"][0];
        assert!(first["reason"].as_str().unwrap().contains(text), "{first}");
        assert_eq!((first["retry"] == true, answers[0].1.is_some()), (status == 429, status == 429));
        assert_eq!(answers[1].0, if status == 429 { 429 } else { 400 });
        assert_eq!(
            answers[2].2["most_refused"],
            json!([{"model_id": "n", "refused_min": 2, "refused_max": 2}])
        );
    }
    let limited = surface(Monitoring::builder().models_max(100));
    assert_eq!(ask(&limited, vec![post(GOOD)])[0].0, 200);
    let flood = |first: usize| {
        let line = |id| GOOD.replace("\"m\"", &format!("\"flood-{id}\"")) + "\n";
        post((first..first + 20_000).map(line).collect::<String>() + GOOD)
    };
    let answers = ask(&limited, vec![flood(0), flood(20_000), post(other), get("/v1/admission"), post(GOOD)]);
    let taken = |answer: usize| (answers[answer].0, answers[answer].2["accepted"].as_u64().unwrap());
    assert_eq!((taken(0), taken(1), answers[2].0, answers[4].0), ((207, 100), (207, 1), 403, 200));
    let status = &answers[3].2;
    assert_eq!(
        (&status["models"], &status["models_max"], &status["refused_limit"]),
        (&100.into(), &100.into(), &39_902.into())
    );
    assert_eq!(status["most_refused"].as_array().unwrap().len(), 16);
}
