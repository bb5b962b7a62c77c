//! Conditions and computed values: CEL expressions over the records being processed (https://cel.dev).
//!
//! The parser's recursion and the interpreter's are bounded by what is let in here: the length of an expression, how deep
//! it nests, and one level of loops over lists. It is compiled on a thread with a stack of its own size.

mod check;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, FunctionContext, Program,
    common::value::{CowVal, Val},
    context::VariableResolver,
};

use super::scope::Scope;
use crate::model::{Fault, Object, Path, Value};

const STACK_BYTES: usize = 32 * 1024 * 1024;
/// What an expression may speak of, beside the time.
const RECORDS: [&str; 6] = ["event", "profile", "session", "source", "steps", "segment"];
const NOW: &str = "now";
/// `count('purchase-order', '30d')`: how many events of a type the profile had in the last days.
const COUNT: &str = "count";

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression that was compiled.
#[derive(Debug)]
pub enum Expression {
    /// A path and nothing else, whose value is found as it stands.
    Path(Path),
    Program {
        program: Program,
        counts: Vec<Count>,
    },
}

/// Events that an expression counts: profiles remember them by day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Their type.
    pub kind: Arc<str>,
    pub days: u64,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is too long, nests too deep, is not CEL, or speaks of something that is not there; the message says where.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        let compiled = Self::compile_counting(text)?;
        if compiled.counts().is_empty() {
            Ok(compiled)
        } else {
            Err(refused("only conditions of segments, workflows and their steps count events"))
        }
    }

    /// As [`Expression::compile`], for a place whose counts are known to [`super::Rules`].
    ///
    /// # Errors
    /// As [`Expression::compile`].
    pub fn compile_counting(text: &str) -> Result<Self, Fault> {
        check::size(text)?;
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
        check::references(&program)?;
        let mut counts = Vec::new();
        check::counts(&program.expression().expr, &mut counts)?;
        Ok(Self::Program { program, counts })
    }

    /// The events that it counts.
    pub fn counts(&self) -> &[Count] {
        match self {
            Self::Path(_) => &[],
            Self::Program { counts, .. } => counts,
        }
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
            Self::Program { program, .. } => program,
        };
        let resolver = Resolver(scope);
        execute(program, &context(&resolver, [self])).map(|value| value.as_ref().map(from_cel))
    }

    /// Whether each of the expressions holds, as [`Expression::holds`] says of one.
    pub fn all_hold<'a>(
        expressions: impl Iterator<Item = &'a Self> + Clone,
        scope: &Scope<'_>,
    ) -> Vec<Result<bool, String>> {
        let resolver = Resolver(scope);
        let context = context(&resolver, expressions.clone());
        let holds = expressions.map(|expression| match expression {
            Self::Path(_) => expression.holds(scope),
            Self::Program { program, .. } => Ok(execute(program, &context)? == Some(cel::Value::Bool(true))),
        });
        holds.collect()
    }

    /// Whether it speaks of `name`.
    pub fn mentions(&self, name: &str) -> bool {
        match self {
            Self::Path(path) => path.split_root().0 == name,
            Self::Program { program, .. } => program.references().has_variable(name),
        }
    }

    /// Whether it may begin or cease to hold although nothing changes.
    pub fn depends_on_time(&self) -> bool {
        self.mentions(NOW) || !self.counts().is_empty()
    }
}

fn context<'a, 'e>(
    resolver: &'a Resolver<'a>,
    expressions: impl IntoIterator<Item = &'e Expression>,
) -> Context<'a, 'a> {
    let mut context = Context::with_env(ENVIRONMENT.clone());
    context.set_variable_resolver(resolver);
    if expressions.into_iter().any(|expression| !expression.counts().is_empty()) {
        // The standard library has no function of this name that it could be in conflict with.
        _ = context.add_function(COUNT, count);
    }
    context
}

/// A function sees no scope, so it asks for the count as for a variable.
fn count(call: &FunctionContext, kind: Arc<String>, window: Arc<String>) -> Result<i64, ExecutionError> {
    let found = call.ptx.get_variable(format!("{COUNT} {window} {kind}"));
    let found = found.and_then(|value| value.as_ref().try_into().ok());
    match found {
        Some(cel::Value::Int(count)) => Ok(count),
        _ => Ok(0),
    }
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
        } else if let Some(counted) = name.strip_prefix(COUNT).and_then(|name| name.strip_prefix(' ')) {
            let (window, kind) = counted.split_once("d ")?;
            cel::Value::Int(self.0.count(kind, window.parse().ok()?).try_into().ok()?)
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
