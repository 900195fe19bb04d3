//! A real API server, without kubelets, for tests of what the operator writes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use mesoscloud_crds::MesosCloud;
use mesoscloud_operator::reconcile::controller::{self, Settings};
use mesoscloud_operator::runtime::metrics::Metrics;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Longest wait for anything. The API server answers in milliseconds; a busy machine is slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API server and its etcd; they end with it.
pub struct ApiServer {
    process: Child,
    folder: tempfile::TempDir,
}

impl ApiServer {
    /// Starts one, with the MesosCloud definition installed. Returns a client of it too.
    pub async fn start() -> (Self, Client) {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/testbed/apiserver");
        let mut process = Command::new(script)
            .args(["run".as_ref(), folder.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = BufReader::new(process.stdout.take().unwrap()).lines().next();
        assert_eq!(ready.unwrap().unwrap(), "READY");
        let server = Self { process, folder };
        let client = server.client().await;
        let definition = mesoscloud_crds::definition();
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        let params = PatchParams::apply("test");
        definitions
            .patch("mesosclouds.mesoscloud.io", &params, &Patch::Apply(&definition))
            .await
            .unwrap();
        let established = kube::runtime::conditions::is_crd_established();
        tokio::time::timeout(
            PATIENCE,
            kube::runtime::wait::await_condition(definitions, "mesosclouds.mesoscloud.io", established),
        )
        .await
        .unwrap()
        .unwrap();
        (server, client)
    }

    async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.folder.path().join("kubeconfig")).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Its input closes, and it ends what it started.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A running operator; it ends with it.
pub struct Operator {
    _stop: oneshot::Sender<()>,
}

impl Operator {
    /// Starts one, and waits until every watch has delivered.
    pub async fn start(client: Client) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel::<()>();
        let settings = Settings {
            operator_image: "mesoscloud-operator:test".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            instance: None,
        };
        let stopped = futures::FutureExt::shared(async move { stopped.await.unwrap_or(()) });
        tokio::spawn(controller::run(
            client,
            settings,
            Arc::new(Metrics::default()),
            move || ready.send(()).unwrap_or(()),
            stopped,
        ));
        tokio::time::timeout(PATIENCE, is_ready).await.unwrap().unwrap();
        Self { _stop: stop }
    }
}

/// A cloud of this spec.
pub fn cloud(namespace: &str, name: &str, spec: Value) -> MesosCloud {
    serde_json::from_value(json!({
        "apiVersion": "mesoscloud.io/v1alpha1", "kind": "MesosCloud",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec
    }))
    .unwrap()
}

/// Makes a namespace.
pub async fn namespace(client: &Client, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    Api::<Namespace>::all(client.clone())
        .patch(name, &PatchParams::apply("test"), &Patch::Apply(namespace))
        .await
        .unwrap();
}

/// Waits, by watch, until the object of this name is as `wanted` says; returns it.
pub async fn until<K>(api: Api<K>, name: &str, what: &str, mut wanted: impl FnMut(&K) -> bool) -> K
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut objects = std::pin::pin!(watcher(api, only).default_backoff().applied_objects());
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = objects.next().await {
            let object = event.unwrap();
            if wanted(&object) {
                return Some(object);
            }
            last = Some(object);
        }
        None
    });
    match found.await {
        Ok(Some(object)) => object,
        _ => panic!("{name} never {what}; last seen: {last:#?}"),
    }
}
