//! Environment → flags → settings, as Marathon 1.1.1's launcher (`bin/marathon-framework @ v1.1.1:63-65`) and its
//! command line parser do it: **every** `MARATHON_*` variable becomes a flag, and an unknown flag ends it. That is
//! what catches a Kubernetes Service named `marathon`, whose links inject `MARATHON_PORT=tcp://…`.

use std::collections::BTreeMap;
use std::time::Duration;

/// Flags with a value (`MarathonConf`, `ZookeeperConf`, chaos' `HttpConf` and their parts @ v1.1.1).
const VALUES: &[&str] = &[
    "access_control_allow_origin",
    "artifact_store",
    "assets_path",
    "decline_offer_duration",
    "default_accepted_resource_roles",
    "enable_features",
    "env_vars_prefix",
    "event_stream_max_outstanding_messages",
    "event_subscriber",
    "executor",
    "failover_timeout",
    "framework_name",
    "hostname",
    "http_address",
    "http_credentials",
    "http_endpoints",
    "http_event_callback_slow_consumer_timeout",
    "http_max_concurrent_requests",
    "http_port",
    "http_realm",
    "https_address",
    "https_port",
    "internal_store_backend",
    "kill_batch_cycle",
    "kill_batch_size",
    "launch_queue_request_timeout",
    "launch_token_refresh_interval",
    "launch_tokens",
    "leader_proxy_connection_timeout",
    "leader_proxy_read_timeout",
    "local_port_max",
    "local_port_min",
    "logging_level",
    "marathon_store_timeout",
    "master",
    "max_apps",
    "max_queued_root_group_updates",
    "max_tasks_per_offer",
    "mesos_authentication_principal",
    "mesos_authentication_secret_file",
    "mesos_leader_ui_url",
    "mesos_role",
    "mesos_user",
    "min_revive_offers_interval",
    "offer_matching_timeout",
    "on_elected_prepare_timeout",
    "plugin_conf",
    "plugin_dir",
    "reconciliation_initial_delay",
    "reconciliation_interval",
    "reporter_datadog",
    "reporter_graphite",
    "revive_offers_repetitions",
    "save_tasks_to_launch_timeout",
    "scale_apps_initial_delay",
    "scale_apps_interval",
    "ssl_keystore_password",
    "ssl_keystore_path",
    "task_launch_confirm_timeout",
    "task_launch_timeout",
    "task_lost_expunge_gc",
    "task_lost_expunge_initial_delay",
    "task_lost_expunge_interval",
    "task_operation_notification_timeout",
    "task_reservation_timeout",
    "webui_url",
    "zk",
    "zk_compression_threshold",
    "zk_max_versions",
    "zk_session_timeout",
    "zk_timeout",
];

/// Flags without a value; most also exist with `disable_`.
const SWITCHES: &[&str] = &[
    "checkpoint",
    "disable_checkpoint",
    "disable_ha",
    "disable_http",
    "disable_http_compression",
    "disable_metrics",
    "disable_revive_offers_for_new_apps",
    "disable_store_cache",
    "disable_tracing",
    "disable_zk_compression",
    "ha",
    "help",
    "http_compression",
    "metrics",
    "revive_offers_for_new_apps",
    "store_cache",
    "tracing",
    "version",
    "zk_compression",
];

/// Flags whose effect the stand-in does not have; ignoring them would be kinder than the original.
const NOT_DONE: &[&str] = &[
    "disable_ha",
    "disable_http",
    "http_credentials",
    "ssl_keystore_path",
    "env_vars_prefix",
];

/// What the stand-in uses of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `zk://…` or `host:port` of the Mesos masters.
    pub master: String,
    /// `zk://…` of the own state.
    pub zk: String,
    /// Advertised name.
    pub hostname: String,
    /// Address to listen on.
    pub http_address: String,
    /// Port to listen on and to advertise.
    pub http_port: u16,
    /// Name of the framework.
    pub framework_name: String,
    /// Asked for when a session is made; the server may shorten it.
    pub zk_session_timeout: Duration,
    /// A standby's patience when it connects to the leader.
    pub proxy_connect: Duration,
    /// A standby's patience between two bytes from the leader.
    pub proxy_read: Duration,
    /// Handed to the master when the framework registers.
    pub failover_timeout: f64,
    /// A task that is not running after this is killed.
    pub task_launch_timeout: Duration,
}

/// The launcher: each `MARATHON_NAME=a b` becomes `--name a b`.
pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut variables: Vec<(String, String)> = variables
        .filter_map(|(name, value)| {
            let flag = name.strip_prefix("MARATHON_")?;
            (!name.starts_with("MARATHON_APP")).then(|| (flag.to_lowercase(), value))
        })
        .collect();
    variables.sort();
    variables
        .into_iter()
        .flat_map(|(flag, value)| {
            std::iter::once(format!("--{flag}"))
                .chain(value.split_whitespace().map(str::to_owned))
                .collect::<Vec<_>>()
        })
        .collect()
}

impl Settings {
    /// The command line parser. `hostname` is the machine's own name.
    pub fn parse(arguments: &[String], hostname: &str) -> Result<Self, String> {
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let mut words = arguments.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                return Err(format!("Excess arguments provided: '{word}'"));
            };
            let value = if VALUES.contains(&flag) {
                words
                    .next_if(|next| !next.starts_with("--"))
                    .ok_or_else(|| format!("Wrong format for option '{flag}': you should provide exactly one argument for this option"))?
            } else if SWITCHES.contains(&flag) {
                ""
            } else {
                return Err(format!("Unknown option '{flag}'"));
            };
            given.insert(flag, value);
        }
        if let Some(flag) = NOT_DONE.iter().find(|flag| given.contains_key(**flag)) {
            return Err(format!("Option '{flag}' is not done by the stand-in"));
        }

        let text = |flag: &str, default: &str| given.get(flag).map_or(default, |value| value).to_owned();
        let number = |flag: &str, default: u64| match given.get(flag) {
            Some(value) => value.parse::<u64>().map_err(|_| {
                format!("Bad arguments for option '{flag}': '{value}' - wrong arguments format")
            }),
            None => Ok(default),
        };
        let millis = |flag: &str, default| number(flag, default).map(Duration::from_millis);
        let master = given.get("master").ok_or("Required option 'master' not found")?;
        let zk = text("zk", "zk://localhost:2181/marathon");
        if !is_zk_url(&zk) {
            return Err(format!("Validation failure for 'zk' option parameters: {zk}"));
        }
        let port = number("http_port", 8080)?;
        Ok(Self {
            master: (*master).to_owned(),
            zk,
            hostname: text("hostname", hostname),
            http_address: text("http_address", "0.0.0.0"),
            http_port: u16::try_from(port)
                .map_err(|_| format!("Bad arguments for option 'http_port': '{port}'"))?,
            framework_name: text("framework_name", "marathon"),
            zk_session_timeout: millis("zk_session_timeout", 10_000)?,
            proxy_connect: millis("leader_proxy_connection_timeout", 5_000)?,
            proxy_read: millis("leader_proxy_read_timeout", 10_000)?,
            #[allow(clippy::cast_precision_loss)] // seconds
            failover_timeout: number("failover_timeout", 604_800)? as f64,
            task_launch_timeout: millis("task_launch_timeout", 300_000)?,
        })
    }

    /// `hostname:port`: what the election node holds.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.hostname, self.http_port)
    }
}

/// `zk://host:port[,host:port…]/path`; ports and path are required (`ZookeeperConf.scala @ v1.1.1`).
fn is_zk_url(url: &str) -> bool {
    let Some((hosts, path)) = url.strip_prefix("zk://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    !path.is_empty()
        && hosts.split(',').all(|host| {
            host.rsplit_once(':')
                .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::parse(&from_environment(variables), "box")
    }

    const MASTER: (&str, &str) = ("MARATHON_MASTER", "zk://zk1:2181/mesos");

    #[test]
    fn variables_become_flags() {
        let settings = parse(&[
            MASTER,
            ("MARATHON_ZK", "zk://zk1:2181,zk2:2181/marathon/my_marathon"),
            ("MARATHON_HOSTNAME", "10.0.0.1"),
            ("MARATHON_HTTP_PORT", "8081"),
            ("MARATHON_CHECKPOINT", ""),
            ("MARATHON_APP_VERSION", "ignored by the launcher"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(settings.host_port(), "10.0.0.1:8081");
        assert_eq!(settings.zk, "zk://zk1:2181,zk2:2181/marathon/my_marathon");
        assert_eq!(settings.zk_session_timeout, Duration::from_secs(10));
        assert_eq!(parse(&[MASTER]).unwrap().host_port(), "box:8080");
    }

    #[test]
    fn a_service_link_is_an_unknown_flag() {
        for variable in ["MARATHON_PORT", "MARATHON_SERVICE_HOST", "MARATHON_PORT_8080_TCP"] {
            let error = parse(&[MASTER, (variable, "tcp://10.0.0.1:8080")]).unwrap_err();
            assert!(error.starts_with("Unknown option"), "{error}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [
            vec![],
            vec![MASTER, ("MARATHON_HTTP_PORT", "tcp://x")],
            vec![MASTER, ("MARATHON_HTTP_PORT", "99999")],
            vec![MASTER, ("MARATHON_FRAMEWORK_NAME", "two words")],
            vec![MASTER, ("MARATHON_FRAMEWORK_NAME", "")],
            vec![MASTER, ("MARATHON_ZK", "zk://zk1/marathon")],
            vec![MASTER, ("MARATHON_ZK", "zk://zk1:2181/")],
            vec![MASTER, ("MARATHON_HTTP_CREDENTIALS", "a:b")],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
