//! Bodies, paths and connections that nobody sends who means well: each is answered with a reason in JSON and counted, and
//! what comes beside it is taken.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use actix_web::rt::System;
use serde_json::{Value, json};
use visu_tility::http::HttpLimits;
use visu_tility::monitoring::Monitoring;

use super::sockets::serve;
use super::{GOOD, TestRequest, ask, get, post, surface};

/// A field that cannot be, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    (r#"{"model_id":"m","kind":"F1","value":NaN}"#, "must be a finite number or null"),
    (r#"{"model_id":"m","kind":"F1","value":1e999}"#, "number"),
    (r#"{"model_id":"m","kind":"F1","value":"high"}"#, "`value` is \"high\""),
    (r#"{"model_id":"m","kind":"F1","value":[0.5]}"#, "`value` is a list of 1, must be a number from 0 to 1"),
    (r#"{"model_id":"m","kind":"F1","value":1.5}"#, "must be a number from 0 to 1"),
    (r#"{"model_id":"m","kind":"F2","value":0.5}"#, "`kind` is \"F2\""),
    (r#"{"model_id":7,"kind":"F1","value":0.5}"#, "`model_id`"),
    (r#"{"model_id":"","kind":"F1","value":0.5}"#, "`model_id`"),
    (r#"{"model_id":"a b","kind":"F1","value":0.5}"#, "`model_id`"),
    (r#"{"kind":"F1","value":0.5}"#, "`model_id`"),
    (r#"{"model_id":"m","kind":"F1","value":0.5,"ts":"yesterday"}"#, "`ts` is \"yesterday\""),
    (r#"{"model_id":"m","kind":"F1","value":0.5,"ts":"9999-01-01T00:00:00Z"}"#, "`ts`"),
    (r#"{"model_id":"m","kind":"F1","value":0.5} trailing"#, "malformed line"),
    (r#"{"model_id":"m","kind":"F1","value":0.5"#, "malformed line"),
    ("null", "object"),
    ("\u{0}\u{1}\u{2}", "malformed line"),
];

#[test]
fn each_field_that_cannot_be_is_named_with_what_is_allowed_and_its_neighbours_are_taken() {
    let surface = surface(Monitoring::builder());
    let lines: Vec<String> = WRONG.iter().map(|(line, _)| format!("{line}\n{GOOD}")).collect();
    let answers = ask(&surface, vec![post(lines.join("\n"))]);
    let (status, _, body) = &answers[0];
    assert_eq!(
        (*status, &body["accepted"], &body["rejected"]),
        (207, &json!(WRONG.len()), &json!(WRONG.len()))
    );
    for (place, (line, said)) in WRONG.iter().enumerate() {
        let rejection = &body["rejections"][place];
        let reason = rejection["reason"].as_str().unwrap();
        assert_eq!(rejection["index"], 2 * place, "{line}");
        assert!(reason.to_lowercase().contains(&said.to_lowercase()), "{line}: {reason}");
    }
    let counts = surface.counts();
    assert_eq!(
        (counts.events_accepted, counts.events_rejected, counts.answers[&207]),
        (WRONG.len() as u64, WRONG.len() as u64, 1)
    );
}

#[test]
fn bodies_that_are_no_text_or_too_deep_are_refused_and_nothing_falls_over() {
    let surface = surface(Monitoring::builder());
    let deep = "[".repeat(1 << 20);
    let nested = format!(
        r#"{{"model_id":"m","kind":"F1","value":0.5,"labels":{}1{}}}"#,
        "[".repeat(9_999),
        "]".repeat(9_999)
    );
    let mut not_text = GOOD.as_bytes().to_vec();
    not_text[13] = 0xff;
    let answers = ask(
        &surface,
        vec![
            post(deep.clone()),
            post(format!("{{\"a\":{deep}")),
            post(nested),
            post(not_text),
            post(vec![0xff, 0xfe, 0x00, 0xd8]),
            post("{}\n".repeat(100_001)),
            post(GOOD),
        ],
    );
    assert_eq!(
        answers.iter().map(|answer| answer.0).collect::<Vec<_>>(),
        [400, 400, 400, 400, 400, 413, 200]
    );
    for (_, _, body) in &answers[..6] {
        let reason = body["error"].as_str().or_else(|| body["rejections"][0]["reason"].as_str());
        assert!(reason.is_some_and(|reason| !reason.is_empty() && reason.len() < 2_000), "{body}");
    }
}

#[test]
fn each_path_and_method_that_is_none_is_told_so_in_json_and_counted() {
    let surface = surface(Monitoring::builder());
    let answers = ask(
        &surface,
        vec![
            TestRequest::delete().uri("/v1/events"),
            TestRequest::post().uri("/readyz"),
            get("/v1/models/%FF%FE"),
            get("/v1/models/..%2f..%2fetc%2fpasswd"),
            get("/v1/models?limit=-1"),
            get("/v1/models?limit=99999999999999999999"),
            get("/v1/models?after=%00"),
            TestRequest::post().uri("/v1/models/none/reset"),
        ],
    );
    assert_eq!(
        answers.iter().map(|answer| answer.0).collect::<Vec<_>>(),
        [405, 405, 404, 404, 400, 400, 400, 404]
    );
    assert!(answers.iter().all(|(_, _, body)| body["error"].is_string()), "{answers:?}");
    let counts = surface.counts();
    assert_eq!((counts.answers[&405], counts.answers[&404], counts.answers[&400]), (2, 3, 3));
}

#[test]
fn the_status_shows_the_whole_and_a_reset_lets_a_model_begin_anew() {
    let surface = surface(Monitoring::builder());
    let taken = |answer: &(u16, Option<String>, Value)| answer.2["monitor"]["taken"].clone();
    let answers = ask(
        &surface,
        vec![
            post(format!("{GOOD}\n{GOOD}")),
            get("/v1/models/m"),
            TestRequest::post().uri("/v1/models/m/reset"),
            get("/v1/models/m"),
            get("/v1/status"),
        ],
    );
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [200, 200, 200, 200, 200]);
    assert_eq!((taken(&answers[1]), taken(&answers[3])), (json!(2), json!(0)));
    assert_eq!(answers[2].2, json!({"model_id":"m","phase_before":"running","phase":"running"}));
    assert_eq!(answers[3].2["monitor"]["now"], Value::Null, "it has seen no time");
    let shown = &answers[4].2;
    assert_eq!((&shown["monitoring"]["events"], &shown["http"]["events_accepted"]), (&json!(2), &json!(2)));
    assert_eq!(shown["http"]["answers"], json!({"200": 4}));
}

#[test]
fn a_reset_ends_a_pause_and_says_so() {
    let surface = surface(Monitoring::builder());
    ask(&surface, vec![post(GOOD)]);
    System::new().block_on(async { surface.monitoring().pause("m").await.unwrap() });
    let answers = ask(&surface, vec![TestRequest::post().uri("/v1/models/m/reset"), post(GOOD)]);
    assert_eq!(answers[0].2, json!({"model_id":"m","phase_before":"paused","phase":"running"}));
    System::new().block_on(async { surface.monitoring().flush().await.unwrap() });
    assert_eq!(ask(&surface, vec![get("/v1/models/m")])[0].2["monitor"]["taken"], 1);
}

#[test]
fn a_name_with_a_slash_is_asked_for_with_the_slash_written_as_an_escape() {
    let surface = surface(Monitoring::builder());
    let answers = ask(
        &surface,
        vec![
            post(GOOD.replace("\"m\"", "\"team/m\"")),
            get("/v1/models/team%2Fm"),
            get("/v1/models/team/m"),
            TestRequest::post().uri("/v1/models/team%2Fm/reset"),
        ],
    );
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<_>>(), [200, 200, 404, 200]);
    assert_eq!(answers[1].2["model_id"], "team/m");
}

/// The head of an answer, and what came behind it until the connection was closed.
fn whole_answer(to: std::net::SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let text = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn what_can_be_got_can_be_asked_for_its_head_alone_and_another_method_is_told_which_are_known() {
    let (to, server) = serve(HttpLimits::default());
    for path in ["/healthz", "/readyz", "/v1/status", "/v1/models", "/v1/models/none", "/v1/admission"] {
        let ((got, body), (head, none)) =
            (whole_answer(to, &format!("GET {path}")), whole_answer(to, &format!("HEAD {path}")));
        assert_eq!((got.lines().next(), none.as_str()), (head.lines().next(), ""), "{path}");
        assert!(!body.is_empty(), "{path}");
        let (refused, reason) = whole_answer(to, &format!("DELETE {path}"));
        assert!(
            refused.starts_with("http/1.1 405 ") && refused.contains("\r\nallow: get, head"),
            "{refused}"
        );
        assert!(reason.contains("must be one of: GET, HEAD"), "{reason}");
    }
    for path in ["/v1/events", "/v1/models/m/reset"] {
        let (refused, _) = whole_answer(to, &format!("HEAD {path}"));
        assert!(refused.starts_with("http/1.1 405 ") && refused.contains("\r\nallow: post"), "{refused}");
    }
    drop(server.stop(false));
}

/// Reads one answer with a `content-length`; its status.
fn one_answer(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let _: Value = serde_json::from_slice(&body).unwrap();
    head[9..12].parse().unwrap()
}

#[test]
fn requests_that_are_sent_without_waiting_are_answered_one_by_one_in_order() {
    let (to, server) = serve(HttpLimits::default());
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut text = Vec::new();
    for at in 0..100 {
        let (method, path, body) = match at % 4 {
            0 => ("POST", "/v1/events", GOOD),
            1 => ("GET", "/v1/models/none", ""),
            2 => ("POST", "/v1/events", "no event"),
            _ => ("GET", "/readyz", ""),
        };
        let length = body.len();
        write!(text, "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
    }
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&text).unwrap());
    for at in 0..100 {
        assert_eq!(one_answer(&mut stream), [200, 404, 400, 200][at % 4], "answer {at}");
    }
    writing.join().unwrap();
    drop(server.stop(false));
}

#[test]
fn a_crowd_of_connections_that_say_nothing_keeps_nobody_out() {
    let (to, server) = serve(HttpLimits::default());
    // Half a head each, more than the server has threads for by far.
    let crowd: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(b"POST /v1/events HTTP/1.1\r\nhost").unwrap();
            stream
        })
        .collect();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    for _ in 0..20 {
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", GOOD.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(GOOD.as_bytes()).unwrap();
        assert_eq!(one_answer(&mut stream), 200);
    }
    drop(crowd);
    drop(server.stop(false));
}

#[test]
fn what_is_no_http_is_refused_and_its_connection_closed() {
    let (to, server) = serve(HttpLimits::default());
    let longest = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    for said in [
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/9.9\r\n\r\n",
        "nonsense\r\n\r\n",
        &longest,
        "POST /v1/events HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        // It may close before all is sent.
        let _ = stream.write_all(said.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(one_answer(&mut stream), 200);
    drop(server.stop(false));
}
