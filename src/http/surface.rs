//! What is set up: a monitoring, limits, and the routes to it.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig, get, head, post, resource, to};
use actix_web::{Handler, Resource, Responder, Route};
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
        let room = Arc::new(Room::new(&limits));
        Self { monitoring, limits, room, counter: Counter::default() }
    }

    /// Sets other limits.
    ///
    /// # Errors
    ///
    /// Fails as [`HttpLimits::check`].
    pub fn limits(self, limits: HttpLimits) -> Result<Self, ObserverError> {
        limits.check()?;
        Ok(Self { limits, room: Arc::new(Room::new(&limits)), ..self })
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
        config
            .app_data(Data::new(self.clone()))
            .service(posted("/v1/events", events::take))
            .service(got("/v1/models", models::list))
            .service(got("/v1/models/{model_id}", models::show))
            .service(posted("/v1/models/{model_id}/reset", models::reset))
            .service(got("/v1/admission", models::admission))
            .service(got("/v1/status", status::show))
            .service(got("/healthz", health::alive))
            .service(got("/readyz", health::ready));
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

// Resources, so that another method is answered 405 with those that are known, and not 404.

fn got<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Clone,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let heads = head().to(handler.clone());
    resource(path)
        .route(get().to(handler))
        .route(heads)
        .default_service(to(|surface: Data<HttpSurface>| no_such_method(surface, "GET, HEAD")))
}

fn posted<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path)
        .route(post().to(handler))
        .default_service(to(|surface: Data<HttpSurface>| no_such_method(surface, "POST")))
}
