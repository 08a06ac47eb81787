//! What is set up: a monitoring, limits, and the routes to it.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig, get, post, resource};
use visu_tility_actors::MonitoringHandle;
use visu_tility_core::ObserverError;

use super::body::Room;
use super::{HttpLimits, events, health, models};

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
}

impl HttpSurface {
    /// Begins with the default limits.
    pub fn new(monitoring: MonitoringHandle) -> Self {
        let limits = HttpLimits::default();
        Self { monitoring, limits, room: Arc::new(Room::new(limits.bodies_bytes_max)) }
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

    /// Adds the routes to an application, or to a scope of one.
    pub fn configure(&self, config: &mut ServiceConfig) {
        // As resources, so that another method is answered 405 and not 404.
        config
            .app_data(Data::new(self.clone()))
            .service(resource("/v1/events").route(post().to(events::take)))
            .service(resource("/v1/models").route(get().to(models::list)))
            .service(resource("/v1/models/{model_id}").route(get().to(models::show)))
            .service(resource("/v1/admission").route(get().to(models::admission)))
            .service(resource("/healthz").route(get().to(health::alive)))
            .service(resource("/readyz").route(get().to(health::ready)));
    }
}
