//! `POST /v1/events`: what was taken, and what was not and why.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use visu_tility_actors::Rejected;
use visu_tility_core::IngestError;

use super::decode::{Undecoded, decode};
use super::health::Readiness;
use super::surface::HttpSurface;
use super::{answer, body};

/// What a publisher is answered.
///
/// | taken | refused | status |
/// |---|---|---|
/// | all | - | 200 |
/// | some | for whatever reason | 207 |
/// | none | some because nothing is taken now | 503 |
/// | none | else some because their model is not known yet | 429 |
/// | none | all because their model is not allowed, or one too many | 403 |
/// | none | else | 400 |
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
    /// Whether the same event may be taken later without anybody doing anything.
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
    let status = of_none_taken(&receipt.rejected, rejections.is_empty());
    rejections.extend(receipt.rejected.iter().map(|rejected| Rejection {
        index: decoded.places.get(rejected.index).copied().unwrap_or(rejected.index),
        reason: rejected.error.to_string(),
        retry: Fate::of(&rejected.error).passes(),
    }));
    rejections.sort_by_key(|rejection| rejection.index);
    let rejected = rejections.len();
    rejections.truncate(limits.listed_max);
    surface.counter.events(receipt.accepted, rejected as u64);
    let first_offset = (receipt.accepted > 0).then_some(receipt.first_offset);
    let answer = Answer { accepted: receipt.accepted, first_offset, rejected, rejections };
    match (answer.accepted, answer.rejected, status) {
        (_, 0, _) => HttpResponse::Ok().json(answer),
        (0, _, (StatusCode::BAD_REQUEST, _)) => HttpResponse::BadRequest().json(answer),
        (0, _, (status, after)) => answer::later(status, after).json(answer),
        _ => HttpResponse::MultiStatus().json(answer),
    }
}

/// What may become of an event that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It may be taken in so many seconds: nothing is taken now.
    Later(u64),
    /// It may be taken in so many seconds: its model is not known yet.
    Unknown(u64),
    /// Its model is not wanted here.
    Unwanted,
    /// It is never taken.
    Wrong,
}

impl Fate {
    /// Whether it may be taken without anybody doing anything.
    const fn passes(self) -> bool {
        match self {
            Self::Later(after) => after < answer::LATER,
            Self::Unknown(_) => true,
            Self::Unwanted | Self::Wrong => false,
        }
    }

    const fn of(error: &IngestError) -> Self {
        match error {
            IngestError::Full { .. } | IngestError::Closed | IngestError::Store { retry: true, .. } => {
                Self::Later(answer::SOON)
            }
            IngestError::Store { retry: false, .. } => Self::Later(answer::LATER),
            IngestError::Unseen { .. } => Self::Unknown(answer::SOON),
            IngestError::Quota { again_s, .. } => Self::Unknown(*again_s),
            IngestError::Unlisted { .. } | IngestError::Limit { .. } => Self::Unwanted,
            _ => Self::Wrong,
        }
    }
}

/// The status of an answer when nothing was taken, and the seconds after which to come again.
fn of_none_taken(rejected: &[Rejected], all_are_events: bool) -> (StatusCode, Option<u64>) {
    let fates = || rejected.iter().map(|rejected| Fate::of(&rejected.error));
    let later = fates().filter_map(|fate| if let Fate::Later(after) = fate { Some(after) } else { None });
    let unknown = fates().filter_map(|fate| if let Fate::Unknown(after) = fate { Some(after) } else { None });
    match (later.min(), unknown.min()) {
        (Some(after), _) => (StatusCode::SERVICE_UNAVAILABLE, Some(after)),
        (None, Some(after)) => (StatusCode::TOO_MANY_REQUESTS, Some(after)),
        _ if all_are_events && fates().all(|fate| fate == Fate::Unwanted) => (StatusCode::FORBIDDEN, None),
        _ => (StatusCode::BAD_REQUEST, None),
    }
}
