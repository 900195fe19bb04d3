//! Launch back-off (`RateLimiter.scala`): a task that ends by itself delays the next launch of the same app
//! configuration by `backoffSeconds`, then by `backoffFactor` more each time, at most `maxLaunchDelaySeconds`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// An app's back-off settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// `backoffSeconds`.
    pub backoff: Duration,
    /// `backoffFactor`.
    pub factor: f64,
    /// `maxLaunchDelaySeconds`.
    pub max: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Delay {
    deadline: Instant,
    delay: Duration,
}

/// The delays in force, by app and configuration version. Lost with the leadership, as in the original.
#[derive(Debug, Default)]
pub struct Backoff(HashMap<(String, String), Delay>);

impl Backoff {
    /// Until when nothing of this app configuration may be launched.
    pub fn deadline(&self, app: &str, config: &str) -> Option<Instant> {
        self.0
            .get(&(app.to_owned(), config.to_owned()))
            .map(|delay| delay.deadline)
    }

    /// A task of this app configuration ended: failed, lost, or finished.
    pub fn increase(&mut self, app: &str, config: &str, settings: Settings, now: Instant) {
        let key = (app.to_owned(), config.to_owned());
        let delay = match self.0.get(&key) {
            Some(current) => current.delay.mul_f64(settings.factor).min(settings.max),
            None => settings.backoff,
        };
        if delay.is_zero() {
            self.0.remove(&key);
        } else {
            self.0.insert(
                key,
                Delay {
                    deadline: now + delay,
                    delay,
                },
            );
        }
    }

    /// The app was restarted or changed: its delay starts anew.
    pub fn reset(&mut self, app: &str) {
        self.0.retain(|(id, _), _| id != app);
    }

    /// Forgets delays whose time is over; the original does so once a minute.
    pub fn forget_overdue(&mut self, now: Instant) {
        self.0.retain(|_, delay| delay.deadline > now);
    }

    /// The earliest deadline still ahead.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.0
            .values()
            .map(|delay| delay.deadline)
            .filter(|deadline| *deadline > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Settings = Settings {
        backoff: Duration::from_secs(1),
        factor: 1.15,
        max: Duration::from_secs(3600),
    };

    #[test]
    fn delays_grow_by_the_factor_up_to_the_maximum() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.deadline("/a", "1"), None);
        backoff.increase("/a", "1", DEFAULTS, now);
        assert_eq!(backoff.deadline("/a", "1"), Some(now + Duration::from_secs(1)));
        backoff.increase("/a", "1", DEFAULTS, now);
        assert_eq!(
            backoff.deadline("/a", "1"),
            Some(now + Duration::from_millis(1150))
        );
        for _ in 0..100 {
            backoff.increase("/a", "1", DEFAULTS, now);
        }
        assert_eq!(backoff.deadline("/a", "1"), Some(now + Duration::from_secs(3600)));
    }

    #[test]
    fn a_new_configuration_starts_without_delay() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        backoff.increase("/a", "1", DEFAULTS, now);
        assert_eq!(backoff.deadline("/a", "2"), None);
        backoff.forget_overdue(now + Duration::from_secs(2));
        assert_eq!(backoff.deadline("/a", "1"), None);
    }
}
