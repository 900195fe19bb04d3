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
    let split = quantity
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(split);
    let (numerator, denominator): (u128, u128) = match suffix {
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1000_u128.pow(2), 1),
        "G" => (1000_u128.pow(3), 1),
        "T" => (1000_u128.pow(4), 1),
        "P" => (1000_u128.pow(5), 1),
        "E" => (1000_u128.pow(6), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => match suffix.strip_prefix(['e', 'E']).map(str::parse::<u32>) {
            Some(Ok(exponent)) => (10_u128.checked_pow(exponent)?, 1),
            _ => return None,
        },
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(numerator)?.div_ceil(denominator * scale))
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
