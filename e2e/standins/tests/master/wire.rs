//! Slaves and frameworks that do nothing by themselves.

use std::collections::BTreeMap;

use hyper::Method;
use mesoscloud_standins::wire::{
    Accept, FrameworkEvent, Offer, Reconcile, Register, Registered, Resources, SlaveCommand, Subscribe,
    TaskInfo, TaskUpdate,
};

use crate::support::{Lines, Master, post};

pub fn resources(cpus: f64, ports: &[(u16, u16)]) -> Resources {
    Resources {
        cpus,
        mem: 512.0,
        disk: 0.0,
        ports: ports.to_vec(),
    }
}

pub fn registration() -> Register {
    Register {
        id: None,
        hostname: "s1".to_owned(),
        ip: "10.0.0.9".to_owned(),
        port: 5051,
        resources: Resources {
            mem: 1024.0,
            ..resources(2.0, &[(31000, 31009)])
        },
        attributes: BTreeMap::from([("rack".to_owned(), "r1".to_owned())]),
        tasks: Vec::new(),
    }
}

/// A slave that does nothing by itself.
pub struct Slave {
    pub id: String,
    master: String,
    pub commands: Lines,
}

impl Slave {
    pub async fn register(master: &Master, registration: &Register) -> Self {
        let answer = post(&master.address, "/standin/slaves", registration).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let Registered { id } = serde_json::from_str(&answer.body).unwrap();
        let path = format!("/standin/slaves/{id}/commands");
        Self {
            id,
            master: master.address.clone(),
            commands: Lines::open(Method::GET, &master.address, &path, &()).await,
        }
    }

    pub async fn launched(&mut self) -> TaskInfo {
        let launch = |command| match command {
            SlaveCommand::Launch { task, .. } => Some(task),
            _ => None,
        };
        self.commands.hears("a task to launch", launch).await
    }

    pub async fn reports(&self, framework: &str, task: &str, state: &str) {
        let update = TaskUpdate {
            framework_id: framework.to_owned(),
            task_id: task.to_owned(),
            state: state.to_owned(),
            message: "by the slave".to_owned(),
        };
        let path = format!("/standin/slaves/{}/updates", self.id);
        assert_eq!(post(&self.master, &path, &update).await.status, 200);
    }
}

pub fn subscription(id: Option<&str>, failover_timeout: f64) -> Subscribe {
    Subscribe {
        id: id.map(str::to_owned),
        name: "marathon".to_owned(),
        hostname: "f1".to_owned(),
        webui_url: "http://f1:8080".to_owned(),
        failover_timeout,
    }
}

/// A framework that does nothing by itself.
pub struct Framework {
    pub id: String,
    master: String,
    pub events: Lines,
}

impl Framework {
    pub async fn subscribe(master: &Master, subscription: &Subscribe) -> Self {
        let path = "/standin/frameworks";
        let mut events = Lines::open(Method::POST, &master.address, path, subscription).await;
        let subscribed = |event| match event {
            FrameworkEvent::Subscribed { framework_id, .. } => Some(framework_id),
            _ => None,
        };
        Self {
            id: events.hears("it is subscribed", subscribed).await,
            master: master.address.clone(),
            events,
        }
    }

    pub async fn offer(&mut self) -> Offer {
        let offer = |event| match event {
            FrameworkEvent::Offers { mut offers } => offers.pop(),
            _ => None,
        };
        self.events.hears("an offer", offer).await
    }

    /// Task, state and the master's or the slave's words.
    pub async fn update(&mut self) -> (String, String, String) {
        let update = |event| match event {
            FrameworkEvent::Update {
                task_id,
                state,
                message,
                ..
            } => Some((task_id, state, message)),
            _ => None,
        };
        self.events.hears("an update", update).await
    }

    pub async fn hears_state(&mut self, task: &str, state: &str) {
        let update = self.update().await;
        assert_eq!(
            (update.0.as_str(), update.1.as_str()),
            (task, state),
            "{update:?}"
        );
    }

    pub async fn call(&self, verb: &str, body: &impl serde::Serialize) {
        let path = format!("/standin/frameworks/{}/{verb}", self.id);
        assert_eq!(post(&self.master, &path, body).await.status, 200);
    }

    pub async fn launch(&mut self, task: &TaskInfo) -> Offer {
        let offer = self.offer().await;
        let tasks = vec![task.clone()];
        let offer_id = offer.id.clone();
        self.call("accept", &Accept { offer_id, tasks }).await;
        offer
    }

    pub async fn reconcile(&self, tasks: &[&str]) {
        let task_ids = tasks.iter().map(|task| (*task).to_owned()).collect();
        self.call("reconcile", &Reconcile { task_ids }).await;
    }
}

pub fn task(id: &str, port: u16) -> TaskInfo {
    TaskInfo {
        id: id.to_owned(),
        name: "app".to_owned(),
        resources: resources(0.5, &[(port, port)]),
        ..TaskInfo::default()
    }
}
