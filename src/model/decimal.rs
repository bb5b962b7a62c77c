//! Numbers as people write them: decimal, and exact where they are added up.

use std::{
    cmp::Ordering,
    fmt,
    iter::Sum,
    ops::{Add, Neg, Sub},
};

use bigdecimal::{BigDecimal, RoundingMode, Zero, num_bigint::BigInt};

/// How many digits a number has at most that is calculated: before the decimal point, and behind it.
const BEFORE_MAX: i64 = 38;
const BEHIND_MAX: i64 = 18;
/// How far from the point a digit may stand in a number that is read: any that was a float once can be.
const READ_MAX: i64 = 400;

/// An exact decimal number.
///
/// Sums of what was read are exact, whatever their length. Whoever calculates something that is kept asks
/// [`Decimal::checked`] whether it is within the bounds of what is: a number beyond them is told, and never rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(BigDecimal);

impl Decimal {
    /// A number as JSON writes it; `None` if it is none, or has digits more than 400 places from the decimal point.
    pub fn parse(number: &str) -> Option<Self> {
        let parts = Parts::read(number)?;
        let behind = parts.digits.len() as i64 - parts.point;
        if parts.point > READ_MAX || behind > READ_MAX {
            return None;
        }
        let digits = if parts.digits.is_empty() { BigInt::zero() } else { parts.digits.parse().ok()? };
        let number = BigDecimal::new(digits, behind);
        Some(Self(if parts.is_negative { -number } else { number }))
    }

    /// The decimal number that a float is written as; `None` for one that is not finite.
    pub fn from_float(number: f64) -> Option<Self> {
        number.is_finite().then(|| Self::parse(&number.to_string())).flatten()
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The same, if it has at most 38 digits before the decimal point and 18 behind it.
    pub fn checked(self) -> Option<Self> {
        let number = self.0.normalized();
        let behind = number.fractional_digit_count();
        let before = i64::try_from(number.digits()).ok()? - behind;
        (before <= BEFORE_MAX && behind <= BEHIND_MAX).then_some(Self(number))
    }

    /// The product, rounded (half to even) to 18 digits behind the decimal point.
    pub fn times(&self, other: &Self) -> Self {
        Self((&self.0 * &other.0).with_scale_round(BEHIND_MAX, RoundingMode::HalfEven).normalized())
    }

    /// The quotient, rounded (half to even) to 18 digits behind the decimal point; `None`: it is divided by 0.
    pub fn divided_by(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        // The library divides to 100 digits, which are more than stand behind each other here.
        let quotient = &self.0 / &other.0;
        Some(Self(quotient.with_scale_round(BEHIND_MAX, RoundingMode::HalfEven).normalized()))
    }
}

impl Add<&Decimal> for Decimal {
    type Output = Self;

    fn add(self, other: &Self) -> Self {
        Self(self.0 + &other.0)
    }
}

impl Sum for Decimal {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::default(), |sum, number| sum + &number)
    }
}

impl Sub<&Decimal> for Decimal {
    type Output = Self;

    fn sub(self, other: &Self) -> Self {
        Self(self.0 - &other.0)
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// Without an exponent, and without zeros that say nothing.
impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.normalized().to_plain_string())
    }
}

/// How two numbers order that JSON writes so, of any size; where one of them is none, they are equal.
pub fn compare_numbers(one: &str, other: &str) -> Ordering {
    let (Some(one), Some(other)) = (Parts::read(one), Parts::read(other)) else { return Ordering::Equal };
    one.order(&other)
}

/// What a number is made of: `0.DIGITS` times ten to the power of `point`, with no zeros at the ends of the digits.
#[derive(PartialEq, Eq)]
pub(super) struct Parts {
    is_negative: bool,
    digits: String,
    point: i64,
}

impl Parts {
    /// Those of a JSON number, if it is one.
    pub(super) fn read(number: &str) -> Option<Self> {
        let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || ![whole, fraction].iter().all(|part| part.bytes().all(|digit| digit.is_ascii_digit())) {
            return None;
        }
        let mut all = String::with_capacity(digits.len());
        all.push_str(whole);
        all.push_str(fraction);
        let significant = all.trim_start_matches('0');
        let leading = (all.len() - significant.len()) as i64;
        let digits = significant.trim_end_matches('0').to_owned();
        let exponent = parse_exponent(exponent);
        Some(if digits.is_empty() {
            Self { is_negative: false, digits, point: 0 }
        } else if exponent.abs() == EXPONENT_MAX {
            Self { is_negative, digits: number.to_ascii_lowercase(), point: exponent } // compared as it is written
        } else {
            Self { is_negative, digits, point: whole.len() as i64 - leading + exponent }
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        let sign = |it: &Self| match (it.digits.is_empty(), it.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let by_size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| if self.is_negative { by_size().reverse() } else { by_size() })
    }
}

/// What an exponent beyond is taken for: more than any number has digits, and little enough to calculate with.
const EXPONENT_MAX: i64 = 1 << 40;

/// The exponent of a JSON number, of any size; from [`EXPONENT_MAX`] on it is that.
pub(super) fn parse_exponent(text: &str) -> i64 {
    let limit = if text.starts_with('-') { -EXPONENT_MAX } else { EXPONENT_MAX };
    let exponent = text.strip_prefix('+').unwrap_or(text).parse().unwrap_or(limit);
    exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(number: &str) -> Decimal {
        Decimal::parse(number).unwrap_or_else(|| panic!("{number}"))
    }

    fn sum(numbers: &[&str]) -> String {
        numbers.iter().fold(Decimal::default(), |sum, number| sum + &decimal(number)).to_string()
    }

    #[test]
    fn sums_are_exact_and_shown_as_people_write_them() {
        for (numbers, expected) in [
            (["19.9", "29.95", "50.1"].as_slice(), "99.95"),
            (&["0.1"; 10], "1"),
            (&["9007199254740992", "1"], "9007199254740993"),
            (&["12345678901234567890123", "0.10"], "12345678901234567890123.1"),
            (&["1E5", "1e-5"], "100000.00001"),
            (&["-0.30", "0.3"], "0"),
            (&["-0", "0e99999999999999999999"], "0"),
            (
                &["99999999999999999999999999999999999999", "0.999999999999999999"],
                concat!("99999999999999999999999999999999999999", ".999999999999999999"),
            ),
        ] {
            assert_eq!(sum(numbers), expected, "{numbers:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_told() {
        let nines = "9".repeat(38);
        assert!(decimal(&nines).checked().is_some() && decimal("0.000000000000000001").checked().is_some());
        assert_eq!((decimal(&nines) + &decimal("1")).checked(), None);
        for beyond in ["0.0000000000000000001", "1e38", "1e-19", "1.7976931348623157e308", "5e-324"] {
            assert_eq!(decimal(beyond).checked(), None, "{beyond}");
        }
        for unread in ["1e401", "1e99999999999999999999", "1e-99999999999999999999", "", "-", "1.5x", "+1", "inf"] {
            assert_eq!(Decimal::parse(unread), None, "{unread}");
        }
    }

    #[test]
    fn products_and_quotients_are_rounded_to_a_stated_place() {
        assert_eq!(decimal("19.99").times(&decimal("3")).to_string(), "59.97");
        assert_eq!(decimal("1").divided_by(&decimal("3")).unwrap().to_string(), "0.333333333333333333");
        assert_eq!(decimal("2").divided_by(&decimal("3")).unwrap().to_string(), "0.666666666666666667");
        assert_eq!(decimal("1").divided_by(&decimal("0.0")), None);
    }

    #[test]
    fn numbers_of_any_size_are_compared() {
        let ordered = [
            "-1e99999999999999999999",
            "-1e400",
            "-2",
            "-1.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "1",
            "9007199254740992",
            "9007199254740993",
            "12345678901234567890.5",
            "1e400",
            "1e99999999999999999999",
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                assert_eq!(compare_numbers(one, other), place.cmp(&other_place), "{one} and {other}");
            }
        }
        assert_eq!(compare_numbers("1.50e1", "15"), Ordering::Equal);
        assert_eq!(compare_numbers("-0.0", "0"), Ordering::Equal);
    }
}
