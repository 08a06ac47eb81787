//! The signals that end the program, and which of them is a second one.

use std::io;
use std::time::{Duration, Instant};

/// The same signal again within this time is the same wish: `timeout` sends one to the process and one to its group, and
/// a terminal may send one that a script hands on besides.
const SAME: Duration = Duration::from_secs(1);

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) name: &'static str,
    at: Instant,
}

impl Came {
    /// Whether it is a second wish behind a first.
    fn is_another(self, first: Self) -> bool {
        self.name != first.name || self.at.saturating_duration_since(first.at) >= SAME
    }
}

/// The signals that end the program.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: actix_web::rt::signal::unix::Signal,
    terminate: actix_web::rt::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        use actix_web::rt::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn name(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            use std::task::Poll::{Pending, Ready};
            match (self.interrupt.poll_recv(cx), self.terminate.poll_recv(cx)) {
                (Ready(_), _) => Ready("SIGINT"),
                (_, Ready(_)) => Ready("SIGTERM"),
                _ => Pending,
            }
        })
        .await
    }
}

/// The signals that end the program.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn name(&mut self) -> &'static str {
        let _ = actix_web::rt::signal::ctrl_c().await;
        "Ctrl-C"
    }
}

impl Signals {
    pub(super) async fn next(&mut self) -> Came {
        let name = self.name().await;
        Came { name, at: Instant::now() }
    }

    /// The next one that is not the first again.
    pub(super) async fn after(&mut self, first: Came) -> Came {
        loop {
            let came = self.next().await;
            if came.is_another(first) {
                return came;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signal_that_is_sent_twice_is_one_wish_and_another_or_a_later_one_is_a_second() {
        let at = Instant::now();
        let came = |name, ms| Came { name, at: at + Duration::from_millis(ms) };
        let first = came("SIGTERM", 0);
        assert!(!came("SIGTERM", 0).is_another(first));
        assert!(!came("SIGTERM", 999).is_another(first));
        assert!(came("SIGTERM", 1_000).is_another(first));
        assert!(came("SIGINT", 0).is_another(first));
    }
}
