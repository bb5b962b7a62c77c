//! What the queue promises, in every order in which threads may come.

use std::{
    collections::BTreeSet,
    sync::{Arc as StdArc, Mutex as StdMutex},
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    thread,
};

use super::*;
use crate::{
    model::{Id, ProfileRef},
    store::commit::locks::Locks,
};

/// How many orders of threads are tried.
const RUNS: usize = 2_000;

fn key() -> Key {
    Key::Name(Id::required("name").unwrap())
}

/// An entry that says `number` under [`key`].
fn entry(number: u64) -> Entry {
    let profile = ProfileRef { id: Id::required("profile").unwrap(), since: number };
    Entry::Name { name: Id::required("name").unwrap(), since: number, profile }
}

fn number(state: &State) -> u64 {
    if let State::Name(name) = state { name.since } else { panic!("{state:?}") }
}

type Client = Box<dyn FnOnce(&Stage) + Send>;

/// The queue with a committer, whose disk fails as often as not.
struct Stage {
    queue: Queue,
    clock: Clock,
    locks: Locks,
    /// What the disk has.
    kept: StdMutex<BTreeSet<u64>>,
}

impl Stage {
    fn new() -> StdArc<Self> {
        let kept = StdMutex::default();
        StdArc::new(Self { queue: Queue::new(0), clock: Clock::default(), locks: Locks::default(), kept })
    }

    fn commit_all(&self) {
        while let Some(group) = self.queue.take(8, Duration::from_secs(1)) {
            let Some(last) = group.last() else { continue };
            let end = last.first + last.entries.len() as u64;
            let outcome = if thread_rng().gen_bool(0.5) {
                let entries = group.iter().flat_map(|queued| queued.entries.iter());
                let numbers =
                    entries.map(|entry| if let Entry::Name { profile, .. } = entry { profile.since } else { 0 });
                self.kept.lock().unwrap().extend(numbers);
                self.queue.set_durable(end, true);
                Ok(())
            } else {
                self.queue.stop("the disk fails");
                thread::yield_now();
                self.queue.take_back(self.queue.durable_end());
                Err(Refused::Stopped("the disk fails".into()))
            };
            group.into_iter().for_each(|queued| _ = queued.done.send(outcome.clone()));
            self.queue.resume();
        }
    }

    fn push(&self, generation: Generation, number: u64) -> Result<Pending, Refused> {
        let permit = block_on(self.queue.permit(0))?;
        self.queue.push(&self.clock, generation, permit, |_| (vec![entry(number)], ())).map(|((), pending)| pending)
    }

    /// Lets clients come in some order until all have ended.
    fn play(self: StdArc<Self>, clients: Vec<Client>) {
        let committer = thread::spawn({
            let stage = self.clone();
            move || stage.commit_all()
        });
        let clients: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let stage = self.clone();
                thread::spawn(move || client(&stage))
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        self.queue.close();
        committer.join().unwrap();
    }
}

/// Someone stores something; someone else sees it, and speaks of it once `wait` says that it is durable.
fn speaks_of_what_is_durable(wait: fn(&Queue, Generation, u64) -> Result<(), Refused>) {
    let writer = |stage: &Stage| {
        for number in 1..4 {
            if let Ok(pending) = stage.push(stage.queue.generation(), number) {
                _ = block_on(pending.durable());
            }
        }
    };
    let reader = move |stage: &Stage| {
        for _ in 0..3 {
            let generation = stage.queue.generation();
            if let Ok(Some((end, state))) = stage.queue.read(generation, &key()) {
                thread::yield_now();
                if wait(&stage.queue, generation, end).is_ok() {
                    assert!(stage.kept.lock().unwrap().contains(&number(&state)), "spoke of what is nowhere");
                }
            }
        }
    };
    Stage::new().play(vec![Box::new(writer), Box::new(reader)]);
}

#[test]
fn nobody_speaks_of_what_the_disk_refused() {
    let wait = |queue: &Queue, generation, end| block_on(queue.durable(generation, end));
    shuttle::check_random(move || speaks_of_what_is_durable(wait), RUNS);
}

#[test]
#[should_panic(expected = "spoke of what is nowhere")]
fn a_wait_that_asks_for_the_generation_only_when_it_begins_is_found_out() {
    let wait = |queue: &Queue, _, _| {
        let (generation, end) = (queue.generation(), queue.end());
        block_on(queue.durable(generation, end))
    };
    shuttle::check_random(move || speaks_of_what_is_durable(wait), RUNS);
}

/// Each client adds one to a number that all share, under the name's lock, and again where it was refused.
#[test]
fn what_is_acknowledged_counts_once_however_often_the_disk_fails() {
    let count_up = || {
        let counted = StdArc::new(StdMutex::new(0_u64));
        let client = |counted: StdArc<StdMutex<u64>>| {
            move |stage: &Stage| {
                for _ in 0..6 {
                    let held = block_on(stage.locks.take(vec![key()]));
                    let generation = stage.queue.generation();
                    let Ok(read) = stage.queue.read(generation, &key()) else { continue };
                    let before = read.map_or(0, |(_, state)| number(&state));
                    let pushed = stage.push(generation, before + 1);
                    drop(held);
                    if let Ok(pending) = pushed
                        && block_on(pending.durable()).is_ok()
                    {
                        *counted.lock().unwrap() += 1;
                        return;
                    }
                }
            }
        };
        let stage = Stage::new();
        stage.clone().play((0..3).map(|_| Box::new(client(counted.clone())) as Client).collect());
        let kept = stage.kept.lock().unwrap().clone();
        let counted = *counted.lock().unwrap();
        assert_eq!(kept.last().copied().unwrap_or(0), counted, "the disk has {kept:?}");
        assert_eq!(kept.len() as u64, counted, "each number once");
    };
    shuttle::check_random(count_up, RUNS);
}

#[test]
fn whoever_waits_is_told_when_nothing_can_be_stored() {
    let refused = || {
        let stage = Stage::new();
        let pending = stage.push(stage.queue.generation(), 1).unwrap();
        let waiting = thread::spawn(move || block_on(pending.durable()));
        stage.queue.stop("the disk is full");
        assert_eq!(waiting.join().unwrap(), Err(Refused::Stopped("the disk is full".into())));
        stage.queue.stop("the disk is still full");
        assert_eq!(stage.queue.trouble().as_deref(), Some("the disk is still full"), "the latest reason is told");
        assert!(block_on(stage.queue.permit(0)).is_err());
        stage.queue.take_back(0);
        stage.queue.resume();
        assert!(stage.push(stage.queue.generation(), 2).is_ok());
        stage.queue.close();
        assert!(stage.push(stage.queue.generation(), 3).is_err(), "what is queued is still committed, and no more");
        assert_eq!(stage.queue.take(8, Duration::ZERO).map(|group| group.len()), Some(1));
        assert!(stage.queue.take(8, Duration::ZERO).is_none());
    };
    shuttle::check_random(refused, 100);
}
