//! Numbers in expressions: decimal and exact, whole ones and others together.
//!
//! The interpreter's own operators take floats, and two numbers of one type only. Those of an expression are ours instead
//! (`rewrite` puts them there); what is no number they hand on.

use std::cmp::Ordering;

use cel::{
    Env, ExecutionError,
    common::{
        ast::operators as written,
        functions::Function,
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelString, CelTimestamp, CelUInt, DYN_TYPE},
        value::{CowVal, Val},
    },
};

use super::{
    ENVIRONMENT,
    number::{Number, Numeric, no_overload, order_said},
};
use crate::model::{Decimal, Zone};

type Called<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;
type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;

/// The operators and conversions that are ours: as they are written, as they are called here, what they do, and with how
/// many arguments.
const OURS: [(&str, &str, Function, usize); 16] = [
    (written::ADD, "#+", add, 2),
    (written::SUBSTRACT, "#-", subtract, 2),
    (written::MULTIPLY, "#*", multiply, 2),
    (written::DIVIDE, "#/", divide, 2),
    (written::EQUALS, "#==", is_equal, 2),
    (written::NOT_EQUALS, "#!=", is_other, 2),
    (written::LESS, "#<", is_less, 2),
    (written::LESS_EQUALS, "#<=", is_at_most, 2),
    (written::GREATER, "#>", is_more, 2),
    (written::GREATER_EQUALS, "#>=", is_at_least, 2),
    (written::IN, "#in", is_in, 2),
    ("int", "#int", to_int, 1),
    ("uint", "#uint", to_uint, 1),
    ("double", "#double", to_double, 1),
    ("string", "#string", to_string, 1),
    // What a place in a list or the key of a map is found by.
    (INDEXED, "#index", to_index, 1),
];
/// No call is written so.
pub(super) const INDEXED: &str = "#indexed";
/// A text as a time by the clocks of a zone.
pub(super) const TIMESTAMP: &str = "#timestamp";

/// Lets `environment` know what is ours.
pub(super) fn declare(environment: &mut Env) {
    for (_, name, function, arguments) in OURS {
        let declared = environment.add_overload(name, name, (0..arguments).map(|_| DYN_TYPE).collect(), function);
        declared.expect("nothing else has a name that begins with #");
    }
    let declared = environment.add_overload(TIMESTAMP, TIMESTAMP, vec![DYN_TYPE, DYN_TYPE], to_timestamp);
    declared.expect("nothing else has a name that begins with #");
}

/// How what is written so is called here, if it is ours.
pub(super) fn ours(written: &str, arguments: usize) -> Option<&'static str> {
    OURS.iter().find(|(name, _, _, count)| *name == written && *count == arguments).map(|(_, ours, ..)| *ours)
}

/// The arguments of a function that was declared with so many.
fn taken<'b, 'v, const COUNT: usize>(arguments: Arguments<'b, 'v>) -> Result<[CowVal<'b, 'v>; COUNT], ExecutionError> {
    arguments.try_into().map_err(|_| ExecutionError::missing_argument_or_target())
}

fn same(one: &dyn Val, other: &dyn Val) -> bool {
    if let Some(order) = order_said(one, other) {
        return order == Some(Ordering::Equal);
    }
    match (one.downcast_ref::<CelList>(), other.downcast_ref::<CelList>()) {
        (Some(one), Some(other)) => {
            let mut pairs = one.iter().zip(other.iter());
            return one.len() == other.len() && pairs.all(|(one, other)| same(one.as_ref(), other.as_ref()));
        }
        (None, None) => {}
        _ => return false,
    }
    match (one.downcast_ref::<CelMap>(), other.downcast_ref::<CelMap>()) {
        (Some(one), Some(other)) => {
            let has = |key, value: &dyn Val| other.get(key).is_some_and(|other| same(value, other.as_ref()));
            one.len() == other.len() && one.iter().all(|(key, value)| has(key, value.as_ref()))
        }
        _ => one.equals(other),
    }
}

fn is_equal<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    Ok(CowVal::owned(CelBool::from(same(one.as_ref(), other.as_ref()))))
}

fn is_other<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    Ok(CowVal::owned(CelBool::from(!same(one.as_ref(), other.as_ref()))))
}

fn is_in<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [item, all] = taken(arguments)?;
    let is_in = match all.downcast_ref::<CelList>() {
        Some(list) => list.iter().any(|one| same(one.as_ref(), item.as_ref())),
        None => {
            let overload = || no_overload(written::IN, &[item.as_ref(), all.as_ref()]);
            let container = all.as_container().ok_or_else(overload)?;
            let key = to_index(vec![item.clone()])?;
            container.contains(key.as_ref()).map_err(|_| overload())?
        }
    };
    Ok(CowVal::owned(CelBool::from(is_in)))
}

fn ordered<'b, 'v>(
    operator: &str,
    arguments: Arguments<'b, 'v>,
    holds: impl FnOnce(Ordering) -> bool,
) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    let order = match order_said(one.as_ref(), other.as_ref()) {
        Some(order) => order,
        None => one.as_comparer().and_then(|comparer| comparer.compare(other.as_ref()).ok()),
    };
    let order = order.ok_or_else(|| no_overload(operator, &[one.as_ref(), other.as_ref()]))?;
    Ok(CowVal::owned(CelBool::from(holds(order))))
}

fn is_less<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    ordered(written::LESS, arguments, Ordering::is_lt)
}

fn is_at_most<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    ordered(written::LESS_EQUALS, arguments, Ordering::is_le)
}

fn is_more<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    ordered(written::GREATER, arguments, Ordering::is_gt)
}

fn is_at_least<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    ordered(written::GREATER_EQUALS, arguments, Ordering::is_ge)
}

/// How two numbers are calculated with each other.
struct Arithmetic {
    operator: &'static str,
    whole: fn(i64, i64) -> Option<i64>,
    exact: fn(&Decimal, &Decimal) -> Option<Decimal>,
    float: fn(f64, f64) -> f64,
}

impl Arithmetic {
    /// The result, if both are numbers: of two whole ones a whole one where it is short enough, of an infinity a float, and
    /// else exactly what it is.
    fn result<'b, 'v>(&self, one: &dyn Val, other: &dyn Val) -> Option<Called<'b, 'v>> {
        if let (Some(one), Some(other)) = (one.downcast_ref::<CelInt>(), other.downcast_ref::<CelInt>())
            && let Some(whole) = (self.whole)(*one.inner(), *other.inner())
        {
            return Some(Ok(CowVal::owned(CelInt::from(whole))));
        }
        let (one, other) = Numeric::both(one, other)?;
        let (Numeric::Finite(exact_one), Numeric::Finite(exact_other)) = (&one, &other) else {
            return Some(Ok(CowVal::owned(CelDouble::from((self.float)(one.float(), other.float())))));
        };
        let numbers = Decimal::parse(exact_one).zip(Decimal::parse(exact_other));
        let result = numbers.and_then(|(one, other)| (self.exact)(&one, &other)).and_then(Decimal::checked);
        let beyond = "the result has more than 38 digits before the decimal point, or 18 behind it, or is none";
        let result = result.ok_or_else(|| ExecutionError::function_error(self.operator, beyond));
        Some(result.map(|result| CowVal::owned(Number::new(&result.to_string()))))
    }
}

fn add<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    let numbers = Arithmetic {
        operator: written::ADD,
        whole: i64::checked_add,
        exact: |one, other| Some(one.clone() + other),
        float: |one, other| one + other,
    };
    if let Some(result) = numbers.result(one.as_ref(), other.as_ref()) {
        return result;
    }
    let overload = || no_overload(written::ADD, &[one.as_ref(), other.as_ref()]);
    let sum = one.as_adder().ok_or_else(overload)?.add(other.as_ref());
    sum.map(|sum| CowVal::Owned(sum.into_owned())).map_err(|error| told(error, overload))
}

fn subtract<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    let numbers = Arithmetic {
        operator: written::SUBSTRACT,
        whole: i64::checked_sub,
        exact: |one, other| Some(one.clone() - other),
        float: |one, other| one - other,
    };
    if let Some(result) = numbers.result(one.as_ref(), other.as_ref()) {
        return result;
    }
    let overload = || no_overload(written::SUBSTRACT, &[one.as_ref(), other.as_ref()]);
    let difference = one.as_subtractor().ok_or_else(overload)?.sub(other.as_ref());
    difference.map(|it| CowVal::Owned(it.into_owned())).map_err(|error| told(error, overload))
}

fn multiply<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    let numbers = Arithmetic {
        operator: written::MULTIPLY,
        whole: i64::checked_mul,
        exact: |one, other| Some(one.times(other)),
        float: |one, other| one * other,
    };
    let result = numbers.result(one.as_ref(), other.as_ref());
    result.unwrap_or_else(|| Err(no_overload(written::MULTIPLY, &[one.as_ref(), other.as_ref()])))
}

/// Of two whole numbers, what is left over is left out, as in CEL.
fn divide<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [one, other] = taken(arguments)?;
    let numbers = Arithmetic {
        operator: written::DIVIDE,
        whole: i64::checked_div,
        exact: Decimal::divided_by,
        float: |one, other| one / other,
    };
    let result = numbers.result(one.as_ref(), other.as_ref());
    result.unwrap_or_else(|| Err(no_overload(written::DIVIDE, &[one.as_ref(), other.as_ref()])))
}

/// An error of the interpreter's that says of which types two values were, where it is about their types.
fn told(error: ExecutionError, overload: impl FnOnce() -> ExecutionError) -> ExecutionError {
    if let ExecutionError::UnsupportedBinaryOperator(..) = error { overload() } else { error }
}

/// What the interpreter's own function of this name makes of the argument.
fn standard<'b, 'v>(name: &str, argument: CowVal<'b, 'v>) -> Called<'b, 'v> {
    let arguments = vec![argument];
    match ENVIRONMENT.find_overload(name, &arguments) {
        Some(function) => function(arguments),
        None => Err(no_overload(name, &arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>())),
    }
}

fn to_int<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [number] = taken(arguments)?;
    let Some(exact) = number.downcast_ref::<Number>() else { return standard("int", number) };
    let whole = exact.whole().parse::<i64>().map_err(|_| ExecutionError::function_error("int", "integer overflow"))?;
    Ok(CowVal::owned(CelInt::from(whole)))
}

fn to_uint<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [number] = taken(arguments)?;
    let Some(exact) = number.downcast_ref::<Number>() else { return standard("uint", number) };
    let whole = exact.whole().parse::<u64>().map_err(|_| ExecutionError::function_error("uint", "integer overflow"))?;
    Ok(CowVal::owned(CelUInt::from(whole)))
}

fn to_double<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [value] = taken(arguments)?;
    if let Some(Numeric::Finite(number)) = Numeric::of(value.as_ref()) {
        return Ok(CowVal::owned(Number::new(&number)));
    }
    let number = value.downcast_ref::<CelString>().map(CelString::inner).and_then(Decimal::parse);
    number.map_or_else(|| standard("double", value), |number| Ok(CowVal::owned(Number::new(&number.to_string()))))
}

fn to_timestamp<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [text, zone] = taken(arguments)?;
    let time = standard("timestamp", text)?;
    let zone = zone.downcast_ref::<CelString>().and_then(|name| Zone::parse(name.inner()).ok()).unwrap_or_default();
    let local = time.downcast_ref::<CelTimestamp>().map(|time| time.inner().with_timezone(&zone.tz()).fixed_offset());
    Ok(local.map_or(time, |local| CowVal::owned(CelTimestamp::from(local))))
}

fn to_string<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [value] = taken(arguments)?;
    match value.downcast_ref::<Number>() {
        Some(number) => Ok(CowVal::owned(CelString::from(number.shown()))),
        None => standard("string", value),
    }
}

/// A whole number as one of the interpreter's; everything else stays as it is.
fn to_index<'b, 'v>(arguments: Arguments<'b, 'v>) -> Called<'b, 'v> {
    let [index] = taken(arguments)?;
    let whole = index.downcast_ref::<Number>().and_then(|number| number.shown().parse::<i64>().ok());
    Ok(whole.map_or(index, |whole| CowVal::owned(CelInt::from(whole))))
}
