//! Why a slave cannot start on its node, in a form that the operator reads.

use serde::Serialize;

/// One finding. Written as JSON where Kubernetes keeps a container's last words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// One word for the condition of the cloud's status.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// What can be done about it.
    pub remedy: String,
}

impl Failure {
    /// A finding.
    pub fn new(reason: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}
