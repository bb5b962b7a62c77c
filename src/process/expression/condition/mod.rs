//! Conditions and computed values: CEL expressions over the records being processed (https://cel.dev).
//!
//! The parser's recursion and the interpreter's are bounded by what is let in here: the length of an expression, how
//! deep it nests, and its loops over lists. It is compiled on a thread with a stack of its own size. What an evaluation
//! may look at and lead to is bounded in bytes.

mod asked;
mod check;
mod constants;
mod number;
mod numbers;
mod rewrite;
mod values;

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock, atomic::AtomicBool},
};

use cel::{
    Context, Env, ExecutionError, FunctionContext, Program,
    common::{
        ast::{Expr, IdedExpr, LiteralValue},
        types::{CelBool, CelInt, CelNull, CelString, CelTimestamp},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use parking_lot::Mutex;

use super::scope::Scope;
use crate::{
    model::{Fault, Path, Time, Value, Zone},
    supervise::caught_now,
};
use number::Number;
use rewrite::{HAS, STEP, ZONE};
use values::{Budget, ITEM_BYTES, LOOKED_AT_MAX, PATTERN_ITEM_BYTES, from_cel, to_cel};

pub use constants::without_constant_checks;

const STACK_BYTES: usize = 32 * 1024 * 1024;
/// What an expression may speak of, beside the time.
const RECORDS: [&str; 6] = ["event", "profile", "session", "source", "steps", "segment"];
const NOW: &str = "now";
const NO_CONDITION: &str = "a condition is true or false, and this is neither";
/// How the interpreter says that a path goes on behind a null.
const STEP_OF_NULL: &str = "'_._' applied to '(null_type";
/// `count('purchase-order', '30d')`: how many events of a type the profile had in the last days.
const COUNT: &str = "count";

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    numbers::declare(&mut environment);
    Arc::new(environment)
});

/// An expression that was compiled.
#[derive(Debug)]
pub enum Expression {
    /// A path and nothing else, whose value is found as it stands.
    Path(Path),
    Program {
        /// As it is written.
        program: Program,
        /// As it is evaluated.
        evaluated: Box<IdedExpr>,
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

    /// On a thread with a stack of its own: the parser goes as deep as an expression is long.
    fn program(text: &str) -> Result<Self, Fault> {
        let (owned, checks_constants) = (text.to_owned(), constants::are_checked());
        let compiling = std::thread::Builder::new()
            .name("compile".into())
            .stack_size(STACK_BYTES)
            .spawn(move || Self::program_here(&owned, checks_constants));
        let unread = |_| Err(refused("the expression cannot be read"));
        compiling.map_err(|error| refused(&error.to_string()))?.join().unwrap_or_else(unread)
    }

    fn program_here(text: &str, checks_constants: bool) -> Result<Self, Fault> {
        let program = Program::compile(text).map_err(|errors| refused(&errors.to_string()))?;
        check::references(&program)?;
        let item_bytes =
            if check::patterns(&program.expression().expr, false)? { PATTERN_ITEM_BYTES } else { ITEM_BYTES };
        let (mut counts, mut numbers) = (Vec::new(), Vec::new());
        check::counts(&program.expression().expr, &mut counts)?;
        let evaluated = Box::new(rewrite::rewritten(&program));
        if checks_constants {
            check::depth(&evaluated.expr)?;
            constants::check(&evaluated.expr, item_bytes)?;
        }
        asked::numbers(&program.expression().expr, &mut numbers);
        Ok(Self::Program { program, evaluated, counts, numbers: numbers.into(), item_bytes })
    }

    /// The same as a condition.
    ///
    /// # Errors
    /// It is a text, a number, null, a list or an object, whatever it is about.
    pub fn condition(self) -> Result<Self, Fault> {
        let is_none = match &self {
            Self::Path(_) => false,
            Self::Program { evaluated, .. } => match &evaluated.expr {
                Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
                Expr::Ident(name) => is_number(name),
                Expr::List(_) | Expr::Map(_) => true,
                _ => false,
            },
        };
        if is_none && constants::are_checked() { Err(refused(NO_CONDITION)) } else { Ok(self) }
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
    /// It cannot be evaluated: values of these types cannot be compared, it is neither true nor false, and so on.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        match self.value(scope)? {
            Some(Value::Boolean(holds)) => Ok(holds),
            None | Some(Value::Null) => Ok(false),
            Some(_) => Err(NO_CONDITION.to_owned()),
        }
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
        let (evaluated, numbers, item_bytes) = match self {
            Self::Path(path) => return Ok(scope.get(path).map(Cow::into_owned)),
            Self::Program { evaluated, numbers, item_bytes, .. } => (evaluated, numbers, *item_bytes),
        };
        let resolver = Resolver::new(scope);
        let context = context(&resolver, [self]);
        match resolver.evaluate(evaluated, (numbers, scope.zone()), item_bytes, &context, |value| {
            from_cel(value, &resolver.budget)
        }) {
            Ok(value) => value.map(Some).ok_or_else(too_much),
            Err(NotEvaluated::Missing) => Ok(None),
            Err(NotEvaluated::Types(why) | NotEvaluated::Failed(why)) => Err(why),
        }
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
            Self::Program { evaluated, numbers, item_bytes, .. } => {
                let is_true = |value: &dyn Val| match value.downcast_ref::<CelBool>() {
                    Some(boolean) => Ok(*boolean.inner()),
                    None if value.downcast_ref::<CelNull>().is_some() => Ok(false),
                    None => Err(NO_CONDITION.to_owned()),
                };
                match resolver.evaluate(evaluated, (numbers, zone), *item_bytes, &context, is_true) {
                    Ok(holds) => holds,
                    Err(NotEvaluated::Missing) => Ok(false),
                    Err(NotEvaluated::Types(why) | NotEvaluated::Failed(why)) => Err(why),
                }
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

    /// What `made` makes of an expression's value.
    fn evaluate<T>(
        &self,
        expression: &IdedExpr,
        (numbers, zone): (&Arc<[Box<str>]>, Zone),
        item_bytes: usize,
        context: &Context<'_, '_>,
        made: impl FnOnce(&dyn Val) -> T,
    ) -> Result<T, NotEvaluated> {
        self.budget.begin(item_bytes);
        *self.asked.lock() = Asked { numbers: numbers.clone(), zone };
        // The interpreter works on what clients send: a bug in it is an expression that cannot be evaluated.
        let value = caught_now(|| cel::Value::resolve_val(expression, context)).map_err(NotEvaluated::Failed)?;
        if self.budget.is_exceeded() {
            return Err(NotEvaluated::Failed(too_much()));
        }
        match value {
            Ok(value) => Ok(made(value.as_ref())),
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_)) => Err(NotEvaluated::Missing),
            Err(ExecutionError::NoSuchOverload(error)) => {
                let why = error.to_string();
                Err(if why.contains(STEP_OF_NULL) { NotEvaluated::Missing } else { NotEvaluated::Types(why) })
            }
            Err(error) => Err(NotEvaluated::Failed(error.to_string())),
        }
    }
}

/// Why an expression has no value.
enum NotEvaluated {
    /// Something is missing on the way to it.
    Missing,
    /// There is no such operation on values of these types.
    Types(String),
    Failed(String),
}

/// Whether a name that an expression speaks of is a number, which stands in it.
fn is_number(name: &str) -> bool {
    name.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let value: Box<dyn Val> = if name == NOW {
            Box::new(CelTimestamp::from(self.scope.in_zone(self.asked.lock().zone).now()))
        } else if name == ZONE {
            Box::new(CelString::from(self.asked.lock().zone.name().to_owned()))
        } else if let Some(path) = name.strip_prefix(HAS) {
            let path: Path = path.split(STEP).skip(1).collect();
            Box::new(CelBool::from(self.scope.get(&path).is_some()))
        } else if is_number(name) {
            Box::new(Number::new(name))
        } else if let Some(counted) = name.strip_prefix(COUNT).and_then(|name| name.strip_prefix(' ')) {
            let (window, kind) = counted.split_once("d ")?;
            let scope = self.scope.in_zone(self.asked.lock().zone);
            let count: i64 = scope.count(kind, window.parse().ok()?).try_into().ok()?;
            Box::new(CelInt::from(count))
        } else {
            let found = self.scope.get(&name.split('.').collect())?;
            let is_asked = found.says_number() && self.asked.lock().numbers.iter().any(|asked| **asked == *name);
            let found = if is_asked { Cow::Owned(found.into_owned().said_number()) } else { found };
            to_cel(&found, &self.budget)?
        };
        Some(CowVal::Owned(value))
    }
}

fn too_much() -> String {
    format!("the expression looks at more than {LOOKED_AT_MAX} bytes, or leads to more")
}

fn refused(what: &str) -> Fault {
    // The library draws the expression with a mark under the mistake, on further lines.
    Fault::new("value_error", format!("not an expression: {}", what.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
