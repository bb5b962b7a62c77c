//! What can be said of an expression before it is evaluated: parts of it that speak of nothing but what stands there, and
//! of the time, can be evaluated at once. One that cannot be never can.

use std::{cell::Cell, sync::Arc};

use cel::common::ast::{Expr, IdedExpr};

use super::{
    COUNT, NOW, NotEvaluated, Resolver, ZONE,
    check::{all_parts, inner, parts},
    context, is_number, refused,
};
use crate::{
    model::{Fault, Object, Time},
    process::expression::scope::Scope,
};

/// What `now` is then, in microseconds since 1970: half past twelve on the first day of 2026, and another time that differs
/// in all of its parts. What fails at both fails always.
const SOME_TIMES: [i64; 2] = [1_767_270_600_000_000, 1_879_384_985_123_456];

thread_local! {
    static ARE_UNCHECKED: Cell<bool> = const { Cell::new(false) };
}

/// What `compile` compiles may have constant parts that can never be evaluated: older versions let that be saved.
pub fn without_constant_checks<T>(compile: impl FnOnce() -> T) -> T {
    let outer = ARE_UNCHECKED.replace(true);
    let compiled = compile();
    ARE_UNCHECKED.set(outer);
    compiled
}

/// Whether the constant parts of what is compiled now are evaluated.
pub(super) fn are_checked() -> bool {
    !ARE_UNCHECKED.get()
}

/// Evaluates each constant part: `duration('30d')`, `int('x')`, `1 / 0`, `now > '2026'`.
pub(super) fn check(expression: &Expr, item_bytes: usize) -> Result<(), Fault> {
    all_parts(expression).into_iter().try_for_each(|part| check(part, item_bytes))?;
    let speaks_of = match expression {
        Expr::Call(_) | Expr::Comprehension(_) => speaks_of(expression, &mut Vec::new()),
        _ => return Ok(()),
    };
    if speaks_of == SpeaksOf::Records {
        return Ok(());
    }
    let part = IdedExpr { id: 0, expr: expression.clone() };
    let mut outcome = Ok(());
    for time in SOME_TIMES {
        let nothing = Object::default();
        let scope = Scope::stored(&nothing, Time::from_micros(time));
        let resolver = Resolver::new(&scope);
        match resolver.evaluate(&part, (&Arc::default(), scope.zone()), item_bytes, &context(&resolver, []), |_| ()) {
            Ok(()) | Err(NotEvaluated::Missing) => return Ok(()),
            Err(NotEvaluated::Types(why) | NotEvaluated::Failed(why)) => outcome = Err(refused(&why)),
        }
    }
    outcome
}

/// What a part of an expression depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SpeaksOf {
    Nothing,
    Time,
    Records,
}

fn speaks_of<'a>(expression: &'a Expr, bound: &mut Vec<&'a str>) -> SpeaksOf {
    let most = |parts: Vec<&'a Expr>, bound: &mut Vec<&'a str>| {
        parts.into_iter().map(|part| speaks_of(part, bound)).max().unwrap_or(SpeaksOf::Nothing)
    };
    match expression {
        Expr::Ident(name) if bound.contains(&name.as_str()) || is_number(name) || name == ZONE => SpeaksOf::Nothing,
        Expr::Ident(name) if name == NOW => SpeaksOf::Time,
        Expr::Ident(_) => SpeaksOf::Records,
        Expr::Call(call) if call.func_name == COUNT => SpeaksOf::Records,
        Expr::Comprehension(it) => {
            let of_range = speaks_of(&it.iter_range.expr, bound);
            let outer = bound.len();
            bound.extend([it.iter_var.as_str(), it.accu_var.as_str()]);
            bound.extend(it.iter_var2.as_deref());
            let of_loop = most(inner(it).to_vec(), bound);
            bound.truncate(outer);
            of_range.max(of_loop)
        }
        other => most(parts(other), bound),
    }
}
