//! Volumes that are to become larger.

/// One claim of a member, as far as its size matters. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name of the claim.
    pub name: String,
    /// Size it asks for now.
    pub requested: u128,
    /// Whether its class grows volumes.
    pub can_grow: bool,
    /// Name of its class.
    pub class: String,
}

/// What becomes of the claims when each is to have `size` bytes: names of those to enlarge, and those that ask
/// for less but cannot grow. Nothing is ever made smaller.
pub fn growth(claims: &[Claim], size: u128) -> (Vec<&str>, Vec<&Claim>) {
    let (grow, fixed): (Vec<_>, Vec<_>) = claims
        .iter()
        .filter(|claim| claim.requested < size)
        .partition(|claim| claim.can_grow);
    (grow.into_iter().map(|claim| claim.name.as_str()).collect(), fixed)
}

/// A Kubernetes quantity in whole units (bytes for storage), rounded up; `None` when it is none.
pub fn units(quantity: &str) -> Option<u128> {
    Some(nano_units(quantity)?.div_ceil(NANO))
}

/// Whether two texts are the same quantity: the API server writes `0.5` as `500m`.
pub fn same_quantity(one: &str, other: &str) -> bool {
    nano_units(one).is_some_and(|nanos| nano_units(other) == Some(nanos))
}

const NANO: u128 = 1_000_000_000;

fn nano_units(quantity: &str) -> Option<u128> {
    let split = quantity
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(split);
    let scale: u128 = match suffix {
        "n" => 1,
        "u" => 1000,
        "m" => NANO / 1000,
        "" => NANO,
        "k" => 1000 * NANO,
        "M" => 1000_u128.pow(2) * NANO,
        "G" => 1000_u128.pow(3) * NANO,
        "T" => 1000_u128.pow(4) * NANO,
        "P" => 1000_u128.pow(5) * NANO,
        "E" => 1000_u128.pow(6) * NANO,
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        _ => match suffix.strip_prefix(['e', 'E']).map(str::parse::<u32>) {
            Some(Ok(exponent)) => 10_u128.checked_pow(exponent)?.checked_mul(NANO)?,
            _ => return None,
        },
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(scale)?.div_ceil(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("1000", Some(1000)),
            ("2k", Some(2000)),
            ("1e3", Some(1000)),
            ("1500m", Some(2)),
            ("", None),
            ("Gi", None),
            ("1Xi", None),
        ] {
            assert_eq!(units(text), expected, "{text}");
        }
    }

    #[test]
    fn the_same_quantity_can_be_written_differently() {
        for (one, other, same) in [
            ("0.5", "500m", true),
            ("1Gi", "1024Mi", true),
            ("1000", "1k", true),
            ("0.4", "500m", false),
            ("1Gi", "1G", false),
            ("true", "true", false),
        ] {
            assert_eq!(same_quantity(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn only_smaller_claims_are_touched() {
        let claim = |name: &str, requested, can_grow| Claim {
            name: name.into(),
            requested,
            can_grow,
            class: "standard".into(),
        };
        let claims = [
            claim("a", 10, true),
            claim("b", 5, true),
            claim("c", 5, false),
            claim("d", 20, true),
        ];
        let (grow, fixed) = growth(&claims, 10);
        assert_eq!(grow, ["b"]);
        assert_eq!(fixed, [&claims[2]]);
    }
}
