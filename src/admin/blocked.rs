//! Merge keys that joined too many people are listed and freed (docs/contract.md, section 4).

use schemars::JsonSchema;
use serde::Serialize;

use super::{Admin, retry};
use crate::{
    model::{DefinitionKind, Id, Profile, Time, Value},
    process::{key_of_blocked, referred_profile},
    store::{Entry, Key, Refused},
};

/// A merge key that finds nobody, for it joined too many.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlockedKey {
    /// The hashed key.
    pub id: Id,
    /// Where what it is made of stands.
    pub place: String,
    /// Since when it finds nobody.
    pub since: Time,
    /// The id of the profile that it joined the others with.
    pub profile: Option<Id>,
}

impl Admin {
    /// The keys that find nobody.
    pub async fn blocked_keys(&self) -> Result<Vec<BlockedKey>, Refused> {
        let view = self.store.read_view();
        let mut blocked = Vec::new();
        for definition in self.definitions(DefinitionKind::BlockedKey) {
            let body = Value::from(&definition.body);
            let place = body.as_object().and_then(|body| body.get("place")).map(Value::to_text).unwrap_or_default();
            let leads = match key_of_blocked(&definition.id) {
                Some(key) => view.merge_key(key).await?,
                None => None,
            };
            let profile = match leads {
                Some(reference) => referred_profile(&view, &reference).await?,
                None => None,
            };
            let profile = profile.map(|profile| profile.id.clone());
            blocked.push(BlockedKey { id: definition.id.clone(), place, since: definition.saved, profile });
        }
        view.answer(blocked).await
    }

    /// The key finds people again, and what it joined so far counts no more. `false` if it is not one that finds nobody.
    pub async fn free_key(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_free_key(id)).await
    }

    async fn try_free_key(&self, id: &Id) -> Result<bool, Refused> {
        let kind = DefinitionKind::BlockedKey;
        let Some(key) = key_of_blocked(id).filter(|_| self.store.definition(kind, id).is_some()) else {
            return Ok(false);
        };
        let view = self.store.read_view();
        let seen = match view.merge_key(key).await? {
            Some(reference) => referred_profile(&view, &reference).await?,
            None => None,
        };
        let mut names = vec![Key::Definition(kind, id.clone()), Key::MergeKey(key)];
        names.extend(seen.iter().map(|profile| Key::Profile(profile.id.clone())));
        let decided = self.decide_on(names, seen.as_ref().map_or(0, |profile| profile.bytes())).await?;
        let now = match &seen {
            Some(profile) => referred_profile(&decided.view, &profile.reference()).await?,
            None => None,
        };
        if now != seen {
            return Err(Refused::Stale);
        }
        self.write_at(decided, |moment| {
            let mut entries = vec![Entry::DefinitionDeleted { kind, id: id.clone() }];
            entries.extend(now.as_deref().map(|profile: &Profile| {
                let mut profile = profile.clone();
                profile.history.forget_joins(key);
                profile.written = moment.offset + 1;
                Entry::Profile(profile.into())
            }));
            entries
        })
        .await
    }
}
