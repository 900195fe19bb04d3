//! Health checks as the Marathon leader makes them (`HealthCheckWorkerActor.scala`, `HealthCheckActor.scala`):
//! against **the slave's hostname** and the host port the task was given, nothing else.

use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::definition::HealthCheck;
use super::time::Stamp;

/// What is known of one task by one check since this leader began to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// First success.
    pub first_success: Option<Stamp>,
    /// Last success.
    pub last_success: Option<Stamp>,
    /// Last failure.
    pub last_failure: Option<Stamp>,
    /// Why the last failure was one.
    pub last_failure_cause: Option<String>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An HTTP status of 200–399, or a TCP connection.
    Healthy,
    /// Anything else, in words.
    Unhealthy(String),
    /// 1xx with `ignoreHttp1xx`.
    Ignored,
}

/// What follows from an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The failure counts: it lies outside the grace period.
    pub failed: bool,
    /// Too many failures in a row: kill the task.
    pub kill: bool,
    /// The task became alive, or stopped being so.
    pub changed_to: Option<bool>,
}

impl Health {
    /// Whether the last result was a success.
    pub fn alive(&self) -> bool {
        match (&self.last_success, &self.last_failure) {
            (Some(success), Some(failure)) => success > failure,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Whether any result counted so far; without one the task's health is unknown.
    pub fn known(&self) -> bool {
        self.last_success.is_some() || self.last_failure.is_some()
    }

    /// Takes one outcome in. `started` is when the task began to run.
    pub fn record(
        &mut self,
        check: &HealthCheck,
        outcome: Outcome,
        started: Option<Stamp>,
        now: Stamp,
    ) -> Verdict {
        let was_alive = self.alive();
        let mut verdict = Verdict::default();
        match outcome {
            Outcome::Ignored => {}
            Outcome::Healthy => {
                self.first_success.get_or_insert(now);
                self.last_success = Some(now);
                self.consecutive_failures = 0;
            }
            Outcome::Unhealthy(cause) => {
                let grace = Duration::from_secs(check.grace_period_seconds);
                let within_grace = started.is_none_or(|started| started + grace > now);
                if self.first_success.is_none() && within_grace {
                    return verdict;
                }
                verdict.failed = true;
                // The original compares before it counts this one: killed when *more* than the maximum fail.
                let max = check.max_consecutive_failures;
                verdict.kill = max > 0 && self.consecutive_failures >= max;
                self.last_failure = Some(now);
                self.last_failure_cause = Some(cause);
                self.consecutive_failures += 1;
            }
        }
        verdict.changed_to = (self.alive() != was_alive).then(|| self.alive());
        verdict
    }

    /// One entry of `healthCheckResults`.
    pub fn to_json(&self, task: &str) -> Value {
        let mut value = json!({
            "alive": self.alive(),
            "consecutiveFailures": self.consecutive_failures,
            "firstSuccess": self.first_success,
            "lastFailure": self.last_failure,
            "lastSuccess": self.last_success,
            "taskId": task,
        });
        if let Some(cause) = &self.last_failure_cause {
            value["lastFailureCause"] = json!(cause);
        }
        value
    }
}

/// Makes one check.
pub async fn check(check: &HealthCheck, host: &str, ports: &[u16]) -> Outcome {
    let Some(port) = check.target(ports) else {
        return Outcome::Unhealthy("Task has no such port".to_owned());
    };
    let timeout = Duration::from_secs(check.timeout_seconds);
    let attempt = async {
        match check.protocol.as_str() {
            "TCP" => TcpStream::connect((host, port))
                .await
                .map(|_| 200)
                .map_err(|error| error.to_string()),
            _ => http_status(host, port, check.path.as_deref().unwrap_or("/")).await,
        }
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(Ok(100..=199)) if check.ignore_http1xx => Outcome::Ignored,
        Ok(Ok(200..=399)) => Outcome::Healthy,
        Ok(Ok(status)) => Outcome::Unhealthy(format!("HTTP status {status}")),
        Ok(Err(error)) => Outcome::Unhealthy(format!("{host}:{port}: {error}")),
        Err(_) => Outcome::Unhealthy(format!("{host}:{port}: no answer within {timeout:?}")),
    }
}

async fn http_status(host: &str, port: u16, path: &str) -> Result<u16, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| words(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| words(&error))?;
    let driver = tokio::spawn(connection);
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let request = Request::get(path)
        .header("host", format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| words(&error))?;
    let status = sender
        .send_request(request)
        .await
        .map(|response| response.status().as_u16());
    driver.abort();
    status.map_err(|error| words(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(grace: u64, max: u32) -> HealthCheck {
        HealthCheck {
            grace_period_seconds: grace,
            max_consecutive_failures: max,
            ..HealthCheck::default()
        }
    }

    fn at(second: u64) -> Stamp {
        Stamp::EPOCH + Duration::from_secs(second)
    }

    fn failure() -> Outcome {
        Outcome::Unhealthy("refused".to_owned())
    }

    #[test]
    fn failures_before_the_first_success_are_ignored_within_the_grace_period() {
        let mut health = Health::default();
        let check = rule(10, 3);
        assert_eq!(health.record(&check, failure(), None, at(5)), Verdict::default());
        assert_eq!(
            health.record(&check, failure(), Some(at(0)), at(9)),
            Verdict::default()
        );
        assert!(!health.known());
        assert!(health.record(&check, failure(), Some(at(0)), at(10)).failed);
        assert!(health.known());
        assert!(!health.alive());
    }

    #[test]
    fn a_success_ends_the_grace_period() {
        let mut health = Health::default();
        let check = rule(1000, 1);
        let verdict = health.record(&check, Outcome::Healthy, Some(at(0)), at(1));
        assert_eq!(verdict.changed_to, Some(true));
        let verdict = health.record(&check, failure(), Some(at(0)), at(2));
        assert_eq!(
            (verdict.failed, verdict.kill, verdict.changed_to),
            (true, false, Some(false))
        );
        assert!(health.record(&check, failure(), Some(at(0)), at(3)).kill);
    }

    #[test]
    fn killed_when_more_than_the_maximum_fail_and_never_with_zero() {
        for (max, expected) in [(3, vec![false, false, false, true, true]), (0, vec![false; 5])] {
            let mut health = Health::default();
            let kills: Vec<bool> = (0..5)
                .map(|n| {
                    health
                        .record(&rule(0, max), failure(), Some(at(0)), at(1 + n))
                        .kill
                })
                .collect();
            assert_eq!(kills, expected, "maximum {max}");
        }
    }

    #[tokio::test]
    async fn only_the_slave_s_own_port_counts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tcp = HealthCheck {
            protocol: "TCP".to_owned(),
            ..HealthCheck::default()
        };
        assert_eq!(check(&tcp, "127.0.0.1", &[port]).await, Outcome::Healthy);
        drop(listener);
        assert!(matches!(
            check(&tcp, "127.0.0.1", &[port]).await,
            Outcome::Unhealthy(_)
        ));
        assert!(matches!(
            check(&tcp, "127.0.0.1", &[]).await,
            Outcome::Unhealthy(_)
        ));
        assert!(matches!(
            check(&tcp, "no-such-slave.invalid", &[port]).await,
            Outcome::Unhealthy(_)
        ));
    }
}
