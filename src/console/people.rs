//! People: searched for, one of them with everything that is known, and what may be done for them.

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    ask::{RecordPage, at, name_of, number, text, with},
    events::older,
    form::{address, part},
    frame::{count, counted, loaded, mistake, moment, token},
    record::{self, about},
};
use crate::{
    model::{DefinitionKind, ErasureKind, Id, Object, Value},
    read::Asked as Records,
};

const PAGE: &str = "50";
/// By what a search looks for people, in this order.
const KEYS: [&str; 4] = ["email", "phone", "identifier", "pk"];

impl Console {
    pub(super) async fn people(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let query = with(asked.pairs(&["segment", "from", "to", "where", "cursor"]), "limit", PAGE);
        let found = match asked.said("q") {
            Some(text) => self.search(text).await.map(|records| RecordPage { records, cursor: None }),
            None => self.records(Records::Profiles, query).await,
        };
        let (found, wrong) = match found {
            Ok(found) => (found, None),
            Err(Trouble::Invalid(fault)) => (RecordPage { records: Vec::new(), cursor: None }, Some(fault.to_string())),
            Err(other) => return Err(other),
        };
        let segments = self.admin.definitions(DefinitionKind::Segment);
        let content = html! {
            h1 { "People" }
            (mistake(wrong.as_deref()))
            form.filters method="get" action="/console/people" role="search" {
                label { "Id, e-mail, phone or another key" input type="search" name="q" value=[asked.said("q")] size="32"; }
                label {
                    "Segment"
                    select name="segment" {
                        option value="" { "All" }
                        @for segment in &segments {
                            option value=(segment.id) selected[asked.said("segment") == Some(&*segment.id.text())] { (segment.id) }
                        }
                    }
                }
                label { "Where" input name="where" value=[asked.said("where")] placeholder="profile.stats.visits > 3" size="28"; }
                button.second { "Search" }
                a href="/console/people" { "Clear" }
            }
            section.card {
                @if found.records.is_empty() {
                    p.quiet { @if asked.said("q").is_some() { "Nobody is known by this." } @else { "There is nobody." } }
                } @else { (list(asked, &found.records)) }
            }
            (older(asked, found.cursor.as_deref()))
        };
        let page = super::frame::page(asked, "people", "People", &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    /// Who is known by a text: by one of their ids, else by the first key that leads to somebody.
    async fn search(&self, text: &str) -> Result<Vec<Value>, Trouble> {
        if let Ok(Some(id)) = Id::parse(text)
            && let Some(profile) = self.profile(&id).await?
        {
            return Ok(vec![profile]);
        }
        for key in KEYS {
            match self.records(Records::Profiles, vec![(key.into(), text.into())]).await {
                Ok(found) if !found.records.is_empty() => return Ok(found.records),
                Ok(_) | Err(Trouble::Invalid(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(Vec::new())
    }

    pub(super) async fn person(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let profile = self.profile(&asked.id(id)?).await?.ok_or(Trouble::NotFound)?;
        Ok(Answer::page(asked, "people", &name_of(&profile), &self.shown(asked, &profile, None)))
    }

    fn shown(&self, asked: &Asked, profile: &Value, done: Option<&str>) -> Markup {
        let id = text(profile, "id");
        let at_path = |path: &str| at(profile, path).cloned().unwrap_or_else(Value::object);
        let other_ids: Vec<String> = match at(profile, "ids") {
            Some(Value::List(ids)) => ids.iter().map(Value::to_text).filter(|other| *other != id).collect(),
            _ => Vec::new(),
        };
        let zone = asked.visitor.zone;
        html! {
            h1 { (name_of(profile)) }
            @if let Some(done) = done { p.done role="status" { (done) } }
            section.card {
                dl {
                    dt { "Id" } dd.mono { (id) }
                    dt { "First seen" } dd { (moment(&text(profile, "metadata.time.insert"), zone)) }
                    dt { "Latest visit" } dd { (moment(&text(profile, "metadata.time.visit.current"), zone)) }
                    dt { "Visits" } dd { (counted(number(profile, "stats.visits"), "visit")) ", " (counted(number(profile, "stats.views"), "page")) }
                    dt { "Segments" } dd { (tags(&at_path("segments"))) }
                    dt { "Consents" } dd { (consents(&at_path("consents"))) }
                }
            }
            div.grid {
                section.card { h2 { "What is known" } (record::facts(&at_path("data"))) }
                section.card { h2 { "Traits" } (record::facts(&at_path("traits"))) @if at(profile, "interests").is_some_and(|it| *it != Value::object()) { h3 { "Interests" } (record::facts(&at_path("interests"))) } }
            }
            section.card { h2 { "Timeline" } (loaded(asked, &format!("people/{}", part(&id)), "timeline", &[])) }
            @if !other_ids.is_empty() && asked.may_change() {
                section.card {
                    h2 { "Merged with" }
                    p.quiet { "These were people of their own. Splitting one off gives it back what it was." }
                    table {
                        tbody {
                            @for other in &other_ids {
                                tr {
                                    td.mono.long { (other) }
                                    td.number {
                                        form method="post" action={ "/console/people/" (part(&id)) "/split" } {
                                            (token(asked))
                                            input type="hidden" name="id" value=(other);
                                            button.second { "Split off" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if asked.may_change() { section.card {
                h2 { "Their rights" }
                p.quiet { "Everything that is kept of them, and its end." }
                div.actions {
                    a.button.second href={ "/console/people/" (part(&id)) "/export" } download={ "person-" (id) ".json" } { "Export everything" }
                    a.button.second href={ "/console/people/" (part(&id)) "/forget" } { "Forget who it is…" }
                    a.button.second href={ "/console/people/" (part(&id)) "/erase" } { "Erase…" }
                }
            } }
            section.card { h2 { "The whole record" } (record::whole(profile)) }
        }
    }

    pub(super) async fn timeline(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let query = with(asked.cursor(), "limit", PAGE);
        let found = self.records(Records::Timeline(asked.id(id)?), query).await?;
        let zone = asked.visitor.zone;
        let content = html! {
            @if found.records.is_empty() { p.quiet { "Nothing." } }
            ol.timeline {
                @for entry in &found.records {
                    @let is_session = text(entry, "kind") == "session";
                    @let address = if is_session { "sessions" } else { "events" };
                    li.session[is_session] {
                        (moment(&text(entry, "metadata.time.insert"), zone)) " "
                        a href={ "/console/" (address) "/" (part(&text(entry, "id"))) } {
                            @if is_session { "Visit" } @else { (text(entry, "type")) }
                        }
                        " "
                        span.quiet { @if is_session { (text(entry, "app.name")) " " (text(entry, "os.name")) } @else { (about(entry)) } }
                    }
                }
            }
            @if let Some(cursor) = &found.cursor {
                div.actions {
                    a.button.second href=(address(&format!("people/{}/timeline", part(id)), &[("cursor".into(), cursor.clone())])) { "Older" }
                }
            }
        };
        Ok(if asked.said("cursor").is_some() {
            // Followed from the part: a page of its own.
            Answer::page(asked, "people", "Timeline", &html! { h1 { "Timeline" } section.card { (content) } })
        } else {
            Answer::part(content)
        })
    }

    /// What is done for somebody; what cannot be taken back is asked twice.
    pub(super) async fn act_on_person(&self, asked: &Asked, id: &str, action: &str) -> Result<Answer, Trouble> {
        let id = asked.id(id)?;
        let profile = self.profile(&id).await?.ok_or(Trouble::NotFound)?;
        match (action, &asked.form) {
            ("split", Some(_)) => {
                let merged = asked.filled("id").and_then(|id| Id::parse(id).ok().flatten());
                match self.admin.split_profile(&self.identity, &id, merged.as_ref()).await {
                    Ok(Some((_, split))) => Ok(Answer::SeeOther(format!("/console/people/{}", part(&split.text())))),
                    Ok(None) => Err(Trouble::NotFound),
                    Err(why) => match Trouble::from(why) {
                        Trouble::Invalid(fault) => {
                            let content =
                                html! { (mistake(Some(&fault.to_string()))) (self.shown(asked, &profile, None)) };
                            Ok(Answer::Mistaken(super::frame::page(asked, "people", &name_of(&profile), &content)))
                        }
                        other => Err(other),
                    },
                }
            }
            ("erase" | "forget", None) => {
                Ok(Answer::page(asked, "people", "Sure?", &asked_again(asked, &profile, action)))
            }
            ("erase" | "forget", Some(_)) => {
                let begun =
                    if action == "erase" { self.rights.erase(&id).await? } else { self.rights.forget(&id).await? };
                let erasure = begun.ok_or(Trouble::NotFound)?;
                Ok(Answer::SeeOther(format!("/console/erasures/{}", part(&erasure.id.text()))))
            }
            _ => Err(Trouble::NotFound),
        }
    }

    /// How far an erasure is.
    pub(super) async fn erasure(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let erasure = self.rights.erasure(&asked.id(id)?).await?.ok_or(Trouble::NotFound)?;
        let word = match erasure.kind {
            ErasureKind::Erased => "Erased",
            ErasureKind::Forgotten => "Forgotten",
        };
        let content = html! {
            h1 { (word) }
            section.card {
                p.done role="status" {
                    (counted(erasure.events, "event")) " and " (counted(erasure.sessions, "visit")) " are gone from every page and answer."
                }
                p.quiet {
                    @if erasure.done.is_some() { "Nothing of it is on the disk any more." }
                    @else { "It goes from the disk in the background; this page tells when it is done." }
                    @if !erasure.left.is_empty() { " What was handed on before is left in " (counted(erasure.left.len() as u64, "other place")) ": " code { "GET /erasure/" (erasure.id) } " lists them." }
                }
                a.button.second href="/console/people" { "To the others" }
            }
        };
        Ok(Answer::page(asked, "people", word, &content))
    }
}

fn list(asked: &Asked, people: &[Value]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "Who" } th scope="col" { "First seen" } th scope="col" { "Latest visit" }
                        th.number scope="col" { "Visits" } th.number scope="col" { "Pages" } th scope="col" { "Segments" }
                    }
                }
                tbody {
                    @for profile in people {
                        tr {
                            td { a href={ "/console/people/" (part(&text(profile, "id"))) } { (name_of(profile)) } }
                            td { (moment(&text(profile, "metadata.time.insert"), asked.visitor.zone)) }
                            td { (moment(&text(profile, "metadata.time.visit.current"), asked.visitor.zone)) }
                            td.number { (count(number(profile, "stats.visits"))) }
                            td.number { (count(number(profile, "stats.views"))) }
                            td { (tags(&at(profile, "segments").cloned().unwrap_or(Value::Null))) }
                        }
                    }
                }
            }
        }
    }
}

fn tags(list: &Value) -> Markup {
    html! {
        @match list {
            Value::List(list) if !list.is_empty() => { @for tag in list { span.tag { (tag.to_text()) } } }
            _ => { span.quiet { "none" } }
        }
    }
}

fn consents(consents: &Value) -> Markup {
    html! {
        @match consents.as_object().filter(|object| !object.is_empty()) {
            Some(consents) => { @for (name, value) in Object::iter(consents) { span.tag { (name) ": " (value.to_text()) } } }
            None => { span.quiet { "said nothing" } }
        }
    }
}

fn asked_again(asked: &Asked, profile: &Value, action: &str) -> Markup {
    let id = text(profile, "id");
    let (title, says, button) = match action {
        "erase" => (
            "Erase",
            "Every event, visit and fact of this person goes: at once from every page and answer, and from the disk within \
             the time that the settings say. It cannot be taken back.",
            "Erase everything of them",
        ),
        _ => (
            "Forget",
            "What counts of this person stays, and nothing of it tells who it was. It cannot be taken back.",
            "Forget who it is",
        ),
    };
    html! {
        h1 { (title) " " (name_of(profile)) "?" }
        section.card {
            p { (says) }
            p.quiet.mono { (id) }
            form method="post" action={ "/console/people/" (part(&id)) "/" (action) } {
                (token(asked))
                div.actions {
                    button.danger { (button) }
                    a.button.second href={ "/console/people/" (part(&id)) } { "No, go back" }
                }
            }
        }
    }
}
