//! `POST /v1/events`: what was taken, and what was not and why.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use visu_tility_core::IngestError;

use super::decode::{Undecoded, decode};
use super::health::Readiness;
use super::surface::HttpSurface;
use super::{answer, body};

/// What a publisher is answered.
///
/// | taken | refused for a reason that passes | status |
/// |---|---|---|
/// | all | - | 200 |
/// | some | in any case | 207 |
/// | none | none | 400 |
/// | none | some | 503 |
#[derive(Debug, Default, Serialize)]
struct Answer {
    accepted: u64,
    /// Of the first one taken.
    first_offset: Option<u64>,
    /// How many were not taken; of these the first are listed.
    rejected: usize,
    rejections: Vec<Rejection>,
}

#[derive(Debug, Serialize)]
struct Rejection {
    /// Its place in the body, from 0; blank lines do not count.
    index: usize,
    reason: String,
    /// Whether the same event may be taken later.
    retry: bool,
}

pub(super) async fn take(request: HttpRequest, payload: Payload, surface: Data<HttpSurface>) -> HttpResponse {
    let response = publish(&request, payload, &surface).await;
    surface.counter.answered(response)
}

async fn publish(request: &HttpRequest, payload: Payload, surface: &HttpSurface) -> HttpResponse {
    let readiness = Readiness::of(&surface.monitoring);
    if readiness.takes_nothing() {
        return readiness.answer();
    }
    let limits = &surface.limits;
    let read = body::read(request.headers(), payload, limits, &surface.room).await;
    let (body, share) = match read {
        Ok(read) => read,
        Err(unread) => return unread.answer(),
    };
    let decoded = match decode(&body, limits.events_max) {
        Ok(decoded) => decoded,
        Err(Undecoded::Empty) => {
            return answer::refuse(StatusCode::BAD_REQUEST, "the body holds no event");
        }
        Err(Undecoded::Malformed(why)) => {
            return answer::refuse(StatusCode::BAD_REQUEST, &format!("the body is no JSON array: {why}"));
        }
        Err(Undecoded::TooMany) => {
            let reason = format!("the body must hold at most {} events", limits.events_max);
            return answer::refuse(StatusCode::PAYLOAD_TOO_LARGE, &reason);
        }
    };
    drop(body);
    let mut rejections: Vec<Rejection> = decoded
        .refused
        .iter()
        .map(|(index, error)| Rejection { index: *index, reason: error.to_string(), retry: false })
        .collect();
    let receipt = surface.monitoring.publish_batch(decoded.events).await;
    drop(share);
    let later = receipt.rejected.iter().find(|rejected| passes(&rejected.error).is_some());
    let soon = later.is_some_and(|rejected| passes(&rejected.error) == Some(true));
    let later = later.is_some();
    rejections.extend(receipt.rejected.iter().map(|rejected| Rejection {
        index: decoded.places.get(rejected.index).copied().unwrap_or(rejected.index),
        reason: rejected.error.to_string(),
        retry: passes(&rejected.error).is_some(),
    }));
    rejections.sort_by_key(|rejection| rejection.index);
    let rejected = rejections.len();
    rejections.truncate(limits.listed_max);
    surface.counter.events(receipt.accepted, rejected as u64);
    let first_offset = (receipt.accepted > 0).then_some(receipt.first_offset);
    let answer = Answer { accepted: receipt.accepted, first_offset, rejected, rejections };
    match (answer.accepted, answer.rejected) {
        (_, 0) => HttpResponse::Ok().json(answer),
        (0, _) if later => answer::unavailable(&answer, soon),
        (0, _) => HttpResponse::BadRequest().json(answer),
        _ => HttpResponse::MultiStatus().json(answer),
    }
}

/// Whether the same event may be taken later: `None` for never, else whether that comes by itself.
const fn passes(error: &IngestError) -> Option<bool> {
    match error {
        IngestError::Full { .. } | IngestError::Closed => Some(true),
        IngestError::Store { retry, .. } => Some(*retry),
        _ => None,
    }
}
