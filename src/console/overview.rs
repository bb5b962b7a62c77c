//! The overview: how much there was, of what, and who is here now.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Role, Trouble,
    access::share,
    ask::{RecordPage, number, text, with},
    chart::{self, Bar},
    form::{address, part},
    frame::{count, loaded, moment},
    period::{NAMES, Period},
    sources::snippet,
};
use crate::{model::Value, read::Asked as Records};

/// The lists of what comes most: the word of `/stats/top`, and what people call it.
const LISTS: [(&str, &str); 5] = [
    ("page", "Pages"),
    ("referrer", "Referrers"),
    ("utm.campaign", "Campaigns"),
    ("browser", "Browsers"),
    ("country", "Countries"),
];
const LISTED: usize = 8;
/// Who did something in this time is here.
const HERE: &str = "-5m";
/// At most so many of the newest events are looked at for who is here.
const NEWEST: &str = "500";
const SHOWN_HERE: usize = 10;

impl Console {
    pub(super) async fn overview(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let period = Period::read(asked, self.queries.now())?;
        let here = self.here(asked).await?;
        let said = asked.pairs(&NAMES);
        // Without bots every event is looked at, else counts are kept.
        let (events, types) = if period.without_bots {
            (loaded(asked, "overview", "events", &said), loaded(asked, "overview", "types", &said))
        } else {
            (self.event_figure(&period).await?, self.types(asked, &period, &said).await?)
        };
        let is_empty = here.is_empty() && self.is_empty().await?;
        let content = html! {
            h1 { "Overview" }
            (share(asked))
            (self.choice(asked, "overview", &html! {}))
            div #first data-live { @if is_empty && asked.may_change() { (self.first_steps(asked)) } }
            section.figures {
                div.card #now data-live {
                    span.quiet { "Here now" }
                    span.figure.now { (count(here.len() as u64)) }
                }
                div.card #events data-live[!period.without_bots] {
                    span.quiet { "Events" }
                    (events)
                }
                (self.visit_figures(asked, &said))
                div.card { span.quiet { "By known bots" } (loaded(asked, "overview", "bots", &said)) }
            }
            section.card {
                h2 { "Events over time, " (period.name()) }
                (loaded(asked, "overview", "chart", &said))
            }
            @if asked.visitor.role != Role::Guest {
                section.card data-live #here {
                    h2 { "Who is here" }
                    (who_is_here(asked, &here))
                }
            }
            div.grid {
                section.card { h2 { "Types of events" } (types) }
                @for (word, name) in LISTS {
                    section.card { h2 { (name) } (loaded(asked, "overview", word, &said)) }
                }
            }
        };
        Ok(Answer::page(asked, "overview", "Overview", &content))
    }

    /// A part of the overview that takes longer than a moment where there is much.
    pub(super) async fn overview_part(&self, asked: &Asked, part: &str) -> Result<Answer, Trouble> {
        let period = Period::read(asked, self.queries.now())?;
        if part == "chart" {
            return Ok(Answer::part(self.chart_of(&period, period.query()).await?));
        }
        if part == "events" {
            return Ok(Answer::part(self.event_figure(&period).await?));
        }
        if part == "types" {
            return Ok(Answer::part(self.types(asked, &period, &asked.pairs(&NAMES)).await?));
        }
        if part == "bots" {
            let mut query = period.query();
            query.retain(|(name, _)| name != "bot");
            let bots = self.count(with(query, "bot", "true")).await?;
            return Ok(Answer::part(html! {
                span.figure { (count(bots)) }
                span.small.quiet { @if period.without_bots { "left out of the figures here" } @else { "among the figures here" } }
            }));
        }
        if part == "visits" {
            let now = self.visit_sums(period.query(), &period).await?;
            let before = self.visit_sums(period.query_before(), &period).await?;
            return Ok(Answer::part(visits(&now, &before)));
        }
        let (word, _) = LISTS.iter().find(|(word, _)| *word == part).ok_or(Trouble::NotFound)?;
        let query = with(with(period.query(), "of", word), "limit", &LISTED.to_string());
        Ok(Answer::part(top(&self.top(query).await?)))
    }

    /// How many events there were, step by step.
    pub(super) async fn chart_of(&self, period: &Period, query: Vec<(String, String)>) -> Result<Markup, Trouble> {
        let query = with(with(query, "by", period.step), "tz", period.zone.name());
        let rows = self.counts(query).await?;
        let label = |row: &Value| match period.step {
            "hour" => text(row, "hour").get(..16).unwrap_or_default().replace('T', " "),
            step => text(row, step),
        };
        let bars: Vec<Bar> = rows.iter().map(|row| Bar { label: label(row), value: number(row, "events") }).collect();
        Ok(html! {
            @if bars.iter().all(|bar| bar.value == 0) { p.quiet { "Nothing happened in this time." } }
            @else { (chart::bars("Events", &bars)) }
        })
    }

    async fn event_figure(&self, period: &Period) -> Result<Markup, Trouble> {
        let events = self.count(period.query()).await?;
        let before = self.count(period.query_before()).await?;
        Ok(html! { span.figure { (count(events)) } (compared(events, before)) })
    }

    async fn types(&self, asked: &Asked, period: &Period, said: &[(String, String)]) -> Result<Markup, Trouble> {
        let kinds = self.counts(with(period.query(), "by", "type")).await?;
        Ok(types(asked, &kinds, said))
    }

    fn visit_figures(&self, asked: &Asked, said: &[(String, String)]) -> Markup {
        html! {
            div.card { span.quiet { "Visits, people, bounces" } (loaded(asked, "overview", "visits", said)) }
        }
    }

    async fn visit_sums(&self, query: Vec<(String, String)>, period: &Period) -> Result<[u64; 4], Trouble> {
        // By month, so that somebody who came on several days is one person.
        let rows = self.visits(with(with(query, "by", "month"), "tz", period.zone.name())).await?;
        Ok(["visits", "profiles", "new_profiles", "bounced"].map(|name| rows.iter().map(|row| number(row, name)).sum()))
    }

    /// The visits in which something happened in the last minutes, the newest first, each with its newest event.
    async fn here(&self, asked: &Asked) -> Result<Vec<Value>, Trouble> {
        let fields = "id,type,session.id,profile.id,hit,metadata.time.insert,app.name";
        let mut query =
            vec![("from".into(), HERE.into()), ("limit".into(), NEWEST.into()), ("fields".into(), fields.into())];
        query.extend(asked.pairs(&["source"]));
        let RecordPage { records, .. } = self.records(Records::Events(None), query).await?;
        let mut visits = BTreeMap::new();
        let mut newest = Vec::new();
        for record in records {
            let session = text(&record, "session.id");
            if !session.is_empty() && visits.insert(session, ()).is_none() {
                newest.push(record);
            }
        }
        Ok(newest)
    }

    /// What to do while nothing came.
    fn first_steps(&self, asked: &Asked) -> Markup {
        let source = self.admin.sources(None).into_iter().next();
        html! {
            section.card {
                h2 { "Nothing has come yet" }
                @if let Some(source) = source {
                    @let id = source.source.id.to_string();
                    p { "Paste this line into your page, before " code { "</body>" } ", or send an event from a terminal. This page turns live with the first one." }
                    (snippet(asked, &id))
                    h3 { "From a terminal" }
                    pre #curl {
                        "curl " (asked.origin) "/track -H 'Content-Type: application/json' -d '{\"source\": {\"id\": \"" (id)
                        "\"}, \"session\": {\"id\": \"my-first-session\"}, \"events\": [{\"type\": \"page-view\"}]}'"
                    }
                    div.actions { button.second type="button" data-copy="curl" { "Copy" } }
                } @else {
                    p { "First make a " a href="/console/sources/new" { "source" } ": it says who may send." }
                }
            }
        }
    }
}

fn who_is_here(asked: &Asked, here: &[Value]) -> Markup {
    html! {
        @if here.is_empty() { p.quiet { "Nobody in the last five minutes." } }
        @else {
            div.scroll tabindex="0" {
                table {
                    thead { tr { th scope="col" { "Last seen" } th scope="col" { "Did" } th scope="col" { "Page" } th scope="col" { "Visit" } } }
                    tbody {
                        @for event in here.iter().take(SHOWN_HERE) {
                            tr {
                                td { (moment(&text(event, "metadata.time.insert"), asked.visitor.zone)) }
                                td { a href={ "/console/events/" (part(&text(event, "id"))) } { (text(event, "type")) } }
                                td.long { (text(event, "hit.url")) }
                                td {
                                    @let profile = text(event, "profile.id");
                                    @if profile.is_empty() {
                                        a href={ "/console/sessions/" (part(&text(event, "session.id"))) } { "visit" }
                                    } @else {
                                        a href={ "/console/people/" (part(&profile)) } { "person" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn types(asked: &Asked, kinds: &[Value], said: &[(String, String)]) -> Markup {
    let mut kinds: Vec<(String, u64)> =
        kinds.iter().map(|row| (text(row, "type"), number(row, "events"))).filter(|(_, events)| *events > 0).collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = kinds.first().map_or(0, |(_, events)| *events);
    html! {
        @if kinds.is_empty() { p.quiet { "None in this time." } }
        @else {
            table {
                thead { tr { th scope="col" { "Type" } th.number scope="col" { "Events" } } }
                tbody {
                    @for (kind, events) in kinds.iter().take(LISTED) {
                        tr {
                            td {
                                @if asked.visitor.role == Role::Guest { (kind) }
                                @else { a href=(address("events", &with(said.to_vec(), "type", kind))) { (kind) } }
                                (chart::share(*events, most))
                            }
                            td.number { (count(*events)) }
                        }
                    }
                }
            }
        }
    }
}

fn top(rows: &[Value]) -> Markup {
    let most = rows.first().map_or(0, |row| number(row, "events"));
    html! {
        @if rows.is_empty() { p.quiet { "None in this time." } }
        @else {
            table {
                thead { tr { th scope="col" { "Value" } th.number scope="col" { "Visits" } th.number scope="col" { "Events" } } }
                tbody {
                    @for row in rows {
                        tr {
                            td.long { (text(row, "value")) (chart::share(number(row, "events"), most)) }
                            td.number { (count(number(row, "visits"))) }
                            td.number { (count(number(row, "events"))) }
                        }
                    }
                }
            }
        }
    }
}

fn visits(now: &[u64; 4], before: &[u64; 4]) -> Markup {
    let [visits, people, new, bounced] = *now;
    html! {
        span.figure { (count(visits)) }
        (compared(visits, before[0]))
        p.small.quiet {
            (people) @if people == 1 { " person, " } @else { " people, " } (count(new)) " new"
            @if visits > 0 { ", " ((100.0 * bounced as f64 / visits as f64).round()) " % bounced" }
        }
    }
}

/// Against the period before.
fn compared(now: u64, before: u64) -> Markup {
    let change = (now as f64 - before as f64) / before.max(1) as f64 * 100.0;
    html! {
        span.small.quiet {
            @if before == 0 { "nothing the period before" }
            @else { (format!("{change:+.0}").replace('-', "−")) " % against the period before (" (count(before)) ")" }
        }
    }
}
