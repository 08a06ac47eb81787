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

#[test]
fn bodies_beyond_the_room_for_all_are_refused_until_one_gives_it_back() {
    let limits = HttpLimits { body_bytes_max: 1_024, bodies_bytes_max: 1_500, ..HttpLimits::default() };
    let (to, server) = serve(limits);
    let mut first = begin(to, 1_000);
    // Answered at once when its turn comes, so that the one before is known to have its room.
    let event = r#"{"model_id":"m","kind":"F1","value":0.5}"#;
    let mut small = begin(to, event.len());
    small.write_all(event.as_bytes()).unwrap();
    let mut head = [0; 12];
    small.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let said = answer(&mut begin(to, 1_000));
    assert!(said.starts_with("HTTP/1.1 429 ") && said.contains("retry-after: 1\r\n"), "{said}");
    let body = format!("{event}{}", " ".repeat(1_000 - event.len()));
    first.write_all(body.as_bytes()).unwrap();
    first.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut last = begin(to, 1_000);
    last.write_all(body.as_bytes()).unwrap();
    last.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    drop(server.stop(false));
}
