//! `GET /v1/models`, `GET /v1/models/ID` and `GET /v1/admission`: which models there are, how one is, who is refused.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use visu_tility_actors::ModelRow;
use visu_tility_core::ModelId;

use super::answer;
use super::health::Readiness;
use super::surface::HttpSurface;

/// Models of a page when the request does not say.
const PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Page {
    models: Vec<ModelRow>,
    /// What to give as `after` for the next page; none behind the last.
    next: Option<ModelId>,
}

pub(super) async fn list(request: HttpRequest, surface: Data<HttpSurface>) -> HttpResponse {
    let response = listed(&request, &surface).await;
    surface.counter.answered(response)
}

async fn listed(request: &HttpRequest, surface: &HttpSurface) -> HttpResponse {
    let bad = |reason: String| answer::refuse(StatusCode::BAD_REQUEST, &reason);
    let asked = match Query::<Asked>::from_query(request.query_string()) {
        Ok(asked) => asked.into_inner(),
        Err(error) => return bad(format!("the query: {error}; known are `after` and `limit`")),
    };
    let max = surface.limits.listed_max;
    let limit = asked.limit.unwrap_or(PAGE.min(max));
    if !(1..=max).contains(&limit) {
        return bad(format!("`limit` is {limit}, must be from 1 to {max}"));
    }
    let after = match asked.after.map(ModelId::new).transpose() {
        Ok(after) => after,
        Err(error) => return bad(format!("`after`: {error}")),
    };
    let readiness = Readiness::of(&surface.monitoring);
    if readiness.takes_nothing() {
        return readiness.answer();
    }
    // One more than asked for says whether there is a next page.
    match surface.monitoring.models_after(after.as_ref(), limit + 1).await {
        Ok(mut models) => {
            let more = models.len() > limit;
            models.truncate(limit);
            let next = models.last().filter(|_| more).map(|row| row.model_id.clone());
            HttpResponse::Ok().json(Page { models, next })
        }
        Err(error) => answer::of_control(&error),
    }
}

/// Which models are known and which were refused.
pub(super) async fn admission(surface: Data<HttpSurface>) -> HttpResponse {
    surface.counter.answered(HttpResponse::Ok().json(surface.monitoring.admission()))
}

pub(super) async fn show(model_id: Path<String>, surface: Data<HttpSurface>) -> HttpResponse {
    let readiness = Readiness::of(&surface.monitoring);
    let response = if readiness.takes_nothing() {
        readiness.answer()
    } else {
        match surface.monitoring.model_status_awake(&*model_id).await {
            Ok(status) => HttpResponse::Ok().json(status),
            Err(error) => answer::of_control(&error),
        }
    };
    surface.counter.answered(response)
}

/// Lets a model begin anew, and the journal go that was kept for it.
pub(super) async fn reset(model_id: Path<String>, surface: Data<HttpSurface>) -> HttpResponse {
    let readiness = Readiness::of(&surface.monitoring);
    let response = if readiness.takes_nothing() {
        readiness.answer()
    } else {
        match surface.monitoring.reset(&*model_id).await {
            Ok(()) => HttpResponse::NoContent().finish(),
            Err(error) => answer::of_control(&error),
        }
    };
    surface.counter.answered(response)
}
