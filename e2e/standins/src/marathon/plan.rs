//! From what runs to what should run: which tasks of an app are killed and how many are launched now.
//!
//! The rules are those of `TaskReplaceActor.scala` and `ScaleActor` @ v1.1.1, written as a function of the present
//! instead of an actor's memory, so that a new leader goes on where the old one stopped.

use super::app::App;
use super::task::Task;

/// What one app needs now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Ids of the tasks to kill.
    pub kill: Vec<String>,
    /// How many tasks may be launched now.
    pub launch: usize,
}

/// Whether a task runs a configuration of before the app's last change.
fn outdated(app: &App, task: &Task) -> bool {
    task.version < app.version_info.last_config_change_at
}

/// What `app` needs, given its tasks. A task that was told to end counts until it has.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // shares of a small number of instances
pub fn need(app: &App, tasks: &[&Task]) -> Need {
    let instances = app.instances as usize;
    let (old, new): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| outdated(app, task));
    let strategy = &app.upgrade_strategy;
    let min_healthy = (f64::from(app.instances) * strategy.minimum_health_capacity).ceil() as usize;
    let mut capacity = (f64::from(app.instances) * (1.0 + strategy.maximum_over_capacity)) as usize;
    if capacity == instances && min_healthy == instances {
        // At least one task must be startable to get the ball rolling.
        capacity += 1;
    }

    let ready = new.iter().filter(|task| task.ready()).count();
    let mut kill = surplus(&old, min_healthy.saturating_sub(ready));
    kill.extend(surplus(&new, instances));
    let missing = instances.saturating_sub(new.len());
    let launch = if old.is_empty() {
        missing
    } else {
        missing.min(capacity.saturating_sub(tasks.len()))
    };
    Need { kill, launch }
}

/// The tasks beyond `keep` among those not told to end yet: the youngest first.
fn surplus(tasks: &[&Task], keep: usize) -> Vec<String> {
    let mut alive: Vec<&&Task> = tasks.iter().filter(|task| task.killed_at.is_none()).collect();
    alive.sort_by_key(|task| (task.started_at.is_some(), std::cmp::Reverse(task.staged_at)));
    let count = alive.len().saturating_sub(keep);
    alive
        .into_iter()
        .take(count)
        .map(|task| task.id.clone())
        .collect()
}

/// Whether nothing is left to do for `app`: the end of its deployment.
pub fn settled(app: &App, tasks: &[&Task]) -> bool {
    tasks.len() == app.instances as usize && tasks.iter().all(|task| !outdated(app, task) && task.ready())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::marathon::time::Stamp;

    const OLD: &str = "2016-04-01T12:00:00.000Z";
    const NEW: &str = "2016-04-02T12:00:00.000Z";

    fn app(instances: u32, extra: &Value) -> App {
        let mut app = App::read(
            None,
            None,
            &json!({"id": "/a", "cmd": "x", "instances": instances}),
        )
        .unwrap();
        app.version_info.last_config_change_at = NEW.to_owned();
        App::read(Some(&app), None, extra).unwrap()
    }

    fn task(id: &str, version: &str, running: bool) -> Task {
        let number = u64::from(id.as_bytes()[0]);
        let staged_at = Stamp::EPOCH + Duration::from_secs(number);
        Task {
            id: id.to_owned(),
            app: "/a".to_owned(),
            version: version.to_owned(),
            slave: "S0".to_owned(),
            host: "h".to_owned(),
            attributes: BTreeMap::new(),
            ports: Vec::new(),
            checks: Vec::new(),
            staged_at,
            started_at: running.then_some(staged_at),
            killed_at: None,
            health: Vec::new(),
        }
    }

    fn of(app: &App, tasks: &[Task]) -> (Vec<String>, usize) {
        let need = need(app, &tasks.iter().collect::<Vec<_>>());
        (need.kill, need.launch)
    }

    #[test]
    fn scaling_up_and_down() {
        let app = app(2, &json!({}));
        assert_eq!(of(&app, &[]), (vec![], 2));
        assert_eq!(of(&app, &[task("a", NEW, true)]), (vec![], 1));
        let three = [task("a", NEW, true), task("b", NEW, true), task("c", NEW, true)];
        assert_eq!(of(&app, &three), (vec!["c".to_owned()], 0));
        let staged = [task("a", NEW, false), task("b", NEW, true), task("c", NEW, true)];
        assert_eq!(of(&app, &staged), (vec!["a".to_owned()], 0));
        let mut killed = three;
        killed[2].killed_at = Some(Stamp::EPOCH);
        assert_eq!(of(&app, &killed), (vec![], 0));
    }

    #[test]
    fn a_change_starts_new_tasks_before_it_kills_old_ones() {
        let app = app(1, &json!({}));
        assert_eq!(of(&app, &[task("a", OLD, true)]), (vec![], 1));
        assert_eq!(
            of(&app, &[task("a", OLD, true), task("b", NEW, false)]),
            (vec![], 0)
        );
        let both = [task("a", OLD, true), task("b", NEW, true)];
        assert_eq!(of(&app, &both), (vec!["a".to_owned()], 0));
        assert!(!settled(&app, &both.iter().collect::<Vec<_>>()));
        assert!(settled(&app, &[&both[1]]));
    }

    #[test]
    fn without_minimum_capacity_old_tasks_go_first() {
        let strategy = json!({"upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}});
        let app = app(1, &strategy);
        assert_eq!(of(&app, &[task("a", OLD, true)]), (vec!["a".to_owned()], 0));
        assert_eq!(of(&app, &[]), (vec![], 1));
    }

    #[test]
    fn with_no_over_capacity_one_more_is_allowed() {
        let strategy = json!({"upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0}});
        let app = app(2, &strategy);
        assert_eq!(
            of(&app, &[task("a", OLD, true), task("b", OLD, true)]),
            (vec![], 1)
        );
    }
}
