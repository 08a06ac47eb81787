//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether events are taken.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use visu_tility_actors::MonitoringHandle;

use super::answer;
use super::surface::HttpSurface;

/// Whether events are taken, and why not.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Readiness {
    pub(super) fn of(monitoring: &MonitoringHandle) -> Self {
        let not = |status, error: &str| Self { status, error: Some(error.to_owned()) };
        if monitoring.is_closing() {
            return not("closing", "monitoring is shut down");
        }
        match monitoring.recovery() {
            None => return not("recovering", "what was taken before the last stop is being repeated"),
            Some(report) => {
                if let Some(failed) = report.failed {
                    return not("failed", &format!("what was taken before cannot be repeated: {failed}"));
                }
            }
        }
        if let Some(stuck) = monitoring.watchdog().given_up() {
            let why = stuck.not_replaced.as_deref().unwrap_or_default();
            return not("stuck", &format!("{stuck}, and it is not replaced: {why}"));
        }
        match monitoring.store_status().and_then(|store| store.failing) {
            Some(failing) => not("failing", &format!("the store takes nothing: {failing}")),
            None => Self { status: "ready", error: None },
        }
    }

    /// Whether it is no use to ask; a store that fails is asked, so that its recovery is noticed.
    pub(super) fn takes_nothing(&self) -> bool {
        matches!(self.status, "closing" | "recovering" | "failed")
    }

    pub(super) fn answer(&self) -> HttpResponse {
        match self.status {
            "ready" => HttpResponse::Ok().json(self),
            status => answer::unavailable(self, status != "failed"),
        }
    }
}

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(Readiness { status: "alive", error: None })
}

pub(super) async fn ready(surface: Data<HttpSurface>) -> HttpResponse {
    Readiness::of(&surface.monitoring).answer()
}
