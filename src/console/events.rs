//! Events, live and past; one of them, whole; and a visit.

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    ask::{RecordPage, text, with},
    form::{address, part},
    frame::{loaded, mistake, moment},
    period::{Period, day_or_time, rfc3339},
    record,
};
use crate::{
    model::{Fault, Id, Value},
    read::{About, Asked as Records},
};

/// The filters of an address; `from` and `to` are what the endpoint takes, too.
const FILTERS: [&str; 10] = ["type", "source", "session", "profile", "tag", "valid", "bot", "where", "from", "to"];
/// What a row shows.
const FIELDS: &str = "id,type,source.id,session.id,profile.id,hit.url,properties,metadata";
const PAGE: &str = "50";

impl Console {
    pub(super) async fn events(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let mut filters = asked.pairs(&FILTERS);
        // Days and times as the page shows them, beside what the endpoint takes.
        for (name, value) in &mut filters {
            if let Some(time) = day_or_time(value, asked.visitor.zone, name == "to") {
                *value = rfc3339(time);
            }
        }
        let is_bare_type = filters.iter().all(|(name, _)| ["type", "source"].contains(&name.as_str()));
        filters.extend(asked.cursor());
        let query = with(with(filters, "limit", PAGE), "fields", FIELDS);
        let found = self.records(Records::Events(None), query).await;
        let (found, wrong) = match found {
            Ok(found) => (found, None),
            Err(Trouble::Invalid(fault)) => (RecordPage { records: Vec::new(), cursor: None }, Some(fault)),
            Err(other) => return Err(other),
        };
        let is_newest = asked.said("cursor").is_none() && asked.said("to").is_none();
        let content = html! {
            h1 { "Events" }
            (self.filters(asked, wrong.as_ref()).await?)
            @if is_bare_type {
                section.card { h2 { "Over time" } (loaded(asked, "events", "chart", &asked.pairs(&["type", "source", "period"]))) }
            }
            section.card #list data-live[is_newest] {
                @if found.records.is_empty() { p.quiet { "There are none." } }
                @else { (record::events(asked, &found.records)) }
            }
            (older(asked, found.cursor.as_deref()))
        };
        let page = super::frame::page(asked, "events", "Events", &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    async fn filters(&self, asked: &Asked, wrong: Option<&Fault>) -> Result<Markup, Trouble> {
        let wrong = wrong.map(Fault::to_string);
        Ok(html! {
            (mistake(wrong.as_deref()))
            form.filters method="get" action="/console/events" {
                label { "Type" input name="type" value=[asked.said("type")] list="kinds" placeholder="checkout-*"; }
                datalist #kinds { @for kind in self.kinds().await? { option value=(kind) {} } }
                (self.source_choice(asked))
                label { "From" input name="from" value=[asked.said("from")] placeholder="-24h or 2026-11-30" size="18"; }
                label { "To" input name="to" value=[asked.said("to")] placeholder="now" size="14"; }
                label { "Where" input name="where" value=[asked.said("where")] placeholder="event.properties.price > 100" size="28"; }
                label {
                    "Bots"
                    select name="bot" {
                        @for (word, name) in [("", "in"), ("false", "out"), ("true", "alone")] {
                            option value=(word) selected[asked.said("bot").unwrap_or_default() == word] { (name) }
                        }
                    }
                }
                @for name in ["session", "profile", "tag", "valid"] {
                    @if let Some(value) = asked.said(name) { label { (name) input name=(name) value=(value); } }
                }
                button.second { "Filter" }
                a href="/console/events" { "Clear" }
            }
        })
    }

    pub(super) async fn events_chart(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let period = Period::read(asked, self.queries.now())?;
        let mut query = period.query();
        query.extend(asked.pairs(&["type"]));
        Ok(Answer::part(self.chart_of(&period, query).await?))
    }

    pub(super) async fn event(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let source = asked.said("source").and_then(|source| Id::parse(source).ok().flatten());
        let event = self.admin.event(&asked.id(id)?, source.as_ref()).await?.ok_or(Trouble::NotFound)?;
        let event = Value::shown(&event);
        let (profile, session) = (text(&event, "profile.id"), text(&event, "session.id"));
        let content = html! {
            h1 { (text(&event, "type")) }
            section.card {
                dl {
                    dt { "Stored" } dd { (moment(&text(&event, "metadata.time.insert"), asked.visitor.zone)) }
                    dt { "Happened" } dd { (moment(&text(&event, "metadata.time.create"), asked.visitor.zone)) }
                    dt { "Id" } dd.mono { (text(&event, "id")) }
                    dt { "Source" } dd { a href={ "/console/sources/" (part(&text(&event, "source.id"))) } { (text(&event, "source.id")) } }
                    @if !profile.is_empty() { dt { "Person" } dd { a href={ "/console/people/" (part(&profile)) } { (profile) } } }
                    @if !session.is_empty() { dt { "Visit" } dd { a href={ "/console/sessions/" (part(&session)) } { (session) } } }
                    @let page = text(&event, "hit.url");
                    @if !page.is_empty() { dt { "Page" } dd { (page) } }
                }
            }
            section.card { h2 { "The whole record" } (record::whole(&event)) }
        };
        Ok(Answer::page(asked, "events", &text(&event, "type"), &content))
    }

    pub(super) async fn session(&self, asked: &Asked, id: &str) -> Result<Answer, Trouble> {
        let id = asked.id(id)?;
        let (session, imported) = self.admin.session(&id).await?.ok_or(Trouble::NotFound)?;
        let session = Value::shown(&session.shown_if_imported(imported.as_ref()));
        let query = with(with(asked.cursor(), "limit", PAGE), "fields", FIELDS);
        let found = self.records(Records::Events(Some(About::Session(id))), query).await?;
        let profile = text(&session, "profile.id");
        let content = html! {
            h1 { "A visit" }
            section.card {
                dl {
                    dt { "Began" } dd { (moment(&text(&session, "metadata.time.insert"), asked.visitor.zone)) }
                    dt { "Last seen" } dd { (moment(&text(&session, "metadata.time.update"), asked.visitor.zone)) }
                    @if !profile.is_empty() { dt { "Person" } dd { a href={ "/console/people/" (part(&profile)) } { (profile) } } }
                    dt { "With" } dd { (text(&session, "app.name")) " " (text(&session, "os.name")) " " (text(&session, "device.type")) }
                }
            }
            section.card { h2 { "What happened" } (record::events(asked, &found.records)) (older(asked, found.cursor.as_deref())) }
            section.card { h2 { "The whole record" } (record::whole(&session)) }
        };
        Ok(Answer::page(asked, "events", "A visit", &content))
    }
}

/// Where a list goes on.
pub fn older(asked: &Asked, cursor: Option<&str>) -> Markup {
    html! {
        @if let Some(cursor) = cursor {
            @let query = with(asked.pairs(&[FILTERS.as_slice(), &["q", "segment"]].concat()), "cursor", cursor);
            div.actions { a.button.second href=(address(&asked.path.join("/"), &query)) { "Older" } }
        }
    }
}
