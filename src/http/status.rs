//! `GET /v1/status`: the monitoring as a whole, and what became of requests.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use visu_tility_actors::FleetStatus;

use super::HttpCounts;
use super::answer;
use super::surface::HttpSurface;

#[derive(Debug, Serialize)]
struct Whole {
    monitoring: FleetStatus,
    http: HttpCounts,
}

/// Answers also while the journal is repeated and while the store fails: then it is wanted most.
pub(super) async fn show(surface: Data<HttpSurface>) -> HttpResponse {
    let response = match surface.monitoring.status().await {
        Ok(monitoring) => HttpResponse::Ok().json(Whole { monitoring, http: surface.counts() }),
        Err(error) => answer::of_control(&error),
    };
    surface.counter.answered(response)
}
