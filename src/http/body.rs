//! Reads a body within bounds of size, of time and of room beside other bodies; unpacks it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodyStream, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use actix_web::rt::time::timeout;
use actix_web::web::Payload;

use super::HttpLimits;
use super::answer::cut;
use crate::ingest::{Members, Trailing};

/// Bytes that bodies may take together. What has come is counted, not what is promised: a promise costs nothing.
///
/// A part is kept for short bodies, so that they find room beside any number of long ones that come slowly.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
    /// Bytes up to which a body is a short one.
    short_max: usize,
    /// What is left for short ones.
    kept: usize,
}

impl Room {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let (one, all) = (limits.body_bytes_max, limits.bodies_bytes_max);
        // The longest body finds room when it is alone.
        let kept = (all / 8).min(all.saturating_sub(one));
        Self { left: AtomicUsize::new(all), short_max: one / 128, kept }
    }
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Share {
    const fn none_of(room: Arc<Room>) -> Self {
        Self { room, bytes: 0 }
    }

    /// Makes it larger where there is room.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Unread> {
        let more = bytes.saturating_sub(self.bytes);
        let kept = if bytes > self.room.short_max { self.room.kept } else { 0 };
        let less = |left: usize| left.checked_sub(more).filter(|left| *left >= kept);
        let taken = self.room.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        taken.map_err(|_| Unread::NoRoom)?;
        self.bytes += more;
        Ok(())
    }

    fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.room.left.fetch_add(less, Ordering::AcqRel);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
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
) -> Result<(Vec<u8>, Share), Unread> {
    let max = limits.body_bytes_max;
    let gzip = is_gzip(headers)?;
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > max) {
        return Err(Unread::TooLarge(max));
    }
    let mut share = Share::none_of(Arc::clone(room));
    let body = timeout(limits.body_time_max, gather(payload, max, &mut share))
        .await
        .map_err(|_| Unread::Late(limits.body_time_max))??;
    if !gzip {
        return Ok((body, share));
    }
    // How long it becomes is known when it is unpacked, which is done at once.
    share.grow_to(max)?;
    let body = unpack(&body, max)?;
    share.shrink_to(body.len());
    Ok((body, share))
}

/// Puts together what comes, each part within the room.
async fn gather(payload: Payload, max: usize, share: &mut Share) -> Result<Vec<u8>, Unread> {
    let mut parts = std::pin::pin!(BodyStream::new(payload));
    let mut body = Vec::new();
    while let Some(part) = std::future::poll_fn(|cx| parts.as_mut().poll_next(cx)).await {
        let part = part.map_err(|error| Unread::Broken(error.to_string()))?;
        let bytes = body.len() + part.len();
        if bytes > max {
            return Err(Unread::TooLarge(max));
        }
        share.grow_to(bytes)?;
        body.extend_from_slice(&part);
    }
    Ok(body)
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
    read.map_err(|error| {
        Unread::Broken(if Trailing::is(&error) {
            "bytes follow its gzip data that are no gzip; nothing of it is taken".to_owned()
        } else {
            format!("it is no gzip, or not all of one: {error}")
        })
    })?;
    if body.len() > max { Err(Unread::TooLarge(max)) } else { Ok(body) }
}
