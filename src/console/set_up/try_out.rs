//! Try it: a payload runs through all that is set up, with what is written, and nothing is stored.

use std::sync::Arc;

use maud::{Markup, html};

use super::{Outcome, difference::difference, list};
use crate::{
    collect::{Credentials, DryRun, Incoming},
    console::{
        Asked, Console, Trouble,
        ask::{at, text, with},
        frame::mistake,
        record,
    },
    model::{ClientFacts, DefinitionKind, Id, Object, Payload, PayloadError, Reader, SourceType, Value},
    process::read_toml,
    read::Asked as Records,
};

/// How a payload fared.
pub struct Fared {
    answer: Value,
    /// Whose profile it was, as it is stored.
    before: Option<Value>,
    /// What was tried, beside what is set up.
    tried: Value,
}

impl Console {
    /// How a payload would fare if what is written was saved.
    pub(super) async fn try_out(&self, asked: &Asked, written: &str) -> Result<Outcome, Trouble> {
        let rules = match self.read(written) {
            Ok(configuration) => self.admin.compiled_with(&configuration).await,
            Err(fault) => Err(fault),
        };
        let rules = match rules {
            Ok(rules) => Arc::new(rules),
            Err(fault) => return Ok(Outcome::Mistake(fault)),
        };
        let payload = match Payload::parse(asked.filled("payload").unwrap_or_default().as_bytes()) {
            Ok(mut payload) => {
                payload.options.debugger = true;
                payload.options.profile = true;
                payload
            }
            Err(PayloadError::Invalid(fault)) => return Ok(Outcome::Tried(Err(fault.to_string()))),
            Err(PayloadError::TooManyEvents) => return Ok(Outcome::Tried(Err("there are too many events".into()))),
        };
        // What is tried goes by the rules, and not by who may send.
        let found = self.admin.source(&payload.source);
        let is_webhook = found.is_some_and(|found| found.source.types == [SourceType::Webhook]);
        let incoming = Incoming {
            endpoint: if is_webhook { SourceType::Webhook } else { SourceType::Rest },
            payload,
            profile_less: false,
            client: Arc::new(ClientFacts { origin: None, ..(*asked.client).clone() }),
            header: None,
            credentials: Credentials::Administrator,
            opted_out: false,
            bytes: 0,
            dry_run: Some(DryRun { lookups: false, rules: Some(rules) }),
        };
        match self.collector.collect(incoming).await.map_err(Trouble::from) {
            Ok(answer) => {
                let answer = Reader::new(&answer, 0).and_then(|mut reader| reader.value());
                let answer = match answer {
                    Ok(answer) => Value::from(&answer),
                    Err(fault) => return Ok(Outcome::Tried(Err(fault.to_string()))),
                };
                let before = match Id::parse(&text(&answer, "profile.id")) {
                    Ok(Some(id)) => self.profile(&id).await?,
                    _ => None,
                };
                let tried = read_toml(written).map_or(Value::Null, |tried| Value::from(&tried));
                Ok(Outcome::Tried(Ok(Fared { answer, before, tried })))
            }
            Err(Trouble::Invalid(fault)) => Ok(Outcome::Tried(Err(fault.to_string()))),
            Err(other) => Err(other),
        }
    }

    /// A payload to begin with: the newest event of a type that it is about, as if it came again.
    pub(super) async fn example(&self, kind: DefinitionKind, body: Option<&Value>) -> Result<String, Trouble> {
        let wanted = body.and_then(|body| match kind {
            DefinitionKind::EventType => at(body, "id").map(Value::to_text),
            DefinitionKind::Workflow => at(body, "on.0").or_else(|| at(body, "on")).map(Value::to_text),
            DefinitionKind::Destination => at(body, "events.0").map(Value::to_text),
            _ => None,
        });
        let wanted = wanted.filter(|wanted| wanted != "*");
        let mut query = vec![("limit".to_owned(), "1".to_owned())];
        if let Some(wanted) = &wanted {
            query = with(query, "type", wanted);
        }
        let newest = match self.records(Records::Events(None), query).await {
            Ok(found) => found.records.into_iter().next(),
            Err(Trouble::Invalid(_)) => None,
            Err(other) => return Err(other),
        };
        let entity = |id: String| {
            let mut entity = Object::default();
            entity.insert("id", Value::text(&id));
            Value::Object(entity)
        };
        let mut event = Object::default();
        let (mut source, mut session) = (String::new(), "a-visit-to-try".to_owned());
        event.insert("type", Value::text(wanted.as_deref().unwrap_or("page-view")));
        if let Some(newest) = &newest {
            source = text(newest, "source.id");
            let of_visit = text(newest, "session.id");
            if !of_visit.is_empty() {
                session = of_visit;
            }
            event.insert("type", Value::text(&text(newest, "type")));
            for name in ["properties", "context"] {
                event.insert(name, at(newest, name).cloned().unwrap_or_else(Value::object));
            }
        }
        if source.is_empty() {
            source = self.admin.sources(None).first().map(|found| found.source.id.to_string()).unwrap_or_default();
        }
        let mut payload = Object::default();
        payload.insert("source", entity(source));
        payload.insert("session", entity(session));
        payload.insert("events", Value::List(vec![Value::Object(event)]));
        Ok(record::indented(&Value::Object(payload)))
    }
}

/// How a payload fared: what each step of each workflow is, did and took, and what would change in the person.
pub fn fared(tried: &Result<Fared, String>) -> Markup {
    let Fared { answer, before, tried } = match tried {
        Ok(fared) => fared,
        Err(why) => return html! { section.card { h2 { "It would be refused" } (mistake(Some(why))) } },
    };
    let executions = at(answer, "debugging.execution").and_then(Value::as_object);
    let after = at(answer, "profile").map(|after| record::indented(&without_times(after))).unwrap_or_default();
    let before = before.as_ref().map(|before| record::indented(&without_times(before))).unwrap_or_default();
    html! {
        section.card #tried {
            h2 { "What would happen" }
            @match executions.filter(|all| !all.is_empty()) {
                None => { p.quiet { "No workflow starts." } }
                Some(all) => {
                    @for (workflow, runs) in Object::iter(all) {
                        @for run in list(runs) { (run_of(workflow, run, tried)) }
                    }
                }
            }
            h3 { "What would change in the person" }
            @if before == after { p.quiet { "Nothing." } } @else { (difference(&before, &after)) }
            details { summary { "The whole answer" } (record::whole(answer)) }
        }
    }
}

fn run_of(workflow: &str, run: &Value, tried: &Value) -> Markup {
    let error = text(run, "error");
    html! {
        h3 { (workflow) ": " (text(run, "status")) }
        (mistake(Some(error.as_str()).filter(|error| !error.is_empty())))
        div.scroll tabindex="0" {
            table {
                thead { tr { th scope="col" { "Step" } th scope="col" { "What it is" } th scope="col" { "Went" } th scope="col" { "What came of it" } th.number scope="col" { "ms" } } }
                tbody {
                    @for (place, step) in at(run, "steps").map(list).unwrap_or_default().iter().enumerate() {
                        tr {
                            td { (text(step, "id")) }
                            td.mono.long { (written_step(tried, workflow, &text(step, "id"), place)) }
                            td { (text(step, "status")) }
                            td.mono.long { (text(step, "result")) (text(step, "error")) }
                            td.number { (text(step, "time_ms")) }
                        }
                    }
                }
            }
        }
    }
}

/// A step of a workflow as it is written: the one that has this id or, among those without one, stands at this place.
fn written_step(tried: &Value, workflow: &str, id: &str, place: usize) -> String {
    let workflows = at(tried, "workflow").map(list).unwrap_or_default();
    let found = workflows.iter().find(|it| text(it, "id") == workflow);
    let steps = found.and_then(|it| at(it, "step")).map(list).unwrap_or_default();
    let named = steps.iter().find(|step| text(step, "id") == id);
    named.or_else(|| steps.get(place)).map(Value::to_text).unwrap_or_default()
}

/// A profile without what each event changes.
fn without_times(profile: &Value) -> Value {
    let mut profile = profile.clone();
    if let Some(fields) = profile.as_object_mut() {
        fields.remove("metadata");
    }
    profile
}
