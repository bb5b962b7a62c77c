//! `GET /profile/ID/export`: everything that is known of somebody, as one JSON document that is written while it is read.

use std::sync::Arc;

use serde_json::json;

use super::{
    Rights,
    person::{self, People, Sessions},
};
use crate::{
    model::Id,
    process::hex,
    read::{Asked, Parameters, Record, RecordStream},
    store::{Refused, retry},
};

/// The document, piece by piece.
pub struct Export {
    rights: Arc<Rights>,
    id: Id,
    next: Part,
    /// What is to be handed on first.
    begun: Vec<u8>,
}

/// What comes next.
enum Part {
    Sessions(Listed),
    Events(Listed),
    Nothing,
}

/// A list that is written.
struct Listed {
    stream: RecordStream,
    is_first: bool,
}

impl Rights {
    /// Everything under any of the ids of whoever `id` leads to; `None` if there is nothing.
    pub async fn export(self: &Arc<Self>, id: &Id) -> Result<Option<Export>, Refused> {
        let (people, keys, delayed) = retry(|| self.known(id)).await?;
        let rights = self.clone();
        if people.profile.is_none() {
            let (mut events, mut begun) = (Listed { stream: self.events_of(id).await?, is_first: true }, Vec::new());
            if !events.add(&mut begun).await? {
                return Ok(None);
            }
            let mut head = head(id, &people, keys, delayed);
            head.extend_from_slice(b"],\"events\":[");
            head.append(&mut begun);
            return Ok(Some(Export { rights, id: id.clone(), next: Part::Events(events), begun: head }));
        }
        let sessions = self.queries.query(oldest_first(), Asked::Sessions(Some(id.clone())));
        let sessions = self.queries.stream(&readable(sessions)?, usize::MAX).await?;
        let next = Part::Sessions(Listed { stream: sessions, is_first: true });
        Ok(Some(Export { rights, id: id.clone(), next, begun: head(id, &people, keys, delayed) }))
    }

    async fn known(&self, id: &Id) -> Result<(People, Vec<String>, Vec<serde_json::Value>), Refused> {
        let view = self.store.read_view();
        view.applied().await?;
        let people = person::find(&view, id).await?;
        let keys = view.keys_of(people.called.iter().cloned().collect()).await?;
        let delayed = person::delayed(&view, &people, &Sessions::default()).await?;
        let delayed = delayed.iter().map(|((due, _), event)| {
            json!({ "due": due, "type": &*event.kind, "source": { "id": event.source }, "properties": event.properties })
        });
        let (keys, delayed) = (keys.iter().map(|key| hex(&key.0)).collect(), delayed.collect());
        view.answer((people, keys, delayed)).await
    }

    async fn events_of(&self, id: &Id) -> Result<RecordStream, Refused> {
        let about = crate::read::About::Profile(id.clone());
        let events = self.queries.query(oldest_first(), Asked::Events(Some(about)));
        self.queries.stream(&readable(events)?, usize::MAX).await
    }
}

fn oldest_first() -> Parameters {
    Parameters::new([("order".to_owned(), "oldest".to_owned())])
}

fn readable<T>(query: Result<T, crate::model::Fault>) -> Result<T, Refused> {
    query.map_err(|fault| Refused::Unavailable(fault.to_string()))
}

/// The document up to its sessions.
fn head(id: &Id, people: &People, keys: Vec<String>, delayed: Vec<serde_json::Value>) -> Vec<u8> {
    let mut ids = people.listed();
    if !ids.contains(id) {
        ids.push(id.clone());
    }
    let known = json!({ "ids": ids, "keys": keys, "delayed": delayed });
    let profile = people.profile.as_ref().map(|profile| profile.shown());
    // Records have texts as keys, and memory takes them.
    let profile = serde_json::to_string(&profile).expect("a record can be written");
    let known = known.to_string();
    format!("{{\"profile\":{profile},{},\"sessions\":[", &known[1..known.len() - 1]).into_bytes()
}

impl Export {
    /// The next piece; `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        let mut piece = std::mem::take(&mut self.begun);
        match &mut self.next {
            Part::Nothing if piece.is_empty() => return Ok(None),
            Part::Nothing => {}
            Part::Sessions(sessions) => {
                if !sessions.add(&mut piece).await? {
                    piece.extend_from_slice(b"],\"events\":[");
                    self.next = Part::Nothing; // its turn is over before the next one begins
                    let stream = self.rights.events_of(&self.id).await?;
                    self.next = Part::Events(Listed { stream, is_first: true });
                }
            }
            Part::Events(events) => {
                if !events.add(&mut piece).await? {
                    piece.extend_from_slice(b"]}");
                    self.next = Part::Nothing;
                }
            }
        }
        Ok(Some(piece))
    }
}

impl Listed {
    /// Writes the next records behind `out`; `false`: there are no more.
    async fn add(&mut self, out: &mut Vec<u8>) -> Result<bool, Refused> {
        let Some(records) = self.stream.next().await? else { return Ok(false) };
        for record in &records {
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            write(out, record);
        }
        Ok(true)
    }
}

fn write(out: &mut Vec<u8>, record: &Record) {
    serde_json::to_writer(out, record).expect("a record can be written");
}
