//! Points in time as Marathon writes them: `2016-04-01T12:00:00.000Z`.

use std::ops::Add;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(i64);

impl Stamp {
    /// 1970-01-01.
    #[cfg(test)]
    pub const EPOCH: Self = Self(0);

    /// The present.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// How long ago this was; zero when it is in the future.
    pub fn elapsed(self) -> Duration {
        Duration::from_millis(u64::try_from(Self::now().0 - self.0).unwrap_or(0))
    }
}

impl Add<Duration> for Stamp {
    type Output = Self;
    fn add(self, other: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(other.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(timestamp.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_in_milliseconds() {
        let stamp = Stamp::EPOCH + Duration::from_millis(1_459_512_000_007);
        assert_eq!(stamp.to_string(), "2016-04-01T12:00:00.007Z");
        assert_eq!(
            serde_json::from_str::<Stamp>("\"2016-04-01T12:00:00.007Z\"").unwrap(),
            stamp
        );
        assert_eq!(Stamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
    }
}
