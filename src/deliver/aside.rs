//! What is set aside for a destination, as administrators see it: listed, sent again, deleted.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{DONE_TOGETHER, Deliveries, asides::refused, item::Item, target};
use crate::{
    model::{Aside, Id, Time},
    process::Destination,
    store::{Entry, Refused, retry},
};

/// How many items are looked at for a list at most that turn out to be gone.
const GONE_MAX: usize = 1_000;

/// An item that is set aside, as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Aside")]
pub struct ShownAside {
    /// Its place in the log.
    pub number: u64,
    /// When it was refused first.
    pub since: Time,
    /// How often it was tried; 0: it waits for an earlier item of the same person.
    pub tries: u32,
    /// Why the last try failed.
    pub reason: Box<str>,
    /// It is tried again by itself.
    pub retried: bool,
    /// What is sent.
    #[schemars(with = "serde_json::Value")]
    pub item: Box<RawValue>,
}

/// How a try went that somebody asked for.
#[derive(Serialize, JsonSchema)]
pub struct Sent {
    pub taken: bool,
    /// Why it was not.
    pub error: Option<String>,
}

impl Deliveries {
    /// Up to `most` of the items that are set aside for a destination, from offset `from` on, and how many there are in all;
    /// `None` if there is no such destination.
    pub async fn asides(&self, id: &Id, from: u64, most: usize) -> Result<Option<(Vec<ShownAside>, usize)>, Refused> {
        let rules = self.rules.get();
        let Some(destination) = rules.destinations().iter().find(|known| known.id == *id) else { return Ok(None) };
        retry(|| async {
            let view = self.store.read_view();
            view.applied().await?;
            let all = view.asides(id, 0, usize::MAX).await?;
            let (mut shown, mut gone, mut block) = (Vec::new(), Vec::new(), None);
            for (number, aside) in all.iter().filter(|(number, _)| *number >= from) {
                match self.item(destination, *number, &mut block).await {
                    Ok(Some(found)) => shown.push(show(aside, &found)),
                    Ok(None) => gone.push(*number),
                    Err(Refused::Damaged(_)) => {} // whoever sends it is told
                    Err(refused) => return Err(refused),
                }
                if shown.len() >= most || gone.len() >= GONE_MAX {
                    break;
                }
            }
            let total = all.len() - gone.len();
            if !gone.is_empty() {
                self.end_asides(id, gone).await?;
            }
            view.answer(Some((shown, total))).await
        })
        .await
    }

    /// Sends an item that is set aside once more; `None` if there is none of this number, or not any more.
    pub async fn send_aside(&self, id: &Id, number: u64) -> Result<Option<Sent>, Refused> {
        let rules = self.rules.get();
        let Some(destination) = rules.destinations().iter().find(|known| known.id == *id) else { return Ok(None) };
        let Some(aside) = self.aside(id, number).await? else { return Ok(None) };
        let Some(found) = self.item(destination, number, &mut None).await? else {
            self.end_asides(id, vec![number]).await?;
            return Ok(None);
        };
        match self.hand_over(destination, &found).await {
            None => {
                self.end_asides(id, vec![number]).await?;
                Ok(Some(Sent { taken: true, error: None }))
            }
            Some(error) => {
                let aside = Aside { given_up: aside.given_up, ..refused(Some(&aside), &error, self.clock.now()) };
                retry(|| async {
                    let view = self.store.read_view();
                    if view.aside(id, number).await?.is_none() {
                        return Ok(()); // it was taken meanwhile
                    }
                    let entry = Entry::SetAside { destination: id.clone(), item: number, aside: aside.clone() };
                    self.write(&view, vec![entry]).await
                })
                .await?;
                Ok(Some(Sent { taken: false, error: Some(error) }))
            }
        }
    }

    /// Forgets an item that is set aside; `false` if there is none of this number.
    pub async fn delete_aside(&self, id: &Id, number: u64) -> Result<bool, Refused> {
        if self.aside(id, number).await?.is_none() {
            return Ok(false);
        }
        self.end_asides(id, vec![number]).await?;
        Ok(true)
    }

    async fn aside(&self, id: &Id, number: u64) -> Result<Option<Aside>, Refused> {
        retry(|| async {
            let view = self.store.read_view();
            view.answer(view.aside(id, number).await?).await
        })
        .await
    }

    async fn hand_over(&self, destination: &Destination, item: &Item) -> Option<String> {
        let items = std::iter::once(item.json.as_str());
        let handed = target::deliver(&self.lookups, &self.files, &destination.target, items).await;
        handed.err().map(|why| why.to_string())
    }

    async fn end_asides(&self, destination: &Id, items: Vec<u64>) -> Result<(), Refused> {
        for some in items.chunks(DONE_TOGETHER) {
            let entry = Entry::AsideDone { destination: destination.clone(), items: some.to_vec() };
            retry(|| async { self.write(&self.store.read_view(), vec![entry.clone()]).await }).await?;
        }
        self.changed.send_modify(|changes| *changes += 1);
        Ok(())
    }
}

fn show(aside: &Aside, item: &Item) -> ShownAside {
    ShownAside {
        number: item.offset,
        since: aside.since,
        tries: aside.tries,
        reason: aside.reason.clone(),
        retried: !aside.given_up,
        item: RawValue::from_string(item.json.clone()).unwrap_or_default(),
    }
}
