//! What the leading master knows of slaves, frameworks and tasks. In memory: a new leader learns it from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::wire::{FrameworkEvent, Register, Resources, RunningTask, SlaveCommand};

/// Everything, behind one lock that is never held across a wait.
#[derive(Default)]
pub struct Cluster(Mutex<State>);

/// The state.
#[derive(Default)]
pub struct State {
    /// By id.
    pub slaves: BTreeMap<String, Slave>,
    /// By id.
    pub frameworks: BTreeMap<String, Framework>,
    /// Slaves of the registry that have not come back since this master was elected.
    pub recovered: BTreeSet<String>,
    /// Slaves that were removed and may not come back.
    pub removed: BTreeSet<String>,
    /// Frameworks that were away for too long and may not come back.
    pub completed: BTreeSet<String>,
    /// Offers that are out, by id.
    pub offers: BTreeMap<String, Outstanding>,
    /// News of tasks for frameworks that are away, which a slave of the original would repeat.
    pub undelivered: BTreeMap<String, Vec<FrameworkEvent>>,
    counter: u64,
}

/// To a slave or a framework.
pub struct Connection<T> {
    /// Which of its connections: the end of an old one does not touch a newer one.
    pub number: u64,
    /// To it.
    pub sender: UnboundedSender<T>,
}

/// A slave.
pub struct Slave {
    /// As it registered.
    pub info: Register,
    /// To it; `None` while it is disconnected.
    pub commands: Option<Connection<SlaveCommand>>,
    /// Since when it is disconnected.
    pub gone_since: Option<Instant>,
    /// Its tasks, by id.
    pub tasks: BTreeMap<String, RunningTask>,
    /// Seconds since the epoch.
    pub registered_time: f64,
}

/// A framework.
pub struct Framework {
    /// Its name.
    pub name: String,
    /// Its hostname.
    pub hostname: String,
    /// Its own pages.
    pub webui_url: String,
    /// How long it may be away, in seconds.
    pub failover_timeout: f64,
    /// To it; `None` while it is away.
    pub events: Option<Connection<FrameworkEvent>>,
    /// Since when it is away.
    pub gone_since: Option<Instant>,
    /// Slaves that it does not want offered before this time.
    pub filters: BTreeMap<String, Instant>,
    /// Seconds since the epoch.
    pub registered_time: f64,
}

/// An offer that is out.
pub struct Outstanding {
    /// To whom.
    pub framework: String,
    /// Of which slave.
    pub slave: String,
    /// What.
    pub resources: Resources,
}

impl Cluster {
    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// For a new id: 0, 1 …
    pub fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter - 1
    }

    /// What a slave has left: neither used by a task nor on offer.
    pub fn free(&self, id: &str) -> Option<Resources> {
        let slave = self.slaves.get(id)?;
        let used = slave.tasks.values().map(|running| &running.task.resources);
        let offered = self.offers.values().filter(|offer| offer.slave == id);
        let taken = used.chain(offered.map(|offer| &offer.resources));
        Some(taken.fold(slave.info.resources.clone(), |left, taken| less(&left, taken)))
    }

    /// A task and the slave that runs it.
    pub fn task(&self, framework: &str, id: &str) -> Option<(&String, &Slave, &RunningTask)> {
        self.slaves.iter().find_map(|(slave_id, slave)| {
            let task = slave
                .tasks
                .get(id)
                .filter(|task| task.framework_id == framework)?;
            Some((slave_id, slave, task))
        })
    }

    /// The ids of a framework's tasks.
    pub fn tasks_of(&self, framework: &str) -> Vec<String> {
        let tasks = self.slaves.values().flat_map(|slave| &slave.tasks);
        tasks
            .filter(|(_, task)| task.framework_id == framework)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Tells a framework something; whether it is there to hear it.
    pub fn tell(&self, framework: &str, event: FrameworkEvent) -> bool {
        let events = self
            .frameworks
            .get(framework)
            .and_then(|framework| framework.events.as_ref());
        events.is_some_and(|events| events.sender.send(event).is_ok())
    }

    /// Tells a framework what became of a task.
    pub fn tell_task(&self, framework: &str, slave: Option<&str>, task: &str, state: &str, message: &str) {
        let update = FrameworkEvent::Update {
            task_id: task.to_owned(),
            slave_id: slave.map(str::to_owned),
            state: state.to_owned(),
            message: message.to_owned(),
        };
        self.tell(framework, update);
    }

    /// Tells a slave something, if it is there.
    pub fn command(&self, slave: &str, command: SlaveCommand) -> bool {
        let commands = self.slaves.get(slave).and_then(|slave| slave.commands.as_ref());
        commands.is_some_and(|commands| commands.sender.send(command).is_ok())
    }

    /// Forgets a slave: its tasks are lost.
    pub fn remove_slave(&mut self, id: &str, why: &str) {
        self.recovered.remove(id);
        self.removed.insert(id.to_owned());
        self.offers.retain(|_, offer| offer.slave != id);
        tracing::info!("Removed slave {id}: {why}");
        for (task_id, task) in self
            .slaves
            .remove(id)
            .map(|slave| slave.tasks)
            .into_iter()
            .flatten()
        {
            self.tell_task(&task.framework_id, Some(id), &task_id, "TASK_LOST", why);
        }
    }
}

/// `left` without `taken`.
fn less(left: &Resources, taken: &Resources) -> Resources {
    let mut ports = left.ports.clone();
    for (begin, end) in &taken.ports {
        ports = ports
            .into_iter()
            .flat_map(|(b, e)| {
                if *end < b || *begin > e {
                    return vec![(b, e)];
                }
                let before = (*begin > b).then(|| (b, begin - 1));
                let after = (*end < e).then(|| (end + 1, e));
                before.into_iter().chain(after).collect()
            })
            .collect();
    }
    let minus = |a: f64, b: f64| ((a - b) * 1000.0).round().max(0.0) / 1000.0;
    Resources {
        cpus: minus(left.cpus, taken.cpus),
        mem: minus(left.mem, taken.mem),
        disk: minus(left.disk, taken.disk),
        ports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_missing() {
        let all = Resources {
            cpus: 1.0,
            mem: 512.0,
            disk: 100.0,
            ports: vec![(31000, 31010)],
        };
        let task = Resources {
            cpus: 0.1,
            mem: 64.0,
            disk: 0.0,
            ports: vec![(31003, 31003), (31010, 31010)],
        };
        let left = less(&all, &task);
        let expected = Resources {
            cpus: 0.9,
            mem: 448.0,
            disk: 100.0,
            ports: vec![(31000, 31002), (31004, 31009)],
        };
        assert_eq!(left, expected);
    }
}
