//! Sources: who may send. Made, changed, switched off; the line to paste, and the first event seen arriving.

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    ask::with,
    form::{changed_meanwhile, part},
    frame::{mistake, moment, page, token},
    record,
};
use crate::{
    model::{Fault, Id, Json, Object, Source, SourceType, Time, Value},
    read::Asked as Records,
};

/// What stands in a field of origins for none.
const ANY_ORIGIN: &str = "";

impl Console {
    pub(super) fn sources(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let sources = self.admin.sources(None);
        let content = html! {
            h1 { "Sources" }
            p.quiet { "Who may send. A source's id stands in web pages; a secret proves that a server of yours sends." }
            div.actions.above { a.button href="/console/sources/new" { "New source" } }
            section.card {
                @if sources.is_empty() { p.quiet { "There are none." } }
                @else {
                    div.scroll tabindex="0" {
                        table {
                            thead { tr { th scope="col" { "Name" } th scope="col" { "Id" } th scope="col" { "Takes" } th scope="col" { "State" } } }
                            tbody {
                                @for found in &sources {
                                    @let source = &found.source;
                                    tr {
                                        td.long { a href={ "/console/sources/" (part(&source.id.text())) } { (source.name) } }
                                        td.mono.long { (source.id) }
                                        td { @for kind in &source.types { span.tag { (kind.word()) } } }
                                        td { @if source.enabled { "on" } @else { span.tag.off { "off" } } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        };
        Ok(Answer::page(asked, "sources", "Sources", &content))
    }

    pub(super) async fn new_source(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let wrong = match &asked.form {
            None => None,
            Some(_) => match self.save_filled(asked, None).await {
                Ok(id) => return Ok(Answer::SeeOther(format!("/console/sources/{}", part(&id.text())))),
                Err(Trouble::Invalid(fault)) => Some(fault),
                Err(other) => return Err(other),
            },
        };
        let content = html! {
            h1 { "New source" }
            section.card { (fields(asked, None, wrong.as_ref())) }
        };
        let page = page(asked, "sources", "New source", &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    pub(super) async fn source(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let id = asked.id(id)?;
        let found = self.admin.source(&id).ok_or(Trouble::NotFound)?;
        let wrong = match &asked.form {
            None => None,
            Some(_) => match self.save_filled(asked, Some(&found.source)).await {
                Ok(id) => return Ok(Answer::SeeOther(format!("/console/sources/{}", part(&id.text())))),
                Err(Trouble::Invalid(fault)) => Some(fault),
                Err(other) => return Err(other),
            },
        };
        let content = self.source_page(asked, &found.source, wrong.as_ref()).await?;
        let page = page(asked, "sources", &found.source.name, &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    async fn source_page(&self, asked: &Asked, source: &Source, wrong: Option<&Fault>) -> Result<Markup, Trouble> {
        let id = source.id.to_string();
        let newest = with(vec![("source".into(), id.clone())], "limit", "5");
        let events = self.records(Records::Events(None), newest).await?.records;
        let secrets = self.admin.source(&source.id).map_or(0, |found| found.secrets.len());
        let here = format!("/console/sources/{}", part(&id));
        Ok(html! {
            h1 { (source.name) }
            @if let Some(secret) = &asked.told {
                section.card {
                    h2 { "The secret, shown this once" }
                    pre #secret { (secret) }
                    div.actions { button.second type="button" data-copy="secret" { "Copy" } }
                }
            }
            section.card {
                h2 { "On web pages" }
                (snippet(asked, &id))
            }
            section.card #arriving data-live {
                h2 { "What arrives" }
                @if events.is_empty() { p.quiet { "Nothing yet. This turns live with the first event." } }
                @else { (record::events(asked, &events)) }
            }
            section.card { h2 { "Settings" } (fields(asked, Some(source), wrong)) }
            section.card {
                h2 { "Secret" }
                p.quiet { "For servers that send. " (secrets) @if secrets == 1 { " is" } @else { " are" } " valid; a third ends the oldest." }
                div.actions {
                    form method="post" action={ (here) "/secret" } { (token(asked)) button.second { "Make a secret" } }
                    @if secrets > 0 {
                        form method="post" action={ (here) "/end-secrets" } { (token(asked)) button.danger { "End all secrets" } }
                    }
                }
            }
            section.card {
                h2 { "Delete" }
                p.quiet { "What came from it stays. Whoever still sends is refused." }
                a.button.second href={ (here) "/delete" } { "Delete…" }
            }
        })
    }

    pub(super) async fn act_on_source(&self, asked: &Asked, id: &str, action: &str) -> Result<Answer, Trouble> {
        let id = asked.id(id)?;
        let found = self.admin.source(&id).ok_or(Trouble::NotFound)?;
        let here = format!("/console/sources/{}", part(&id.text()));
        match (action, &asked.form) {
            ("secret", Some(_)) => {
                let secret = self.admin.make_source_secret(&id, &asked.author()).await?.ok_or(Trouble::NotFound)?;
                Ok(Answer::ToldOnce(here, secret.as_str().to_owned()))
            }
            ("end-secrets", Some(_)) => {
                self.admin.end_source_secrets(&id, &asked.author()).await?;
                Ok(Answer::SeeOther(here))
            }
            ("delete", None) => {
                let content = html! {
                    h1 { "Delete " (found.source.name) "?" }
                    section.card {
                        p { "What came from it stays. Whoever still sends with its id is refused." }
                        form method="post" action={ (here) "/delete" } {
                            (token(asked))
                            div.actions { button.danger { "Delete it" } a.button.second href=(here) { "No, go back" } }
                        }
                    }
                };
                Ok(Answer::page(asked, "sources", "Sure?", &content))
            }
            ("delete", Some(_)) => {
                self.admin.delete_source(&id, &asked.author()).await?;
                Ok(Answer::SeeOther("/console/sources".into()))
            }
            _ => Err(Trouble::NotFound),
        }
    }

    /// Saves what was filled in; what the form does not have stays as it is in `before`.
    async fn save_filled(&self, asked: &Asked, before: Option<&Source>) -> Result<Id, Trouble> {
        let mut body = before.map_or_else(Value::object, Value::shown);
        let config = before.map_or_else(Value::object, |before| Value::from(&before.config));
        let mut config = config.as_object().cloned().unwrap_or_default();
        match asked.filled("origins") {
            None => _ = config.remove("origins"),
            Some(origins) => {
                let origins = origins.split_whitespace().map(Value::text).collect();
                config.insert("origins", Value::List(origins));
            }
        }
        let Some(fields) = body.as_object_mut() else { return Err(Trouble::NotFound) };
        if before.is_none()
            && let Some(id) = asked.filled("id")
        {
            fields.insert("id", Value::text(id));
        }
        fields.insert("name", Value::text(asked.filled("name").unwrap_or_default()));
        let types = SourceType::ALL.iter().map(|kind| kind.word()).filter(|word| asked.filled(word).is_some());
        fields.insert("type", Value::List(types.map(Value::text).collect()));
        fields.insert("description", Value::text(asked.filled("description").unwrap_or_default()));
        for name in ["enabled", "requires_consent"] {
            fields.insert(name, Value::Boolean(asked.filled(name).is_some()));
        }
        fields.insert("config", Value::Object(config));
        let source = self.admin.read_source(body.to_json().as_str().as_bytes())?;
        if before.is_none() && self.admin.source(&source.id).is_some() {
            return Err(Fault::new("value_error", "there is a source with this id").at("id").into());
        }
        // Somebody else may have changed it since the page was loaded.
        let seen = asked.filled("state").and_then(|micros| micros.parse().ok()).map(Time::from_micros);
        let id = source.id.clone();
        if !self.admin.replace_source(source, seen, &asked.author()).await? {
            return Err(changed_meanwhile().into());
        }
        Ok(id)
    }
}

/// The line that is pasted into a page.
pub fn snippet(asked: &Asked, source: &str) -> Markup {
    html! {
        // As it stands in a page, where a quote would end the attribute.
        @let attribute = html! { (source) }.into_string();
        pre #snippet { "<script async src=\"" (asked.origin) "/tracker/tracardi.js\" data-source=\"" (attribute) "\"></script>" }
        div.actions { button.second type="button" data-copy="snippet" { "Copy the line" } }
    }
}

/// What a source is set up with; mistakes stand beside their fields.
fn fields(asked: &Asked, source: Option<&Source>, wrong: Option<&Fault>) -> Markup {
    let is_filled = asked.form.is_some();
    let text = |name: &str, before: Option<String>| {
        if is_filled { asked.filled(name).unwrap_or_default().to_owned() } else { before.unwrap_or_default() }
    };
    let checked = |name: &str, before: bool| if is_filled { asked.filled(name).is_some() } else { before };
    let origins = source.map(|source| origins(&source.config)).unwrap_or_else(|| ANY_ORIGIN.into());
    let of = |field: &str| {
        let is_of = |fault: &&Fault| fault.to_string().contains(&format!("{field}:"));
        html! {
            @if let Some(fault) = wrong.filter(is_of) {
                span.mistake role="alert" { @if field == "type" { "Choose at least one." } @else { (fault.msg) } }
            }
        }
    };
    let is_elsewhere = wrong.is_some_and(|fault| {
        !["id", "name", "type", "origins"].iter().any(|field| fault.to_string().contains(&format!("{field}:")))
    });
    html! {
        form.fields method="post" {
            (token(asked))
            @if let Some(source) = source { input type="hidden" name="state" value=(source.timestamp.micros()); }
            @if is_elsewhere { (mistake(wrong.map(Fault::to_string).as_deref())) }
            @if source.is_none() {
                label { "Id" input name="id" value=(text("id", None)) placeholder="made if it is left out" maxlength="128"; }
                (of("id"))
            }
            label { "Name" input name="name" required maxlength="200" value=(text("name", source.map(|source| source.name.to_string()))); }
            (of("name"))
            label { "Description" input name="description" maxlength="2000" value=(text("description", source.map(|source| source.description.to_string()))); }
            @for kind in SourceType::ALL {
                label.row {
                    input type="checkbox" name=(kind.word()) checked[checked(kind.word(), source.is_none_or(|source| source.types.contains(&kind)))];
                    @match kind { SourceType::Rest => "Takes from web pages and programs (/track)", SourceType::Webhook => "Takes webhooks (/collect)" }
                }
            }
            (of("type"))
            label {
                "Web origins that may send, one a line; none: any"
                textarea name="origins" rows="2" placeholder="https://shop.example" { (text("origins", Some(origins))) }
            }
            (of("origins"))
            label.row { input type="checkbox" name="enabled" checked[checked("enabled", source.is_none_or(|source| source.enabled))]; "On" }
            label.row {
                input type="checkbox" name="requires_consent" checked[checked("requires_consent", source.is_some_and(|source| source.requires_consent))];
                "Needs people's consent"
            }
            @if let Some(source) = source {
                p.quiet.small { "Last saved " (moment(&super::period::rfc3339(source.timestamp), asked.visitor.zone)) ". Its other settings are kept; " code { "POST /event-source" } " changes them." }
            }
            div { button { @if source.is_some() { "Save" } @else { "Make it" } } }
        }
    }
}

fn origins(config: &Json) -> String {
    let config = Value::from(config);
    let origins = config.as_object().and_then(|config: &Object| config.get("origins"));
    match origins {
        Some(Value::List(origins)) => origins.iter().map(Value::to_text).collect::<Vec<_>>().join("\n"),
        _ => ANY_ORIGIN.into(),
    }
}
