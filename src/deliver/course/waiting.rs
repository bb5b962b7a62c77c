//! What is set aside: read, tried again, and done with.

use std::time::Instant;

use super::{ASKED_MAX, Course, TRIES_MIN};
use crate::{
    deliver::{
        DONE_TOGETHER,
        asides::{Waiting, pause, refused},
        item::{Item, Whose},
        refusal::{Refusal, asked_to_wait},
    },
    model::Aside,
    store::{Entry, Refused},
};

impl Course<'_> {
    /// Reads what is set aside; `anew`: with what each item says, so that those are forgotten that are gone.
    pub(super) async fn load(&mut self, anew: bool) -> Result<(), Refused> {
        if anew {
            self.sweep = None;
        }
        let view = self.deliveries.store.read_view();
        view.applied().await?;
        let stored = view.asides(&self.destination.id, 0, usize::MAX).await?;
        let (mut before, mut gone, mut block) = (std::mem::take(&mut self.asides), Vec::new(), None);
        for (item, aside) in stored {
            if !anew && aside.given_up {
                self.asides.given_up.insert(item);
                continue;
            }
            if !anew && let Some(known) = before.waiting.remove(&item) {
                self.asides.put(item, known);
                continue;
            }
            let whose = match self.deliveries.item(self.destination, item, &mut block).await {
                Ok(Some(found)) => found.whose,
                Ok(None) => {
                    gone.push(item);
                    continue;
                }
                Err(Refused::Damaged(_)) => None, // it is told where it is tried
                Err(refused) => return Err(refused),
            };
            let known = before.waiting.remove(&item).filter(|_| !aside.given_up);
            let waiting = known.map(|known| Waiting { whose: whose.clone(), ..known });
            self.asides.put(item, waiting.unwrap_or_else(|| Waiting::new(aside, whose)));
        }
        if !gone.is_empty() {
            self.done(gone).await?;
        }
        self.tell();
        Ok(())
    }

    /// Lets those give way that wait longest, where there is no room for `more` that may have to wait.
    pub(super) async fn make_room(&mut self, more: usize) -> Result<(), Refused> {
        for item in self.asides.too_many(more) {
            let Some(waiting) = self.asides.waiting.remove(&item) else { continue };
            let aside = Aside { given_up: true, ..waiting.aside };
            self.set_aside(item, Waiting { aside, ..waiting }).await?;
        }
        let forgotten = self.asides.forgotten();
        if !forgotten.is_empty() {
            tracing::warn!(destination = %self.destination.id, items = forgotten.len(), "items that were set aside are forgotten");
            let count = forgotten.len() as u64;
            self.deliveries.status.note(&self.destination.id, |status| status.forgotten += count);
            self.done(forgotten).await?;
        }
        Ok(())
    }

    /// Tries an item again that is set aside.
    pub(super) async fn retry(&mut self, item: u64) -> Result<(), Refused> {
        let Some((before, found)) = self.take_out(item).await? else { return Ok(()) };
        let Err(why) = self.hand_over(std::slice::from_ref(&found)).await else { return self.taken_again(item).await };
        let (refusal, now) = (Refusal::of(&why), self.deliveries.clock.now());
        let is_long = now.seconds_since(before.aside.since) >= self.destination.retry_for.as_secs_f64();
        if refusal.tells_nothing(is_long && before.postponed >= TRIES_MIN) {
            let postponed = before.postponed.saturating_add(1);
            let due = Instant::now() + pause(postponed).max(asked_to_wait(&why, ASKED_MAX));
            self.asides.put(item, Waiting { due, postponed, ..before });
            return Ok(());
        }
        let mut aside = refused(Some(&before.aside), &why.to_string(), now);
        let taken_then = if before.aside.tries == 0 { self.taken } else { before.taken_then };
        if self.is_over(&aside, now) {
            // It is given up only where it is known that others are taken.
            let is_item = refusal.is_about_items() || (self.failures == 0 && self.taken > taken_then);
            aside.given_up = is_item || self.next_is_taken(item, found.whose.as_ref()).await?;
        }
        let due = Instant::now() + self.left(&aside, now, pause(aside.tries)).max(asked_to_wait(&why, ASKED_MAX));
        let is_told = aside.given_up || aside.tries <= TRIES_MIN || aside.reason != before.aside.reason;
        let waiting = Waiting { due, taken_then, ..Waiting::new(aside, found.whose) };
        if is_told {
            return self.set_aside(item, waiting).await;
        }
        self.asides.put(item, waiting);
        Ok(())
    }

    /// Takes out an item that is to be tried, with what it says. `None`: there is nothing to try any more.
    async fn take_out(&mut self, item: u64) -> Result<Option<(Waiting, Item)>, Refused> {
        let Some(waiting) = self.asides.waiting.remove(&item) else { return Ok(None) };
        if self.aside(item).await?.is_none() {
            self.tell(); // somebody sent it meanwhile
            return Ok(None);
        }
        match self.deliveries.item(self.destination, item, &mut None).await {
            Ok(Some(found)) => return Ok(Some((waiting, found))),
            Ok(None) => self.done(vec![item]).await?,
            Err(Refused::Damaged(what)) => {
                let aside = Aside { given_up: true, reason: what.into(), ..waiting.aside };
                self.set_aside(item, Waiting::new(aside, None)).await?;
            }
            Err(refused) => return Err(refused),
        }
        Ok(None)
    }

    /// Tries what waits right behind an item that was tried for long enough.
    async fn next_is_taken(&mut self, item: u64, whose: Option<&Whose>) -> Result<bool, Refused> {
        let Some(next) = whose.and_then(|whose| self.asides.behind(item, whose)) else { return Ok(false) };
        let Some((waiting, found)) = self.take_out(next).await? else { return Ok(false) };
        if self.hand_over(std::slice::from_ref(&found)).await.is_err() {
            self.asides.put(next, waiting);
            return Ok(false);
        }
        self.taken_again(next).await?;
        Ok(true)
    }

    /// An item was taken that was set aside.
    async fn taken_again(&mut self, item: u64) -> Result<(), Refused> {
        self.taken += 1;
        self.deliveries.status.note(&self.destination.id, |status| status.delivered += 1);
        self.done(vec![item]).await
    }

    async fn aside(&self, item: u64) -> Result<Option<Aside>, Refused> {
        let view = self.deliveries.store.read_view();
        view.answer(view.aside(&self.destination.id, item).await?).await
    }

    pub(super) async fn set_aside(&mut self, item: u64, waiting: Waiting) -> Result<(), Refused> {
        let view = self.deliveries.store.read_view();
        self.deliveries.write(&view, vec![self.entry(item, &waiting)]).await?;
        self.asides.put(item, waiting);
        self.tell();
        Ok(())
    }

    /// These are set aside no more.
    pub(super) async fn done(&mut self, items: Vec<u64>) -> Result<(), Refused> {
        for some in items.chunks(DONE_TOGETHER) {
            let view = self.deliveries.store.read_view();
            let destination = self.destination.id.clone();
            self.deliveries.write(&view, vec![Entry::AsideDone { destination, items: some.to_vec() }]).await?;
        }
        items.into_iter().for_each(|item| self.asides.remove(item));
        self.tell();
        Ok(())
    }

    pub(super) fn entry(&self, item: u64, waiting: &Waiting) -> Entry {
        Entry::SetAside { destination: self.destination.id.clone(), item, aside: waiting.aside.clone() }
    }
}
