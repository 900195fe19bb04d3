//! Proves that a cloud that is ready costs nothing: in two minutes the operator neither writes nor lists, read from
//! the API server's own audit log. Its watches may be renewed.

use std::time::Duration;

use mesoscloud_e2e::operator::{Audit, Request, mends};
use mesoscloud_e2e::{Result, test};

const IDLE: Duration = Duration::from_secs(120);

#[test]
fn a_ready_cloud_costs_no_writes_and_no_lists() -> Result {
    test("idle", async |scene| {
        let cloud = scene.sample().await?;

        // A log that does not show a write that surely happened would show nothing else either.
        let audit = Audit::now().await?;
        mends(&cloud).await?;
        let requests = audit.requests().await?;
        let mended = |r: &Request| r.writes() && r.uri.contains("/roles/");
        assert!(requests.iter().any(mended), "not in the log: {requests:#?}");

        cloud.settled().await?;
        let audit = Audit::now().await?;
        tokio::time::sleep(IDLE).await;
        let requests = audit.requests().await?;
        let costly: Vec<_> = requests
            .iter()
            .filter(|r| r.writes() || r.verb == "list")
            .collect();
        assert!(costly.is_empty(), "in {IDLE:?}: {costly:#?}");
        Ok(())
    })
}
