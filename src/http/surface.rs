//! What is set up: a monitoring, limits, and the routes to it.

use std::sync::Arc;

use actix_web::Route;
use actix_web::web::{Data, ServiceConfig, get, post, resource, to};
use visu_tility_actors::MonitoringHandle;
use visu_tility_core::ObserverError;

use super::answer::{no_such_method, no_such_path};
use super::body::Room;
use super::counts::Counter;
use super::{HttpCounts, HttpLimits, events, health, models, status};

/// The surface of one monitoring. Clones are the same surface: they share its limits.
///
/// # Examples
///
/// ```
/// use actix_web::{App, test};
/// use visu_tility::http::HttpSurface;
/// use visu_tility::monitoring::Monitoring;
///
/// # actix_web::rt::System::new().block_on(async {
/// let monitoring = Monitoring::builder().start()?;
/// let surface = HttpSurface::new(monitoring);
/// let app = test::init_service(App::new().configure(|config| surface.configure(config))).await;
///
/// let body = r#"{"model_id":"fraud","kind":"Accuracy","value":0.93}"#;
/// let request = test::TestRequest::post().uri("/v1/events").set_payload(body).to_request();
/// let answer = test::call_and_read_body(&app, request).await;
/// assert_eq!(answer, r#"{"accepted":1,"first_offset":0,"rejected":0,"rejections":[]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HttpSurface {
    pub(super) monitoring: MonitoringHandle,
    pub(super) limits: HttpLimits,
    pub(super) room: Arc<Room>,
    pub(super) counter: Counter,
}

impl HttpSurface {
    /// Begins with the default limits.
    pub fn new(monitoring: MonitoringHandle) -> Self {
        let limits = HttpLimits::default();
        let room = Arc::new(Room::new(limits.bodies_bytes_max));
        Self { monitoring, limits, room, counter: Counter::default() }
    }

    /// Sets other limits.
    ///
    /// # Errors
    ///
    /// Fails as [`HttpLimits::check`].
    pub fn limits(self, limits: HttpLimits) -> Result<Self, ObserverError> {
        limits.check()?;
        Ok(Self { limits, room: Arc::new(Room::new(limits.bodies_bytes_max)), ..self })
    }

    /// The monitoring behind it.
    pub const fn monitoring(&self) -> &MonitoringHandle {
        &self.monitoring
    }

    /// What became of requests since the surface was made.
    pub fn counts(&self) -> HttpCounts {
        self.counter.counts()
    }

    /// Adds the routes to an application, or to a scope of one.
    pub fn configure(&self, config: &mut ServiceConfig) {
        // As resources, so that another method is answered 405 and not 404.
        let of = |path: &str, route: Route| resource(path).route(route).default_service(to(no_such_method));
        config
            .app_data(Data::new(self.clone()))
            .service(of("/v1/events", post().to(events::take)))
            .service(of("/v1/models", get().to(models::list)))
            .service(of("/v1/models/{model_id}", get().to(models::show)))
            .service(of("/v1/models/{model_id}/reset", post().to(models::reset)))
            .service(of("/v1/admission", get().to(models::admission)))
            .service(of("/v1/status", get().to(status::show)))
            .service(of("/healthz", get().to(health::alive)))
            .service(of("/readyz", get().to(health::ready)));
    }

    /// What a server of its own answers on all other paths: 404, with the reason as JSON.
    pub fn no_such_path(&self) -> Route {
        let counter = self.counter.clone();
        to(move || {
            let counter = counter.clone();
            async move { counter.answered(no_such_path()) }
        })
    }
}
