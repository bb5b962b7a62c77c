//! Set-up: what happens to events, as the TOML of `tracardi dump`. A mistake is marked where it stands, a difference is
//! shown before it is saved, and a payload may be tried against it.

mod difference;
mod history;
mod try_out;

use maud::{Markup, html};
use sha2::{Digest, Sha256};

use super::{
    Answer, Asked, Console, Trouble,
    ask::{at, text},
    form::{changed_meanwhile, part},
    frame::{mistake, page, token},
};
use crate::{
    admin::{Configuration, Difference, line_of, to_toml},
    model::{Definition, DefinitionKind, Fault, Id, Object, Value},
    process::{hex, read_toml},
};
use difference::{difference, side};
use try_out::{Fared, fared};

/// What can be set up: the part of an address, the name, and what it is.
const KINDS: [(DefinitionKind, &str, &str, &str); 6] = [
    (
        DefinitionKind::EventType,
        "event-type",
        "Event types",
        "What an event must look like, and what it means for its person.",
    ),
    (DefinitionKind::Segment, "segment", "Segments", "Groups that people are in while a condition holds."),
    (DefinitionKind::Workflow, "workflow", "Workflows", "What is done, step by step, when something happens."),
    (DefinitionKind::Consent, "consent", "Consents", "What people allow, and what is not kept of those who did not."),
    (DefinitionKind::Destination, "destination", "Destinations", "Where events and changed people are handed on to."),
    (DefinitionKind::Redirect, "redirect", "Redirects", "Links that note an event and send the visitor on."),
];
/// What a new one of each kind may look like.
const BEGINNINGS: [(DefinitionKind, &str); 6] = [
    (
        DefinitionKind::EventType,
        "[[event_type]]\nid = \"purchase-order\"\ntags = [\"shop\"]\nmap = [\n  { from = \"event.properties.product\", to = \
         \"profile.traits.last_product\" },\n]\n",
    ),
    (DefinitionKind::Segment, "[[segment]]\nid = \"regular\"\ncondition = \"profile.stats.visits >= 3\"\n"),
    (
        DefinitionKind::Workflow,
        "[[workflow]]\nid = \"greet\"\non = [\"page-view\"]\n\n[[workflow.step]]\nif = \"profile.stats.visits > 1\"\nresponse \
         = { hello = \"again\" }\n",
    ),
    (DefinitionKind::Consent, "[[consent]]\nid = \"marketing\"\nname = \"Marketing\"\nexpires_after = \"365d\"\n"),
    (DefinitionKind::Destination, "[[destination]]\nid = \"archive\"\nevents = [\"*\"]\nfile = \"archive.ndjson\"\n"),
    (
        DefinitionKind::Redirect,
        "[[redirect]]\nid = \"spring\"\nurl = \"https://shop.example/spring\"\nevent_type = \"link-followed\"\nsource = \
         \"SOURCE-ID\"\n",
    ),
];
const ABOUT_CHARS_MAX: usize = 160;
/// In the place of an id: one that is made.
const NEW: &str = "new";

/// What became of a text that was filled in.
enum Outcome {
    Mistake(Fault),
    /// What saving it would change.
    Differences(Vec<Difference>),
    /// How a payload fared, or why it would be refused.
    Tried(Result<Fared, String>),
}

impl Console {
    pub(super) fn set_up(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let content = html! {
            h1 { "Set-up" }
            p.quiet { "What happens to events. All of it is also one file: " code { "tracardi dump" } " and " code { "tracardi apply" } "." }
            div.grid {
                @for (kind, word, name, what) in KINDS {
                    section.card {
                        h2 { a href={ "/console/set-up/" (word) } { (name) } }
                        p.quiet { (what) }
                        p { (self.admin.definitions(kind).len()) " set up" }
                    }
                }
                section.card {
                    h2 { a href="/console/set-up/history" { "History" } }
                    p.quiet { "Who changed what, and when; and back to any of it." }
                }
                section.card {
                    h2 { a href="/console/set-up/access" { "Access" } }
                    p.quiet { "Tokens of those who look and change nothing, and links to single pages." }
                }
            }
        };
        Ok(Answer::page(asked, "set-up", "Set-up", &content))
    }

    pub(super) fn definitions(&self, asked: &Asked, word: &str) -> Result<Answer, Trouble> {
        let (kind, word, name, what) = kind_of(word)?;
        let all = self.admin.definitions(kind);
        let content = html! {
            h1 { (name) }
            p.quiet { (what) }
            div.actions.above { a.button href={ "/console/set-up/" (word) "/" (NEW) } { "New" } }
            section.card {
                @if all.is_empty() { p.quiet { "There are none." } }
                @else {
                    table {
                        thead { tr { th scope="col" { "Id" } th scope="col" { "About" } } }
                        tbody {
                            @for definition in &all {
                                @let body = Value::from(&definition.body);
                                tr {
                                    td.long { a href={ "/console/set-up/" (word) "/" (part(&definition.id.text())) } { (definition.id) } }
                                    td.long { (text(&body, "name")) " " span.quiet { (about(&body)) } @if text(&body, "enabled") == "false" { " " span.tag.off { "off" } } }
                                }
                            }
                        }
                    }
                }
            }
        };
        Ok(Answer::page(asked, "set-up", name, &content))
    }

    pub(super) async fn definition(&self, asked: &Asked, word: &str, id: &str) -> Result<Answer, Trouble> {
        let (kind, word, name, _) = kind_of(word)?;
        let known =
            if id == NEW { None } else { Some(self.admin.definition(kind, &asked.id(id)?).ok_or(Trouble::NotFound)?) };
        let saved = match &known {
            Some(definition) => written(kind, &Value::from(&definition.body)),
            None => self.beginning(kind),
        };
        let state = state_of(known.as_deref());
        let here = format!("/console/set-up/{word}");
        let written = match &asked.form {
            Some(form) => form.last("text").unwrap_or_default().replace("\r\n", "\n"),
            None => saved,
        };
        // Somebody else may have changed it since the page was loaded.
        let is_stale = asked.form.is_some() && asked.filled("state").unwrap_or_default() != state;
        let outcome = match asked.filled("do") {
            Some("delete") if known.is_some() => {
                let title = known.as_ref().map(|definition| definition.id.to_string()).unwrap_or_default();
                return Ok(Answer::page(
                    asked,
                    "set-up",
                    "Sure?",
                    &sure(asked, &title, &format!("{here}/{}", part(id)), &state),
                ));
            }
            Some("delete-surely") if known.is_some() && !is_stale => {
                self.admin.delete_definition(kind, &asked.id(id)?, &asked.author()).await?;
                return Ok(Answer::SeeOther(here));
            }
            Some("save" | "delete-surely") if is_stale => Some(Outcome::Mistake(changed_meanwhile())),
            Some("save") => {
                match self.save(&written, asked, kind, known.as_ref().map(|definition| &definition.id)).await {
                    Ok(()) => return Ok(Answer::SeeOther(here)),
                    Err(Trouble::Invalid(fault)) => Some(Outcome::Mistake(fault)),
                    Err(other) => return Err(other),
                }
            }
            Some("try") => Some(self.try_out(asked, &written).await?),
            Some(_) => {
                Some(match self.differences(&written, kind, known.as_ref().map(|definition| &definition.id)).await {
                    Ok(differences) => Outcome::Differences(differences),
                    Err(fault) => Outcome::Mistake(fault),
                })
            }
            None => None,
        };
        let payload = match asked.filled("payload") {
            Some(payload) => payload.to_owned(),
            None => self.example(kind, known.as_ref().map(|definition| Value::from(&definition.body)).as_ref()).await?,
        };
        let title = known.as_ref().map_or_else(|| format!("{name}: a new one"), |definition| definition.id.to_string());
        let is_mistaken = matches!(outcome, Some(Outcome::Mistake(_)));
        let content = html! {
            h1 { (title) }
            @if let (DefinitionKind::Redirect, Some(definition)) = (kind, &known) {
                section.card {
                    h2 { "Its address" }
                    pre #address { (asked.origin) "/redirect/" (part(&definition.id.text())) }
                    div.actions { button.second type="button" data-copy="address" { "Copy" } }
                }
            }
            (shown(&written, outcome.as_ref()))
            @if let Some(Outcome::Tried(tried)) = &outcome { (fared(tried)) }
            form method="post" {
                (token(asked))
                input type="hidden" name="state" value=(state);
                section.card {
                    label { "What it is, in TOML" textarea.code name="text" rows="20" spellcheck="false" { "\n" (written) } }
                    div.actions {
                        button name="do" value="check" { "See what would change" }
                        @if let Some(Outcome::Differences(differences)) = &outcome {
                            @if !differences.is_empty() { button name="do" value="save" { "Save it" } }
                        }
                        @if known.is_some() { button.danger name="do" value="delete" { "Delete it" } }
                    }
                }
                @if kind != DefinitionKind::Redirect { section.card {
                    h2 { "Try it" }
                    p.quiet { "A payload, as it would come, runs through all that is set up with what stands above. Nothing is stored and nobody else is asked." }
                    label { "Payload, in JSON" textarea.code name="payload" rows="10" spellcheck="false" { "\n" (payload) } }
                    div.actions { button.second name="do" value="try" { "Try it" } }
                } }
            }
        };
        let page = page(asked, "set-up", &title, &content);
        Ok(if is_mistaken { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    fn read(&self, written: &str) -> Result<Configuration, Fault> {
        self.admin.read_configuration(&read_toml(written)?)
    }

    /// Reads what is to be saved as `known`, or as something new: it keeps its id, and takes no other one's place.
    fn read_one(&self, written: &str, kind: DefinitionKind, known: Option<&Id>) -> Result<Configuration, Fault> {
        let tables = read_toml(written)?;
        let listed = Value::from(&tables);
        let ids: Vec<String> =
            at(&listed, kind.word()).map(list).unwrap_or_default().iter().map(|it| text(it, "id")).collect();
        let others = listed.as_object().into_iter().flat_map(Object::iter).map(|(name, _)| name);
        if let Some(other) = others.into_iter().find(|name| *name != kind.word()) {
            return Err(Fault::new("value_error", format!("only {} is set up here", kind.word())).at(other));
        }
        let fault = |msg: &str| Err(Fault::new("value_error", msg).at("id").at_index(0).at(kind.word()));
        let id = match &ids[..] {
            [] => return Err(Fault::missing().at(kind.word())),
            [id] => Id::parse(id).ok().flatten(),
            _ => return Err(Fault::new("value_error", "one is set up here at a time").at_index(1).at(kind.word())),
        };
        match known {
            Some(_) if id.as_ref() != known => fault("the id stays: make a new one under another id"),
            None if id.is_some_and(|id| self.admin.definition(kind, &id).is_some()) => {
                fault("there is one with this id: change that one, or take another id")
            }
            _ => self.admin.read_configuration(&tables),
        }
    }

    async fn differences(
        &self,
        written: &str,
        kind: DefinitionKind,
        known: Option<&Id>,
    ) -> Result<Vec<Difference>, Fault> {
        self.admin.difference(&self.read_one(written, kind, known)?).await
    }

    /// What a new one may look like; a redirect's names a source that there is.
    fn beginning(&self, kind: DefinitionKind) -> String {
        let text = BEGINNINGS.iter().find(|(known, _)| *known == kind).map_or("", |(_, text)| text);
        let source = self.admin.sources(None).first().map(|found| found.source.id.to_string());
        text.replace("SOURCE-ID", source.as_deref().unwrap_or("SOURCE-ID"))
    }

    async fn save(
        &self,
        written: &str,
        asked: &Asked,
        kind: DefinitionKind,
        known: Option<&Id>,
    ) -> Result<(), Trouble> {
        let configuration = self.read_one(written, kind, known)?;
        let still_so = || {
            let now = known.and_then(|id| self.admin.definition(kind, id));
            let seen = asked.filled("state").unwrap_or_default();
            if state_of(now.as_deref()) == seen { Ok(()) } else { Err(changed_meanwhile()) }
        };
        self.admin.apply_if(still_so, configuration, &asked.author()).await?;
        Ok(())
    }
}

/// Tells one state of a definition from another; of none, it is empty.
fn state_of(definition: Option<&Definition>) -> String {
    definition.map_or_else(String::new, |definition| hex(&Sha256::digest(definition.body.as_str())))
}

fn kind_of(word: &str) -> Result<(DefinitionKind, &'static str, &'static str, &'static str), Trouble> {
    KINDS.into_iter().find(|(_, known, ..)| *known == word).ok_or(Trouble::NotFound)
}

/// What cannot be undone by a mistake alone is asked twice.
fn sure(asked: &Asked, title: &str, here: &str, state: &str) -> Markup {
    html! {
        h1 { "Delete " (title) "?" }
        section.card {
            p { "It ends at once. Its history keeps how it was, and can bring it back." }
            form method="post" action=(here) {
                (token(asked))
                input type="hidden" name="state" value=(state);
                div.actions {
                    button.danger name="do" value="delete-surely" { "Delete it" }
                    a.button.second href=(here) { "No, go back" }
                }
            }
        }
    }
}

/// What one of a kind is about, in a line.
fn about(body: &Value) -> String {
    let places = ["description", "condition", "on", "url", "events", "expires_after", "journey"];
    let found = places.iter().map(|place| text(body, place)).find(|found| !found.is_empty());
    found.unwrap_or_default().chars().take(ABOUT_CHARS_MAX).collect()
}

/// A definition as TOML; where TOML does not hold it, what keeps it.
fn written(kind: DefinitionKind, body: &Value) -> String {
    let mut tables = Object::default();
    tables.insert(kind.word(), Value::List(vec![body.clone()]));
    to_toml(&Value::Object(tables)).unwrap_or_else(|fault| format!("# {fault}\n"))
}

/// What became of what was filled in, above the form.
fn shown(written: &str, outcome: Option<&Outcome>) -> Markup {
    html! {
        @match outcome {
            None | Some(Outcome::Tried(_)) => {}
            Some(Outcome::Mistake(fault)) => {
                @let line = line_of(written, fault).or_else(|| said_line(&fault.msg));
                (mistake(Some(&fault.to_string())))
                @if let Some(line) = line { (marked(written, line)) }
            }
            Some(Outcome::Differences(differences)) => {
                @if differences.is_empty() { p.done role="status" { "It is right, and nothing would change." } }
                @for Difference { kind, id, before, after } in differences {
                    section.card {
                        h2 { "What would change: " (kind) " " (id) }
                        (difference(&side(before.as_ref()), &side(after.as_ref())))
                    }
                }
            }
        }
    }
}

/// The line that TOML's reader names.
fn said_line(message: &str) -> Option<usize> {
    message.strip_prefix("line ")?.split(':').next()?.parse().ok()
}

/// The lines around a mistake, with their numbers.
fn marked(written: &str, line: usize) -> Markup {
    const AROUND: usize = 3;
    html! {
        section.card {
            h2 { "Line " (line) }
            pre {
                @for (at, text) in written.lines().enumerate().skip(line.saturating_sub(AROUND + 1)).take(2 * AROUND + 1) {
                    @if at + 1 == line { mark.marked { (format!("{:>4}  {text}", at + 1)) } }
                    @else { (format!("{:>4}  {text}\n", at + 1)) }
                }
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    if let Value::List(list) = value { list } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_of_each_kind_is_toml() {
        for (kind, text) in BEGINNINGS {
            let read = Value::from(&read_toml(text).unwrap());
            assert!(at(&read, &format!("{}.0.id", kind.word())).is_some(), "{text}");
        }
        assert_eq!(BEGINNINGS.len(), DefinitionKind::ALL.len());
    }

    #[test]
    fn a_mistake_is_where_it_stands() {
        let text = "[[workflow]]\nid = \"w\"\non = [\"t\"]\n\n[[workflow.step]]\nlog = \"a\"\n\n[[workflow.step]]\nif = \"(\"\n";
        let compiled = Fault::new("value_error", "x").at("if").at_index(1).at("step").at("w").at("workflow");
        assert_eq!(line_of(text, &compiled), Some(9));
        let read = Fault::new("value_error", "x").at("name").at_index(0).at("workflow");
        assert_eq!(line_of(text, &read), Some(1), "as far as it is there");
        assert_eq!(said_line("line 7: expected a value"), Some(7));
    }
}
