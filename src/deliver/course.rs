//! A destination's way through the log.
//!
//! What is refused is cut in halves until the item that is not taken is alone. Whether it is the item or the other system is
//! told by others, which are tried beside it: once anything was taken since the item was first refused, it is set aside and
//! tried again by itself, and the way goes on. Where nothing is taken, nothing is set aside, but one item at a time of which
//! the answer says that it is at fault. What else is of the same person as an item that is tried again waits behind it; once
//! the item was tried for long enough, the next of these may be taken, which tells as much. An answer that asks to wait is
//! heard; once everything was answered so for as long as an item is tried, it may be an item's, and is taken for that.

mod refused;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    future::pending,
    time::{Duration, Instant},
};

use super::{
    Deliveries,
    asides::{Asides, WAITING_MAX, Waiting},
    item::{Batch, Item, Whose},
    refusal::{Refusal, asked_to_wait},
    target,
};
use crate::{
    model::{Aside, Id},
    process::{Destination, NotTaken, find_profile},
    store::{Entry, Key, Refused},
};

/// How often an item is tried at least before it is given up, and before another one is tried beside it where the answer
/// does not say what is at fault.
const TRIES_MIN: u32 = 3;
/// How many others are tried beside it at most before the next pause.
const OTHERS_MAX: usize = 16;
/// How long an answer may ask to wait.
const ASKED_MAX: Duration = Duration::from_secs(60 * 60);
/// How often it is looked whether the destination was sent elsewhere, while nothing is tried.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many blocks and items are looked at for one of somebody else: many may be of people of whom something is tried again.
const BLOCKS_AHEAD: usize = 32;
const ITEMS_AHEAD: usize = 1_000;
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
    /// How many deliveries failed one after another, and since when.
    failures: u32,
    refused_since: Option<Instant>,
    /// The item in front, once it was refused alone.
    alone: Option<Alone>,
    /// Items behind `at` that were taken before their turn.
    ahead: BTreeSet<u64>,
    /// Items from `at` on that were refused alone, with how many had been taken when they first were.
    suspects: BTreeMap<u64, u64>,
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
    /// How often others were tried beside it, and how many.
    rounds: usize,
    probes: usize,
}

impl Alone {
    fn new(item: u64) -> Self {
        Self { item, aside: None, rounds: 0, probes: 0 }
    }
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
            refused_since: None,
            alone: None,
            ahead: BTreeSet::new(),
            suspects: BTreeMap::new(),
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
        (self.failures, self.refused_since) = (0, None);
        self.taken += count as u64;
        self.deliveries.status.note(&self.destination.id, |status| {
            status.delivered += count as u64;
            (status.failures, status.error, status.lasting) = (0, None, false);
        });
    }

    fn note_refused(&mut self, why: &NotTaken) {
        self.failures = self.failures.saturating_add(1);
        self.refused_since.get_or_insert_with(Instant::now);
        let error = why.to_string();
        tracing::warn!(destination = %self.destination.id, error, "a delivery failed and is tried again");
        self.deliveries.status.note(&self.destination.id, |status| {
            status.failures += 1;
            (status.error, status.lasting) = (Some(error), Refusal::of(why).is_lasting());
        });
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
        self.suspects = self.suspects.split_off(&end);
        (self.at, self.noted) = (end, Some(end));
        self.tell();
        Ok(true)
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
