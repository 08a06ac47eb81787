//! How refusals look: a status, a reason, and when to come again.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use visu_tility_actors::ControlError;

use super::surface::HttpSurface;

/// Seconds after which a refusal that passes by itself may be over.
pub(super) const SOON: u64 = 1;
/// Seconds after which one that somebody must see to may be over.
pub(super) const LATER: u64 = 30;

#[derive(Serialize)]
struct Reason<'a> {
    error: &'a str,
}

/// A request that is not done.
pub(super) fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(Reason { error: reason })
}

/// A request that is not done and whose body is not read to its end.
pub(super) fn cut(status: StatusCode, reason: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.insert_header((RETRY_AFTER, SOON));
    }
    response.force_close().json(Reason { error: reason })
}

/// A path that is none.
pub(super) fn no_such_path() -> HttpResponse {
    refuse(StatusCode::NOT_FOUND, "no such path")
}

/// A path that is asked in another way than it answers.
pub(super) async fn no_such_method(surface: Data<HttpSurface>, known: &str) -> HttpResponse {
    let reason = format!("no such method here, must be one of: {known}");
    let mut response = HttpResponse::build(StatusCode::METHOD_NOT_ALLOWED);
    surface.counter.answered(response.insert_header((ALLOW, known)).json(Reason { error: &reason }))
}

/// What to do is told in the body, and perhaps when to come again.
pub(super) fn later(status: StatusCode, after: Option<u64>) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    if let Some(after) = after {
        response.insert_header((RETRY_AFTER, after));
    }
    response
}

/// Nothing is taken at present. `soon` says whether that passes by itself.
pub(super) fn unavailable(body: &impl Serialize, soon: bool) -> HttpResponse {
    let after = if soon { SOON } else { LATER };
    later(StatusCode::SERVICE_UNAVAILABLE, Some(after)).json(body)
}

/// Why a model cannot be shown, or not be reset.
pub(super) fn of_control(error: &ControlError) -> HttpResponse {
    let reason = error.to_string();
    match error {
        ControlError::UnknownModel(_) => refuse(StatusCode::NOT_FOUND, &reason),
        ControlError::Store(_) | ControlError::Stuck(_) => unavailable(&Reason { error: &reason }, false),
        _ => unavailable(&Reason { error: &reason }, true),
    }
}
