//! The stand-in for a Mesos 0.28.1 master.

mod cluster;
mod election;
mod endpoints;
mod frameworks;
mod info;
mod libprocess;
mod log;
mod metrics;
mod offers;
mod recover_response;
mod settings;
mod slaves;
mod state;
mod stream;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use self::cluster::Cluster;
use self::info::MasterInfo;
use self::log::network::Network;
use self::log::replica::{KnownSlave, Replica};
use self::log::{Log, fatal};
use self::settings::Settings;
use crate::flags::Flags;
use crate::signals;

/// Real ones have their replica vote 0.2 s after their start (docs/originals.md): loading libmesos takes its time.
const START: Duration = Duration::from_millis(150);

/// How far this master is on the way to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leadership {
    /// Somebody else leads, or nobody.
    Standby,
    /// Elected; its registry is not read yet.
    Recovering,
    /// Elected and ready.
    Leading,
}

/// Everything a master consists of.
struct Master {
    settings: Settings,
    info: MasterInfo,
    started: (Instant, f64),
    /// Seconds since the epoch.
    elected_at: OnceLock<f64>,
    leader: watch::Sender<Option<MasterInfo>>,
    leadership: watch::Sender<Leadership>,
    log: Log,
    cluster: Cluster,
}

/// Runs a master until it is told to end.
pub async fn run() -> ExitCode {
    if let Err(error) = signals::end_at_once() {
        fatal(&error.to_string());
    }
    let settings = Flags::from_environment(std::env::vars()).and_then(|flags| Settings::parse(&flags));
    let settings = settings.unwrap_or_else(|error| fatal(&error));
    fatal(&work(settings).await)
}

/// Ends only in failure.
async fn work(settings: Settings) -> String {
    let own = settings.address();
    sleep(START).await;
    let port = match TcpListener::bind((settings.ip, settings.port)).await {
        Ok(port) => port,
        Err(error) => return format!("Failed to initialize: Failed to bind on {own}: {error}"),
    };
    let replica = match Replica::open(&settings.work_dir) {
        Ok(replica) => replica,
        Err(error) => return format!("Failed to recover the log: {error}"),
    };
    let master = Arc::new(Master {
        info: MasterInfo::new(&settings),
        started: (Instant::now(), seconds_since_epoch()),
        elected_at: OnceLock::new(),
        leader: watch::Sender::new(None),
        leadership: watch::Sender::new(Leadership::Standby),
        log: Log::new(replica, Network::new(own.clone()), settings.quorum),
        cluster: Cluster::default(),
        settings,
    });
    tokio::select! {
        served = endpoints::serve(port, &master) => format!("HTTP server: {served:?}"),
        error = master.log.network.follow(&master.settings.zk, &own) => error,
        error = election::contend(&master) => error,
        error = election::detect(&master) => error,
        () = async {
            master.log.recover().await;
            master.allocate().await;
        } => "The allocator ended".to_owned(),
    }
}

impl Master {
    fn elected(&self) {
        let _ = self.elected_at.set(seconds_since_epoch());
        self.leadership.send_replace(Leadership::Recovering);
    }

    fn recovered(&self, registry: &[KnownSlave]) {
        self.cluster.lock().recovered = registry.iter().map(|slave| slave.id.clone()).collect();
        self.leadership.send_replace(Leadership::Leading);
    }

    fn is_elected(&self) -> bool {
        *self.leadership.borrow() != Leadership::Standby
    }
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
