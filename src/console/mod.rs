//! The console: what an administrator's endpoints tell and take, as pages for people (docs/contract.md, section 19).
//!
//! A page is rendered here, whole; `assets/` has its style and the little script that loads parts behind the page and
//! follows what comes. Who asks, and whether they may, is decided before: this room knows no HTTP. Every page is made of
//! what its address says ([`Asked`]), so that a view can be sent to somebody else.
//!
//! One file a page, set-up a folder; `frame` is what stands around each, `ask` asks the other rooms, `form` reads
//! what was filled in, `period` is the time that a page is about, and `chart` draws.

mod access;
mod ask;
mod chart;
mod events;
mod form;
mod frame;
mod funnels;
mod log_in;
mod overview;
mod people;
mod period;
mod record;
mod set_up;
mod sources;
mod system;

use std::sync::Arc;

use chrono_tz::Tz;

use crate::{
    admin::{Admin, NotSaved, SHARED_PAGES},
    collect::{Collector, Rejection},
    metrics::{HttpFigures, Metrics},
    model::{ClientFacts, Fault, Form},
    process::Identity,
    read::{NotCounted, Queries},
    rights::Rights,
    store::Refused,
};

pub use frame::trouble;
pub use log_in::log_in;

pub const STYLE: &str = include_str!("assets/console.css");
pub const SCRIPT: &str = include_str!("assets/console.js");

/// Makes the pages.
pub struct Console {
    pub admin: Arc<Admin>,
    pub collector: Arc<Collector>,
    pub metrics: Arc<Metrics>,
    pub queries: Arc<Queries>,
    pub rights: Arc<Rights>,
    pub identity: Identity,
}

/// Who looks.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// As they called themselves when they logged in.
    pub name: String,
    /// In which times and days are shown.
    pub zone: Tz,
    /// What each form of theirs has, and no other site knows.
    pub forgery_token: String,
    pub role: Role,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Administrator,
    /// Looks, and changes nothing.
    Viewer,
    /// Followed a link to one page: sees it without people's records.
    Guest,
}

/// What is asked of the console.
pub struct Asked {
    pub visitor: Visitor,
    /// The secret of the link that was followed, by a guest.
    pub shared: Option<String>,
    /// The parts of the path behind `/console`.
    pub path: Vec<String>,
    pub query: Form,
    /// What was filled in, if something was.
    pub form: Option<Form>,
    /// Where the daemon is found, as the visitor's browser knows it: `https://HOST`.
    pub origin: String,
    /// A secret that was made just before, which this page is to show.
    pub told: Option<String>,
    /// From where it is asked.
    pub address: Option<String>,
    pub client: Arc<ClientFacts>,
    pub http: HttpFigures,
}

/// What is answered.
pub enum Answer {
    /// A page, or a part of one.
    Page(String),
    /// A page of which something is to be mended first.
    Mistaken(String),
    /// Something was done; it is shown there.
    SeeOther(String),
    /// Something was made with a secret, which is shown there this once.
    ToldOnce(String, String),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    NotFound,
    /// Only an administrator may.
    NotAllowed,
    /// The address says something that is none.
    Invalid(Fault),
    Refused(Refused),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

impl From<NotCounted> for Trouble {
    fn from(why: NotCounted) -> Self {
        match why {
            NotCounted::TooMany(fault) => Self::Invalid(fault),
            NotCounted::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<NotSaved> for Trouble {
    fn from(why: NotSaved) -> Self {
        match why {
            NotSaved::Invalid(fault) => Self::Invalid(fault),
            NotSaved::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<Rejection> for Trouble {
    fn from(why: Rejection) -> Self {
        match why {
            Rejection::Refused(refused) => Self::Refused(refused),
            Rejection::Invalid(fault) => Self::Invalid(fault),
            other => Self::Invalid(Fault::new("value_error", other.to_string())),
        }
    }
}

impl Console {
    /// Answers what is asked.
    ///
    /// # Errors
    /// There is no such page, its address says something that is none, or it cannot be read now.
    pub async fn answer(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        asked.check_allowed()?;
        match &path[..] {
            [] | ["overview"] => self.overview(asked).await,
            ["overview", part] => self.overview_part(asked, part).await,
            ["events"] => self.events(asked).await,
            ["events", "chart"] => self.events_chart(asked).await,
            ["events", id] => self.event(asked, id).await,
            ["sessions", id] => self.session(asked, id).await,
            ["people"] => self.people(asked).await,
            ["people", id] => self.person(asked, id).await,
            ["people", id, "timeline"] => self.timeline(asked, id).await,
            ["people", id, action] => self.act_on_person(asked, id, action).await,
            ["funnels"] => self.funnels(asked).await,
            ["funnels", "steps"] => self.funnel_steps(asked).await,
            ["retention"] => self.retention(asked).await,
            ["retention", "cohorts"] => self.retention_cohorts(asked).await,
            ["sources"] => self.sources(asked),
            ["sources", "new"] => self.new_source(asked).await,
            ["sources", id] => self.source(asked, id).await,
            ["sources", id, action] => self.act_on_source(asked, id, action).await,
            ["set-up"] => self.set_up(asked),
            ["set-up", "history"] => self.history(asked).await,
            ["set-up", "access"] => self.access(asked, None),
            ["set-up", "access", action] => self.act_on_access(asked, action).await,
            ["erasures", id] => self.erasure(asked, id).await,
            ["set-up", kind] => self.definitions(asked, kind),
            ["set-up", kind, id] => self.definition(asked, kind, id).await,
            ["system"] => self.system(asked).await,
            _ => Err(Trouble::NotFound),
        }
    }
}

impl Asked {
    /// Whether the visitor may see and do this: viewers look at what tells of events and people, guests at one page.
    fn check_allowed(&self) -> Result<(), Trouble> {
        let page = self.path.first().map_or("overview", String::as_str);
        let is_allowed = match self.visitor.role {
            Role::Administrator => true,
            Role::Viewer => {
                let acts = page == "people" && self.path.len() > 2 && self.path[2] != "timeline";
                self.form.is_none() && !["sources", "set-up", "erasures"].contains(&page) && !acts
            }
            Role::Guest => self.form.is_none() && SHARED_PAGES.contains(&page),
        };
        if is_allowed { Ok(()) } else { Err(Trouble::NotAllowed) }
    }

    /// Whether forms that change something are shown.
    fn may_change(&self) -> bool {
        self.visitor.role == Role::Administrator
    }
}
