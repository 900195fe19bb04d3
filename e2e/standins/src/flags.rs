//! Mesos' flags: each is `MESOS_` and its name in capitals; a value may be `file:///path`, which is read.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// The flags of one process.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// From the environment; what does not start with `MESOS_` is left out.
    ///
    /// # Errors
    /// In words, when a file named as a value cannot be read.
    pub fn from_environment(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut flags = BTreeMap::new();
        for (name, value) in environment {
            let Some(flag) = name.strip_prefix("MESOS_") else {
                continue;
            };
            let value = match value.strip_prefix("file://") {
                Some(path) => std::fs::read_to_string(path).map_err(|e| {
                    format!(
                        "Failed to load flag '{}': Error reading file '{path}': {e}",
                        flag.to_lowercase()
                    )
                })?,
                None => value,
            };
            flags.insert(flag.to_lowercase(), value);
        }
        Ok(Self(flags))
    }

    /// A flag that must be there.
    ///
    /// # Errors
    /// In words, when it is missing.
    pub fn required(&self, name: &str) -> Result<&str, String> {
        self.0
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("Missing required option --{name}"))
    }

    /// A flag, or what it is without one.
    ///
    /// # Errors
    /// In words, when it does not parse.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|_| format!("Failed to load flag '{name}': Failed to load value '{value}'")),
        }
    }

    /// A flag as stout reads it; `None` without it.
    ///
    /// # Errors
    /// In words, when it does not parse.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        parse(value)
            .map(Some)
            .map_err(|error| format!("Failed to load flag '{name}': Failed to load value '{value}': {error}"))
    }

    /// A flag that need not be there.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// stout's durations: `5mins`, `10secs`, `1.5hrs` (stout duration.hpp @ 0.28.1).
///
/// # Errors
/// In words, when it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or("Invalid duration: no unit")?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("Invalid duration '{text}'"))?;
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

/// stout's booleans (stout flags/parse.hpp @ 0.28.1).
///
/// # Errors
/// In words, when it is none.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("Expecting a boolean (e.g., true or false)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(pairs: &[(&str, &str)]) -> Result<Flags, String> {
        Flags::from_environment(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn known_flags_must_parse_and_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hostname");
        std::fs::write(&file, "h1").unwrap();
        let value = format!("file://{}", file.display());
        let flags = flags(&[
            ("MESOS_HOSTNAME", &value),
            ("MESOS_PORT", "tcp://10.0.0.1:80"),
            ("X", "y"),
        ])
        .unwrap();
        assert_eq!(flags.optional("hostname"), Some("h1"));
        assert!(flags.get("port", 5050_u16).is_err());
        assert_eq!(flags.get("quorum", 1), Ok(1));
        assert!(flags.required("zk").is_err());
        assert_eq!(
            flags.parsed("hostname", boolean),
            Err("Failed to load flag 'hostname': Failed to load value 'h1': \
            Expecting a boolean (e.g., true or false)"
                .to_owned())
        );
        assert!(
            super::Flags::from_environment([("MESOS_ZK".to_owned(), "file:///nowhere".to_owned())]).is_err()
        );
    }

    #[test]
    fn durations_are_stout_s() {
        assert_eq!(duration("5mins"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1.5hrs"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["5", "mins", "5 fortnights", "5secs\n", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
