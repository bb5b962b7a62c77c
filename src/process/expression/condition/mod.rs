//! Conditions and computed values: CEL expressions over the records being processed (https://cel.dev).
//!
//! The parser's recursion and the interpreter's are bounded by what is let in here: the length of an expression, how
//! deep it nests, and its loops over lists. It is compiled on a thread with a stack of its own size. What an evaluation
//! may look at and lead to is bounded in bytes.

mod asked;
mod check;

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use cel::{
    Context, Env, ExecutionError, FunctionContext, Program,
    common::value::{CowVal, Val},
    context::VariableResolver,
};

use parking_lot::Mutex;

use super::scope::Scope;
use crate::{
    model::{Fault, Object, Path, Time, Value, Zone},
    supervise::caught_now,
};

const STACK_BYTES: usize = 32 * 1024 * 1024;
/// What an expression may speak of, beside the time.
const RECORDS: [&str; 6] = ["event", "profile", "session", "source", "steps", "segment"];
const NOW: &str = "now";
/// How much an evaluation may turn into the interpreter's form and back, in bytes: a number counts as [`ITEM_BYTES`].
/// Each time that a loop speaks of a record's list, all of it is turned.
const LOOKED_AT_MAX: usize = 4 * 1024 * 1024;
const ITEM_BYTES: usize = 8;
/// The same where a loop reads a pattern for each.
const PATTERN_ITEM_BYTES: usize = 4_096;
/// How the interpreter says that a path goes on behind a null.
const STEP_OF_NULL: &str = "'_._' applied to '(null_type";
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
        /// The names that it asks for as numbers.
        numbers: Arc<[Box<str>]>,
        /// What each value that it looks at counts as, beside its text.
        item_bytes: usize,
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
        let path = Path::parse(text).ok().filter(|path| RECORDS.contains(&path.split_root().0));
        match (check::reading(text), path) {
            (check::Reading::Path, Some(path)) => Ok(Self::Path(path)),
            (check::Reading::Either, Some(path)) => Self::program(text).or(Ok(Self::Path(path))),
            _ => Self::program(text),
        }
    }

    /// As [`Expression::compile`], of an expression that speaks of one record.
    ///
    /// # Errors
    /// As [`Expression::compile`], or it speaks of another one.
    pub fn compile_over(text: &str, record: &'static str) -> Result<Self, Fault> {
        let compiled = Self::compile(text)?;
        match &compiled {
            Self::Path(path) if path.split_root().0 != record => {
                Err(refused(&format!("unknown name {}: expected {record}", path.split_root().0)))
            }
            Self::Path(_) => Ok(compiled),
            Self::Program { program, .. } => check::names(program, &[record]).map(|()| compiled),
        }
    }

    fn program(text: &str) -> Result<Self, Fault> {
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
        let item_bytes =
            if check::patterns(&program.expression().expr, false)? { PATTERN_ITEM_BYTES } else { ITEM_BYTES };
        let (mut counts, mut numbers) = (Vec::new(), Vec::new());
        check::counts(&program.expression().expr, &mut counts)?;
        asked::numbers(&program.expression().expr, &mut numbers);
        Ok(Self::Program { program, counts, numbers: numbers.into(), item_bytes })
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

    /// Whether the expression holds, as [`Expression::holds`], of a stored event with these properties, which are JSON;
    /// `None` where it depends on something else.
    pub fn holds_by_properties(&self, properties: &str, now: Time) -> Option<bool> {
        let looks_further = AtomicBool::new(false);
        let holds = self.holds(&Scope::properties(properties, now, &looks_further));
        (!looks_further.into_inner()).then(|| holds.unwrap_or(false))
    }

    /// The expression's value; `None` where something is missing on the way to it.
    ///
    /// # Errors
    /// As [`Expression::holds`].
    pub fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        let (program, numbers, item_bytes) = match self {
            Self::Path(path) => return Ok(scope.get(path).map(Cow::into_owned)),
            Self::Program { program, numbers, item_bytes, .. } => (program, numbers, *item_bytes),
        };
        let resolver = Resolver::new(scope);
        let value = resolver.execute(program, numbers, scope.zone(), item_bytes, &context(&resolver, [self]))?;
        value.map(|value| from_cel(&value, &resolver.budget).ok_or_else(too_much)).transpose()
    }

    /// Whether each of the expressions holds where days begin as they do in its zone, as [`Expression::holds`] says of one.
    pub fn all_hold<'a>(
        expressions: impl Iterator<Item = (&'a Self, Zone)> + Clone,
        scope: &Scope<'_>,
    ) -> Vec<Result<bool, String>> {
        let resolver = Resolver::new(scope);
        let context = context(&resolver, expressions.clone().map(|(expression, _)| expression));
        let holds = expressions.map(|(expression, zone)| match expression {
            Self::Path(_) => expression.holds(scope),
            Self::Program { program, numbers, item_bytes, .. } => {
                Ok(resolver.execute(program, numbers, zone, *item_bytes, &context)? == Some(cel::Value::Bool(true)))
            }
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

/// Finds what an expression speaks of; a dotted name is asked for as a whole first, so that only what is spoken of is
/// turned into the interpreter's form.
struct Resolver<'a> {
    scope: &'a Scope<'a>,
    budget: Budget,
    asked: Mutex<Asked>,
}

/// How the program that is executed asks.
#[derive(Default)]
struct Asked {
    /// The names that it asks for as numbers.
    numbers: Arc<[Box<str>]>,
    /// Where its days begin.
    zone: Zone,
}

impl<'a> Resolver<'a> {
    fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, budget: Budget::default(), asked: Mutex::default() }
    }

    /// A program's value; `None` where something is missing on the way to it.
    fn execute(
        &self,
        program: &Program,
        numbers: &Arc<[Box<str>]>,
        zone: Zone,
        item_bytes: usize,
        context: &Context<'_, '_>,
    ) -> Result<Option<cel::Value>, String> {
        self.budget.begin(item_bytes);
        *self.asked.lock() = Asked { numbers: numbers.clone(), zone };
        // The interpreter works on what clients send: a bug in it is an expression that cannot be evaluated.
        let value = caught_now(|| program.execute(context))?;
        if self.budget.is_exceeded() {
            return Err(too_much());
        }
        match value {
            Ok(value) => Ok(Some(value)),
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_)) => Ok(None),
            Err(ExecutionError::NoSuchOverload(error)) if error.to_string().contains(STEP_OF_NULL) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let value = if name == NOW {
            cel::Value::Timestamp(self.scope.in_zone(self.asked.lock().zone).now())
        } else if let Some(counted) = name.strip_prefix(COUNT).and_then(|name| name.strip_prefix(' ')) {
            let (window, kind) = counted.split_once("d ")?;
            let scope = self.scope.in_zone(self.asked.lock().zone);
            cel::Value::Int(scope.count(kind, window.parse().ok()?).try_into().ok()?)
        } else {
            let found = self.scope.get(&name.split('.').collect())?;
            let is_asked = found.says_number() && self.asked.lock().numbers.iter().any(|asked| **asked == *name);
            let found = if is_asked { Cow::Owned(found.into_owned().said_number()) } else { found };
            to_cel(&found, &self.budget)?
        };
        let boxed: Box<dyn Val> = value.try_into().ok()?;
        Some(CowVal::Owned(boxed))
    }
}

/// What an evaluation turned from one form into the other.
#[derive(Default)]
struct Budget {
    taken: AtomicUsize,
    item_bytes: AtomicUsize,
}

impl Budget {
    fn begin(&self, item_bytes: usize) {
        self.taken.store(0, Ordering::Relaxed);
        self.item_bytes.store(item_bytes, Ordering::Relaxed);
    }

    /// Takes the room of a value beside what is in it; `None`: there is none outcome.
    fn take(&self, text: &str) -> Option<()> {
        self.taken.fetch_add(self.item_bytes.load(Ordering::Relaxed) + text.len(), Ordering::Relaxed);
        (!self.is_exceeded()).then_some(())
    }

    fn is_exceeded(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > LOOKED_AT_MAX
    }
}

fn too_much() -> String {
    format!("the expression looks at more than {LOOKED_AT_MAX} bytes, or leads to more")
}

fn refused(what: &str) -> Fault {
    // The library draws the expression with a mark under the mistake, on further lines.
    Fault::new("value_error", format!("not an expression: {}", what.lines().next().unwrap_or_default()))
}

fn to_cel(value: &Value, budget: &Budget) -> Option<cel::Value> {
    budget.take(value.as_str().unwrap_or_default())?;
    Some(match value {
        Value::Null => cel::Value::Null,
        Value::Boolean(boolean) => cel::Value::Bool(*boolean),
        Value::Number(number) => match number.parse() {
            Ok(whole) => cel::Value::Int(whole),
            Err(_) => cel::Value::Float(number.parse().unwrap_or(f64::INFINITY)),
        },
        Value::Text(text) => cel::Value::String(Arc::new(text.to_string())),
        Value::List(list) => {
            let list = list.iter().map(|item| to_cel(item, budget));
            cel::Value::List(Arc::new(list.collect::<Option<_>>()?))
        }
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| {
                budget.take(key)?;
                Some((key.to_owned().into(), to_cel(value, budget)?))
            });
            cel::Value::Map(cel::objects::Map { map: Arc::new(entries.collect::<Option<HashMap<_, _>>>()?) })
        }
    })
}

fn from_cel(value: &cel::Value, budget: &Budget) -> Option<Value> {
    budget.take("")?;
    Some(match value {
        cel::Value::Bool(boolean) => Value::Boolean(*boolean),
        cel::Value::Int(number) => Value::number(number),
        cel::Value::UInt(number) => Value::number(number),
        cel::Value::Float(number) => Value::float(*number),
        cel::Value::String(text) => {
            budget.take(text)?;
            Value::text(text)
        }
        cel::Value::List(list) => Value::List(list.iter().map(|item| from_cel(item, budget)).collect::<Option<_>>()?),
        cel::Value::Map(map) => {
            let mut entries: Vec<(String, &cel::Value)> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let mut object = Object::default();
            for (key, value) in entries {
                budget.take(&key)?;
                object.insert(&key, from_cel(value, budget)?);
            }
            Value::Object(object)
        }
        cel::Value::Timestamp(time) => Value::text(&time.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        cel::Value::Duration(duration) => Value::text(&format!("{}s", duration.as_seconds_f64())),
        _ => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_decide_where_nothing_else_is_looked_at() {
        let properties = r#"{"price":12.5,"item":{"id":"a"},"sold":true}"#;
        for (text, expected) in [
            ("event.properties.price > 10", Some(true)),
            ("event.properties.price > 10 && event.properties.item.id == 'b'", Some(false)),
            ("event.properties.missing == 1", Some(false)),
            ("has(event.properties.sold) && event.properties.sold", Some(true)),
            ("event.properties.sold", Some(true)),
            ("event.type == 'a'", None),
            ("event.properties.price > 10 && event.context.page.url == '/'", None),
            ("event.properties.price > 20 && event.type == 'a'", Some(false)),
        ] {
            let condition = Expression::compile_over(text, "event").unwrap();
            assert_eq!(condition.holds_by_properties(properties, Time::default()), expected, "{text}");
        }
    }
}
