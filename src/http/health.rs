//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether events are taken.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use visu_tility_actors::{MonitoringHandle, StoreStatus};

use super::answer;
use super::surface::HttpSurface;

/// Whether events are taken, and why not.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What somebody should see to although events are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Readiness {
    pub(super) fn of(monitoring: &MonitoringHandle) -> Self {
        let not = |status, error: &str| Self { status, error: Some(error.to_owned()), warning: None };
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
        let store = monitoring.store_status();
        let warning = store.as_ref().and_then(aside);
        if let Some(stuck) = monitoring.watchdog().given_up() {
            let why = stuck.not_replaced.as_deref().unwrap_or_default();
            return Self { warning, ..not("stuck", &format!("{stuck}, and it is not replaced: {why}")) };
        }
        match store.and_then(|store| store.failing) {
            Some(failing) => {
                Self { warning, ..not("failing", &format!("the store takes nothing: {failing}")) }
            }
            None => Self { status: "ready", error: None, warning },
        }
    }

    /// Whether it is no use to ask; a store that fails is asked, so that its recovery is noticed.
    pub(super) fn takes_nothing(&self) -> bool {
        matches!(self.status, "closing" | "recovering" | "failed")
    }

    pub(super) fn answer(&self) -> HttpResponse {
        match self.status {
            "ready" => HttpResponse::Ok().json(self),
            status => answer::unavailable(self, !matches!(status, "failed" | "stuck")),
        }
    }
}

/// What is said while models are set aside: the journal grows for them until it is full.
fn aside(store: &StoreStatus) -> Option<String> {
    let first = store.aside_first.first()?;
    let (count, from, to) = (store.aside, store.first_offset, store.next_offset);
    Some(format!(
        "models set aside: {count}, the first of them {}: {}; the journal is kept from offset {from} to {to} until each is \
         reset or readable after a restart",
        first.model_id, first.reason
    ))
}

pub(super) async fn alive(surface: Data<HttpSurface>) -> HttpResponse {
    let response = HttpResponse::Ok().json(Readiness { status: "alive", error: None, warning: None });
    surface.counter.answered(response)
}

pub(super) async fn ready(surface: Data<HttpSurface>) -> HttpResponse {
    surface.counter.answered(Readiness::of(&surface.monitoring).answer())
}
