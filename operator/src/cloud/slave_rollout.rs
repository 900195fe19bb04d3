//! How the slaves of a node change: one after another, announced before, and never two with the same ports.
//!
//! The executors of a slave's tasks live in its container, so whatever replaces it ends them (docs/originals.md).
//! What can be done is to say so before, and to have the other slaves serve meanwhile.

use std::collections::BTreeSet;

/// What is to become of one slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is to be created.
    New,
    /// It runs, and is to be replaced by what the spec says now.
    Replaced,
}

/// One slave of each node: a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slaves {
    /// Name of the DaemonSet.
    pub name: String,
    /// What is to become of it.
    pub change: Change,
    /// Whether Kubernetes is replacing its pods.
    pub rolling: bool,
    /// Whether it serves on every node.
    pub whole: bool,
}

/// What stays as it is for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// Names of the DaemonSets.
    pub names: BTreeSet<String>,
    /// What is under way, or what it waits for; `None` when no slave changes.
    pub why: Option<String>,
}

/// In every announcement: from it one knows that it was made.
pub const ANNOUNCEMENT: &str = "one after another, and the tasks on each end with it";

/// Which of the slaves must not change now. `announced`: the cloud's status has told what is about to happen; `before`:
/// another role that changes first; `leaving`: a slave that is no longer wanted is still there, with its ports.
pub fn hold_back(slaves: &[Slaves], announced: bool, before: Option<String>, leaving: bool) -> HeldBack {
    let named = |change: Change| {
        let wanted = slaves.iter().filter(move |s| s.change == change);
        wanted.map(|s| s.name.clone())
    };
    let replaced: Vec<_> = named(Change::Replaced).collect();
    let rolling = slaves.iter().find(|s| s.rolling);
    // The shares of the ports are cut anew with each slave: a new one takes what another must have given up.
    let mut names: BTreeSet<_> = named(Change::New)
        .filter(|_| rolling.is_some() || !replaced.is_empty())
        .collect();
    let Some(first) = replaced.first() else {
        let why = rolling.map(|s| format!("{} is being replaced", s.name));
        return HeldBack { names, why };
    };
    let announcement = format!("slave: {} are replaced {ANNOUNCEMENT}", replaced.join(", "));
    // One that does not serve everywhere has less to lose, and may be what the change is to mend.
    let broken = slaves.iter().find(|s| s.change == Change::Replaced && !s.whole);
    let next = broken.map_or(first, |s| &s.name);
    let missing = slaves
        .iter()
        .find(|s| s.name != *next && s.change != Change::New && (s.rolling || !s.whole));
    let missing = missing
        .filter(|missing| broken.is_none() || missing.rolling)
        .map(|missing| missing.name.clone());
    let (goes, why) = match before.or(missing) {
        _ if !announced && broken.is_none() => (None, announcement),
        _ if leaving => (
            None,
            format!("{announcement}: waiting until the ones that go have gone"),
        ),
        Some(missing) => (None, format!("{announcement}: waiting for {missing}")),
        None => (Some(next), announcement),
    };
    names.extend(replaced.iter().filter(|name| Some(*name) != goes).cloned());
    HeldBack {
        names,
        why: Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter per slave: `s` stays, `n` is new, `c` changes; capital letters do not serve everywhere, and `r` is
    /// being replaced.
    fn slaves(text: &str) -> Vec<Slaves> {
        text.chars()
            .enumerate()
            .map(|(n, c)| Slaves {
                name: n.to_string(),
                change: match c.to_ascii_lowercase() {
                    'n' => Change::New,
                    'c' => Change::Replaced,
                    _ => Change::None,
                },
                rolling: c == 'r',
                whole: c.is_ascii_lowercase() && c != 'r' && c != 'n',
            })
            .collect()
    }

    #[test]
    fn one_after_another_and_announced() {
        // State, announced, one is leaving, names of those held back, something is under way.
        let table = [
            ("nn", false, false, "", false),
            ("ss", false, false, "", false),
            ("cc", false, false, "01", true),
            ("cc", true, false, "1", true),
            ("rc", true, false, "1", true),
            ("Sc", true, false, "1", true),
            ("sc", true, false, "", true),
            // A bad change stops at the first; the good one that follows mends it first.
            ("Cc", true, false, "1", true),
            ("cC", true, false, "0", true),
            ("CC", false, false, "1", true),
            // Ports: a new one waits for those that give some up, and those that get some for the one that goes.
            ("cn", false, false, "01", true),
            ("cn", true, false, "1", true),
            ("rn", true, false, "1", true),
            ("sn", true, false, "", false),
            ("c", true, true, "0", true),
        ];
        for (text, announced, leaving, expected, under_way) in table {
            let held = hold_back(&slaves(text), announced, None, leaving);
            let names: String = held.names.into_iter().collect();
            assert_eq!(
                (names.as_str(), held.why.is_some()),
                (expected, under_way),
                "{text}"
            );
        }
    }

    #[test]
    fn other_roles_come_first() {
        // A slave that does not serve may only miss its master, which is being replaced.
        for (text, expected) in [("cc", "01"), ("cC", "01"), ("ss", "")] {
            let held = hold_back(&slaves(text), true, Some("master".to_owned()), false);
            assert_eq!(held.names.into_iter().collect::<String>(), expected, "{text}");
        }
    }
}
