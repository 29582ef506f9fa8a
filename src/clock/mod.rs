//! The clock of everything that waits for exact moments: the real one with its pacing thread, or the runtime's virtual time, in
//! which hours of load pass in seconds.

mod pace;

pub use pace::Pacer;
use std::time::Instant;

/// Tells the time and waits for moments.
#[derive(Clone)]
pub enum Clock {
    Real(Pacer),
    /// Follows the paused clock of a tokio runtime.
    Virtual,
}

impl Clock {
    pub fn real() -> Clock {
        Clock::Real(Pacer::start())
    }

    pub fn now(&self) -> Instant {
        match self {
            Clock::Real(_) => Instant::now(),
            Clock::Virtual => tokio::time::Instant::now().into_std(),
        }
    }

    /// Returns at `at`, at once when that is past; exact to a tenth of a millisecond.
    pub async fn sleep_until(&self, at: Instant) {
        match self {
            Clock::Real(pacer) => pacer.sleep_until(at).await,
            Clock::Virtual => tokio::time::sleep_until(at.into()).await,
        }
    }
}
