//! The end by signals while publishers go on: what was acknowledged is there, and the report says what was done.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::{event, publish, shows};
use crate::serve::{Server, command, folder, start, start_as};

fn connect(server: &Server) -> TcpStream {
    let port = std::fs::read_to_string(&server.port_file).unwrap();
    TcpStream::connect(format!("127.0.0.1:{}", port.trim())).unwrap()
}

/// Publishes until nobody answers; counts what was acknowledged, and what was sent last and not answered.
fn load(mut stream: TcpStream, model: &str, acknowledged: &AtomicU64, doubtful: &AtomicU64) {
    let body = format!("{}\n", event(model, 0.1)).repeat(10);
    let request =
        format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    loop {
        let mut head = [0; 12];
        if stream.write_all(request.as_bytes()).is_err() || stream.read_exact(&mut head).is_err() {
            doubtful.fetch_add(10, Ordering::Relaxed);
            return;
        }
        if &head != b"HTTP/1.1 200" {
            return;
        }
        acknowledged.fetch_add(10, Ordering::Relaxed);
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
    }
}

#[test]
fn a_server_that_is_ended_under_load_has_handled_all_that_it_acknowledged() {
    let folder = folder("load");
    let data = folder.join("data");
    let mut with_report = command();
    with_report.stdout(Stdio::piped());
    let mut server = start_as(with_report, &data);
    let (acknowledged, doubtful) = (AtomicU64::new(0), AtomicU64::new(0));
    let models = ["a", "b", "c", "d"];
    std::thread::scope(|scope| {
        for model in models {
            let (stream, acknowledged, doubtful) = (connect(&server), &acknowledged, &doubtful);
            scope.spawn(move || load(stream, model, acknowledged, doubtful));
        }
        while acknowledged.load(Ordering::Relaxed) < 2_000 {
            std::thread::yield_now();
        }
        server.signal("TERM");
    });
    let mut stdout = server.child.stdout.take().unwrap();
    let (said, status) = server.rest();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("ended, all done"), "{said}");
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let handled = report["events_handled"].as_u64().unwrap();
    let (acknowledged, doubtful) = (acknowledged.into_inner(), doubtful.into_inner());
    assert!(
        (acknowledged..=acknowledged + doubtful).contains(&handled),
        "{acknowledged}, {doubtful}: {report}"
    );
    assert_eq!(
        (&report["complete"], &report["events_cut"], &report["snapshots"]),
        (&true.into(), &0.into(), &4.into())
    );

    let server = start(&data);
    let sum: u64 = models
        .iter()
        .map(|model| {
            let answer = server.ask(&format!("GET /v1/models/{model}"), "");
            super::body(&answer)["monitor"]["taken"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(sum, handled, "all was saved, nothing is repeated");
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_second_signal_ends_at_once_what_a_slow_request_holds_up() {
    let folder = folder("again");
    let data = folder.join("data");
    let mut server = start(&data);
    publish(&server, "a", 7);
    // A body whose end does not come is waited for.
    let mut slow = connect(&server);
    slow.write_all(
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n",
    )
    .unwrap();
    let mut go_on = [0; 12];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100", "the request is under way");
    server.signal("TERM");
    assert!(server.lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("SIGTERM: ending")));
    server.signal("INT");
    let (said, status) = server.rest();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("SIGINT again: ended at once; what was taken is in the journal"), "{said}");
    let server = start(&data);
    shows(&server, "a", 7);
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_drain_ends_at_its_deadline_whatever_holds_it_up() {
    let folder = folder("deadline");
    let data = folder.join("data");
    let port_file = data.with_extension("port");
    let mut child = command()
        .args(["serve", "--listen", "127.0.0.1:0", "--drain", "1", "--data-dir"])
        .arg(&data)
        .arg("--port-file")
        .arg(&port_file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("recovered: ")));
    let server = Server { child, lines, port_file };
    publish(&server, "a", 3);
    let mut slow = connect(&server);
    slow.write_all(
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n",
    )
    .unwrap();
    let mut go_on = [0; 12];
    slow.read_exact(&mut go_on).unwrap();
    server.signal("TERM");
    let (said, status) = server.rest();
    assert!(matches!(status, 0 | 4) && said.contains("ended, "), "{status}: {said}");
    let server = start(&data);
    shows(&server, "a", 3);
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}
