//! Reads a body within bounds of size, of time and of room beside other bodies; unpacks it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, Payload};

use super::HttpLimits;
use super::answer::cut;
use crate::ingest::Members;

/// Bytes that bodies may take together.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
}

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).ok()?;
        Some(Share { room: Arc::clone(self), bytes })
    }
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

/// Why a body is not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is packed in a way that is not known.
    Encoding,
    /// It is longer than this.
    TooLarge(usize),
    /// There is no room for it now.
    NoRoom,
    /// It took longer than this.
    Late(Duration),
    /// It ended early, or cannot be unpacked.
    Broken(String),
}

impl Unread {
    pub(super) fn answer(self) -> HttpResponse {
        let (status, reason) = match self {
            Self::Encoding => {
                let reason = "`content-encoding` must be gzip or identity";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, reason.to_owned())
            }
            Self::TooLarge(max) => {
                let reason = format!("the body must be at most {max} bytes long, unpacked too");
                (StatusCode::PAYLOAD_TOO_LARGE, reason)
            }
            Self::NoRoom => {
                let reason = "too many bodies are being read or wait for their events to be taken";
                (StatusCode::TOO_MANY_REQUESTS, reason.to_owned())
            }
            Self::Late(max) => (StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {max:?}")),
            Self::Broken(why) => (StatusCode::BAD_REQUEST, format!("the body cannot be read: {why}")),
        };
        cut(status, &reason)
    }
}

/// Reads a whole body, unpacked; with it comes its share of the room.
///
/// The server itself bounds the time of the head only: without a bound of our own a body that never ends holds its
/// connection for ever.
pub(super) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limits: &HttpLimits,
    room: &Arc<Room>,
) -> Result<(Bytes, Share), Unread> {
    let max = limits.body_bytes_max;
    let gzip = is_gzip(headers)?;
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > max) {
        return Err(Unread::TooLarge(max));
    }
    let share = room.take(told.filter(|_| !gzip).unwrap_or(max)).ok_or(Unread::NoRoom)?;
    let body = match timeout(limits.body_time_max, payload.to_bytes_limited(max)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Ok(Err(error))) => return Err(Unread::Broken(error.to_string())),
        Ok(Err(_)) => return Err(Unread::TooLarge(max)),
        Err(_) => return Err(Unread::Late(limits.body_time_max)),
    };
    if gzip { Ok((unpack(&body, max)?.into(), share)) } else { Ok((body, share)) }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Unread> {
    let named = headers.get(CONTENT_ENCODING).map_or(Ok("identity"), |name| name.to_str());
    match named.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
        Ok("identity" | "") => Ok(false),
        Ok("gzip" | "x-gzip") => Ok(true),
        _ => Err(Unread::Encoding),
    }
}

fn unpack(packed: &[u8], max: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    let read = Members::new(packed).take(max as u64 + 1).read_to_end(&mut body);
    read.map_err(|error| Unread::Broken(error.to_string()))?;
    if body.len() > max { Err(Unread::TooLarge(max)) } else { Ok(body) }
}
