//! A destination's way through the log.
//!
//! What is refused is cut in halves until the item that is not taken is alone. Whether it is the item or the other system
//! tells an item of somebody else, which is tried beside it: where that is taken, the item is set aside and tried again by
//! itself, and the way goes on. Where nothing is taken, nothing is set aside, but one item at a time of which the answer
//! says that it is at fault. What else is of the same person as an item that is tried again waits behind it.

use std::{
    collections::{BTreeSet, HashSet},
    future::pending,
    time::{Duration, Instant},
};

use super::{
    DONE_TOGETHER, Deliveries,
    asides::{Asides, WAITING_MAX, Waiting, pause, refused},
    item::{Batch, Item, Whose},
    refusal::{Refusal, asked_to_wait},
    target,
};
use crate::{
    model::{Aside, Id, Time},
    process::{Destination, NotTaken, find_profile},
    store::{Entry, Key, Refused},
};

/// How often an item is tried at least before it is given up, and before another one is tried beside it where the answer
/// does not say what is at fault.
const TRIES_MIN: u32 = 3;
/// How long an answer may ask to wait.
const ASKED_MAX: Duration = Duration::from_secs(60 * 60);
/// How often it is looked whether the destination was sent elsewhere, while nothing is tried.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many blocks and items are looked at for one of somebody else.
const BLOCKS_AHEAD: usize = 32;
const ITEMS_AHEAD: usize = 100;
/// How long is waited where too many items wait that were not tried yet.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How long after a deletion it is looked what of the items that are set aside is gone; several together.
const SWEEP_AFTER: Duration = Duration::from_secs(1);
/// How many times as long as that took nothing is looked for again.
const SWEEP_REST: u32 = 20;

/// A destination's task.
pub struct Course<'a> {
    deliveries: &'a Deliveries,
    destination: &'a Destination,
    /// How far it is noted that the destination is.
    noted: Option<u64>,
    /// What stands before this offset was delivered, is set aside or is not wanted.
    at: u64,
    /// What was looked at before.
    looked_to: u64,
    /// The most items of the next delivery; and of any, since more were too large.
    most: usize,
    ceiling: usize,
    /// How many deliveries failed one after another.
    failures: u32,
    /// The item in front, once it was refused alone.
    alone: Option<Alone>,
    /// Items behind `at` that were taken before their turn.
    ahead: BTreeSet<u64>,
    asides: Asides,
    /// How many items were taken.
    taken: u64,
    /// When it is looked what of the items that are set aside is gone.
    sweep: Option<Instant>,
    sweep_pause: Duration,
}

struct Alone {
    item: u64,
    aside: Option<Aside>,
    /// How many others were tried beside it.
    probes: usize,
}

/// The items of a batch.
struct Line {
    /// Those to deliver.
    items: Vec<Item>,
    /// Those that wait behind an item of the same person.
    behind: Vec<Item>,
    /// The offset behind all of them.
    end: u64,
}

impl<'a> Course<'a> {
    /// Delivers what comes, from where the destination is; returns when somebody sent it elsewhere.
    pub async fn follow(deliveries: &'a Deliveries, destination: &'a Destination) -> Result<(), Refused> {
        let noted = deliveries.delivered(&destination.id).await?;
        let at = noted.unwrap_or_else(|| deliveries.store.end());
        deliveries.status.note(&destination.id, |status| (status.offset, status.error) = (at, None));
        let course = Self {
            deliveries,
            destination,
            noted,
            at,
            looked_to: at,
            most: destination.batch,
            ceiling: destination.batch,
            failures: 0,
            alone: None,
            ahead: BTreeSet::new(),
            asides: Asides::default(),
            taken: 0,
            sweep: None,
            sweep_pause: SWEEP_AFTER,
        };
        course.go().await
    }

    async fn go(mut self) -> Result<(), Refused> {
        let mut changed = self.deliveries.changed.subscribe();
        self.load(true).await?;
        loop {
            let now = Instant::now();
            if self.sweep.is_some_and(|due| due <= now) {
                self.load(true).await?;
                self.sweep_pause = SWEEP_AFTER.max(now.elapsed() * SWEEP_REST);
            }
            // Where nothing is taken, nothing else is tried.
            let next = self.asides.next().filter(|_| self.failures == 0);
            if let Some((item, due)) = next
                && due <= now
            {
                self.retry(item).await?;
                continue;
            }
            let due = next.map(|(_, due)| due).into_iter().chain(self.sweep).min();
            let until_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            let batch = tokio::select! {
                batch = self.batch() => batch?,
                () = until_due => continue,
                _ = changed.changed() => {
                    self.load(false).await?;
                    continue;
                }
            };
            if !self.deliver(batch).await? {
                return Ok(());
            }
        }
    }

    /// The next items, once there is something. Where one alone is refused, more are looked for.
    async fn batch(&self) -> Result<Batch, Refused> {
        let Deliveries { store, rules, .. } = self.deliveries;
        let (most, blocks) = match self.alone {
            None => (self.destination.batch, 1),
            Some(_) => (self.destination.batch.max(ITEMS_AHEAD), BLOCKS_AHEAD),
        };
        let (view, rules) = (store.read_view(), rules.get());
        let mut all = Batch { end: self.at, ..Batch::default() };
        for _ in 0..blocks {
            let (first, entries) = store.entries(all.end).await?;
            let wanted = self.deliveries.wanted(&view, &rules, self.destination, most - all.items.len());
            let mut more = wanted.batch(first, &entries, all.end).await?;
            all.items.append(&mut more.items);
            all.undecided.append(&mut more.undecided);
            (all.end, all.deletes) = (more.end, all.deletes || more.deletes);
            if all.items.len() >= most || all.end >= store.end() {
                break;
            }
        }
        view.answer(all).await
    }

    /// Delivers the first items of a batch, or tries to. `false`: the destination was sent elsewhere meanwhile.
    async fn deliver(&mut self, batch: Batch) -> Result<bool, Refused> {
        self.look_at(&batch);
        self.make_room(batch.items.len()).await?;
        let line = self.line(batch).await?;
        if line.items.is_empty() {
            self.alone = None;
            return self.pass(line).await;
        }
        let count = line.items.len().min(self.most);
        match self.hand_over(&line.items[..count]).await {
            Ok(()) => {
                self.note_taken(count);
                (self.most, self.alone) = ((self.most * 2).min(self.ceiling), None);
                let end = line.items.get(count).map_or(line.end, |next| next.offset);
                let done = line.items[..count].iter().map(|item| item.offset).filter(|it| self.asides.has(*it));
                self.advance(end, done.collect(), Vec::new(), line.behind).await
            }
            Err(why) => self.refused(line, count, why).await,
        }
    }

    /// Tells of the items whose condition could not be evaluated, each once, and looks after what was deleted.
    fn look_at(&mut self, batch: &Batch) {
        let id = &self.destination.id;
        for (offset, error) in batch.undecided.iter().filter(|(offset, _)| *offset >= self.looked_to) {
            tracing::warn!(destination = %id, error, "the destination's condition cannot be evaluated");
            self.deliveries.status.note(id, |status| {
                status.undecided += 1;
                status.undecided_error = Some(format!("offset {offset}: if: {error}"));
            });
        }
        if batch.deletes && batch.end > self.looked_to && self.asides.len() > 0 {
            self.sweep.get_or_insert_with(|| Instant::now() + self.sweep_pause);
        }
        self.looked_to = batch.end.max(self.looked_to);
    }

    /// Sorts out what was taken before its turn, and what waits behind an item of the same person.
    async fn line(&self, batch: Batch) -> Result<Line, Refused> {
        let people = self.people_of_waiting().await?;
        let mut line = Line { items: Vec::new(), behind: Vec::new(), end: batch.end };
        let mut room = WAITING_MAX.saturating_sub(self.asides.waiting.len());
        for item in batch.items.into_iter().filter(|item| !self.ahead.contains(&item.offset)) {
            if !item.whose.as_ref().is_some_and(|whose| people.contains(whose)) {
                line.items.push(item);
            } else if !self.asides.waiting.contains_key(&item.offset) {
                if room == 0 {
                    line.end = item.offset; // it goes no further than there is room
                    break;
                }
                room -= 1;
                line.behind.push(item);
            }
        }
        Ok(line)
    }

    /// Lets those give way that wait longest, where there is no room for `more` that may have to wait.
    async fn make_room(&mut self, more: usize) -> Result<(), Refused> {
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

    /// Those of whom something is tried again, as they are called now.
    async fn people_of_waiting(&self) -> Result<HashSet<Whose>, Refused> {
        let mut people = self.asides.people();
        if people.is_empty() {
            return Ok(people);
        }
        let view = self.deliveries.store.read_view();
        let ids: Vec<Id> =
            people.iter().filter_map(|it| if let Whose::Profile(id) = it { Some(id.clone()) } else { None }).collect();
        for id in ids {
            if let Some(profile) = find_profile(&view, &id).await? {
                people.insert(Whose::Profile(profile.id.clone()));
            }
        }
        view.answer(people).await
    }

    /// Passes a stretch with nothing to deliver.
    async fn pass(&mut self, line: Line) -> Result<bool, Refused> {
        if line.end == self.at {
            tokio::time::sleep(NO_ROOM).await; // what waits is tried meanwhile
            return Ok(true);
        }
        let is_noted = !line.behind.is_empty() || self.ahead.range(..line.end).next().is_some();
        if is_noted {
            return self.advance(line.end, Vec::new(), Vec::new(), line.behind).await;
        }
        if self.deliveries.delivered(&self.destination.id).await? != self.noted {
            return Ok(false);
        }
        (self.at, self.failures) = (line.end, 0);
        self.tell();
        Ok(true)
    }

    async fn hand_over(&self, items: &[Item]) -> Result<(), NotTaken> {
        let Deliveries { lookups, files, .. } = self.deliveries;
        target::deliver(lookups, files, &self.destination.target, items.iter().map(|item| item.json.as_str())).await
    }

    fn note_taken(&mut self, count: usize) {
        self.failures = 0;
        self.taken += count as u64;
        self.deliveries.status.note(&self.destination.id, |status| {
            status.delivered += count as u64;
            (status.failures, status.error, status.lasting) = (0, None, false);
        });
    }

    fn note_refused(&mut self, why: &NotTaken) {
        self.failures = self.failures.saturating_add(1);
        let error = why.to_string();
        tracing::warn!(destination = %self.destination.id, error, "a delivery failed and is tried again");
        self.deliveries.status.note(&self.destination.id, |status| {
            status.failures += 1;
            (status.error, status.lasting) = (Some(error), Refusal::of(why).is_lasting());
        });
    }

    /// The first `count` items of the line were refused.
    async fn refused(&mut self, line: Line, count: usize, why: NotTaken) -> Result<bool, Refused> {
        self.note_refused(&why);
        let refusal = Refusal::of(&why);
        if refusal.tells_nothing() {
            return self.rest(pause(self.failures), &why).await;
        }
        if count > 1 {
            if refusal == Refusal::TooLarge {
                self.ceiling = count / 2;
            }
            if refusal.is_about_items() {
                self.most = count / 2;
                return Ok(true);
            }
            if self.failures > 1 {
                self.most = count / 2;
            }
            return self.rest(pause(1), &why).await;
        }
        self.refused_alone(line, refusal, why).await
    }

    /// The first item of the line was refused alone, with an answer.
    async fn refused_alone(&mut self, mut line: Line, refusal: Refusal, why: NotTaken) -> Result<bool, Refused> {
        let now = self.deliveries.clock.now();
        let item = line.items[0].offset;
        let mut alone =
            self.alone.take().filter(|it| it.item == item).unwrap_or(Alone { item, aside: None, probes: 0 });
        let mut aside = refused(alone.aside.as_ref(), &why.to_string(), now);
        let tries = if refusal.is_about_items() { 1 } else { TRIES_MIN };
        let other = if aside.tries >= tries { probe(&line.items, alone.probes) } else { None };
        let mut is_item = refusal.is_about_items() && self.is_over(&aside, now);
        if let Some(other) = other {
            alone.probes += 1;
            if self.hand_over(&line.items[other..=other]).await.is_ok() {
                self.note_taken(1);
                self.ahead.insert(line.items[other].offset);
                is_item = true;
            }
        }
        if !is_item {
            let pause = self.left(&aside, now, pause(aside.tries));
            alone.aside = Some(aside);
            self.alone = Some(alone);
            return self.rest(pause, &why).await;
        }
        // It is the item, and not whoever takes it.
        aside.given_up = self.is_over(&aside, now);
        tracing::warn!(destination = %self.destination.id, item, reason = &*aside.reason, "an item is set aside");
        self.failures = 0;
        self.deliveries.status.note(&self.destination.id, |status| status.failures = 0);
        let end = line.items.get(1).map_or(line.end, |next| next.offset);
        let whose = line.items.swap_remove(0).whose;
        let due = Instant::now() + pause(aside.tries);
        let waiting = Waiting { due, taken_then: self.taken, ..Waiting::new(aside, whose) };
        self.advance(end, Vec::new(), vec![(item, waiting)], line.behind).await
    }

    /// Whether an item was tried for long enough.
    fn is_over(&self, aside: &Aside, now: Time) -> bool {
        aside.tries >= TRIES_MIN && now.seconds_since(aside.since) >= self.destination.retry_for.as_secs_f64()
    }

    /// The pause before an item is tried again: not longer than it is tried at all.
    fn left(&self, aside: &Aside, now: Time, pause: Duration) -> Duration {
        let left = self.destination.retry_for.as_secs_f64() - now.seconds_since(aside.since);
        let left = Duration::try_from_secs_f64(left).unwrap_or_default();
        if left.is_zero() { pause } else { pause.min(left) }
    }

    /// Tries an item again that is set aside.
    async fn retry(&mut self, item: u64) -> Result<(), Refused> {
        let Some(before) = self.asides.waiting.remove(&item) else { return Ok(()) };
        if self.aside(item).await?.is_none() {
            self.tell();
            return Ok(()); // somebody sent it meanwhile
        }
        let found = match self.deliveries.item(self.destination, item, &mut None).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.done(vec![item]).await,
            Err(Refused::Damaged(what)) => {
                let aside = Aside { given_up: true, reason: what.into(), ..before.aside };
                return self.set_aside(item, Waiting::new(aside, None)).await;
            }
            Err(refused) => return Err(refused),
        };
        let Err(why) = self.hand_over(std::slice::from_ref(&found)).await else {
            self.taken += 1;
            self.deliveries.status.note(&self.destination.id, |status| status.delivered += 1);
            return self.done(vec![item]).await;
        };
        let (refusal, now) = (Refusal::of(&why), self.deliveries.clock.now());
        if refusal.tells_nothing() {
            let postponed = before.postponed.saturating_add(1);
            let due = Instant::now() + pause(postponed).max(asked_to_wait(&why, ASKED_MAX));
            self.asides.put(item, Waiting { due, postponed, ..before });
            return Ok(());
        }
        let mut aside = refused(Some(&before.aside), &why.to_string(), now);
        // It is given up only where it is known that others are taken.
        let is_item = refusal.is_about_items() || self.taken > before.taken_then;
        aside.given_up = is_item && self.is_over(&aside, now);
        let due = Instant::now() + self.left(&aside, now, pause(aside.tries)).max(asked_to_wait(&why, ASKED_MAX));
        let is_told = aside.given_up || aside.tries <= TRIES_MIN || aside.reason != before.aside.reason;
        let waiting = Waiting { due, taken_then: self.taken, ..Waiting::new(aside, found.whose) };
        if is_told {
            return self.set_aside(item, waiting).await;
        }
        self.asides.put(item, waiting);
        Ok(())
    }

    async fn aside(&self, item: u64) -> Result<Option<Aside>, Refused> {
        let view = self.deliveries.store.read_view();
        view.answer(view.aside(&self.destination.id, item).await?).await
    }

    async fn set_aside(&mut self, item: u64, waiting: Waiting) -> Result<(), Refused> {
        let view = self.deliveries.store.read_view();
        self.deliveries.write(&view, vec![self.entry(item, &waiting)]).await?;
        self.asides.put(item, waiting);
        self.tell();
        Ok(())
    }

    /// These are set aside no more.
    async fn done(&mut self, items: Vec<u64>) -> Result<(), Refused> {
        for some in items.chunks(DONE_TOGETHER) {
            let view = self.deliveries.store.read_view();
            let destination = self.destination.id.clone();
            self.deliveries.write(&view, vec![Entry::AsideDone { destination, items: some.to_vec() }]).await?;
        }
        items.into_iter().for_each(|item| self.asides.remove(item));
        self.tell();
        Ok(())
    }

    fn entry(&self, item: u64, waiting: &Waiting) -> Entry {
        Entry::SetAside { destination: self.destination.id.clone(), item, aside: waiting.aside.clone() }
    }

    /// Notes that the destination has everything before `end`, but for what is set aside: `set_aside`, and of `behind` what
    /// stands before it. `done` is set aside no more. `false`: it was sent elsewhere meanwhile.
    async fn advance(
        &mut self,
        end: u64,
        done: Vec<u64>,
        mut set_aside: Vec<(u64, Waiting)>,
        behind: Vec<Item>,
    ) -> Result<bool, Refused> {
        let (deliveries, destination) = (self.deliveries, &self.destination.id);
        let now = deliveries.clock.now();
        for item in behind.into_iter().filter(|item| item.offset < end) {
            let aside = Aside { since: now, tries: 0, reason: "".into(), given_up: false };
            set_aside.push((item.offset, Waiting::new(aside, item.whose)));
        }
        let mut entries: Vec<Entry> = set_aside.iter().map(|(item, waiting)| self.entry(*item, waiting)).collect();
        if !done.is_empty() {
            entries.push(Entry::AsideDone { destination: destination.clone(), items: done.clone() });
        }
        entries.push(Entry::Delivered { destination: destination.clone(), offset: end });
        let held = deliveries.store.lock(vec![Key::Delivered(destination.clone())]).await?;
        let view = deliveries.store.read_view();
        if view.delivered(destination).await? != self.noted {
            return Ok(false);
        }
        deliveries.write(&view, entries).await?;
        drop(held);
        done.into_iter().for_each(|item| self.asides.remove(item));
        set_aside.into_iter().for_each(|(item, waiting)| self.asides.put(item, waiting));
        self.ahead = self.ahead.split_off(&end);
        (self.at, self.noted) = (end, Some(end));
        self.tell();
        Ok(true)
    }

    /// Reads what is set aside; `anew`: with what each item says, so that those are forgotten that are gone.
    async fn load(&mut self, anew: bool) -> Result<(), Refused> {
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

    /// Tells how far the destination is.
    fn tell(&self) {
        self.deliveries.status.note(&self.destination.id, |status| {
            status.offset = self.at;
            status.retried = self.asides.waiting.len() as u64;
            status.aside = self.asides.len() as u64;
        });
    }

    /// Waits, as long as the answer asks at least. `false`: the destination was sent elsewhere meanwhile.
    async fn rest(&self, pause: Duration, why: &NotTaken) -> Result<bool, Refused> {
        let until = Instant::now() + pause.max(asked_to_wait(why, ASKED_MAX));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            if self.deliveries.delivered(&self.destination.id).await? != self.noted {
                return Ok(false);
            }
            if left <= LOOK_AGAIN {
                return Ok(true);
            }
        }
    }
}

/// The place of an item that may be taken before those in front of it, for it is the first of its person: the `turn`th, going
/// on in wider and wider steps, for those nearby may be alike.
fn probe(line: &[Item], turn: usize) -> Option<usize> {
    let mut seen = HashSet::new();
    let mut firsts = Vec::new();
    for (place, item) in line.iter().enumerate() {
        if item.whose.as_ref().is_none_or(|whose| seen.insert(whose)) && place > 0 {
            firsts.push(place);
        }
    }
    let steps = usize::BITS as usize - firsts.len().leading_zeros() as usize;
    firsts.get((1 << (turn % steps.max(1))) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_item_is_tried_that_is_the_first_of_somebody_else() {
        let item = |offset: usize, whose: &str| Item {
            offset: offset as u64,
            json: String::new(),
            whose: (!whose.is_empty()).then(|| Whose::Session(Id::required(whose).unwrap())),
        };
        let line = |people: &[&str]| people.iter().enumerate().map(|(at, it)| item(at, it)).collect::<Vec<_>>();
        let probes = |people: &[&str]| (0..4).map(|turn| probe(&line(people), turn)).collect::<Vec<_>>();
        assert_eq!(probes(&["a"]), [None; 4]);
        assert_eq!(probes(&["a", "a", "a"]), [None; 4], "what is theirs waits behind it");
        assert_eq!(probes(&["a", "a", "b", "b"]), [Some(2); 4]);
        assert_eq!(probes(&["a", "b", "c", "d"]), [Some(1), Some(2), Some(1), Some(2)]);
        assert_eq!(probes(&["a", "", "", "a", "b", "c", "d", "e"]), [Some(1), Some(2), Some(5), Some(1)]);
    }
}
