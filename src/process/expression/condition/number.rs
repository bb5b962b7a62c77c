//! A number in expressions: exact, as JSON writes it; and how values order as numbers.

use std::{any::Any, borrow::Cow, cmp::Ordering};

use cel::{
    ExecutionError,
    common::{
        traits::{Comparer, Negator},
        types::{CelDouble, CelInt, CelString, CelUInt, Type},
        value::{StaticVal, Val},
    },
};

use crate::model::{Decimal, Value, compare_numbers};

/// A number that is not a whole one of the interpreter's, as JSON writes it.
#[derive(Clone, Debug)]
pub(super) struct Number(Box<str>);

impl Number {
    pub fn new(number: &str) -> Self {
        Self(number.into())
    }

    /// As it was sent, or as it is shown where it was calculated.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn shown(&self) -> String {
        Decimal::parse(&self.0).map_or_else(|| self.0.to_string(), |number| number.to_string())
    }

    /// Without what stands behind the decimal point.
    pub fn whole(&self) -> String {
        let shown = self.shown();
        shown.split('.').next().unwrap_or_default().to_owned()
    }
}

impl StaticVal for Number {}

/// To an expression, a number that is not whole is a `double`.
impl Val for Number {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        <CelDouble as Val>::cel_type()
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn as_negator<'b, 'v>(&'b self) -> Option<&'b (dyn Negator + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        order(self, other) == Some(Some(Ordering::Equal))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Comparer for Number {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        order(self, other).flatten().ok_or_else(|| no_overload("_<_", &[self, other]))
    }
}

impl Negator for Number {
    fn negate<'v>(&self) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(Box::new(match self.0.strip_prefix('-') {
            Some(positive) => Self::new(positive),
            None => Self(format!("-{}", self.0).into()),
        }))
    }
}

pub(super) fn no_overload(function: &str, arguments: &[&dyn Val]) -> ExecutionError {
    let types = arguments.iter().map(|argument| argument.get_type().name().to_owned());
    ExecutionError::no_such_overload(function, types.collect())
}

/// A value as a number.
pub(super) enum Numeric<'a> {
    /// As JSON writes it.
    Finite(Cow<'a, str>),
    /// An infinity, or none.
    Odd(f64),
}

impl<'a> Numeric<'a> {
    pub fn of(value: &'a dyn Val) -> Option<Self> {
        Some(if let Some(number) = value.downcast_ref::<Number>() {
            Self::Finite(Cow::Borrowed(number.as_str()))
        } else if let Some(number) = value.downcast_ref::<CelInt>() {
            Self::Finite(number.inner().to_string().into())
        } else if let Some(number) = value.downcast_ref::<CelDouble>() {
            match *number.inner() {
                finite if finite.is_finite() => Self::Finite(finite.to_string().into()),
                odd => Self::Odd(odd),
            }
        } else {
            Self::Finite(value.downcast_ref::<CelUInt>()?.inner().to_string().into())
        })
    }

    /// Two values as numbers, if one of them is one: a text that says a number counts as that beside it, for forms send
    /// nothing but texts (docs/contract.md, section 5).
    pub fn both(one: &'a dyn Val, other: &'a dyn Val) -> Option<(Self, Self)> {
        match (Self::of(one), Self::of(other)) {
            (Some(one), Some(other)) => Some((one, other)),
            (Some(one), None) => Some((one, Self::said(other)?)),
            (None, Some(other)) => Some((Self::said(one)?, other)),
            (None, None) => None,
        }
    }

    /// The number that a text says.
    fn said(value: &dyn Val) -> Option<Self> {
        let text = value.downcast_ref::<CelString>()?.inner();
        match Value::text(text).said_number() {
            Value::Number(number) => Some(Self::Finite(number.to_string().into())),
            _ => None,
        }
    }

    pub fn float(&self) -> f64 {
        match self {
            Self::Finite(number) => number.parse().unwrap_or(f64::NAN),
            Self::Odd(odd) => *odd,
        }
    }

    fn order(&self, other: &Numeric<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Finite(one), Numeric::Finite(other)) => Some(compare_numbers(one, other)),
            (one, other) => one.float().partial_cmp(&other.float()),
        }
    }
}

/// How two numbers order, if both are numbers: not at all, where one is the float that is none.
fn order(one: &dyn Val, other: &dyn Val) -> Option<Option<Ordering>> {
    if let (Some(one), Some(other)) = (one.downcast_ref::<CelInt>(), other.downcast_ref::<CelInt>()) {
        return Some(Some(one.inner().cmp(other.inner())));
    }
    Some(Numeric::of(one)?.order(&Numeric::of(other)?))
}

/// As [`order`], with a text that says a number beside one.
pub(super) fn order_said(one: &dyn Val, other: &dyn Val) -> Option<Option<Ordering>> {
    order(one, other).or_else(|| Numeric::both(one, other).map(|(one, other)| one.order(&other)))
}
