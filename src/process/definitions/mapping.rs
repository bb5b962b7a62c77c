//! Mappings: what an event's properties say goes to the event itself, then to profile and session.

use schemars::JsonSchema;
use serde::Deserialize;

use super::operation::Operation;
use crate::{
    model::{Fault, Json, Logs, Path, Value, Zone, begins_with},
    process::{
        expression::{condition::Expression, scope::Scope},
        identity::keys,
        records::Records,
    },
};

/// Stands in `to` for the word that `from` has of its braces.
const SAME: &str = "{same}";

/// A line of a mapping as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MappingLine")]
pub struct LineDefinition {
    /// Where to: one path or several. The last step may be `{{ EXPRESSION }}`.
    to: OneOrMore,
    /// Where from; `{a,b}` stands for a line of each.
    from: Option<String>,
    /// What is written instead of something found.
    value: Option<Json>,
    /// An expression whose value is written.
    #[schemars(extend("format" = "cel"))]
    compute: Option<String>,
    /// What is written when nothing is found.
    default: Option<Json>,
    #[serde(default)]
    op: Operation,
    /// A condition, without which the line does not count.
    #[schemars(extend("format" = "cel"))]
    r#if: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a path is expected, or a list of them")]
#[schemars(inline)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A mapping that was compiled.
#[derive(Debug, Default)]
pub struct Mapping {
    to_event: Vec<Line>,
    to_session: Vec<Line>,
    to_profile: Vec<Line>,
    /// The places in the event that speak of its person.
    pub personal: Vec<Path>,
}

#[derive(Debug)]
struct Line {
    to: Target,
    from: Origin,
    default: Option<Value>,
    operation: Operation,
    condition: Option<Expression>,
    /// It takes texts, numbers and booleans only; what it appends may be a list of these.
    is_plain: bool,
    /// Where days begin for it.
    zone: Zone,
}

#[derive(Debug)]
struct Target {
    path: Path,
    /// The last step, where an expression names it.
    last: Option<Expression>,
}

#[derive(Debug)]
enum Origin {
    Nothing,
    Path(Path),
    Value(Value),
    Computed(Expression),
}

impl Origin {
    fn computed(&self) -> Option<&Expression> {
        if let Self::Computed(expression) = self { Some(expression) } else { None }
    }
}

/// What a mapping sees.
fn check_root(root: &str) -> Result<(), Fault> {
    if ["event", "profile", "session", "source"].contains(&root) {
        return Ok(());
    }
    Err(Fault::new("value_error", format!("a mapping speaks of event, profile, session and source, not of {root}")))
}

impl Mapping {
    /// `is_plain`: its places hold texts, numbers and booleans only, but where objects are merged.
    ///
    /// # Errors
    /// A line cannot be compiled; the fault names it.
    pub fn compile(definitions: &[LineDefinition], is_plain: bool, zone: Zone) -> Result<Self, Fault> {
        let mut mapping = Self::default();
        for (index, definition) in definitions.iter().enumerate() {
            for mut line in definition.lines().map_err(|fault| fault.at_index(index))? {
                (line.is_plain, line.zone) = (is_plain && line.operation != Operation::Merge, zone);
                match line.to.path.split_root().0 {
                    "event" => mapping.to_event.push(line),
                    "session" => mapping.to_session.push(line),
                    _ => mapping.to_profile.push(line),
                }
            }
        }
        mapping.personal = mapping.personal();
        Ok(mapping)
    }

    /// The places in the event that speak of its person: what goes to the profile, or to a part of the event that does.
    fn personal(&self) -> Vec<Path> {
        let mut personal: Vec<Path> = Vec::new();
        let told = self.to_profile.iter().filter(|line| keys::is_personal(&line.to.path));
        personal.extend(told.filter_map(Line::origin).cloned());
        for line in &self.to_event {
            let passed_on = personal.contains(&line.to.path);
            personal.extend(line.origin().filter(|_| passed_on || keys::is_personal(&line.to.path)).cloned());
        }
        for line in &self.to_event {
            if line.origin().is_some_and(|from| personal.contains(from)) {
                personal.push(line.to.path.clone());
            }
        }
        personal.retain(|path| path.split_root().0 == "event");
        personal
    }

    /// What the event says of itself.
    pub fn apply_to_event(&self, records: &mut Records<'_>, event: usize, logs: &mut Logs) {
        apply(&self.to_event, records, event, logs, |_, _, _, _| true);
    }

    /// What it says of its session, if it has one.
    pub fn apply_to_session(&self, records: &mut Records<'_>, event: usize, logs: &mut Logs) {
        if records.session.is_some() {
            apply(&self.to_session, records, event, logs, |_, _, _, _| true);
        }
    }

    /// What the event says of itself once what stands at `changed` is another.
    pub fn apply_again(&self, records: &mut Records<'_>, event: usize, changed: &[Path], logs: &mut Logs) {
        let overlaps = |a: &Path, b: &Path| a.steps().starts_with(b.steps()) || b.steps().starts_with(a.steps());
        let is_concerned =
            |line: &&Line| line.origin().is_some_and(|from| changed.iter().any(|path| overlaps(path, from)));
        let lines = || self.to_event.iter().filter(is_concerned);
        lines().for_each(|line| records.events[event].forget_written(line.to.path.split_root().1));
        apply(lines(), records, event, logs, |_, _, _, _| true);
    }

    /// What it says of its profile, once it has one; `said` hears what is done with which value at which place, and says
    /// whether it is.
    pub fn apply_to_profile(
        &self,
        records: &mut Records<'_>,
        event: usize,
        logs: &mut Logs,
        said: impl FnMut(Operation, &Path, Option<&Value>, &mut Logs) -> bool,
    ) {
        apply(&self.to_profile, records, event, logs, said);
    }

    /// The places of a profile to which it may write, or below.
    pub fn targets_of_profile(&self) -> impl Iterator<Item = &Path> {
        self.to_profile.iter().map(|line| &line.to.path)
    }

    /// Whether it may write to this place of a profile, or around it.
    pub fn leads_to(&self, place: &Path) -> bool {
        self.targets_of_profile().any(|path| place.steps().starts_with(path.steps()))
    }

    /// What it says of a profile's places `places`, each alone or within an object that is written around it; nothing is
    /// written.
    pub fn said_of_profile<'p>(
        &self,
        records: &Records<'_>,
        event: usize,
        places: impl Iterator<Item = &'p Path> + Clone,
    ) -> Vec<(Path, Value)> {
        let leads_there = |line: &&Line| {
            let steps = line.to.path.steps();
            places.clone().any(|place| place.steps().starts_with(steps))
        };
        let said = self.to_profile.iter().filter(leads_there).filter_map(|line| line.says(records, event).ok()?);
        said.filter_map(|(path, value)| Some((path, value?))).collect()
    }
}

/// Applies the lines in order; `said` hears what they do with which value at which place, and says whether it is done. What
/// cannot be is skipped and logged.
fn apply<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    records: &mut Records<'_>,
    event: usize,
    logs: &mut Logs,
    mut said: impl FnMut(Operation, &Path, Option<&Value>, &mut Logs) -> bool,
) {
    for line in lines {
        if let Err(error) = line.apply(records, event, |path, value| said(line.operation, path, value, logs)) {
            logs.warn(format!("{}: {error}", records.events[event].kind()));
        }
    }
}

impl LineDefinition {
    /// The lines that this one stands for.
    fn lines(&self) -> Result<Vec<Line>, Fault> {
        let words = match self.from.as_deref().and_then(braces) {
            Some(words) => words.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let targets = match &self.to {
            OneOrMore::One(to) => std::slice::from_ref(to),
            OneOrMore::More(more) => more,
        };
        let mut lines = Vec::new();
        for word in words {
            for to in targets {
                lines.push(self.line(to, word)?);
            }
        }
        Ok(lines)
    }

    fn line(&self, to: &str, word: Option<&str>) -> Result<Line, Fault> {
        let to = to.replace(SAME, word.unwrap_or(SAME));
        let from = match (&self.from, &self.value, &self.compute) {
            (Some(from), None, None) => {
                let from = fill_braces(from, word);
                let path = Path::parse(&from).map_err(|fault| fault.at("from"))?;
                check_root(path.split_root().0).map_err(|fault| fault.at("from"))?;
                Origin::Path(path)
            }
            (None, Some(value), None) => Origin::Value(value.into()),
            (None, None, Some(expression)) => {
                Origin::Computed(Expression::compile(expression).map_err(|fault| fault.at("compute"))?)
            }
            (None, None, None) if self.op.works_alone() => Origin::Nothing,
            _ => return Err(Fault::new("value_error", "one of from, value and compute is expected")),
        };
        let condition = self
            .r#if
            .as_deref()
            .map(|text| Expression::compile(text)?.condition())
            .transpose()
            .map_err(|fault| fault.at("if"))?;
        for (name, expression) in [("if", condition.as_ref()), ("compute", from.computed())] {
            let strange = ["steps", "segment"].into_iter().find(|root| expression.is_some_and(|it| it.mentions(root)));
            strange.map_or(Ok(()), check_root).map_err(|fault| fault.at(name))?;
        }
        let to = Target::compile(&to).map_err(|fault| fault.at("to"))?;
        Ok(Line {
            to,
            from,
            default: self.default.as_ref().map(Value::from),
            operation: self.op,
            condition,
            is_plain: false,
            zone: Zone::default(),
        })
    }
}

/// The parts of events and profiles where ready-made types put a list as it is.
const LISTS: [&[&str]; 6] = [
    &["data", "preferences"],
    &["data", "loyalty", "codes"],
    &["data", "identifier", "coupons"],
    &["data", "pii", "language"],
    &["device", "geo", "location"],
    &["data", "devices", "last", "geo", "location"],
];

fn holds_list(path: &Path) -> bool {
    LISTS.iter().any(|part| begins_with(path.split_root().1, part))
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::List(_))
}

/// The words in the braces of a path: `email.{main,private}` has two.
fn braces(path: &str) -> Option<Vec<&str>> {
    let (_, rest) = path.split_once('{')?;
    let (inside, _) = rest.split_once('}')?;
    Some(inside.split(',').map(str::trim).collect())
}

fn fill_braces(path: &str, word: Option<&str>) -> String {
    match (path.split_once('{'), word) {
        (Some((before, rest)), Some(word)) => {
            let behind = rest.split_once('}').map_or("", |(_, behind)| behind);
            format!("{before}{word}{behind}")
        }
        _ => path.to_owned(),
    }
}

impl Target {
    fn compile(text: &str) -> Result<Self, Fault> {
        let (path, last) = match text.trim_end().strip_suffix("}}").and_then(|text| text.rsplit_once(".{{")) {
            Some((path, expression)) => (path, Some(Expression::compile(expression.trim())?)),
            None => (text, None),
        };
        let path = Path::parse(path)?;
        let probe = if last.is_some() { path.below("x") } else { path.clone() };
        Records::check_writable(&probe)?;
        Ok(Self { path, last })
    }

    fn path(&self, scope: &Scope<'_>) -> Result<Option<Path>, String> {
        let Some(last) = &self.last else { return Ok(Some(self.path.clone())) };
        let step = last.value(scope)?.filter(|step| !step.is_empty());
        if step.as_ref().is_some_and(|step| !is_plain(step)) {
            return Err(format!("{}: what stands below it is named by a text", self.path));
        }
        Ok(step.map(|step| self.path.below(&step.to_text())))
    }
}

impl Line {
    fn origin(&self) -> Option<&Path> {
        if let Origin::Path(path) = &self.from { Some(path) } else { None }
    }

    /// What it says of which place; `None`: nothing.
    fn says(&self, records: &Records<'_>, event: usize) -> Result<Option<(Path, Option<Value>)>, String> {
        let scope = Scope::new(records, Some(event)).in_zone(self.zone);
        if let Some(condition) = &self.condition
            && !condition.holds(&scope)?
        {
            return Ok(None);
        }
        let found = match &self.from {
            Origin::Nothing => None,
            Origin::Path(path) => scope.get(path).map(|value| value.into_owned()),
            Origin::Value(value) => Some(value.clone()),
            Origin::Computed(expression) => expression.value(&scope)?,
        };
        let value = found.filter(|value| !value.is_empty()).or_else(|| self.default.clone());
        if value.is_none() && !matches!(self.from, Origin::Nothing) {
            return Ok(None);
        }
        let Some(path) = self.to.path(&scope)? else { return Ok(None) };
        let may_be_list = self.operation == Operation::Append || holds_list(&path);
        let fits = |value: &Value| match value {
            Value::List(list) => may_be_list && list.iter().all(is_plain),
            value => is_plain(value),
        };
        if self.is_plain && value.as_ref().is_some_and(|value| !fits(value)) {
            return Err(format!("{path}: a text, a number or a boolean is expected"));
        }
        Ok(Some((path, value)))
    }

    fn apply(
        &self,
        records: &mut Records<'_>,
        event: usize,
        is_done: impl FnOnce(&Path, Option<&Value>) -> bool,
    ) -> Result<(), String> {
        let Some((path, value)) = self.says(records, event)? else { return Ok(()) };
        if !is_done(&path, value.as_ref()) {
            return Ok(());
        }
        self.operation.apply(records, Some(event), &path, value).map_err(|error| error.to_string())
    }
}
