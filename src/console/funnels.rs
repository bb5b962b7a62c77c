//! Funnels and retention, as charts.

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    access::share,
    ask::{number, with},
    chart,
    frame::{count, loaded, mistake, seconds},
    period::{NAMES, Period},
};
use crate::{
    model::Value,
    read::{FunnelQuery, Parameters, RetentionQuery},
};

/// How many steps there is room for.
const STEPS: usize = 5;
/// Within what time a funnel is gone through, and by what stretches people come back: words and names.
const WITHIN: [(&str, &str); 5] =
    [("1h", "an hour"), ("1d", "a day"), ("7d", "7 days"), ("30d", "30 days"), ("365d", "a year")];
const STRETCHES: [(&str, &str); 3] = [("day", "day"), ("week", "week"), ("month", "month")];
/// How dark a share can be shown.
const SHADES: f64 = 5.0;

/// A choice among a few words.
fn choice(name: &str, label: &str, words: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                @for (word, text) in words { option value=(word) selected[*word == chosen] { (text) } }
            }
        }
    }
}

impl Console {
    pub(super) async fn funnels(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let kinds = self.kinds().await?;
        let steps = steps(asked);
        let is_chosen = steps.len() >= 2;
        let said: Vec<(String, String)> = asked
            .pairs(&NAMES)
            .into_iter()
            .chain(asked.pairs(&["within"]))
            .chain(steps.iter().map(|step| ("step".to_owned(), step.clone())))
            .collect();
        let fields = html! {
            @for at in 0..STEPS.max(steps.len()) {
                label {
                    "Step " (at + 1)
                    input name="step" list="kinds" size="18" value=[steps.get(at)] placeholder=[(at == 0).then_some("page-view")];
                }
            }
            datalist #kinds { @for kind in &kinds { option value=(kind) {} } }
            (choice("within", "Within", &WITHIN, asked.said("within").unwrap_or("1d")))
        };
        let content = html! {
            h1 { "Funnels" }
            (share(asked))
            p.quiet { "How many people took one step after the other. A step is an event type, perhaps with a condition: " code { "checkout-started[event.properties.price > 100]" } }
            (self.choice(asked, "funnels", &fields))
            @if is_chosen { section.card { (loaded(asked, "funnels", "steps", &said)) } }
            @else { p.quiet { "Choose two steps or more." } }
        };
        Ok(Answer::page(asked, "funnels", "Funnels", &content))
    }

    pub(super) async fn funnel_steps(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let period = Period::read(asked, self.queries.now())?;
        let steps = steps(asked);
        let mut query = with(period.query(), "within", asked.said("within").unwrap_or("1d"));
        query.extend(steps.iter().map(|step| ("step".to_owned(), step.clone())));
        let query = match FunnelQuery::read(Parameters::new(query), self.queries.now()) {
            Ok(query) => query,
            Err(fault) => return Ok(Answer::part(mistake(Some(&fault.to_string())))),
        };
        let found: Vec<Value> = self.queries.funnel(query).await?.iter().map(Value::shown).collect();
        let first = found.first().map_or(0, |step| number(step, "profiles"));
        Ok(Answer::part(html! {
            div.scroll tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Step" } th.number scope="col" { "People" } th.number scope="col" { "Of the first" }
                            th.number scope="col" { "Of the one before" } th.number scope="col" { "Median since it" }
                        }
                    }
                    tbody {
                        @for (at, step) in found.iter().enumerate() {
                            @let people = number(step, "profiles");
                            @let before = if at == 0 { people } else { number(&found[at - 1], "profiles") };
                            tr {
                                td { (steps.get(at).map_or("", String::as_str)) (chart::share(people, first)) }
                                td.number { (count(people)) }
                                td.number { (percent(people, first)) }
                                td.number { (percent(people, before)) }
                                td.number { @if let Some(median) = super::ask::at(step, "median_seconds").and_then(Value::as_f64) { (seconds(median)) } }
                            }
                        }
                    }
                }
            }
        }))
    }

    pub(super) async fn retention(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let by = asked.said("by").unwrap_or("week");
        let fields = html! {
            (choice("by", "By", &STRETCHES, by))
            label { "Came first with" input name="first" list="kinds" size="16" value=[asked.said("first")] placeholder="anything"; }
            label { "Came again with" input name="again" list="kinds" size="16" value=[asked.said("again")] placeholder="anything"; }
            datalist #kinds { @for kind in self.kinds().await? { option value=(kind) {} } }
        };
        let names: Vec<&str> = NAMES.into_iter().chain(["by", "first", "again"]).collect();
        let content = html! {
            h1 { "Retention" }
            (share(asked))
            p.quiet { "Of those who came first in a " (by) ", how many came again in each later one." }
            (self.choice(asked, "retention", &fields))
            section.card { (loaded(asked, "retention", "cohorts", &asked.pairs(&names))) }
        };
        Ok(Answer::page(asked, "retention", "Retention", &content))
    }

    pub(super) async fn retention_cohorts(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let period = Period::read(asked, self.queries.now())?;
        let mut query = with(period.query(), "by", asked.said("by").unwrap_or("week"));
        query.extend(asked.pairs(&["first", "again"]));
        let query = with(query, "tz", period.zone.name());
        let query = match RetentionQuery::read(Parameters::new(query), self.queries.now()) {
            Ok(query) => query,
            Err(fault) => return Ok(Answer::part(mistake(Some(&fault.to_string())))),
        };
        let cohorts = self.queries.retention(query).await?;
        let most = cohorts.iter().map(|cohort| cohort.again.len()).max().unwrap_or(0);
        Ok(Answer::part(html! {
            @if cohorts.is_empty() { p.quiet { "Nobody came first in this time." } }
            @else {
                div.scroll tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "First in" } th.number scope="col" { "People" }
                                @for at in 1..=most { th scope="col" { "+" (at) } }
                            }
                        }
                        tbody {
                            @for cohort in &cohorts {
                                tr {
                                    td.whole { (cohort.cohort) }
                                    td.number { (count(cohort.profiles)) }
                                    @for again in &cohort.again {
                                        @let share = *again as f64 / cohort.profiles.max(1) as f64;
                                        td class={ "cohort c" ((share * SHADES).ceil() as u64) } title={ (count(*again)) " people" } { (percent(*again, cohort.profiles)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }))
    }
}

/// The steps that an address says.
fn steps(asked: &Asked) -> Vec<String> {
    let all = asked.query.pairs().filter(|(name, _)| *name == "step");
    all.map(|(_, step)| step.trim().to_owned()).filter(|step| !step.is_empty()).collect()
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_something() {
        assert_eq!((percent(1, 3).as_str(), percent(0, 0).as_str()), ("33.3 %", ""));
    }
}
