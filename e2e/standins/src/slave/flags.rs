//! The slave's flags (`slave/flags.cpp @ 0.28.1`): each is `MESOS_` + its upper-case name. Unknown variables are
//! ignored; a known one that does not parse ends the slave. A value may be `file:///path`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::resources::{Said, parse_attributes};
use crate::flags::Flags;
use crate::wire::Resources;

/// Known flags that must be durations, whether the stand-in has their effect or not.
const DURATIONS: &[&str] = &[
    "container_disk_watch_interval",
    "disk_watch_interval",
    "docker_remove_delay",
    "docker_stop_timeout",
    "executor_registration_timeout",
    "executor_shutdown_grace_period",
    "gc_delay",
    "oversubscribed_resources_interval",
    "perf_duration",
    "perf_interval",
    "qos_correction_interval_min",
    "recovery_timeout",
    "registration_backoff_factor",
];

/// Known flags that must be booleans.
const BOOLEANS: &[&str] = &[
    "cgroups_enable_cfs",
    "cgroups_limit_swap",
    "docker_kill_orphans",
    "enforce_container_disk_quota",
    "hostname_lookup",
    "initialize_driver_logging",
    "quiet",
    "revocable_cpu_low_priority",
    "strict",
    "switch_user",
    "systemd_enable_support",
];

/// What the stand-in does not do; ignoring it would be kinder than the original.
const NOT_DONE: &[&str] = &["docker_mesos_image", "authenticate_http", "default_role"];

/// The slave's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `zk://…` or `host:port`.
    pub master: String,
    /// Address to bind.
    pub ip: Ipv4Addr,
    /// Port to bind.
    pub port: u16,
    /// Address and port to tell the master.
    pub advertised: (Ipv4Addr, u16),
    /// Its name: where its tasks' ports are.
    pub hostname: String,
    /// What it offers.
    pub resources: Resources,
    /// What constraints look at.
    pub attributes: BTreeMap<String, String>,
    /// Where everything is kept.
    pub work_dir: PathBuf,
    /// `docker`, `mesos`.
    pub containerizers: Vec<String>,
    /// The docker program.
    pub docker: String,
    /// Its socket.
    pub docker_socket: String,
    /// Unknown containers of this slave are stopped at start.
    pub docker_kill_orphans: bool,
    /// An ended container is removed after this.
    pub docker_remove_delay: Duration,
    /// Grace of `docker stop`.
    pub docker_stop_timeout: Duration,
    /// Where a container sees its sandbox.
    pub sandbox_directory: String,
    /// Pulling and starting an executor may take so long.
    pub executor_registration_timeout: Duration,
    /// The tasks' time to end when the slave is shut down.
    pub executor_shutdown_grace_period: Duration,
    /// What executors of containers get as environment.
    pub executor_environment: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the environment.
    pub fn parse(variables: impl Iterator<Item = (String, String)>) -> Result<Self, String> {
        let variables: Vec<(String, String)> = variables.collect();
        let libprocess_ip = variables
            .iter()
            .find(|(name, _)| name == "LIBPROCESS_IP")
            .cloned();
        let flags = Known(Flags::from_environment(variables)?);
        for flag in DURATIONS {
            flags.parsed(flag, |text| parse_duration(text).map(drop))?;
        }
        for flag in BOOLEANS {
            flags.parsed(flag, parse_boolean)?;
        }
        if let Some(flag) = NOT_DONE.iter().find(|flag| flags.text(flag).is_some()) {
            return Err(format!("Flag '{flag}' is not done by the stand-in"));
        }

        let number = |flag| {
            flags.parsed(flag, |text| {
                text.parse::<u16>().map_err(|error| error.to_string())
            })
        };
        let address = |flag| {
            flags.parsed(flag, |text| {
                text.parse::<Ipv4Addr>().map_err(|error| error.to_string())
            })
        };
        let duration = |flag, default: u64| {
            flags
                .parsed(flag, parse_duration)
                .map(|found| found.unwrap_or(Duration::from_secs(default)))
        };
        let text = |flag: &str, default: &str| flags.text(flag).unwrap_or(default).to_owned();

        let master = flags.0.required("master")?.trim().to_owned();
        let work_dir = PathBuf::from(text("work_dir", "/tmp/mesos"));
        let ip = address("ip")?.unwrap_or_else(own_address);
        let port = number("port")?.unwrap_or(5051);
        let socket = text("docker_socket", "/var/run/docker.sock");
        if !socket.starts_with('/') {
            return Err(format!("Invalid Docker socket path: {socket}"));
        }
        let hostname = match flags.text("hostname") {
            Some(name) => name.to_owned(),
            None if flags.parsed("hostname_lookup", parse_boolean)? == Some(false) => ip.to_string(),
            None => own_name(),
        };
        // The one variable of the slave's own that executors get (slave/main.cpp @ 0.28.1:100-144,
        // containerizer.cpp:265-291).
        let own = libprocess_ip.unwrap_or_else(|| ("LIBPROCESS_IP".to_owned(), ip.to_string()));
        let mut executor_environment = BTreeMap::from([own]);
        let more: Option<BTreeMap<String, String>> = flags
            .parsed("executor_environment_variables", |text| {
                serde_json::from_str(text).map_err(|error| error.to_string())
            })?;
        executor_environment.extend(more.unwrap_or_default());
        executor_environment.insert("LIBPROCESS_PORT".to_owned(), "0".to_owned());

        Ok(Self {
            master,
            ip,
            port,
            advertised: (
                address("advertise_ip")?.unwrap_or(ip),
                number("advertise_port")?.unwrap_or(port),
            ),
            hostname,
            resources: flags
                .parsed("resources", Said::parse)?
                .unwrap_or_default()
                .complete(&work_dir),
            attributes: flags.parsed("attributes", parse_attributes)?.unwrap_or_default(),
            work_dir,
            containerizers: text("containerizers", "mesos")
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            docker: text("docker", "docker"),
            docker_socket: socket,
            docker_kill_orphans: flags
                .parsed("docker_kill_orphans", parse_boolean)?
                .unwrap_or(true),
            docker_remove_delay: duration("docker_remove_delay", 6 * 3600)?,
            docker_stop_timeout: duration("docker_stop_timeout", 0)?,
            sandbox_directory: text("sandbox_directory", "/mnt/mesos/sandbox"),
            executor_registration_timeout: duration("executor_registration_timeout", 60)?,
            executor_shutdown_grace_period: duration("executor_shutdown_grace_period", 5)?,
            executor_environment,
        })
    }
}

struct Known(Flags);

impl Known {
    fn text(&self, flag: &str) -> Option<&str> {
        self.0.optional(flag)
    }

    fn parsed<T>(&self, flag: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
        let Some(text) = self.text(flag) else {
            return Ok(None);
        };
        parse(text.trim())
            .map(Some)
            .map_err(|error| format!("Failed to load flag '{flag}': Failed to load value '{text}': {error}"))
    }
}

/// stout's durations: `5mins`, `10secs`, `1.5hrs`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or("Invalid duration: no unit")?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("Invalid duration '{text}'"))?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return Err(format!("Unknown duration unit '{unit}'")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("Expecting a boolean (e.g., true or false)".to_owned()),
    }
}

fn own_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Without `MESOS_IP` libprocess looks its own hostname up.
fn own_address() -> Ipv4Addr {
    use std::net::{SocketAddr, ToSocketAddrs};
    let found = (own_name().as_str(), 0).to_socket_addrs().ok();
    found
        .into_iter()
        .flatten()
        .find_map(|address| match address {
            SocketAddr::V4(address) => Some(*address.ip()),
            SocketAddr::V6(_) => None,
        })
        .unwrap_or(Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::parse(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    const BASE: [(&str, &str); 3] = [
        ("MESOS_MASTER", "zk://zk1:2181/mesos"),
        ("MESOS_IP", "10.0.0.1"),
        ("MESOS_RESOURCES", "cpus:1;mem:512;disk:1000;ports:[31000-31010]"),
    ];

    #[test]
    fn known_variables_are_read_and_unknown_ones_ignored() {
        let settings = parse(&[
            BASE[0],
            BASE[1],
            BASE[2],
            ("MESOS_HOSTNAME", "slave1"),
            ("MESOS_CONTAINERIZERS", "docker,mesos"),
            ("MESOS_EXECUTOR_REGISTRATION_TIMEOUT", "5mins"),
            ("MESOS_SYSTEMD_ENABLE_SUPPORT", "false"),
            ("MESOS_SERVICE_HOST", "10.1.1.1"),
            ("MESOS_ATTRIBUTES", "rack:r1"),
            ("LIBPROCESS_IP", "10.0.0.1"),
        ])
        .unwrap();
        assert_eq!((settings.port, settings.hostname.as_str()), (5051, "slave1"));
        assert_eq!(settings.executor_registration_timeout, Duration::from_secs(300));
        assert_eq!(settings.docker_remove_delay, Duration::from_secs(6 * 3600));
        assert_eq!(settings.containerizers, ["docker", "mesos"]);
        assert_eq!(settings.attributes["rack"], "r1");
        assert_eq!(settings.executor_environment["LIBPROCESS_IP"], "10.0.0.1");
    }

    #[test]
    fn a_known_variable_must_parse() {
        for bad in [
            ("MESOS_PORT", "tcp://10.1.1.1:5051"),
            ("MESOS_IP", "slave1"),
            ("MESOS_RESOURCES", "cpus=1"),
            ("MESOS_DOCKER_SOCKET", "docker.sock"),
            ("MESOS_GC_DELAY", "1 fortnight"),
            ("MESOS_STRICT", "perhaps"),
            ("MESOS_HOSTNAME", "file:///nonexistent"),
        ] {
            let mut variables = vec![BASE[0]];
            variables.push(bad);
            assert!(parse(&variables).is_err(), "{bad:?}");
        }
        assert!(parse(&[BASE[1]]).unwrap_err().contains("--master"));
    }

    #[test]
    fn values_come_from_files_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "172.30.0.1").unwrap();
        let value = format!("file://{}", file.path().display());
        let settings = parse(&[BASE[0], BASE[2], ("MESOS_HOSTNAME", &value)]).unwrap();
        assert_eq!(settings.hostname, "172.30.0.1");
    }

    #[test]
    fn durations_are_stout_s() {
        for (text, millis) in [
            ("5mins", 300_000),
            ("0secs", 0),
            ("1.5hrs", 5_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["5", "mins", "5 mim"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
