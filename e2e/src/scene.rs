//! The frame of every test: what it is given, what becomes of it when it fails, what is undone after it.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::cloud::small;
use crate::{Cloud, Cluster, Context as _, Error, Result, SAMPLE_NAME, SAMPLE_NAMESPACE};
use crate::{command, diagnostics, operator};

/// No test takes longer; one that does hangs.
pub const LIMIT: Duration = Duration::from_secs(1500);

/// What a test is given.
pub struct Scene {
    /// Name of the test, which its namespaces and its folder of diagnostics are named after.
    pub name: String,
    /// The kind cluster.
    pub cluster: Cluster,
    undo: Mutex<Vec<BoxFuture<'static, Result>>>,
}

/// Runs the steps of a test.
pub fn test(name: &str, steps: impl AsyncFnOnce(&Scene) -> Result) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let scene = Scene {
            name: name.to_owned(),
            cluster: Cluster::connect().await?,
            undo: Mutex::default(),
        };
        scene.sweep().await?;
        let started = Instant::now();
        let steps = tokio::time::timeout(LIMIT, steps(&scene));
        // A failed assertion must not skip what is to be undone.
        let outcome = AssertUnwindSafe(steps).catch_unwind().await;
        println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
        if !matches!(outcome, Ok(Ok(Ok(())))) {
            diagnostics::collect(&scene).await;
        }
        let undone = scene.undo().await;
        match outcome {
            Ok(Ok(result)) => result.and(undone),
            Ok(Err(_)) => Err(Error::new(format!("it did not end within {LIMIT:?}"))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Scene {
    /// Has this done after the test, whatever became of it; what was asked for last is done first.
    pub fn after(&self, action: impl Future<Output = Result> + Send + 'static) {
        self.undo
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(action.boxed());
    }

    /// The sample cloud, ready; created where there is none.
    pub async fn sample(&self) -> Result<Cloud> {
        let cloud = Cloud::new(&self.cluster, SAMPLE_NAMESPACE, SAMPLE_NAME);
        if cloud.api().get_opt(SAMPLE_NAME).await?.is_none() {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/cluster.yaml");
            let applied = command::kubectl(&["apply", "-f", &sample.to_string_lossy()], "").await?;
            applied
                .status
                .success()
                .then_some(())
                .context("the sample cannot be applied")?;
        }
        cloud.settled().await?;
        Ok(cloud)
    }

    /// A namespace of this test's own, deleted after it. Slaves may run in it.
    pub async fn namespace(&self) -> Result<String> {
        self.namespace_enforcing("privileged").await
    }

    /// A [`small`] cloud, with these changes, in a namespace of this test's own; ready.
    pub async fn small(&self, name: &str, changes: Value) -> Result<Cloud> {
        let cloud = Cloud::new(&self.cluster, &self.namespace().await?, name);
        cloud.create(&small(changes), false).await?;
        cloud.settled().await?;
        Ok(cloud)
    }

    /// A namespace of this test's own, deleted after it, that enforces this Pod Security Standard.
    pub async fn namespace_enforcing(&self, standard: &str) -> Result<String> {
        let name = format!("e2e-{}", self.name.replace('_', "-"));
        self.cluster.create_namespace(&name, standard).await?;
        let (cluster, doomed) = (self.cluster.clone(), name.clone());
        self.after(async move { cluster.delete_namespace(&doomed).await });
        Ok(name)
    }

    /// Undoes what an earlier test, interrupted before it could, left behind.
    async fn sweep(&self) -> Result {
        self.cluster.set_schedulable(true).await?;
        operator::scale(&self.cluster, 1).await?;
        for namespace in self.cluster.test_namespaces().await? {
            self.cluster.delete_namespace(&namespace).await?;
        }
        Ok(())
    }

    async fn undo(&self) -> Result {
        let mut outcome = Ok(());
        loop {
            let next = self.undo.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(action) = next else { return outcome };
            if let Err(error) = action.await {
                println!("{}: could not be undone: {error:?}", self.name);
                outcome = Err(error);
            }
        }
    }
}
