//! Steps as people write them, and what they are compiled to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, AttachProfile, Branch, By, Change, Step};
use crate::{
    model::{EventType, Fault, Json, KnownBy, Path, Value},
    process::{
        definitions::{self, operation::Operation},
        expression::{
            condition::Expression,
            template::{Template, ValueTemplate},
        },
        outbound::lookup,
        records::Records,
    },
};

/// The most steps of a workflow, with those of its branches.
const STEPS_MAX: usize = 100;
/// What a profile may be attached by, for people.
const ATTACH_BY: &str = "id, email, phone, identifier, pk, profile.PATH or new is expected";
/// How deep branches may stand in each other.
const BRANCHES_MAX: usize = 8;

/// A step as it is written: the one thing that it does, and around it when and under which name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Step")]
pub(super) struct StepDefinition {
    id: Option<String>,
    #[schemars(extend("format" = "cel"))]
    r#if: Option<String>,
    /// The workflow goes on if the step fails.
    continue_on_error: bool,
    /// Writes values at paths.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    set: Option<Json>,
    /// Writes them where nothing stands.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    set_if_empty: Option<Json>,
    /// Copies from path to path.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    copy: Option<Json>,
    /// Appends to lists, nothing twice.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    append: Option<Json>,
    /// Adds to numbers.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    increment: Option<Json>,
    /// Takes away from numbers.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    decrement: Option<Json>,
    /// Removes what stands at paths.
    delete: Option<Vec<String>>,
    /// Puts a hash in the place of what stands there.
    hash: Option<Vec<String>>,
    /// Puts stars in the place of all but its last characters.
    mask: Option<Vec<String>>,
    /// Lets the profile enter or leave segments.
    segment: Option<SegmentDefinition>,
    /// Grants or revokes consents.
    consent: Option<ConsentDefinition>,
    /// Adds to interests of the profile.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    interest: Option<Json>,
    /// Whose the event is: by `id`, `email`, `phone`, `identifier`, `pk`, `profile.PATH` or `new`; `create` if none is found,
    /// `join` with the one that it has.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    attach_profile: Option<Json>,
    /// In which session the event goes on.
    attach_session: Option<String>,
    /// Reads the session that the profile had before.
    previous_session: Option<bool>,
    /// Asks an external system.
    lookup: Option<lookup::Definition>,
    /// Lets another event happen, perhaps later.
    emit: Option<EmitDefinition>,
    /// What the answer's `response` says.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    response: Option<Json>,
    /// What the answer's `ux` says: one `{tag, props, content}`, or a list of them.
    ux: Option<Json>,
    /// The event is not stored.
    discard: Option<bool>,
    /// Writes a line for the debugger.
    log: Option<String>,
    /// Takes the first branch whose condition holds.
    choose: Option<Vec<BranchDefinition>>,
    /// Ends the workflow.
    stop: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct SegmentDefinition {
    add: Vec<String>,
    remove: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct ConsentDefinition {
    grant: Vec<String>,
    revoke: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct EmitDefinition {
    r#type: String,
    properties: Option<Json>,
    #[schemars(regex(pattern = definitions::DURATION))]
    delay: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Branch")]
struct BranchDefinition {
    #[schemars(extend("format" = "cel"))]
    r#if: Option<String>,
    #[serde(default)]
    step: Vec<StepDefinition>,
}

/// Compiles the steps of a workflow.
///
/// # Errors
/// There are too many, or one does not compile; the fault names the place.
pub(super) fn compile(definitions: &[StepDefinition]) -> Result<Vec<Step>, Fault> {
    let mut left = STEPS_MAX;
    steps(definitions, BRANCHES_MAX, &mut left)
}

pub(super) fn boxed(texts: Vec<String>) -> Vec<Box<str>> {
    texts.into_iter().map(Into::into).collect()
}

pub(super) fn condition(text: Option<&str>) -> Result<Option<Expression>, Fault> {
    text.map(|text| Expression::compile_counting(text)?.condition()).transpose().map_err(|fault| fault.at("if"))
}

fn steps(definitions: &[StepDefinition], depth: usize, left: &mut usize) -> Result<Vec<Step>, Fault> {
    let steps = definitions.iter().enumerate().map(|(index, definition)| {
        let step = definition.compile(depth, left);
        step.map_err(|fault| fault.at_index(index).at("step"))
    });
    steps.collect()
}

impl StepDefinition {
    fn compile(&self, depth: usize, left: &mut usize) -> Result<Step, Fault> {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| Fault::new("value_error", format!("a workflow has at most {STEPS_MAX} steps")))?;
        // Its place among all steps of the workflow, those in branches too.
        let number = STEPS_MAX - *left;
        let mut actions = self.actions(depth, left)?;
        let action = match (actions.pop(), actions.pop()) {
            (Some(action), None) => action,
            (None, _) => return Err(Fault::new("value_error", "a step does one thing, and this one does nothing")),
            (Some(_), Some(_)) => return Err(Fault::new("value_error", "a step does one thing, and this one several")),
        };
        Ok(Step {
            id: self.id.clone().unwrap_or_else(|| format!("step-{number}")).into(),
            condition: condition(self.r#if.as_deref())?,
            continue_on_error: self.continue_on_error,
            action,
        })
    }

    /// What the step does; one action if it is written as it should be.
    fn actions(&self, depth: usize, left: &mut usize) -> Result<Vec<Action>, Fault> {
        let mut actions = Vec::new();
        let changes = [
            ("set", &self.set, Operation::Set),
            ("set_if_empty", &self.set_if_empty, Operation::SetIfEmpty),
            ("append", &self.append, Operation::Append),
            ("increment", &self.increment, Operation::Increment),
            ("decrement", &self.decrement, Operation::Decrement),
        ];
        for (name, values, operation) in changes {
            if let Some(values) = values {
                actions.push(Action::Change(changes_of(operation, values).map_err(|fault| fault.at(name))?));
            }
        }
        if let Some(pairs) = &self.copy {
            actions.push(Action::Change(copies(pairs).map_err(|fault| fault.at("copy"))?));
        }
        if let Some(interests) = &self.interest {
            actions.push(Action::Change(interest_changes(interests).map_err(|fault| fault.at("interest"))?));
        }
        if let Some(consent) = &self.consent {
            actions.push(Action::Change(consent_changes(consent).map_err(|fault| fault.at("consent"))?));
        }
        if let Some(paths) = &self.delete {
            let paths = writable_paths(paths).map_err(|fault| fault.at("delete"))?;
            let changes = paths.into_iter().map(|path| Change { operation: Operation::Delete, path, value: None });
            actions.push(Action::Change(changes.collect()));
        }
        if let Some(paths) = &self.hash {
            actions.push(Action::Hash(writable_paths(paths).map_err(|fault| fault.at("hash"))?));
        }
        if let Some(paths) = &self.mask {
            actions.push(Action::Mask(writable_paths(paths).map_err(|fault| fault.at("mask"))?));
        }
        if let Some(segment) = &self.segment {
            let named = check_names(&segment.add, "add").and(check_names(&segment.remove, "remove"));
            named.map_err(|fault| fault.at("segment"))?;
            actions.push(Action::Segments { add: boxed(segment.add.clone()), remove: boxed(segment.remove.clone()) });
        }
        if let Some(attach) = &self.attach_profile {
            actions.push(Action::AttachProfile(
                AttachProfile::compile(attach).map_err(|fault| fault.at("attach_profile"))?,
            ));
        }
        if let Some(session) = &self.attach_session {
            let template = Template::compile(session, false).map_err(|fault| fault.at("attach_session"))?;
            actions.push(Action::AttachSession(template));
        }
        if self.previous_session == Some(true) {
            actions.push(Action::PreviousSession);
        }
        if let Some(lookup) = &self.lookup {
            actions.push(Action::Lookup(lookup.compile().map_err(|fault| fault.at("lookup"))?));
        }
        if let Some(emit) = &self.emit {
            let at = |fault: Fault, field| fault.at(field).at("emit");
            let kind = EventType::parse(&emit.r#type).map_err(|fault| at(fault, "type"))?;
            let properties = emit.properties.as_ref().map_or(Value::object(), Value::from);
            let properties = ValueTemplate::compile(&properties).map_err(|fault| at(fault, "properties"))?;
            let delay = emit.delay.as_deref().map(definitions::duration).transpose();
            let delay = delay.map_err(|fault| at(fault, "delay"))?;
            actions.push(Action::Emit { kind, properties, delay });
        }
        if let Some(response) = &self.response {
            let value = Value::from(response);
            if value.as_object().is_none() {
                return Err(Fault::wrong_type("an object").at("response"));
            }
            actions.push(Action::Response(ValueTemplate::compile(&value).map_err(|fault| fault.at("response"))?));
        }
        if let Some(ux) = &self.ux {
            actions.push(Action::Ux(ux_template(ux).map_err(|fault| fault.at("ux"))?));
        }
        if let Some(log) = &self.log {
            actions.push(Action::Log(Template::compile(log, false).map_err(|fault| fault.at("log"))?));
        }
        if let Some(branches) = &self.choose {
            actions.push(Action::Choose(compile_branches(branches, depth, left).map_err(|fault| fault.at("choose"))?));
        }
        if self.discard == Some(true) {
            actions.push(Action::Discard);
        }
        if self.stop == Some(true) {
            actions.push(Action::Stop);
        }
        Ok(actions)
    }
}

fn writable(path: &str) -> Result<Path, Fault> {
    let path = Path::parse(path)?;
    Records::check_writable(&path)?;
    Ok(path)
}

fn countable(path: &str) -> Result<Path, Fault> {
    let path = Path::parse(path)?;
    Records::check_countable(&path)?;
    Ok(path)
}

fn writable_paths(paths: &[String]) -> Result<Vec<Path>, Fault> {
    let paths = paths.iter().enumerate();
    paths.map(|(index, path)| writable(path).map_err(|fault| fault.at_index(index))).collect()
}

/// `{ "profile.traits.vip" = true }`.
fn changes_of(operation: Operation, values: &Json) -> Result<Vec<Change>, Fault> {
    each_entry(values, |path, value| {
        let value = ValueTemplate::compile(value)?;
        let path = match operation {
            Operation::Increment | Operation::Decrement => countable(path)?,
            _ => writable(path)?,
        };
        Ok(Change { operation, path, value: Some(value) })
    })
}

/// `{ "profile.traits.city" = "event.properties.city" }`.
fn copies(pairs: &Json) -> Result<Vec<Change>, Fault> {
    each_entry(pairs, |path, from| {
        let from = from.as_str().ok_or_else(|| Fault::wrong_type("a path"))?;
        let from = Path::parse(from)?;
        let value = ValueTemplate::Text(Template::compile(&format!("{{{{ {from} }}}}"), false)?);
        Ok(Change { operation: Operation::Set, path: writable(path)?, value: Some(value) })
    })
}

/// `{ sports = 1.5 }` adds to an interest.
fn interest_changes(interests: &Json) -> Result<Vec<Change>, Fault> {
    each_entry(interests, |name, value| {
        let path: Path = ["profile", "interests", name].into_iter().collect();
        Ok(Change { operation: Operation::Add, path, value: Some(ValueTemplate::compile(value)?) })
    })
}

fn consent_changes(consent: &ConsentDefinition) -> Result<Vec<Change>, Fault> {
    check_names(&consent.grant, "grant").and(check_names(&consent.revoke, "revoke"))?;
    let change = |name: &String, granted: bool| Change {
        operation: Operation::Set,
        path: ["profile", "consents", name].into_iter().collect(),
        value: Some(ValueTemplate::Plain(Value::Boolean(granted))),
    };
    let grants = consent.grant.iter().map(|name| change(name, true));
    Ok(grants.chain(consent.revoke.iter().map(|name| change(name, false))).collect())
}

/// Names are not filled in.
fn check_names(names: &[String], list: &str) -> Result<(), Fault> {
    match names.iter().position(|name| name.contains("{{")) {
        Some(index) => {
            Err(Fault::new("value_error", "a name is expected, which is not filled in").at_index(index).at(list))
        }
        None => Ok(()),
    }
}

fn each_entry<T>(entries: &Json, compile: impl Fn(&str, &Value) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let entries = Value::from(entries);
    let entries = entries.as_object().ok_or_else(|| Fault::wrong_type("an object"))?;
    entries.iter().map(|(key, value)| compile(key, value).map_err(|fault| fault.at(key))).collect()
}

/// One `{tag, props, content}`, or a list of them.
fn ux_template(ux: &Json) -> Result<ValueTemplate, Fault> {
    let list = match Value::from(ux) {
        Value::List(list) => list,
        one => vec![one],
    };
    for (index, element) in list.iter().enumerate() {
        let element = element.as_object().ok_or_else(|| Fault::wrong_type("an object").at_index(index))?;
        if element.get("tag").and_then(Value::as_str).is_none() {
            return Err(Fault::missing().at("tag").at_index(index));
        }
    }
    ValueTemplate::compile(&Value::List(list))
}

fn compile_branches(branches: &[BranchDefinition], depth: usize, left: &mut usize) -> Result<Vec<Branch>, Fault> {
    let depth = depth.checked_sub(1).ok_or_else(|| {
        Fault::new("value_error", format!("branches stand at most {BRANCHES_MAX} deep in each other"))
    })?;
    let mut compiled = Vec::new();
    for (index, branch) in branches.iter().enumerate() {
        let condition = condition(branch.r#if.as_deref()).map_err(|fault| fault.at_index(index))?;
        let steps = steps(&branch.step, depth, left).map_err(|fault| fault.at_index(index))?;
        compiled.push(Branch { condition, steps });
    }
    Ok(compiled)
}

impl AttachProfile {
    /// `{ id = "..." }`, `{ email = "..." }`, `{ phone = "..." }`, `{ identifier = "..." }`, `{ pk = "..." }`,
    /// `{ "profile.traits.card" = "..." }` or `{ new = true }`, each with `create = false` where no profile is to be
    /// made, and `join = true` where two that are known become one.
    fn compile(definition: &Json) -> Result<Self, Fault> {
        let value = Value::from(definition);
        let object = value.as_object().ok_or_else(|| Fault::wrong_type("an object"))?;
        let (mut by, mut create, mut join) = (None, true, false);
        for (key, value) in object.iter() {
            let template = || {
                let text = value.as_str().ok_or_else(|| Fault::wrong_type("a text").at(key))?;
                Template::compile(text, false).map_err(|fault| fault.at(key))
            };
            let found = match (key, value) {
                ("create", Value::Boolean(wanted)) => {
                    create = *wanted;
                    continue;
                }
                ("join", Value::Boolean(wanted)) => {
                    join = *wanted;
                    continue;
                }
                ("new", Value::Boolean(true)) => By::New,
                (path, _) if path.starts_with("profile.") => {
                    By::Field(writable(path).map_err(|fault| fault.at(key))?, template()?)
                }
                _ => {
                    let known = KnownBy::parse(key).map_err(|_| Fault::new("value_error", ATTACH_BY).at(key))?;
                    By::Known(known, template()?)
                }
            };
            if by.replace(found).is_some() {
                return Err(Fault::new("value_error", "a profile is attached by one thing").at(key));
            }
        }
        let by = by.ok_or_else(|| Fault::new("value_error", ATTACH_BY))?;
        Ok(Self { by, create, join })
    }
}
