//! Placement constraints (`Constraints.scala`).

use std::collections::BTreeMap;

use regex::Regex;

/// Where a task runs, or could run: the slave's hostname and attributes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The slave's `MESOS_HOSTNAME`.
    pub hostname: &'a str,
    /// The slave's attributes.
    pub attributes: &'a BTreeMap<String, String>,
}

impl<'a> Place<'a> {
    fn value(&self, field: &str) -> Option<&'a str> {
        if field == "hostname" {
            Some(self.hostname)
        } else {
            self.attributes.get(field).map(String::as_str)
        }
    }
}

#[derive(Debug, Clone)]
enum Operator {
    Unique,
    Cluster(Option<String>),
    GroupBy(usize),
    Like(Regex),
    Unlike(Regex),
}

/// One constraint.
#[derive(Debug, Clone)]
pub struct Constraint {
    field: String,
    operator: Operator,
}

impl Constraint {
    /// Reads `[field, operator]` or `[field, operator, value]`.
    pub fn parse(parts: &[String]) -> Result<Self, String> {
        let (field, name, value) = match parts {
            [field, name] => (field, name, None),
            [field, name, value] => (
                field,
                name,
                Some(value.as_str()).filter(|value| !value.is_empty()),
            ),
            _ => return Err("Constraint definition must have two or three parts".to_owned()),
        };
        let pattern = || {
            let value = value.ok_or("A regular expression value must be provided")?;
            // Java's `matches` means the whole text.
            Regex::new(&format!("^(?:{value})$"))
                .map_err(|_| format!("'{value}' is not a valid regular expression"))
        };
        let operator = match name.as_str() {
            "UNIQUE" if value.is_none() => Operator::Unique,
            "UNIQUE" => return Err("Value specified but not used".to_owned()),
            "CLUSTER" => Operator::Cluster(value.map(str::to_owned)),
            "GROUP_BY" => Operator::GroupBy(match value {
                Some(value) => value
                    .parse()
                    .map_err(|_| "Value was specified but is not a number".to_owned())?,
                None => 0,
            }),
            "LIKE" => Operator::Like(pattern()?),
            "UNLIKE" => Operator::Unlike(pattern()?),
            _ => {
                return Err(
                    "Operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE"
                        .to_owned(),
                );
            }
        };
        Ok(Self {
            field: field.clone(),
            operator,
        })
    }

    /// Whether one more task may be placed at `offer` beside those `placed` already.
    pub fn meets(&self, offer: &Place<'_>, placed: &[Place<'_>]) -> bool {
        let Some(value) = offer.value(&self.field) else {
            return matches!(self.operator, Operator::Unlike(_));
        };
        let same = |place: &Place<'_>| place.value(&self.field) == Some(value);
        match &self.operator {
            Operator::Unique => !placed.iter().any(same),
            Operator::Cluster(wanted) => {
                wanted.as_deref().is_none_or(|wanted| wanted == value) && placed.iter().all(same)
            }
            Operator::GroupBy(minimum) => {
                let mut groups: BTreeMap<Option<&str>, usize> = BTreeMap::new();
                for place in placed {
                    *groups.entry(place.value(&self.field)).or_default() += 1;
                }
                let smallest = groups.values().copied().min().unwrap_or(0);
                groups
                    .get(&Some(value))
                    .is_none_or(|count| groups.len() >= *minimum && *count == smallest)
            }
            Operator::Like(pattern) => pattern.is_match(value),
            Operator::Unlike(pattern) => !pattern.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(parts: &[&str]) -> Constraint {
        Constraint::parse(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn hostnames_and_attributes() {
        let none = BTreeMap::new();
        let rack = BTreeMap::from([("rack".to_owned(), "r1".to_owned())]);
        let a = Place {
            hostname: "a",
            attributes: &none,
        };
        let b = Place {
            hostname: "b",
            attributes: &rack,
        };
        let cases: &[(&[&str], Place<'_>, &[Place<'_>], bool)] = &[
            (&["hostname", "UNIQUE"], a, &[b], true),
            (&["hostname", "UNIQUE"], a, &[a, b], false),
            (&["hostname", "CLUSTER", "a"], a, &[], true),
            (&["hostname", "CLUSTER", "a"], b, &[], false),
            (&["rack", "CLUSTER", "r1"], b, &[], true),
            (&["rack", "CLUSTER", "r1"], a, &[], false),
            (&["rack", "CLUSTER", "r1"], b, &[a], false),
            (&["rack", "LIKE", "r[12]"], b, &[], true),
            (&["rack", "LIKE", "r"], b, &[], false),
            (&["rack", "UNLIKE", "r1"], a, &[], true),
            (&["rack", "UNLIKE", "r1"], b, &[], false),
            (&["hostname", "GROUP_BY"], a, &[a, b, b], true),
            (&["hostname", "GROUP_BY"], b, &[a, b, b], false),
        ];
        for (parts, offer, placed, expected) in cases {
            assert_eq!(
                constraint(parts).meets(offer, placed),
                *expected,
                "{parts:?} {offer:?}"
            );
        }
    }

    #[test]
    fn unknown_operators_and_bad_patterns_are_refused() {
        for parts in [
            vec!["hostname"],
            vec!["hostname", "NEAR"],
            vec!["rack", "LIKE"],
            vec!["rack", "LIKE", "("],
        ] {
            let parts: Vec<String> = parts.into_iter().map(str::to_owned).collect();
            assert!(Constraint::parse(&parts).is_err(), "{parts:?}");
        }
    }
}
