//! Deployments: every change of an app is one, and an app in a deployment is locked (`DeploymentPlan.scala`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// What is done to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A new app.
    Start,
    /// Only the number of instances changed.
    Scale,
    /// All tasks are replaced.
    Restart,
    /// The app was deleted.
    Stop,
}

/// A change under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Id.
    pub id: String,
    /// The version the change leads to.
    pub version: String,
    /// The app and what is done to it. One deployment may change several.
    pub actions: Vec<(String, Kind)>,
}

impl Deployment {
    /// A new deployment.
    pub fn new(version: &str, actions: Vec<(String, Kind)>) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            version: version.to_owned(),
            actions,
        }
    }

    /// Whether it changes this app.
    pub fn affects(&self, app: &str) -> bool {
        self.actions.iter().any(|(id, _)| id == app)
    }

    fn steps(&self) -> Vec<Vec<Value>> {
        let step = |wanted: &[Kind], name: &str| -> Vec<Value> {
            let chosen = self.actions.iter().filter(|(_, kind)| wanted.contains(kind));
            chosen
                .map(|(app, _)| json!({"action": name, "app": app}))
                .collect()
        };
        let steps = [
            step(&[Kind::Stop], "StopApplication"),
            step(&[Kind::Start], "StartApplication"),
            step(&[Kind::Start, Kind::Scale], "ScaleApplication"),
            step(&[Kind::Restart], "RestartApplication"),
        ];
        steps.into_iter().filter(|step| !step.is_empty()).collect()
    }

    /// The deployment as `/v2/deployments` shows it.
    pub fn to_json(&self) -> Value {
        let steps = self.steps();
        json!({
            "id": self.id,
            "version": self.version,
            "affectedApps": self.actions.iter().map(|(app, _)| app).collect::<Vec<_>>(),
            "steps": steps,
            "currentActions": steps.last(),
            // Starting an app without tasks takes no time, so the last step is always the present one.
            "currentStep": steps.len(),
            "totalSteps": steps.len(),
        })
    }

    /// The plan part of its events.
    pub fn plan(&self) -> Value {
        let steps: Vec<Value> = self
            .steps()
            .into_iter()
            .map(|actions| json!({"actions": actions}))
            .collect();
        json!({"id": self.id, "version": self.version, "steps": steps})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_app_is_started_and_scaled() {
        let deployment = Deployment::new("v", vec![("/a".to_owned(), Kind::Start)]);
        let shown = deployment.to_json();
        assert_eq!(shown["affectedApps"], json!(["/a"]));
        assert_eq!(shown["totalSteps"], 2);
        assert_eq!(
            shown["currentActions"],
            json!([{"action": "ScaleApplication", "app": "/a"}])
        );
        assert!(deployment.affects("/a") && !deployment.affects("/b"));
    }
}
