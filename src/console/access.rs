//! Who may look beside the administrator: tokens of viewers, and links to single pages.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    form::address,
    frame::{mistake, moment, page, token},
    period::rfc3339,
};
use crate::{
    admin::Access,
    model::{DefinitionKind, Fault, Id},
};

/// How long a link may lead to a page: word, name, days.
const LASTS: [(&str, &str, u64); 4] =
    [("1", "a day", 1), ("7", "7 days", 7), ("30", "30 days", 30), ("365", "a year", 365)];
const DAY: Duration = Duration::from_secs(86_400);

/// Where a link to the page is made, as it is shown.
pub fn share(asked: &Asked) -> Markup {
    let page = address(
        &asked.path.join("/"),
        &asked.query.pairs().map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>(),
    );
    let page = page.strip_prefix("/console/").unwrap_or_default();
    html! {
        @if asked.may_change() {
            details.share-view {
                summary { "Share this view" }
                form.filters method="post" action="/console/set-up/access/share" {
                    (token(asked))
                    input type="hidden" name="page" value=(if page.is_empty() { "overview" } else { page });
                    label {
                        "The link leads here for"
                        select name="days" { @for (word, name, _) in LASTS { option value=(word) { (name) } } }
                    }
                    button.second { "Make the link" }
                }
            }
        }
    }
}

impl Console {
    pub(super) fn access(&self, asked: &Asked, wrong: Option<&Fault>) -> Result<Answer, Trouble> {
        let made = asked
            .told
            .as_deref()
            .map(|secret| (if secret.contains("/shared/") { "The link" } else { "The token" }, secret));
        let content = self.accesses(asked, wrong, made);
        let page = page(asked, "set-up", "Access", &content);
        Ok(if wrong.is_some() { Answer::Mistaken(page) } else { Answer::Page(page) })
    }

    fn accesses(&self, asked: &Asked, wrong: Option<&Fault>, made: Option<(&str, &str)>) -> Markup {
        let (tokens, shares) = (self.admin.accesses(DefinitionKind::Token), self.admin.accesses(DefinitionKind::Share));
        html! {
            h1 { "Access" }
            @if let Some((what, secret)) = made {
                section.card {
                    h2 { (what) ", shown this once" }
                    pre #made { (secret) }
                    div.actions { button.second type="button" data-copy="made" { "Copy" } }
                }
            }
            section.card {
                h2 { "Viewers" }
                p.quiet { "Who has such a token logs in here with it, and reads queries, counts and metrics by call. They change nothing and see no set-up." }
                (list(asked, "token", &tokens))
                form.filters method="post" action="/console/set-up/access/token" {
                    (token(asked))
                    label { "For whom" input name="name" required maxlength="120"; }
                    button { "Make a token" }
                }
                (mistake(wrong.map(Fault::to_string).as_deref()))
            }
            section.card {
                h2 { "Links to single pages" }
                p.quiet { "Made where a page says “Share this view”. They show it as it was chosen, without single people, until they end." }
                (list(asked, "share", &shares))
            }
        }
    }

    pub(super) async fn act_on_access(&self, asked: &Asked, action: &str) -> Result<Answer, Trouble> {
        if asked.form.is_none() {
            return Err(Trouble::NotFound);
        }
        let by = &asked.author();
        let made = match action {
            "token" => self.admin.make_token(asked.filled("name").unwrap_or_default(), by).await,
            "share" => {
                let said = asked.filled("days").unwrap_or_default();
                let days =
                    LASTS.iter().find(|(word, ..)| *word == said).map(|(.., days)| *days).ok_or(Trouble::NotFound)?;
                let expires = self.queries.now().later(DAY * u32::try_from(days).unwrap_or(1));
                self.admin.make_share(asked.filled("page").unwrap_or_default(), expires, by).await
            }
            "end-token" | "end-share" => {
                let kind = if action == "end-token" { DefinitionKind::Token } else { DefinitionKind::Share };
                let id = asked.filled("id").and_then(|id| Id::parse(id).ok().flatten()).ok_or(Trouble::NotFound)?;
                self.admin.end_access(kind, &id, by).await?;
                return Ok(Answer::SeeOther("/console/set-up/access".into()));
            }
            _ => return Err(Trouble::NotFound),
        };
        match made.map_err(Trouble::from) {
            Ok(made) => {
                let secret = match action {
                    "token" => made.secret,
                    _ => format!("{}/console/shared/{}", asked.origin, made.secret),
                };
                Ok(Answer::ToldOnce("/console/set-up/access".into(), secret))
            }
            Err(Trouble::Invalid(fault)) => self.access(asked, Some(&fault)),
            Err(other) => Err(other),
        }
    }
}

fn list(asked: &Asked, what: &str, all: &[Access]) -> Markup {
    html! {
        @if all.is_empty() { p.quiet { "There are none." } }
        @else {
            div.scroll tabindex="0" {
                table {
                    thead { tr { th scope="col" { "For" } th scope="col" { "Made" } th scope="col" { "Ends" } th scope="col" { span.quiet { "End it" } } } }
                    tbody {
                        @for access in all {
                            tr {
                                td.long { (access.page.as_deref().unwrap_or(&access.name)) }
                                td { (moment(&rfc3339(access.made), asked.visitor.zone)) }
                                td { @match access.expires { Some(ends) => (moment(&rfc3339(ends), asked.visitor.zone)), None => "never" } }
                                td.number {
                                    form method="post" action={ "/console/set-up/access/end-" (what) } {
                                        (token(asked))
                                        input type="hidden" name="id" value=(access.id);
                                        button.danger { "End" }
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
