//! How the API shows apps, tasks and Marathon itself.

use serde_json::{Value, json};

use super::app::App;
use super::leader::{Leader, State};
use super::task::Task;

/// An app with its counts, and with its tasks if asked for.
pub fn show(state: &State, app: &App, with_tasks: bool) -> Value {
    let tasks = state.tasks_of(&app.id);
    let count = |wanted: &dyn Fn(&Task) -> bool| tasks.iter().filter(|task| wanted(task)).count();
    let mut shown = app.to_json();
    shown["tasksStaged"] = json!(count(&|task| !task.running()));
    shown["tasksRunning"] = json!(count(&Task::running));
    shown["tasksHealthy"] = json!(count(&|task| task.healthy() == Some(true)));
    shown["tasksUnhealthy"] = json!(count(&|task| task.healthy() == Some(false)));
    let deployments = state
        .deployments
        .iter()
        .filter(|deployment| deployment.affects(&app.id));
    shown["deployments"] = deployments
        .map(|deployment| json!({"id": deployment.id}))
        .collect();
    if with_tasks {
        shown["tasks"] = tasks.into_iter().map(Task::to_json).collect();
        if let Some(failure) = state.failures.get(&app.id) {
            shown["lastTaskFailure"] = failure.clone();
        }
    }
    shown
}

/// One line per service port: name, port, and where its tasks are.
pub fn plain_tasks(state: &State) -> String {
    let line = |app: &App, index: usize, port: u16| {
        let tasks = state.tasks_of(&app.id).into_iter().filter(|task| task.running());
        let places: Vec<String> = tasks
            .filter_map(|task| Some(format!("{}:{}\t", task.host, task.ports.get(index)?)))
            .collect();
        format!("{}\t{port}\t{}\n", app.task_prefix(), places.concat())
    };
    state
        .apps
        .values()
        .flat_map(|app| {
            app.ports
                .iter()
                .enumerate()
                .map(|(index, port)| line(app, index, *port))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// `/v2/info`.
pub async fn info(leader: &Leader) -> Value {
    let settings = &leader.settings;
    json!({
        "name": "marathon",
        "version": "1.1.1",
        "elected": true,
        "leader": settings.host_port(),
        "frameworkId": leader.state.lock().await.framework,
        "marathon_config": {
            "master": settings.master,
            "hostname": settings.hostname,
            "framework_name": settings.framework_name,
            "failover_timeout": settings.failover_timeout,
            "ha": true,
            "checkpoint": true,
            "task_launch_timeout": settings.task_launch_timeout.as_millis(),
        },
        "zookeeper_config": {
            "zk": settings.zk,
            "zk_session_timeout": settings.zk_session_timeout.as_millis(),
        },
        "http_config": {"http_port": settings.http_port},
        "event_subscriber": null,
    })
}
