//! Conditions and computed values: CEL expressions over the records being processed (https://cel.dev).
//!
//! The parser's recursion and the interpreter's are bounded by what is let in here: the length of an expression, how deep
//! it nests, and one level of loops over lists. It is compiled on a thread with a stack of its own size.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Program,
    common::{
        ast::{ComprehensionExpr, EntryExpr, Expr},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use super::scope::Scope;
use crate::model::{Fault, Object, Path, Value};

/// The longest expression, in bytes.
const BYTES_MAX: usize = 1_000;
/// How deep brackets, conditions and runs of unary operators may nest.
const NESTING_MAX: usize = 24;
const STACK_BYTES: usize = 32 * 1024 * 1024;
/// What an expression may speak of, beside the time.
const RECORDS: [&str; 6] = ["event", "profile", "session", "source", "steps", "segment"];
const NOW: &str = "now";
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
    "min",
    "max",
];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression that was compiled.
#[derive(Debug)]
pub enum Expression {
    /// A path and nothing else, whose value is found as it stands.
    Path(Path),
    Program(Program),
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is too long, nests too deep, is not CEL, or speaks of something that is not there; the message says where.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        check_size(text)?;
        if let Ok(path) = Path::parse(text)
            && RECORDS.contains(&path.split_root().0)
        {
            return Ok(Self::Path(path));
        }
        let owned = text.to_owned();
        let compiling = std::thread::Builder::new()
            .name("compile".into())
            .stack_size(STACK_BYTES)
            .spawn(move || Program::compile(&owned).map_err(|errors| errors.to_string()));
        let compiled = compiling
            .map_err(|error| error.to_string())
            .and_then(|thread| thread.join().unwrap_or_else(|_| Err("the expression cannot be read".into())));
        let program = compiled.map_err(|error| refused(&error))?;
        check_references(&program)?;
        if loops(&program.expression().expr) > 1 {
            return Err(refused("a loop over a list must not stand in another one"));
        }
        Ok(Self::Program(program))
    }

    /// Whether the expression holds. What is missing on the way to a value makes it false.
    ///
    /// # Errors
    /// It cannot be evaluated: values of these types cannot be compared, and so on.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        Ok(self.value(scope)? == Some(Value::Boolean(true)))
    }

    /// The expression's value; `None` where something is missing on the way to it.
    ///
    /// # Errors
    /// As [`Expression::holds`].
    pub fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        let program = match self {
            Self::Path(path) => return Ok(scope.get(path).map(std::borrow::Cow::into_owned)),
            Self::Program(program) => program,
        };
        let resolver = Resolver(scope);
        execute(program, &context(&resolver)).map(|value| value.as_ref().map(from_cel))
    }

    /// Whether each of the expressions holds, as [`Expression::holds`] says of one.
    pub fn all_hold<'a>(expressions: impl Iterator<Item = &'a Self>, scope: &Scope<'_>) -> Vec<Result<bool, String>> {
        let resolver = Resolver(scope);
        let context = context(&resolver);
        let holds = expressions.map(|expression| match expression {
            Self::Path(_) => expression.holds(scope),
            Self::Program(program) => Ok(execute(program, &context)? == Some(cel::Value::Bool(true))),
        });
        holds.collect()
    }

    /// Whether it speaks of `name`.
    pub fn mentions(&self, name: &str) -> bool {
        match self {
            Self::Path(path) => path.split_root().0 == name,
            Self::Program(program) => program.references().has_variable(name),
        }
    }
}

fn context<'a>(resolver: &'a Resolver<'a>) -> Context<'a, 'a> {
    let mut context = Context::with_env(ENVIRONMENT.clone());
    context.set_variable_resolver(resolver);
    context
}

/// A program's value; `None` where something is missing on the way to it.
fn execute(program: &Program, context: &Context<'_, '_>) -> Result<Option<cel::Value>, String> {
    match program.execute(context) {
        Ok(value) => Ok(Some(value)),
        Err(ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Finds what an expression speaks of; a dotted name is asked for as a whole first, so that only what is spoken of is
/// turned into the interpreter's form.
struct Resolver<'a>(&'a Scope<'a>);

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let value = if name == NOW {
            cel::Value::Timestamp(self.0.now())
        } else {
            to_cel(self.0.get(&name.split('.').collect()).as_deref()?)
        };
        let boxed: Box<dyn Val> = value.try_into().ok()?;
        Some(CowVal::Owned(boxed))
    }
}

fn refused(what: &str) -> Fault {
    // The library draws the expression with a mark under the mistake, on further lines.
    Fault::new("value_error", format!("not an expression: {}", what.lines().next().unwrap_or_default()))
}

fn check_size(text: &str) -> Result<(), Fault> {
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

fn check_references(program: &Program) -> Result<(), Fault> {
    if let Some(unknown) = unknown_name(&program.expression().expr, &mut Vec::new()) {
        return Err(refused(&format!("unknown name {unknown}: expected one of {}, {NOW}", RECORDS.join(", "))));
    }
    let is_operator = |name: &str| name.starts_with(['_', '!', '-', '@']);
    let references = program.references();
    match references.functions().into_iter().find(|name| !is_operator(name) && !FUNCTIONS.contains(name)) {
        Some(unknown) => Err(refused(&format!("unknown function {unknown}"))),
        None => Ok(()),
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

/// A name that nothing stands for, neither a record nor what a loop names.
fn unknown_name<'a>(expression: &'a Expr, bound: &mut Vec<&'a str>) -> Option<&'a str> {
    match expression {
        Expr::Ident(name) => {
            Some(name.as_str()).filter(|name| !RECORDS.contains(name) && *name != NOW && !bound.contains(name))
        }
        Expr::Comprehension(it) => {
            let unknown = unknown_name(&it.iter_range.expr, bound);
            let outer = bound.len();
            bound.extend([it.iter_var.as_str(), it.accu_var.as_str()]);
            bound.extend(it.iter_var2.as_deref());
            let unknown = unknown.or_else(|| inner(it).into_iter().find_map(|part| unknown_name(part, bound)));
            bound.truncate(outer);
            unknown
        }
        other => parts(other).into_iter().find_map(|part| unknown_name(part, bound)),
    }
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Boolean(boolean) => cel::Value::Bool(*boolean),
        Value::Number(number) => match number.parse() {
            Ok(whole) => cel::Value::Int(whole),
            Err(_) => cel::Value::Float(number.parse().unwrap_or(f64::INFINITY)),
        },
        Value::Text(text) => cel::Value::String(Arc::new(text.to_string())),
        Value::List(list) => cel::Value::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| (key.to_owned().into(), to_cel(value)));
            cel::Value::Map(cel::objects::Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
        }
    }
}

fn from_cel(value: &cel::Value) -> Value {
    match value {
        cel::Value::Bool(boolean) => Value::Boolean(*boolean),
        cel::Value::Int(number) => Value::number(number),
        cel::Value::UInt(number) => Value::number(number),
        cel::Value::Float(number) => Value::float(*number),
        cel::Value::String(text) => Value::text(text),
        cel::Value::List(list) => Value::List(list.iter().map(from_cel).collect()),
        cel::Value::Map(map) => {
            let mut entries: Vec<(String, &cel::Value)> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let mut object = Object::default();
            entries.into_iter().for_each(|(key, value)| object.insert(&key, from_cel(value)));
            Value::Object(object)
        }
        cel::Value::Timestamp(time) => Value::text(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        cel::Value::Duration(duration) => Value::text(&format!("{}s", duration.as_seconds_f64())),
        _ => Value::Null,
    }
}
