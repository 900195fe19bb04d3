//! A master's flags (src/master/flags.cpp, main.cpp @ 0.28.1).

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::flags::{Flags, boolean, duration};
use crate::zk_url::ZkUrl;

/// Known flags that must be durations, whether the stand-in has their effect or not.
const DURATIONS: &[&str] = &[
    "allocation_interval",
    "offer_timeout",
    "registry_fetch_timeout",
    "registry_store_timeout",
    "slave_ping_timeout",
    "slave_reregister_timeout",
    "zk_session_timeout",
];

/// Known flags that must be booleans.
const BOOLEANS: &[&str] = &[
    "authenticate",
    "authenticate_http",
    "authenticate_slaves",
    "hostname_lookup",
    "initialize_driver_logging",
    "log_auto_initialize",
    "quiet",
    "registry_strict",
    "root_submissions",
    "version",
];

/// Known flags that must be whole numbers.
const NUMBERS: &[&str] = &[
    "logbufsecs",
    "max_completed_frameworks",
    "max_completed_tasks_per_framework",
    "max_executors_per_slave",
    "max_slave_ping_timeouts",
    "quorum",
];

/// A master's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the masters meet.
    pub zk: ZkUrl,
    /// How many replicas of the log make a decision.
    pub quorum: usize,
    /// Where the replica is kept.
    pub work_dir: PathBuf,
    /// Address to bind, and to tell.
    pub ip: Ipv4Addr,
    /// Port to bind, and to tell.
    pub port: u16,
    /// Its name.
    pub hostname: String,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// Whether frameworks must say who they are.
    pub authenticate: bool,
    /// Slaves of the registry that are not back in this time after a change of master are removed.
    pub slave_reregister_timeout: Duration,
}

impl Settings {
    /// Reads the flags. Unknown ones are ignored.
    ///
    /// # Errors
    /// In words, when one is missing, or a known one does not parse.
    pub fn parse(flags: &Flags) -> Result<Self, String> {
        for flag in DURATIONS {
            flags.parsed(flag, |text| duration(text).map(drop))?;
        }
        for flag in BOOLEANS {
            flags.parsed(flag, boolean)?;
        }
        for flag in NUMBERS {
            flags.get(flag, 0_u32)?;
        }
        let ip: Ipv4Addr = match flags.optional("ip") {
            Some(_) => flags.get("ip", Ipv4Addr::UNSPECIFIED)?,
            None => own_address()?,
        };
        let authenticate = flags.parsed("authenticate", boolean)?.unwrap_or_default();
        if authenticate && flags.optional("credentials").is_none() {
            return Err("No credentials provided for the default 'crammd5' authenticator".to_owned());
        }
        let zk = flags.required("zk")?;
        let quorum = flags
            .optional("quorum")
            .ok_or("Need to specify --quorum for replicated log based registry when using ZooKeeper")?;
        let quorum = match quorum.parse() {
            Ok(0) | Err(_) => {
                return Err(format!(
                    "Failed to load flag 'quorum': Failed to load value '{quorum}'"
                ));
            }
            Ok(quorum) => quorum,
        };
        let work_dir = flags
            .optional("work_dir")
            .ok_or("--work_dir needed for replicated log based registry")?;
        // The shortest is 10 minutes (constants.cpp @ 0.28.1:35).
        let least = Duration::from_secs(600);
        let reregister = flags
            .parsed("slave_reregister_timeout", duration)?
            .unwrap_or(least);
        if reregister < least {
            return Err("Invalid value for --slave_reregister_timeout: Must be at least 10mins".to_owned());
        }
        Ok(Self {
            zk: ZkUrl::parse(zk)?,
            quorum,
            work_dir: work_dir.into(),
            ip,
            port: flags.get("port", 5050)?,
            // The original looks the name of its address up; without a name server that is this.
            hostname: flags.get("hostname", ip.to_string())?,
            cluster: flags.optional("cluster").map(str::to_owned),
            authenticate,
            slave_reregister_timeout: reregister,
        })
    }

    /// `ip:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }
}

/// Without `--ip` libprocess looks its own hostname up (process.cpp @ 0.28.1:916–938).
fn own_address() -> Result<Ipv4Addr, String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let found = (name.trim(), 0)
        .to_socket_addrs()
        .map_err(|error| format!("Failed to obtain the IP address for '{}': {error}", name.trim()))?;
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    };
    found
        .into_iter()
        .find_map(v4)
        .ok_or_else(|| format!("'{}' has no IPv4 address", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: [(&str, &str); 4] = [
        ("MESOS_ZK", "zk://zk1:2181/mesos"),
        ("MESOS_QUORUM", "2"),
        ("MESOS_WORK_DIR", "/w"),
        ("MESOS_IP", "10.0.0.1"),
    ];

    fn parse(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::parse(&Flags::from_environment(owned)?)
    }

    #[test]
    fn nothing_is_needed_but_the_four() {
        let settings = parse(&BASE).unwrap();
        assert_eq!((settings.quorum, settings.port), (2, 5050));
        assert_eq!(settings.hostname, "10.0.0.1");
        for missing in &BASE[..3] {
            let mut variables = BASE.to_vec();
            variables.retain(|variable| variable != missing);
            assert!(parse(&variables).is_err(), "{missing:?}");
        }
    }

    #[test]
    fn unknown_ones_are_ignored_and_known_ones_must_parse() {
        let with = |name, value| parse(&[&BASE[..], &[(name, value)]].concat());
        assert!(with("MESOS_SERVICE_HOST", "10.1.1.1").is_ok());
        assert!(with("MESOS_SLAVE_REREGISTER_TIMEOUT", "15mins").is_ok());
        for (name, value) in [
            ("MESOS_PORT", "tcp://10.1.1.1:5050"),
            ("MESOS_IP", "master1"),
            ("MESOS_QUORUM", "two"),
            ("MESOS_QUORUM", "2\n"),
            ("MESOS_ZK", "zk1:2181/mesos"),
            ("MESOS_ZK_SESSION_TIMEOUT", "10"),
            ("MESOS_SLAVE_REREGISTER_TIMEOUT", "1mins"),
            ("MESOS_QUIET", "perhaps"),
            ("MESOS_AUTHENTICATE", "true"),
            ("MESOS_CLUSTER", "file:///nonexistent"),
        ] {
            assert!(with(name, value).is_err(), "{name}={value}");
        }
    }
}
