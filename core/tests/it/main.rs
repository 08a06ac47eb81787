//! All integration tests, linked once.

mod plan;
