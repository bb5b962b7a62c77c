//! Who may look beside the administrator: tokens of viewers, and links to single pages (docs/contract.md, section 19).
//! Of each the hash is kept, so that the store lets nobody in.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Admin, Author, Difference, retry};
use crate::{
    model::{Definition, DefinitionKind, Fault, Form, Id, Object, Time, Value},
    process::hex,
    store::{Entry, Key, Refused},
};

use super::NotSaved;

/// What a viewer's token and a shared link begin with.
const TOKEN_PREFIX: &str = "trv_";
const SHARE_PREFIX: &str = "trl_";
/// How many of each there may be.
const ACCESSES_MAX: usize = 1_000;
/// The pages that can be shared: they tell nothing of single people.
pub const SHARED_PAGES: [&str; 4] = ["overview", "funnels", "retention", "system"];
const NAME_CHARS_MAX: usize = 120;

/// A token or a shared link, as it is listed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Access {
    pub id: Id,
    pub name: String,
    pub made: Time,
    /// Of a link: the page with its query, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}

/// One that was made, with what lets in: it is told this once.
pub struct MadeAccess {
    pub id: Id,
    pub secret: String,
}

impl Admin {
    /// Makes a token of a viewer.
    ///
    /// # Errors
    /// The name is missing or too long, there are too many, or nothing can be stored now.
    pub async fn make_token(&self, name: &str, by: &Author) -> Result<MadeAccess, NotSaved> {
        self.make_access(DefinitionKind::Token, TOKEN_PREFIX, name, |_| {}, by).await
    }

    /// Makes a link to a page of the console, `PAGE` or `PAGE?QUERY`, that ends at a time.
    ///
    /// # Errors
    /// As [`Admin::make_token`], or there is no such page that can be shared.
    pub async fn make_share(&self, page: &str, expires: Time, by: &Author) -> Result<MadeAccess, NotSaved> {
        let name = page.split('?').next().unwrap_or_default();
        if !SHARED_PAGES.contains(&name) {
            let msg = format!("one of {} is expected", SHARED_PAGES.join(", "));
            return Err(NotSaved::Invalid(Fault::new("value_error", msg).at("page")));
        }
        if expires <= self.clock.now() {
            return Err(NotSaved::Invalid(Fault::new("value_error", "a time to come is expected").at("expires")));
        }
        let more = |body: &mut Object| {
            body.insert("page", Value::text(page));
            body.insert("expires", Value::number(expires.micros()));
        };
        self.make_access(DefinitionKind::Share, SHARE_PREFIX, name, more, by).await
    }

    async fn make_access(
        &self,
        kind: DefinitionKind,
        prefix: &str,
        name: &str,
        more: impl FnOnce(&mut Object),
        by: &Author,
    ) -> Result<MadeAccess, NotSaved> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            let msg = format!("1 to {NAME_CHARS_MAX} characters are expected");
            return Err(NotSaved::Invalid(Fault::new("value_error", msg).at("name")));
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Refused::Unavailable(format!("no random numbers: {error}")))?;
        let secret = format!("{prefix}{}", hex(&random));
        let id = self.clock.make_id();
        let mut body = Object::default();
        body.insert("id", Value::text(&id.text()));
        body.insert("name", Value::text(name));
        body.insert("hash", Value::text(&hash(&secret)));
        more(&mut body);
        let definition =
            Definition { kind, id: id.clone(), body: Value::Object(body).to_json(), saved: self.clock.now() };
        let definition = Arc::new(definition);
        let _one = self.configuring.lock().await;
        let now = self.clock.now();
        // Links that ended make room.
        let ended: Vec<Id> = self
            .accesses(kind)
            .into_iter()
            .filter(|it| it.expires.is_some_and(|ends| ends <= now))
            .map(|it| it.id)
            .collect();
        if self.definitions(kind).len() - ended.len() >= ACCESSES_MAX {
            let fault = Fault::new("value_error", format!("at most {ACCESSES_MAX} are kept: end some"));
            return Err(NotSaved::Invalid(fault));
        }
        retry(|| async {
            let decided = self.decide(vec![Key::Definition(kind, id.clone())]).await?;
            let mut entries: Vec<Entry> =
                ended.iter().map(|id| Entry::DefinitionDeleted { kind, id: id.clone() }).collect();
            // Its hash is nobody's business.
            let noted = Difference { kind: kind.word(), id: id.clone(), before: None, after: None };
            entries.extend(self.noted(by, &[noted]));
            entries.push(Entry::Definition(definition.clone()));
            self.write(decided, entries).await
        })
        .await?;
        Ok(MadeAccess { id, secret })
    }

    /// All tokens of viewers, or all links.
    pub fn accesses(&self, kind: DefinitionKind) -> Vec<Access> {
        self.definitions(kind).iter().map(|definition| read(definition)).collect()
    }

    /// Ends a token or a link. `false` if there is none.
    pub async fn end_access(&self, kind: DefinitionKind, id: &Id, by: &Author) -> Result<bool, Refused> {
        let _one = self.configuring.lock().await;
        retry(|| async {
            let decided = self.decide(vec![Key::Definition(kind, id.clone())]).await?;
            if self.store.definition(kind, id).is_none() {
                return Ok(false);
            }
            let noted = Difference { kind: kind.word(), id: id.clone(), before: None, after: None };
            let mut entries = self.noted(by, &[noted]);
            entries.push(Entry::DefinitionDeleted { kind, id: id.clone() });
            self.write(decided, entries).await
        })
        .await
    }

    /// The viewer whose token this is.
    pub fn viewer(&self, secret: &str) -> Option<Access> {
        self.known(DefinitionKind::Token, TOKEN_PREFIX, secret)
    }

    /// The link in which this stands, if it did not end: its page, and its query.
    pub fn share(&self, secret: &str) -> Option<(String, Form)> {
        let share = self.known(DefinitionKind::Share, SHARE_PREFIX, secret)?;
        share.expires.filter(|ends| *ends > self.clock.now())?;
        let page = share.page?;
        let (page, query) = page.split_once('?').unwrap_or((&page, ""));
        Some((page.to_owned(), Form::parse_urlencoded(query.as_bytes())))
    }

    /// The one whose secret this is: all are compared, each in a time that tells nothing of it.
    fn known(&self, kind: DefinitionKind, prefix: &str, secret: &str) -> Option<Access> {
        if !secret.starts_with(prefix) {
            return None;
        }
        let sent = hash(secret);
        let is_it = |definition: &Definition| {
            let body = Value::from(&definition.body);
            let known = body.as_object().and_then(|fields| fields.get("hash")).map(Value::to_text).unwrap_or_default();
            known.as_bytes().ct_eq(sent.as_bytes()).into()
        };
        let all = self.definitions(kind);
        let mut found = all.iter().filter(|definition| is_it(definition));
        found.next().map(|definition| read(definition))
    }
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

fn read(definition: &Definition) -> Access {
    let body = Value::from(&definition.body);
    let field = |name: &str| body.as_object().and_then(|fields| fields.get(name));
    Access {
        id: definition.id.clone(),
        name: field("name").map(Value::to_text).unwrap_or_default(),
        made: definition.saved,
        page: field("page").map(Value::to_text),
        expires: field("expires").and_then(Value::as_f64).map(|micros| Time::from_micros(micros as i64)),
    }
}
