//! The loop: every event about a cloud ends in a pass for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource as _, ResourceExt as _};

use super::stores::Stores;
use super::{Context, Error, Guarded, events, reconcile};
use crate::cloud::names::MANAGER;
use crate::leader::Watches;
use crate::leader::closed_election::ClosedElections;
use crate::runtime::metrics::Metrics;

/// Passes at the same time. Each is a handful of requests; more would only make the API server queue them.
const CONCURRENCY: u16 = 8;
/// Pause after a failed pass: doubled after each further failure, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// Everything is looked at again after this time, plus up to a tenth, though nothing happened.
const RESYNC: Duration = Duration::from_secs(600);
/// The same while a cloud is not ready: no event tells that a disk is lost, or when somebody has had enough time.
const WATCHFUL: Duration = Duration::from_secs(15);
/// The same while nobody is to lead: it ends when enough replicas vote, which no event tells either.
const PRESSING: Duration = Duration::from_millis(100);

/// What the loop is given.
pub struct Settings {
    /// Image of this program.
    pub operator_image: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Name of this process in events, such as its pod's.
    pub instance: Option<String>,
}

/// Runs until `shutdown` completes. `ready` is called once every watch has delivered what there is.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    ready: impl FnOnce() + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (stores, streams) = Stores::new(&client);
    let (leaders, elections) = Watches::new();
    let controller = Controller::for_stream(streams.clouds, stores.clouds.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(streams.touched)
        .reconcile_on(elections)
        .graceful_shutdown_on(shutdown);
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: settings.instance,
    };
    let context = Arc::new(Looping {
        failures: Mutex::default(),
        context: Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            stores,
            leaders,
            closed_elections: ClosedElections::default(),
            metrics,
            operator_image: settings.operator_image,
            cluster_domain: settings.cluster_domain,
        },
    });
    let waiting = context.clone();
    let deliver = async move {
        waiting.context.stores.delivered().await;
        tracing::info!("every watch has delivered, ready");
        ready();
    };
    let passes = controller
        .run(one, failed, context.clone())
        .for_each(move |result| {
            if let Err(ControllerError::ObjectNotFound(gone)) = &result {
                context.forget(gone);
            }
            futures::future::ready(())
        });
    let delivering = tokio::spawn(deliver);
    passes.await;
    delivering.abort();
}

/// The context, and what is remembered between passes.
struct Looping {
    context: Context,
    /// Failed passes in a row, by cloud.
    failures: Mutex<HashMap<ObjectRef<Guarded>, u32>>,
}

impl Looping {
    fn forget<K: kube::runtime::reflector::Lookup>(&self, gone: &ObjectRef<K>) {
        let Some(namespace) = &gone.namespace else { return };
        let cloud = ObjectRef::new(&gone.name).within(namespace);
        self.context.leaders.forget(&cloud);
        self.context.closed_elections.forget(&cloud);
        self.context.metrics.forget(namespace, &gone.name);
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&cloud);
    }
}

async fn one(object: Arc<Guarded>, looping: Arc<Looping>) -> Result<Action, Error> {
    let ctx = &looping.context;
    // A pass on half-filled stores would take what it does not see for gone.
    ctx.stores.delivered().await;
    let cloud = match &object.0 {
        Ok(cloud) => cloud,
        Err(invalid) => {
            tracing::warn!(namespace = object.namespace().unwrap_or_default(), name = %object.name_any(), error = %invalid.error, "unreadable MesosCloud");
            let note = format!(
                "this MesosCloud cannot be read and is left as it is: {}",
                invalid.error
            );
            events::publish(&ctx.recorder, object.as_ref(), "Unreadable", true, note).await;
            return Ok(Action::await_change());
        }
    };
    if cloud.meta().deletion_timestamp.is_some() {
        // Its objects go with it, by their owner references.
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let result = reconcile(ctx, cloud).await;
    ctx.metrics
        .observe_pass(started.elapsed(), result.as_ref().err().map(Error::step));
    let reference = ObjectRef::from_obj(object.as_ref());
    let pause = match result? {
        true => RESYNC,
        false if ctx.closed_elections.is_pressing(&reference) => PRESSING,
        false => WATCHFUL,
    };
    looping
        .failures
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&reference);
    Ok(Action::requeue(
        pause + pause.mul_f64(rand::random::<f64>() / 10.0),
    ))
}

fn failed(
    object: Arc<DeserializeGuard<mesoscloud_crds::MesosCloud>>,
    error: &Error,
    looping: Arc<Looping>,
) -> Action {
    let reference = ObjectRef::from_obj(object.as_ref());
    let mut failures = looping.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(reference.clone()).or_default();
    let pause = BACKOFF
        .0
        .saturating_mul(2_u32.saturating_pow(*count))
        .min(BACKOFF.1);
    *count = count.saturating_add(1);
    tracing::warn!(cloud = %reference, %error, ?pause, "pass failed");
    Action::requeue(pause)
}
