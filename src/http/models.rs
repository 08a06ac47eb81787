//! `GET /v1/models`, `GET /v1/models/ID` and `GET /v1/admission`: which models there are, how one is, who is refused.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use visu_tility_actors::{ControlError, ModelPhase, ModelRow};
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
    limit: Option<String>,
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
    let limit = match asked.limit.as_deref().map(|limit| limit_of(limit, max)) {
        None => PAGE.min(max),
        Some(Ok(limit)) => limit,
        Some(Err(reason)) => return bad(reason),
    };
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

/// How long a page is to be.
fn limit_of(text: &str, max: usize) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| format!("`limit` is {text:?}, must be a whole number from 1 to {max}"))
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

/// What a reset has ended, and what it came to.
#[derive(Debug, Serialize)]
struct WasReset {
    model_id: ModelId,
    /// What it was before: a quarantine and a pause are over.
    phase_before: ModelPhase,
    phase: ModelPhase,
}

/// Lets a model begin anew, and the journal go that was kept for it.
pub(super) async fn reset(model_id: Path<String>, surface: Data<HttpSurface>) -> HttpResponse {
    let readiness = Readiness::of(&surface.monitoring);
    let response = if readiness.takes_nothing() {
        readiness.answer()
    } else {
        match begin_anew(&surface, &model_id).await {
            Ok(was_reset) => HttpResponse::Ok().json(was_reset),
            Err(error) => answer::of_control(&error),
        }
    };
    surface.counter.answered(response)
}

async fn begin_anew(surface: &HttpSurface, model_id: &str) -> Result<WasReset, ControlError> {
    let before = surface.monitoring.model_status(model_id).await?;
    surface.monitoring.reset(model_id).await?;
    let after = surface.monitoring.model_status(model_id).await?;
    Ok(WasReset { model_id: after.model_id, phase_before: before.phase, phase: after.phase })
}
