//! Who changed what is set up, and when; and back to any of it.

use maud::{Markup, html};

use super::difference::{difference, side};
use crate::{
    admin::Change,
    console::{
        Answer, Asked, Console, Trouble,
        frame::{mistake, moment, page, token},
        period::rfc3339,
    },
    model::{Id, Object, Value},
};

/// How many changes a page shows.
const SHOWN: usize = 50;

impl Console {
    pub(in crate::console) async fn history(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let mut wrong = None;
        if asked.form.is_some() {
            match self.take_back(asked).await {
                Ok(()) => return Ok(Answer::SeeOther("/console/set-up/history".into())),
                Err(Trouble::Invalid(fault)) => wrong = Some(fault.to_string()),
                Err(other) => return Err(other),
            }
        }
        let changes = self.admin.changes();
        let from: usize = asked.said("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        let content = html! {
            h1 { "History" }
            (mistake(wrong.as_deref()))
            @if changes.is_empty() { p.quiet { "Nothing was changed yet." } }
            @for change in changes.iter().skip(from).take(SHOWN) { (shown(asked, change)) }
            @if changes.len() > from.saturating_add(SHOWN) {
                div.actions { a.button.second href={ "/console/set-up/history?from=" (from + SHOWN) } { "Older" } }
            }
        };
        let page = page(asked, "set-up", "History", &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    /// Makes something what a change made of it or, where that is nothing, what it was before.
    async fn take_back(&self, asked: &Asked) -> Result<(), Trouble> {
        let id = asked.filled("id").and_then(|id| Id::parse(id).ok().flatten()).ok_or(Trouble::NotFound)?;
        let change = self.admin.change(&id).ok_or(Trouble::NotFound)?;
        let state = change.after.as_ref().or(change.before.as_ref()).ok_or(Trouble::NotFound)?;
        let mut tables = Object::default();
        tables.insert(&change.kind, Value::List(vec![Value::from(state)]));
        let configuration = self.admin.read_configuration(&Value::Object(tables).to_json())?;
        self.admin.apply(configuration, &asked.author()).await?;
        Ok(())
    }
}

fn shown(asked: &Asked, change: &Change) -> Markup {
    let did = match (&change.before, &change.after) {
        (None, Some(_)) => "made",
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "deleted",
        (None, None) => "touched",
    };
    html! {
        section.card {
            h2 { (change.by) " " (did) " " (change.kind.replace('_', " ")) " " (change.of) }
            p.quiet { (moment(&rfc3339(change.time), asked.visitor.zone)) @if !change.address.is_empty() { ", from " (change.address) } }
            @if change.before.is_some() || change.after.is_some() {
                details {
                    summary { "What changed" }
                    (difference(&side(change.before.as_ref()), &side(change.after.as_ref())))
                    form method="post" action="/console/set-up/history" {
                        (token(asked))
                        input type="hidden" name="id" value=(change.id);
                        div.actions { button.second { @if change.after.is_some() { "Make it so again" } @else { "Bring it back" } } }
                    }
                }
            }
        }
    }
}
