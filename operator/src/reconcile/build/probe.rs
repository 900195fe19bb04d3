//! Probes, by how they ask.

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How often a probe asks, how long it waits for the answer, and after how many failures it counts. Seconds.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Seconds between two questions.
    pub period: i32,
    /// Seconds until an answer counts as missing.
    pub timeout: i32,
    /// Failures in a row that count.
    pub failures: i32,
}

/// For readiness: noticed within seconds.
pub const PROMPT: Pace = Pace {
    period: 2,
    timeout: 4,
    failures: 2,
};
/// For liveness: a restart costs a failover, so only after a minute without an answer.
pub const PATIENT: Pace = Pace {
    period: 10,
    timeout: 5,
    failures: 6,
};

/// Asks by HTTP.
pub fn http(path: &str, port: i32, pace: Pace) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        ..paced(pace)
    }
}

/// Asks by opening a connection.
pub fn tcp(port: i32, pace: Pace) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(port),
            host: None,
        }),
        ..paced(pace)
    }
}

/// Asks by running a command in the container.
pub fn exec(command: &[&str], pace: Pace) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(command.iter().map(|c| (*c).to_owned()).collect()),
        }),
        ..paced(pace)
    }
}

fn paced(pace: Pace) -> Probe {
    Probe {
        period_seconds: Some(pace.period),
        timeout_seconds: Some(pace.timeout),
        failure_threshold: Some(pace.failures),
        ..Probe::default()
    }
}
