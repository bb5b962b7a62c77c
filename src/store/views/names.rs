//! What leads to a profile: its names and theirs, its keys, and the sessions that it shares with somebody.

use std::collections::HashSet;

use super::{
    Tree, Views,
    tables::{self, profile_key},
    values::{behind, behind_all},
};
use crate::{
    model::{Id, MergeKey, ProfileRef},
    store::{
        entry::{self, Name},
        error::{At, StoreError},
    },
};

/// The most records that are looked through for the sessions that one of two profiles shared.
const SHARED_MAX: usize = 10_000;

/// A walk through the names of a profile and the names of these, in post-order: a name comes behind all that lead to it.
pub struct NamesWalk {
    /// From the profile down to the name at hand, each with the place of the last of its own names that was gone down to.
    way: Vec<(ProfileRef, Option<u64>)>,
    /// A name that is left out, with all that lead to it.
    without: Option<ProfileRef>,
}

impl NamesWalk {
    pub fn new(profile: ProfileRef, without: Option<ProfileRef>) -> Self {
        Self { way: vec![(profile, None)], without }
    }
}

impl Views {
    /// Whether the profile, as it is called there, became another name of somebody.
    pub fn is_name(&self, profile: &ProfileRef) -> Result<bool, StoreError> {
        let key = profile.id.key();
        let record = self.get(Tree::Names, &key)?;
        let name =
            record.map(|record| entry::decode::<Name>(&record).ok_or_else(|| self.unreadable(Tree::Names, &key)));
        Ok(name.transpose()?.is_some_and(|name| name.since == profile.since))
    }

    /// Up to `most` names behind the id `after`, in the order of the keys, each with the profile that it was given to.
    pub fn names(&self, after: Option<&Id>, most: usize) -> Result<Vec<(ProfileRef, ProfileRef)>, StoreError> {
        let records = self.range(Tree::Names, behind(after), None).take(most).map(|record| {
            let (key, value) = record?;
            let name = entry::decode::<Name>(&value).zip(Id::from_key(&key));
            let (name, id) = name.ok_or_else(|| self.unreadable(Tree::Names, &key))?;
            Ok((ProfileRef { id, since: name.since }, name.profile))
        });
        records.collect()
    }

    /// Up to `most` more names; none when the walk is at its end.
    pub fn walk_names(&self, walk: &mut NamesWalk, most: usize) -> Result<Vec<ProfileRef>, StoreError> {
        let mut found = Vec::new();
        while found.len() < most {
            let Some((profile, said)) = walk.way.last_mut() else { break };
            match self.name_behind(profile, *said)? {
                Some((place, name)) => {
                    *said = Some(place);
                    if walk.without.as_ref() != Some(&name) {
                        walk.way.push((name, None));
                    }
                }
                None => {
                    let done = walk.way.pop().filter(|_| !walk.way.is_empty());
                    found.extend(done.map(|(name, _)| name));
                }
            }
        }
        Ok(found)
    }

    /// The next name of a profile behind the one that was said at `said`, and where it was.
    fn name_behind(&self, profile: &ProfileRef, said: Option<u64>) -> Result<Option<(u64, ProfileRef)>, StoreError> {
        let prefix = profile_key(profile);
        let start = match said {
            Some(said) => [&prefix[..], &said.to_be_bytes(), &[0]].concat(), // no key is longer
            None => prefix.clone(),
        };
        let Some(record) = self.range(Tree::NamesOf, start, behind_all(&prefix)).next() else { return Ok(None) };
        let (key, value) = record?;
        self.name_at(&prefix, &key, &value).map(Some)
    }

    /// The names of a profile that were said last, the last one first.
    pub fn latest_names(&self, profile: &ProfileRef, most: usize) -> Result<Vec<ProfileRef>, StoreError> {
        let prefix = profile_key(profile);
        let records = self.under(Tree::NamesOf, &prefix).rev().take(most);
        let names = records.map(|record| {
            let (key, value) = record?;
            Ok(self.name_at(&prefix, &key, &value)?.1)
        });
        names.collect()
    }

    fn name_at(&self, prefix: &[u8], key: &[u8], value: &[u8]) -> Result<(u64, ProfileRef), StoreError> {
        let said = key[prefix.len()..].try_into().ok().map(u64::from_be_bytes);
        said.zip(entry::decode(value)).ok_or_else(|| self.unreadable(Tree::NamesOf, key))
    }

    /// Keys that lead to a profile itself.
    pub fn keys_of(&self, profile: &ProfileRef) -> Result<Vec<MergeKey>, StoreError> {
        let prefix = profile_key(profile);
        let keys = self.under(Tree::KeysOf, &prefix).map(|key| {
            let (key, _) = key?;
            let merge_key = key[prefix.len()..].try_into().ok().map(MergeKey);
            merge_key.ok_or_else(|| self.unreadable(Tree::KeysOf, &key))
        });
        keys.collect()
    }

    /// How many sessions a profile of both lists had.
    pub fn shared_sessions(&self, ones: &[ProfileRef], others: &[ProfileRef]) -> Result<u64, StoreError> {
        let (ones, others) = (self.sessions_shared_by(ones)?, self.sessions_shared_by(others)?);
        Ok(ones.intersection(&others).count() as u64)
    }

    /// The numbers of the sessions that one of the profiles had, and somebody else.
    fn sessions_shared_by(&self, profiles: &[ProfileRef]) -> Result<HashSet<u64>, StoreError> {
        let mut sessions = HashSet::new();
        let mut left = SHARED_MAX;
        for profile in profiles {
            for number in self.shared_by(profile).take(left) {
                sessions.insert(number?);
                left -= 1;
            }
        }
        Ok(sessions)
    }

    /// The numbers of the sessions that the profile and somebody else had, in order.
    pub fn shared_by(&self, profile: &ProfileRef) -> impl Iterator<Item = Result<u64, StoreError>> + '_ {
        let prefix = profile_key(profile);
        self.tree(Tree::SharedSessions).scan_prefix(&prefix).keys().map(move |key| {
            let key = key.at(&self.path)?;
            let number = key[prefix.len()..].try_into().ok().map(u64::from_be_bytes);
            number.ok_or_else(|| self.unreadable(Tree::SharedSessions, &key))
        })
    }

    /// The profiles that the session of this number had before the one that it has now.
    pub fn earlier_profiles(&self, session: u64) -> Result<Vec<ProfileRef>, StoreError> {
        let number = session.to_be_bytes();
        let profiles = self.tree(Tree::Visited).scan_prefix(number).keys().map(|key| {
            let key = key.at(&self.path)?;
            tables::parse_profile_key(&key[number.len()..]).ok_or_else(|| self.unreadable(Tree::Visited, &key))
        });
        profiles.collect()
    }
}
