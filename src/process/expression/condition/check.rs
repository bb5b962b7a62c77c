//! What is let in of an expression: how long and deep it may be, and what it may speak of.

use cel::{
    Program,
    common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue},
};

use super::{COUNT, Count, NOW, RECORDS, refused};
use crate::model::{EventType, Fault};

/// The longest expression, in bytes.
const BYTES_MAX: usize = 1_000;
/// How deep brackets, conditions and runs of unary operators may nest.
const NESTING_MAX: usize = 24;
/// The most loops, each over what the one before led to, and the most sums in loops: each may double what it works on.
const LOOPS_MAX: usize = 2;
const SUMS_MAX: usize = 8;
/// How large a pattern may become when it is read.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// The most days that events are counted for.
const DAYS_MAX: u64 = 366;
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// How a text is read that may be a path.
pub(super) enum Reading {
    /// Nothing in it but names, or keys between `["` and `"]`.
    Path,
    /// There are dashes in it: a name may have them, and numbers are taken from each other.
    Either,
    /// It has operators.
    Expression,
}

/// `profile.stats.visits>=1` would be a path with a strange name in it; it is an expression.
pub(super) fn reading(text: &str) -> Reading {
    let names = text.split("[\"").enumerate();
    let outside_keys =
        names.map(|(index, part)| if index == 0 { part } else { part.split_once("\"]").map_or("", |(_, rest)| rest) });
    let outside_keys: String = outside_keys.collect();
    if outside_keys.contains(|character| "+*/%<>=!&|?,;".contains(character)) {
        Reading::Expression
    } else if outside_keys.contains('-') {
        Reading::Either
    } else {
        Reading::Path
    }
}

/// Bounds what the parser sees.
pub(super) fn size(text: &str) -> Result<(), Fault> {
    if text.len() > BYTES_MAX {
        return Err(refused(&format!("it is longer than {BYTES_MAX} bytes")));
    }
    let (mut open, mut deepest, mut unary, mut quote) = (0_usize, 0, 0, None);
    for character in text.chars() {
        if let Some(mark) = quote {
            if character == mark {
                quote = None;
            }
            continue;
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '(' | '[' | '{' | '?' => open += 1,
            ')' | ']' | '}' | ':' => open = open.saturating_sub(1),
            '!' | '-' => unary += 1,
            _ if character.is_whitespace() => {}
            _ => unary = 0,
        }
        deepest = deepest.max(open + unary);
    }
    if deepest > NESTING_MAX {
        return Err(refused(&format!("it nests deeper than {NESTING_MAX} levels")));
    }
    Ok(())
}

/// Whether everything that it speaks of is there, and its loops do not stand in each other.
pub(super) fn references(program: &Program) -> Result<(), Fault> {
    if loops(&program.expression().expr) > 1 {
        return Err(refused("a loop over a list must not stand in another one"));
    }
    if chained(&program.expression().expr) > LOOPS_MAX {
        return Err(refused(&format!("more than {LOOPS_MAX} loops, each over what the one before leads to")));
    }
    if sums(&program.expression().expr, false) > SUMS_MAX {
        return Err(refused(&format!("more than {SUMS_MAX} sums in loops")));
    }
    names(program, &RECORDS)?;
    let is_operator = |name: &str| name.starts_with(['_', '!', '-', '@']);
    let references = program.references();
    match references
        .functions()
        .into_iter()
        .find(|name| !is_operator(name) && !FUNCTIONS.contains(name) && *name != COUNT)
    {
        Some(unknown) => Err(refused(&format!("unknown function {unknown}"))),
        None => Ok(()),
    }
}

/// Whether it speaks of these records only, and of the time.
pub(super) fn names(program: &Program, known: &[&str]) -> Result<(), Fault> {
    match unknown_name(&program.expression().expr, known, &mut Vec::new()) {
        Some(unknown) => Err(refused(&format!("unknown name {unknown}: expected one of {}, {NOW}", known.join(", ")))),
        None => Ok(()),
    }
}

/// Checks patterns: each is read anew whenever it is asked for, so it stands in the expression and is not too large.
/// Returns whether one stands in a loop.
pub(super) fn patterns(expression: &Expr, in_loop: bool) -> Result<bool, Fault> {
    let mut found = false;
    if let Expr::Call(call) = expression
        && call.func_name == "matches"
    {
        let count = call.args.len() + usize::from(call.target.is_some());
        let Some(Expr::Literal(LiteralValue::String(pattern))) =
            call.args.last().map(|argument| &argument.expr).filter(|_| count == 2)
        else {
            return Err(refused("matches takes a pattern that stands in the expression"));
        };
        let read = regex::RegexBuilder::new(pattern.inner()).size_limit(PATTERN_BYTES_MAX).build();
        read.map_err(|error| refused(error.to_string().lines().last().unwrap_or_default()))?;
        found = in_loop;
    }
    let is_loop = matches!(expression, Expr::Comprehension(_));
    for part in all_parts(expression) {
        found |= patterns(part, in_loop || is_loop)?;
    }
    Ok(found)
}

/// The parts of an expression, those of a loop too.
pub(super) fn all_parts(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Comprehension(it) => inner(it).into_iter().chain([&it.iter_range.expr]).collect(),
        other => parts(other),
    }
}

/// The parts of an expression, but for those of a loop.
fn parts(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Call(call) => call.target.iter().map(|it| &it.expr).chain(call.args.iter().map(|it| &it.expr)).collect(),
        Expr::List(list) => list.elements.iter().map(|it| &it.expr).collect(),
        Expr::Map(map) => {
            let entries = map.entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key.expr, &entry.value.expr],
                EntryExpr::StructField(field) => vec![&field.value.expr],
            });
            entries.collect()
        }
        Expr::Struct(it) => {
            let fields = it.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => Some(&field.value.expr),
                EntryExpr::MapEntry(_) => None,
            });
            fields.collect()
        }
        Expr::Select(select) => vec![&select.operand.expr],
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

/// The inner parts of a loop, evaluated for each item.
fn inner(it: &ComprehensionExpr) -> [&Expr; 4] {
    [&it.accu_init, &it.loop_cond, &it.loop_step, &it.result].map(|part| &part.expr)
}

/// How many loops stand one in another.
fn loops(expression: &Expr) -> usize {
    match expression {
        Expr::Comprehension(it) => {
            let inner = inner(it).into_iter().map(loops).max().unwrap_or(0);
            loops(&it.iter_range.expr).max(1 + inner)
        }
        other => parts(other).into_iter().map(loops).max().unwrap_or(0),
    }
}

/// How many loops stand one behind another, each over what the one before leads to.
fn chained(expression: &Expr) -> usize {
    match expression {
        Expr::Comprehension(it) => 1 + chained(&it.iter_range.expr),
        other => parts(other).into_iter().map(chained).max().unwrap_or(0),
    }
}

/// How many sums stand in loops; one of each `map` is its own.
fn sums(expression: &Expr, in_loop: bool) -> usize {
    match expression {
        Expr::Comprehension(it) => {
            let inner: usize = inner(it).into_iter().map(|part| sums(part, true)).sum();
            inner + sums(&it.iter_range.expr, in_loop)
        }
        other => {
            let is_sum = matches!(other, Expr::Call(call) if call.func_name == "_+_");
            usize::from(in_loop && is_sum) + parts(other).into_iter().map(|part| sums(part, in_loop)).sum::<usize>()
        }
    }
}

/// A name that nothing stands for, neither a record nor what a loop names.
fn unknown_name<'a>(expression: &'a Expr, known: &[&str], bound: &mut Vec<&'a str>) -> Option<&'a str> {
    match expression {
        Expr::Ident(name) => {
            Some(name.as_str()).filter(|name| !known.contains(name) && *name != NOW && !bound.contains(name))
        }
        Expr::Comprehension(it) => {
            let unknown = unknown_name(&it.iter_range.expr, known, bound);
            let outer = bound.len();
            bound.extend([it.iter_var.as_str(), it.accu_var.as_str()]);
            bound.extend(it.iter_var2.as_deref());
            let unknown = unknown.or_else(|| inner(it).into_iter().find_map(|part| unknown_name(part, known, bound)));
            bound.truncate(outer);
            unknown
        }
        other => parts(other).into_iter().find_map(|part| unknown_name(part, known, bound)),
    }
}

/// The events that it counts.
pub(super) fn counts(expression: &Expr, found: &mut Vec<Count>) -> Result<(), Fault> {
    if let Expr::Call(call) = expression
        && call.func_name == COUNT
    {
        let wrong = |what: &str| refused(&format!("{COUNT}: {what}"));
        let texts = call.args.iter().filter_map(|argument| match &argument.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
            _ => None,
        });
        let ([kind, window], None) = (&texts.collect::<Vec<_>>()[..], &call.target) else {
            return Err(wrong("a type and a time are expected, like count('purchase-order', '30d')"));
        };
        let parsed = EventType::parse(kind).map_err(|fault| wrong(&fault.to_string()))?;
        if *parsed.id != **kind {
            return Err(wrong(&format!("the type is {}", parsed.id)));
        }
        let days = window.strip_suffix('d').and_then(|days| days.parse().ok());
        let days = days.filter(|days| (1..=DAYS_MAX).contains(days));
        let days = days.ok_or_else(|| wrong(&format!("1d to {DAYS_MAX}d are expected, not {window}")))?;
        found.push(Count { kind: parsed.id, days });
    }
    all_parts(expression).into_iter().try_for_each(|part| counts(part, found))
}
