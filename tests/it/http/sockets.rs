//! What only shows on a socket: bodies that come too slowly, and too many at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, rt::System};
use visu_tility::http::{HttpLimits, HttpSurface};
use visu_tility::monitoring::Monitoring;

/// A server on a thread of its own.
pub(super) fn serve(limits: HttpLimits) -> (SocketAddr, ServerHandle) {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        System::new().block_on(async move {
            let surface = HttpSurface::new(Monitoring::builder().start().unwrap()).limits(limits).unwrap();
            let app = move || App::new().configure(|config| surface.configure(config));
            let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
            let bound = server.addrs()[0];
            let server = server.run();
            tell.send((bound, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn begin(to: SocketAddr, body_bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {body_bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// The first line of the answer; the connection is closed behind it.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_body_that_does_not_come_in_time_is_refused_and_its_connection_closed() {
    let limits = HttpLimits { body_time_max: Duration::from_millis(50), ..HttpLimits::default() };
    let (to, server) = serve(limits);
    let mut stream = begin(to, 100);
    stream.write_all(b"{\"model_id\"").unwrap();
    let said = answer(&mut stream);
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("longer than 50ms"), "{said}");
    drop(server.stop(false));
}

const EVENT: &str = r#"{"model_id":"m","kind":"F1","value":0.5}"#;

/// Sends one event, filled up to so many bytes; the first line of the answer.
fn send(to: SocketAddr, body_bytes: usize) -> String {
    let mut stream = begin(to, body_bytes);
    // It may be refused before all of it is sent.
    let _ = stream.write_all(format!("{EVENT}{}", " ".repeat(body_bytes - EVENT.len())).as_bytes());
    let mut answer = Vec::new();
    let mut part = [0; 1_024];
    while !answer.ends_with(b"}") {
        match stream.read(&mut part) {
            Ok(read) if read > 0 => answer.extend_from_slice(&part[..read]),
            _ => break,
        }
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn bodies_that_are_announced_and_do_not_come_take_no_room() {
    let limits = HttpLimits { body_bytes_max: 1_024, bodies_bytes_max: 1_500, ..HttpLimits::default() };
    let (to, server) = serve(limits);
    let mut slow: Vec<TcpStream> = (0..40).map(|_| begin(to, 1_000)).collect();
    for _ in 0..3 {
        let said = send(to, 1_000);
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }
    // And each of them is taken when it comes.
    for stream in &mut slow {
        stream.write_all(format!("{EVENT}{}", " ".repeat(1_000 - EVENT.len())).as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    drop(server.stop(false));
}

#[test]
fn long_bodies_that_came_but_for_their_ends_leave_room_for_short_ones_and_give_theirs_back() {
    let limits = HttpLimits { body_bytes_max: 128 << 10, bodies_bytes_max: 1 << 20, ..HttpLimits::default() };
    let (to, server) = serve(limits);
    let long = 128 << 10;
    let mut slow: Vec<TcpStream> = (0..8).map(|_| begin(to, long)).collect();
    for stream in &mut slow {
        // All but the last byte; of the last one only what there is room for is taken.
        let _ = stream.write_all(format!("{EVENT}{}", " ".repeat(long - EVENT.len() - 1)).as_bytes());
    }
    // Until they have come: then there is no room for another long one, which may come again, but for a short one.
    let refused = loop {
        let said = send(to, 2_000);
        if !said.starts_with("HTTP/1.1 200 ") {
            break said;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
    for _ in 0..20 {
        let said = send(to, EVENT.len());
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }
    for mut stream in slow {
        let _ = stream.write_all(b" ");
        let mut head = [0; 12];
        let _ = stream.read_exact(&mut head);
    }
    let said = send(to, long);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    drop(server.stop(false));
}
