//! `POST /profile/ID/forget`: what counts stays, and nobody knows any more who it was.

use std::sync::Arc;

use super::{
    Rights, SESSIONS_AT_ONCE, STATE_BYTES, Taken,
    person::{self, Events},
};
use crate::{
    admin::delete_names,
    model::{Erasure, ErasureKind, FieldChange, Id, Named, Profile, ProfileRef, Session, Value},
    store::{Entry, Refused, retry},
};

impl Rights {
    /// Takes everything that identifies somebody from the profile that `id` leads to, its sessions and its events. What it
    /// is about, once that is durable; `None` if there is no such profile.
    pub async fn forget(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        retry(|| self.try_forget(id)).await
    }

    async fn try_forget(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        let Taken { view, people, sessions, _held } = self.take(id).await?;
        let Some(profile) = people.profile.clone() else { return view.answer(None).await };
        let events: Events = person::events(&view, &people, &sessions, None).await?;
        let delayed = person::delayed(&view, &people, &sessions).await?;
        let erasure = Erasure {
            events: events.shown,
            sessions: sessions.all().count() as u64,
            profiles: 1,
            ..self.erasure_of(ErasureKind::Forgotten, &people, &events)
        };
        self.note_in_file(&erasure, &people, &sessions).await?;
        let kept = profile.reference();
        let others: Vec<&Id> = people.ids.iter().filter(|id| **id != profile.id).collect();
        if !others.is_empty() {
            let ids = others.iter().map(|id| self.identity.profile_hash(id)).collect();
            self.write(&view, STATE_BYTES * others.len(), vec![Entry::IdsErased { ids }]).await?;
        }
        let all: Vec<&Session> = sessions.all().collect();
        for some in all.chunks(SESSIONS_AT_ONCE) {
            let whose = |session: &Session| {
                let whose = session.profile.clone()?;
                Some(if people.ids.contains(&whose.id) { kept.clone() } else { whose })
            };
            let stripped = some.iter().map(|session| Entry::Session(Arc::new(session.stripped(whose(session)))));
            self.write(&view, STATE_BYTES * some.len(), stripped.collect()).await?;
        }
        let mut entries: Vec<Entry> =
            delayed.iter().map(|((due, number), _)| Entry::DelayedDone { due: *due, number: *number }).collect();
        if profile.lists_all() {
            let names = profile.aliases.iter().map(|alias| ProfileRef { id: alias.id.clone(), since: alias.since });
            let keys = profile.keys.iter().map(|known| known.key).collect();
            entries.push(Entry::NamesDeleted { names: names.collect(), keys });
        } else {
            delete_names(&self.store, &view, &profile).await?;
        }
        let named = Named {
            erasure: erasure.id.clone(),
            kind: ErasureKind::Forgotten,
            before: 0,
            ids: people.listed(),
            sessions: sessions.own.iter().map(|session| session.id.clone()).collect(),
            kept: Some(kept.clone()),
            told: Vec::new(),
        };
        let stripped = Profile { updated: self.clock.now(), ..profile.stripped() };
        let changes = if self.rules.get().tells_changes() { changes(&profile, &stripped) } else { Vec::new() };
        let mut behind = vec![Entry::Profile(Arc::new(stripped))];
        if !changes.is_empty() {
            behind.push(Entry::ProfileChanged { profile: kept, changes });
        }
        self.write_named(&view, entries, named, erasure, behind).await.map(Some)
    }
}

/// What is told of the change: where something stood, and not what.
fn changes(before: &Profile, after: &Profile) -> Vec<FieldChange> {
    let null = Value::Null.to_json();
    let changes = after.changes_since(Some(before)).into_iter().filter(|change| &*change.path != "ids");
    changes.map(|change| FieldChange { path: change.path, old: null.clone(), new: null.clone() }).collect()
}
