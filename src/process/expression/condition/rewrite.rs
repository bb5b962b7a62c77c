//! What is evaluated of an expression: as it is written, but for numbers and for paths that may end early.
//!
//! * Operators on numbers, and what makes numbers of values, are those of `numbers`.
//! * `has(a.b.c)` is false wherever the path ends: also where `a.b` is missing, null, a text, a list or a number.
//! * A number in the expression that no float is counts as it is written.
//! * `timestamp(...)` shows the clocks of the zone in which `now` does.

use std::cmp::Ordering;

use cel::{
    Program,
    common::{
        ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators},
        types::CelString,
    },
};

use super::{RECORDS, numbers};
use crate::model::compare_numbers;

/// Begins the name of a variable that says whether something stands at a path in the records; its steps follow, each
/// behind a [`STEP`].
pub(super) const HAS: &str = "#has";
pub(super) const STEP: char = '\u{1}';
/// The variable that names the zone.
pub(super) const ZONE: &str = "#zone";

/// The program's expression as it is evaluated.
pub(super) fn rewritten(program: &Program) -> IdedExpr {
    let mut expression = program.expression().clone();
    Rewriting { source: program.source_info(), bound: Vec::new() }.rewrite(&mut expression);
    expression
}

/// A step from a value to one in it.
enum Step {
    Field(String),
    Index(IdedExpr),
}

struct Rewriting<'a> {
    source: &'a SourceInfo,
    /// What loops around name.
    bound: Vec<String>,
}

impl Rewriting<'_> {
    fn rewrite(&mut self, it: &mut IdedExpr) {
        if let Some(number) = self.number(it) {
            it.expr = Expr::Ident(number);
            return;
        }
        match &mut it.expr {
            Expr::Select(select) if select.test => {
                let select = std::mem::take(select);
                *it = self.presence(select);
            }
            Expr::Select(select) => self.rewrite(&mut select.operand),
            Expr::Call(call) => self.rewrite_call(call),
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.rewrite(element)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|entry| self.rewrite_entry(&mut entry.expr)),
            Expr::Struct(fields) => fields.entries.iter_mut().for_each(|entry| self.rewrite_entry(&mut entry.expr)),
            Expr::Comprehension(it) => {
                self.rewrite(&mut it.iter_range);
                let outer = self.bound.len();
                self.bound.extend([it.iter_var.clone(), it.accu_var.clone()]);
                self.bound.extend(it.iter_var2.clone());
                for part in [&mut it.accu_init, &mut it.loop_cond, &mut it.loop_step, &mut it.result] {
                    self.rewrite(part);
                }
                self.bound.truncate(outer);
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn rewrite_entry(&mut self, entry: &mut EntryExpr) {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.rewrite(&mut entry.key);
                self.rewrite(&mut entry.value);
            }
            EntryExpr::StructField(field) => self.rewrite(&mut field.value),
        }
    }

    fn rewrite_call(&mut self, call: &mut CallExpr) {
        call.target.iter_mut().for_each(|target| self.rewrite(target));
        call.args.iter_mut().for_each(|argument| self.rewrite(argument));
        if call.target.is_some() || is_of_loop(call) {
            return;
        }
        if call.func_name == "timestamp" && call.args.len() == 1 {
            call.func_name = numbers::TIMESTAMP.to_owned();
            call.args.push(expression(Expr::Ident(ZONE.to_owned())));
        } else if [operators::INDEX, operators::OPT_INDEX].contains(&&*call.func_name) {
            call.args[1..].iter_mut().for_each(index);
        } else if let Some(ours) = numbers::ours(&call.func_name, call.args.len())
            && !compares_no_numbers(call)
        {
            call.func_name = ours.to_owned();
        }
    }

    /// What a number in the expression is where no float is that.
    fn number(&self, it: &IdedExpr) -> Option<String> {
        let Expr::Literal(LiteralValue::Double(float)) = &it.expr else { return None };
        let (first, last) = self.source.offset_for(it.id)?;
        let length = last.checked_sub(first)? as usize + 1;
        let written: String = self.source.source.chars().skip(first as usize).take(length).collect();
        let sign = if float.is_sign_negative() { "-" } else { "" };
        let whole = if written.starts_with('.') { "0" } else { "" };
        let number = format!("{sign}{whole}{}", written.trim_start_matches('-'));
        let is_the_same = number.parse() == Ok(*float.inner());
        (is_the_same && compare_numbers(&number, &float.inner().to_string()) != Ordering::Equal).then_some(number)
    }

    /// Whether there is something at the end of a path.
    fn presence(&mut self, select: SelectExpr) -> IdedExpr {
        let (mut steps, mut base) = (vec![Step::Field(select.field)], *select.operand);
        loop {
            match base.expr {
                Expr::Select(select) if !select.test => {
                    steps.push(Step::Field(select.field));
                    base = *select.operand;
                }
                Expr::Call(mut call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                    let step = call.args.remove(1);
                    steps.push(match step.expr {
                        Expr::Literal(LiteralValue::String(key)) => Step::Field(key.inner().to_owned()),
                        _ => Step::Index(step),
                    });
                    base = call.args.remove(0);
                }
                other => {
                    base.expr = other;
                    break;
                }
            }
        }
        steps.reverse();
        let is_record =
            |name: &String| RECORDS.contains(&name.as_str()) && !self.bound.iter().any(|bound| bound == name);
        let Expr::Ident(record) = &base.expr else {
            self.rewrite(&mut base);
            return self.reaches(base, steps);
        };
        if !is_record(record) {
            return self.reaches(base, steps);
        }
        // What is a path in the records is looked for there, and the rest of the way from its end.
        let rest = steps.iter().position(|step| matches!(step, Step::Index(_))).unwrap_or(steps.len());
        let rest = steps.split_off(rest);
        let mut name = format!("{HAS}{STEP}{record}");
        for step in steps {
            let Step::Field(field) = step else { continue };
            name.push(STEP);
            name.push_str(&field);
            base = if is_name(&field) {
                expression(Expr::Select(SelectExpr { operand: Box::new(base), field, test: false }))
            } else {
                call(operators::INDEX, None, vec![base, text(&field)])
            };
        }
        let is_there = expression(Expr::Ident(name));
        if rest.is_empty() {
            return is_there;
        }
        call(operators::LOGICAL_AND, None, vec![is_there, self.reaches(base, rest)])
    }

    /// Whether the steps lead from `base` to something.
    fn reaches(&mut self, base: IdedExpr, steps: Vec<Step>) -> IdedExpr {
        let end = steps.into_iter().fold(base, |from, step| match step {
            Step::Field(field) => call(operators::OPT_SELECT, None, vec![from, text(&field)]),
            Step::Index(mut step) => {
                self.rewrite(&mut step);
                index(&mut step);
                call(operators::OPT_INDEX, None, vec![from, step])
            }
        });
        call("hasValue", Some(end), Vec::new())
    }
}

/// Whether a loop gathers its result so, which the interpreter looks at.
fn is_of_loop(call: &CallExpr) -> bool {
    matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'))
}

/// Whether one of both is no number, so that it need not be looked at whether they are.
fn compares_no_numbers(call: &CallExpr) -> bool {
    let is_none = |it: &IdedExpr| {
        use LiteralValue::{Boolean, Bytes, Null, String};
        matches!(it.expr, Expr::Literal(Boolean(_) | Bytes(_) | Null | String(_)))
    };
    [operators::EQUALS, operators::NOT_EQUALS].contains(&&*call.func_name) && call.args.iter().any(is_none)
}

/// A whole number finds a place however it is written.
fn index(step: &mut IdedExpr) {
    if !matches!(step.expr, Expr::Literal(LiteralValue::String(_) | LiteralValue::Int(_)))
        && let Some(ours) = numbers::ours(numbers::INDEXED, 1)
    {
        *step = call(ours, None, vec![std::mem::take(step)]);
    }
}

/// Whether a field can be selected by this name.
fn is_name(field: &str) -> bool {
    let mut characters = field.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn expression(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

fn text(text: &str) -> IdedExpr {
    expression(Expr::Literal(LiteralValue::String(CelString::from(text.to_owned()))))
}

fn call(func_name: &str, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> IdedExpr {
    expression(Expr::Call(CallExpr { func_name: func_name.to_owned(), target: target.map(Box::new), args }))
}
