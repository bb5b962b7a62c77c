//! What the committer acknowledges is in the journal, whatever call to the disk fails.

use std::{path::Path, sync::Arc as StdArc};

use shuttle::{future::block_on, thread};

use super::*;
use crate::{
    clock::Clock,
    model::Id,
    store::files::disk::memory::{Fault, MemoryDisk},
};

/// Small, so that files are full after a few groups.
const FILE_BYTES: u64 = 300;
const REQUESTS: usize = 8;

fn open(disk: &MemoryDisk, crashed: bool) -> Journal<MemoryDisk> {
    Journal::open(disk.clone(), Path::new("journal"), 0, FILE_BYTES, crashed).expect("the disk is well")
}

fn word(number: usize, attempt: usize) -> Entry {
    Entry::SessionDeleted(Id::required(&format!("word-{number}-{attempt}-{}", "x".repeat(60))).unwrap())
}

/// What became of what was sent.
#[derive(Default)]
struct Story {
    acknowledged: Vec<Entry>,
    unknown: Vec<Entry>,
    is_whole: bool,
}

/// Sends some words one after another, each again until it is taken, while some calls of those from here on fail; the
/// disk is healed after a few refusals.
fn send_all(disk: &MemoryDisk, flush_interval: Option<Duration>, (at, count, fault): (usize, usize, Fault)) -> Story {
    let queue = StdArc::new(Queue::new(0));
    let journal = StdArc::new(Mutex::new(open(disk, false)));
    disk.fail(disk.calls() + at, count, fault);
    let committed = StdArc::new(CommittedGroups::default());
    let committer = thread::spawn({
        let (queue, journal, committed) = (queue.clone(), journal.clone(), committed.clone());
        move || {
            let configuration = Configuration::default();
            let counts = CommitCounts::default();
            Committer::new(&queue, &journal, &configuration, &counts, &committed, flush_interval, &|| None).run()
        }
    });
    let (clock, mut story) = (Clock::default(), Story::default());
    for number in 0..REQUESTS {
        for attempt in 0.. {
            assert!(attempt < 200, "request {number} is never taken");
            if attempt == 2 {
                disk.heal();
            }
            let entry = word(number, attempt);
            let pushed = block_on(queue.permit(0))
                .and_then(|permit| queue.push(&clock, queue.generation(), permit, |_| (vec![entry.clone()], ())));
            match pushed.and_then(|((), pending)| block_on(pending.durable())) {
                Ok(()) => {
                    story.acknowledged.push(entry);
                    break;
                }
                Err(Refused::OutcomeUnknown) => story.unknown.push(entry),
                Err(_) => {}
            }
            thread::yield_now();
        }
    }
    queue.close();
    story.is_whole = committer.join().unwrap();
    committed.close();
    assert!(!committed.next_batch().unwrap().is_empty(), "the applier hears of what was stored");
    story
}

fn read_back(journal: &Journal<MemoryDisk>) -> Vec<Entry> {
    let mut entries = Vec::new();
    journal
        .read(0, |block| {
            entries.extend(block.entries().unwrap());
            Ok(())
        })
        .unwrap();
    entries
}

#[test]
fn what_is_acknowledged_is_in_the_journal_whatever_call_fails() {
    let calls = {
        let disk = MemoryDisk::default();
        let counted = disk.clone();
        shuttle::check_random(move || _ = send_all(&disk, None, (usize::MAX / 2, 1, Fault::Refused)), 1);
        counted.calls()
    };
    let check = |fault: Fault, at: usize, count: usize, power_cut: bool, flush_interval: Option<Duration>| {
        let story = move || {
            let disk = MemoryDisk::default();
            let story = send_all(&disk, flush_interval, (at, count, fault));
            disk.heal();
            if power_cut {
                disk.cut_power();
            }
            let mut entries = read_back(&open(&disk, power_cut || !story.is_whole));
            entries.retain(|entry| !story.unknown.contains(entry));
            assert_eq!(entries, story.acknowledged, "{fault:?} at call {at}, {count} times, {power_cut}");
        };
        shuttle::check_random(story, 1);
    };
    for at in 0..calls {
        for fault in [Fault::Refused, Fault::Short, Fault::DoneAndRefused] {
            for count in [1, 3, 1_000] {
                check(fault, at, count, false, None);
                check(fault, at, count, true, None);
                check(fault, at, count, false, Some(Duration::ZERO));
            }
        }
    }
}
