//! Sends batches, one after the other, and notes what became of each.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Dice;
use super::server::AHEAD_MAX;
use super::witness::Seen;

/// Models of each publisher.
const MODELS: u64 = 20;

/// One event as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) model: String,
    pub(crate) kind: &'static str,
    /// Milliseconds since 1970; rises with every event of the model, so it names the event.
    pub(crate) at_ms: u64,
    pub(crate) value: f64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Acknowledged, with the offset of its first event.
    Taken(u64),
    Refused,
    /// No answer came.
    InDoubt,
}

pub(crate) struct Publisher {
    number: u64,
    dice: Dice,
    /// For each model, its newest time and whether it is in a bad spell.
    models: Vec<(u64, bool)>,
    /// Of this life.
    pub(crate) batches: Vec<(Vec<Sent>, Fate)>,
}

impl Publisher {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let dice = Dice::new(seed.wrapping_mul(31).wrapping_add(number));
        Self { number, dice, models: vec![(0, false); MODELS as usize + 1], batches: Vec::new() }
    }

    /// Publishes until the server is gone, not far ahead of what the witness has seen of the journal.
    /// Tells the witness whenever there is more.
    pub(crate) fn publish(&mut self, to: SocketAddr, killed: &AtomicBool, seen: &Seen, more: &Sender<()>) {
        let mut connection = None;
        loop {
            match self.batch(to, &mut connection, killed) {
                Fate::InDoubt => return,
                Fate::Taken(first) => {
                    let _ = more.send(());
                    seen.wait_for(first.saturating_sub(AHEAD_MAX));
                }
                Fate::Refused => {}
            }
        }
    }

    pub(crate) fn publish_one(&mut self, to: SocketAddr, killed: &AtomicBool) {
        let fate = self.batch(to, &mut None, killed);
        assert!(matches!(fate, Fate::Taken(_)), "{fate:?}");
    }

    fn batch(
        &mut self,
        to: SocketAddr,
        connection: &mut Option<BufReader<TcpStream>>,
        killed: &AtomicBool,
    ) -> Fate {
        let (events, body) = self.make();
        let answered = send(to, connection, &body);
        let fate = match answered {
            Ok((200 | 207, answer)) => {
                assert_eq!(answer["accepted"], events.len(), "{answer}");
                Fate::Taken(answer["first_offset"].as_u64().unwrap())
            }
            Ok((429 | 503, _)) => Fate::Refused,
            Ok((status, answer)) => panic!("answered {status}: {answer}"),
            Err(error) => {
                assert!(killed.load(Ordering::SeqCst), "no answer from a server that lives: {error}");
                Fate::InDoubt
            }
        };
        self.batches.push((events, fate));
        fate
    }

    /// The events of a batch, and its body, which may hold one event more that is none.
    fn make(&mut self) -> (Vec<Sent>, String) {
        let (mut events, mut body) = (Vec::new(), String::new());
        // The first is of a model that never acts, so that some of the journal is always needed.
        let mut place = MODELS;
        for _ in 0..=self.dice.below(100) {
            let sent = self.event(place);
            let Sent { model, kind, at_ms, value } = &sent;
            let _ =
                writeln!(body, r#"{{"model_id":"{model}","kind":"{kind}","ts":{at_ms},"value":{value}}}"#);
            events.push(sent);
            // Some models are busy, others seldom hear of anything.
            place = self.dice.below(MODELS).min(self.dice.below(MODELS)).min(self.dice.below(MODELS));
        }
        if self.dice.below(10) == 0 {
            body.push_str("{\"model_id\":\"m\",\"kind\":\"Correct\",\"value\":7}\n");
        }
        (events, body)
    }

    fn event(&mut self, place: u64) -> Sent {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let (newest, bad) = &mut self.models[place as usize];
        *newest = now.max(*newest + 1);
        if self.dice.below(40) == 0 {
            *bad = !*bad;
        }
        let bad = *bad;
        let at_ms = *newest;
        if place == MODELS {
            return Sent { model: format!("quiet-{}", self.number), kind: "LatencyMs", at_ms, value: 1.0 };
        }
        let share = self.dice.below(1_000) as f64 / 1_000.0;
        let (kind, value) = match self.dice.below(3) {
            0 => ("Correct", f64::from(u8::from(share < if bad { 0.2 } else { 0.95 }))),
            1 => ("DriftScore", if bad { 0.2 + 0.2 * share } else { 0.2 * share }),
            _ => ("Confidence", if bad { 0.4 * share } else { 0.6 + 0.4 * share }),
        };
        Sent { model: format!("m-{}-{place}", self.number), kind, at_ms, value }
    }
}

fn send(to: SocketAddr, connection: &mut Option<BufReader<TcpStream>>, body: &str) -> Result<(u16, Value)> {
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    request(to, connection, &format!("{head}{body}"))
}

/// Asks for a path.
pub(crate) fn get(
    to: SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    path: &str,
) -> Result<(u16, Value)> {
    request(to, connection, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
}

fn request(
    to: SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    request: &str,
) -> Result<(u16, Value)> {
    if connection.is_none() {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.set_nodelay(true)?;
        *connection = Some(BufReader::new(stream));
    }
    let stream = connection.as_mut().unwrap();
    stream.get_mut().write_all(request.as_bytes())?;
    let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut status = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(ended());
        }
        let line = line.trim_end();
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        } else if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status.ok_or_else(ended)?, serde_json::from_slice(&body).unwrap()))
}
