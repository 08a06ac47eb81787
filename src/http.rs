//! The surface over HTTP, for an actix-web server: events in, models out, health.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/events` | what was taken of the events in the body, and what was not and why |
//! | `GET /v1/models?after=ID&limit=N` | the models after a name, in the order of their names, a page at a time |
//! | `GET /v1/models/ID` | one model with all its observers; a sleeping one is woken |
//! | `POST /v1/models/ID/reset` | the model begins anew: its state, and what keeps it in quarantine, is thrown away |
//! | `GET /v1/status` | the monitoring as a whole, and what became of requests |
//! | `GET /v1/admission` | how many models are known, and which were refused, why and how often |
//! | `GET /healthz` | 200 while the process answers |
//! | `GET /readyz` | 200 when events are taken; else 503 with the reason |
//!
//! The map: `surface` (what is set up), `limits`; `body` reads, `decode` parses, `events` publishes; `models`;
//! `status`; `health`; `answer` (how refusals look); `counts`. docs/serve.md has every status code.

mod answer;
mod body;
mod counts;
mod decode;
mod events;
mod health;
mod limits;
mod models;
mod status;
mod surface;

pub use counts::HttpCounts;
pub use limits::HttpLimits;
pub use surface::HttpSurface;
