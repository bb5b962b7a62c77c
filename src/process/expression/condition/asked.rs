//! Where an expression asks for a number: a text that stands there counts as the number that it says, for forms and
//! queries send nothing but texts.

use cel::common::ast::{Expr, LiteralValue};

use super::check::all_parts;

const OPERATORS: [&str; 11] = ["_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "_+_", "_-_", "_*_", "_/_", "_%_"];
const NUMERIC_FUNCTIONS: [&str; 5] = ["int", "uint", "double", "size", super::COUNT];

/// The dotted names that are compared or reckoned with a number.
pub(super) fn numbers(expression: &Expr, found: &mut Vec<Box<str>>) {
    if let Expr::Call(call) = expression
        && OPERATORS.contains(&&*call.func_name)
        && let [one, other] = &call.args[..]
    {
        for (asked, asks) in [(one, other), (other, one)] {
            if is_number(&asks.expr) {
                found.extend(names(&asked.expr));
            }
        }
    }
    all_parts(expression).into_iter().for_each(|part| numbers(part, found));
}

/// The names that an operand consists of: one, or several that are reckoned with each other.
fn names(expression: &Expr) -> Vec<Box<str>> {
    match expression {
        Expr::Call(call) if is_reckoned(&call.func_name) => {
            call.args.iter().flat_map(|argument| names(&argument.expr)).collect()
        }
        other => dotted(other).map(String::into_boxed_str).into_iter().collect(),
    }
}

fn dotted(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand.expr)?, select.field)),
        _ => None,
    }
}

fn is_number(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)) => true,
        Expr::Call(call) if is_reckoned(&call.func_name) => call.args.iter().any(|argument| is_number(&argument.expr)),
        Expr::Call(call) => NUMERIC_FUNCTIONS.contains(&&*call.func_name),
        _ => false,
    }
}

fn is_reckoned(function: &str) -> bool {
    ["_+_", "_-_", "_*_", "_/_", "_%_", "-_"].contains(&function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_with_a_number_is_asked_for_as_one() {
        for (text, expected) in [
            ("event.properties.price > 10", &["event.properties.price"][..]),
            ("10.5 == event.properties.price && profile.traits.name == 'x'", &["event.properties.price"]),
            (
                "event.properties.price * event.properties.count >= 100",
                &["event.properties.price", "event.properties.count"],
            ),
            ("event.properties.price * 2 > profile.traits.limit", &["event.properties.price", "profile.traits.limit"]),
            ("profile.traits.level == -1 ? 'a' : 'b'", &["profile.traits.level"]),
            ("event.properties.zip == '8001'", &[]),
            ("has(event.properties.n) && size(event.properties.list) > 2", &[]),
            ("now - timestamp(profile.metadata.time.insert) > duration('1h')", &[]),
        ] {
            let program = cel::Program::compile(text).unwrap();
            let mut found = Vec::new();
            numbers(&program.expression().expr, &mut found);
            let (mut found, mut expected) = (found.iter().map(|name| &**name).collect::<Vec<_>>(), expected.to_vec());
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{text}");
        }
    }
}
