use std::fs;

use proptest::prelude::*;

use super::*;
use crate::{
    model::Id,
    store::{
        entry::{self, Entry},
        files::disk::memory::{Fault, MemoryDisk},
        log::Packer,
    },
};

const FOLDER: &str = "journal";
/// Small, so that files are full after a few frames.
const FILE_BYTES: u64 = 400;

fn block(first: u64, count: u32) -> Block {
    let mut raw = Vec::new();
    for number in 0..count {
        let id = Id::required(&format!("session-{first}-{number}")).unwrap();
        entry::encode_into(&mut raw, &Entry::SessionDeleted(id));
    }
    Block::build(&mut Packer::for_journal(), first, count, &raw)
}

/// A frame of one entry that says `word`.
fn said(first: u64, word: &str) -> Frame {
    let mut raw = Vec::new();
    entry::encode_into(&mut raw, &Entry::SessionDeleted(Id::required(word).unwrap()));
    Frame::new(first, [Block::build(&mut Packer::for_journal(), first, 1, &raw)].iter())
}

/// What the entries of a journal say, in order.
fn read_back<D: Disk>(journal: &Journal<D>) -> Vec<String> {
    let mut words = Vec::new();
    let read = journal.read(0, |block| {
        words.extend(block.entries().unwrap().into_iter().map(|entry| match entry {
            Entry::SessionDeleted(id) => id.text().to_owned(),
            other => panic!("{other:?}"),
        }));
        Ok(())
    });
    read.unwrap();
    words
}

fn opened(disk: &MemoryDisk, crashed: bool) -> Result<Journal<MemoryDisk>, StoreError> {
    Journal::open(disk.clone(), Path::new(FOLDER), 0, FILE_BYTES, crashed)
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Stop,
    Kill,
    PowerCut,
}

/// What became of a process that appends, on a disk that fails at some call.
struct Story {
    /// What was appended, as it was told, in order.
    told: Vec<String>,
    /// What may be there all the same: it was told that nobody knows.
    unsure: Vec<String>,
    clean: bool,
}

/// Appends some words; each that is refused is tried twice more. In `relaxed` mode it syncs now and then.
fn append_all(disk: &MemoryDisk, journal: &mut Journal<MemoryDisk>, relaxed: bool) -> Story {
    let mut story = Story { told: Vec::new(), unsure: Vec::new(), clean: false };
    for number in 0..9 {
        for attempt in 0..3 {
            let word = format!("word-{number}-{attempt}-{}", "x".repeat(40));
            let frame = said(journal.end(), &word);
            let appended = if relaxed {
                let appended = journal.append(&frame);
                if number % 3 == 2 && journal.sync().is_err() {
                    disk.heal();
                    journal.sync().expect("the disk is well again");
                }
                appended
            } else {
                journal.append_durably(&frame)
            };
            match appended {
                Ok(()) => {
                    story.told.push(word);
                    break;
                }
                Err(NotAppended::TakenBack(_)) => {}
                Err(NotAppended::Unknown(_)) => story.unsure.push(word),
            }
            if attempt == 1 {
                disk.heal();
                journal.probe().expect("the disk is well again");
            }
        }
    }
    story.clean = journal.close().is_ok();
    story
}

fn check(fault: Fault, at: usize, count: usize, end: End, relaxed: bool) {
    let disk = MemoryDisk::default();
    disk.fail(at, count, fault);
    let case = format!("{fault:?} at call {at}, {count} times, {end:?}, relaxed {relaxed}");
    let mut journal = match opened(&disk, false) {
        Ok(journal) => journal,
        Err(_) => {
            // It could not be made: the next start makes it.
            disk.heal();
            if end == End::PowerCut {
                disk.cut_power();
            }
            opened(&disk, true).unwrap_or_else(|error| panic!("{case}: {error}"))
        }
    };
    let story = append_all(&disk, &mut journal, relaxed);
    drop(journal);
    disk.heal();
    if end == End::PowerCut {
        disk.cut_power();
    }
    let crashed = end != End::Stop || !story.clean;
    let journal = opened(&disk, crashed).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut words = read_back(&journal);
    words.retain(|word| !story.unsure.contains(word));
    if relaxed && !story.clean && end == End::PowerCut {
        assert!(story.told.starts_with(&words), "{case}: {words:?}"); // the last ones were not synced yet
    } else {
        assert_eq!(words, story.told, "{case}");
    }
}

#[test]
fn what_was_told_survives_a_fault_at_every_call() {
    let disk = MemoryDisk::default();
    append_all(&disk, &mut opened(&disk, false).unwrap(), false);
    let calls = disk.calls();
    assert!(calls > 30, "{calls}");
    for at in 0..calls + 2 {
        for fault in [Fault::Refused, Fault::Short, Fault::DoneAndRefused] {
            for count in [1, 2, 3, 1_000] {
                for end in [End::Stop, End::Kill, End::PowerCut] {
                    check(fault, at, count, end, false);
                    check(fault, at, count, end, true);
                }
            }
        }
    }
}

#[test]
fn a_power_cut_at_every_call_keeps_what_was_told() {
    let disk = MemoryDisk::default();
    append_all(&disk, &mut opened(&disk, false).unwrap(), false);
    for at in 0..disk.calls() {
        let disk = MemoryDisk::default();
        disk.fail(at, usize::MAX / 2, Fault::Refused); // the process does nothing more
        let mut told = Vec::new();
        if let Ok(mut journal) = opened(&disk, false) {
            for number in 0..9 {
                let word = format!("word-{number}-0-{}", "x".repeat(40));
                match journal.append_durably(&said(journal.end(), &word)) {
                    Ok(()) => told.push(word),
                    Err(_) => break,
                }
            }
        }
        disk.heal();
        disk.cut_power();
        let words = read_back(&opened(&disk, true).unwrap());
        assert!(words.starts_with(&told) && words.len() <= told.len() + 1, "call {at}: {words:?} of {told:?}");
    }
}

#[test]
fn a_frame_stands_behind_the_last_one_or_not_at_all() {
    let disk = MemoryDisk::default();
    let mut journal = opened(&disk, false).unwrap();
    journal.append_durably(&said(0, "a")).unwrap();
    for wrong in [0, 2] {
        assert!(matches!(journal.append_durably(&said(wrong, "b")), Err(NotAppended::TakenBack(_))));
    }
    journal.probe().unwrap();
    journal.append_durably(&said(1, "b")).unwrap();
    assert_eq!(read_back(&journal), ["a", "b"]);
    drop(journal);
    assert_eq!(read_back(&opened(&disk, false).unwrap()), ["a", "b"], "a frame of nothing leaves no trace");
}

#[test]
fn frames_are_written_over_room_that_is_cut_off_where_a_file_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = real(folder.path(), false).unwrap();
    let file = newest(folder.path());
    let len = || fs::metadata(&file).unwrap().len();
    journal.append_durably(&said(0, "word-0")).unwrap();
    let room_end = len();
    assert!(room_end > ROOM_BYTES as u64);
    for number in 1..3 {
        journal.append_durably(&said(number, &format!("word-{number}"))).unwrap();
        assert_eq!(len(), room_end, "a length that changed would have to be made durable");
    }
    for number in 3..9 {
        journal.append_durably(&said(number, &format!("word-{number}"))).unwrap();
    }
    assert!(len() > room_end);
    let room_end = len();
    let words: Vec<String> = (0..9).map(|number| format!("word-{number}")).collect();
    assert_eq!(read_back(&journal), words);
    assert_eq!(read_back(&real(folder.path(), true).unwrap()), words, "after a kill");
    assert!(len() < room_end, "it was written anew without room");

    let mut journal = real(folder.path(), false).unwrap();
    journal.append_durably(&said(9, "word-9")).unwrap();
    journal.begin_file().unwrap();
    assert_eq!(fs::read(&file).unwrap(), without_room(&file), "in a full file");
    journal.append_durably(&said(10, "word-10")).unwrap();
    journal.close().unwrap();
    let file = newest(folder.path());
    assert_eq!(fs::read(&file).unwrap(), without_room(&file), "in a closed file");
    assert_eq!(real(folder.path(), false).unwrap().end(), 11);
}

/// Three frames in a first file, two in a second one; returns the offsets at which they begin.
fn written(folder: &Path) -> Vec<u64> {
    let mut journal = real(folder, false).unwrap();
    let mut firsts = Vec::new();
    for (index, counts) in [[1, 2], [3, 1], [5, 1], [2, 2], [1, 7]].iter().enumerate() {
        journal.file_bytes = if index == 3 { 0 } else { u64::MAX };
        let mut next = journal.end();
        firsts.push(next);
        let blocks = counts.map(|count| {
            let block = block(next, count);
            next = block.end();
            block
        });
        journal.append_durably(&Frame::new(blocks[0].first, blocks.iter())).unwrap();
    }
    firsts
}

/// A file's bytes without the room behind its last frame.
fn without_room(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(read_file(path, &bytes, false, &mut first_of(path), |_| Ok(())).unwrap());
    bytes
}

/// The offset of the first frame of a file.
fn first_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn real(folder: &Path, crashed: bool) -> Result<Journal, StoreError> {
    Journal::open(RealDisk, folder, 0, u64::MAX, crashed)
}

fn newest(folder: &Path) -> PathBuf {
    files(&RealDisk, folder).unwrap().pop().unwrap().path
}

#[test]
fn what_was_appended_is_read_back_and_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let mut journal = real(folder.path(), true).unwrap();
    assert_eq!((read_back(&journal).len(), journal.first(), journal.end()), (25, 0, 25));
    journal.append_durably(&Frame::new(25, [block(25, 3)].iter())).unwrap();
    let mut blocks = 0;
    journal
        .read(20, |block| {
            assert!(block.end() > 20);
            blocks += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(blocks, 2);
    assert_eq!(real(folder.path(), false).unwrap().end(), 28);
}

#[test]
fn only_the_last_frame_of_the_newest_file_can_be_torn() {
    let folder = tempfile::tempdir().unwrap();
    let firsts = written(folder.path());
    let path = newest(folder.path());
    let whole = without_room(&path);
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(real(folder.path(), false).is_err(), "after a clean end nothing is torn");
    assert_eq!(real(folder.path(), true).unwrap().end(), firsts[4]);
    let mut flipped = whole.clone();
    flipped[FILE_HEAD_BYTES + frame::FRAME_HEAD_BYTES + 3] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let error = real(folder.path(), true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("byte 16, offset 13"), "{error}");
}

#[test]
fn a_missing_file_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = real(folder.path(), false).unwrap();
    journal.file_bytes = 0;
    for first in [0, 1, 2] {
        journal.append_durably(&Frame::new(first, [block(first, 1)].iter())).unwrap();
    }
    drop(journal);
    fs::remove_file(folder.path().join(format!("{:020}.journal", 1))).unwrap();
    let error = real(folder.path(), true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("offset 1 to 2"), "{error}");
}

#[test]
fn what_is_dropped_is_whole_files_before_an_offset() {
    let disk = MemoryDisk::default();
    let mut journal = opened(&disk, false).unwrap();
    append_all(&disk, &mut journal, false);
    let all = read_back(&journal);
    journal.drop_before(journal.end() - 1).unwrap();
    let (first, left) = (journal.first() as usize, read_back(&journal));
    assert!(first > 0 && first < all.len());
    assert_eq!(left, all[first..]);
    assert_eq!(read_back(&opened(&disk, false).unwrap()), left);
}

#[test]
fn a_file_can_begin_early_so_that_what_stands_before_it_can_be_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = real(folder.path(), false).unwrap();
    journal.append_durably(&said(0, "one")).unwrap();
    for _ in 0..2 {
        assert_eq!(journal.begin_file().unwrap(), 1); // the second time, it has begun
    }
    journal.append_durably(&said(1, "two")).unwrap();
    journal.drop_before(1).unwrap();
    drop(journal);
    let journal = real(folder.path(), true).unwrap();
    assert_eq!((journal.first(), read_back(&journal)), (1, vec!["two".to_owned()]));
}

#[test]
fn a_file_that_an_earlier_version_was_making_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    for half in [&b""[..], b"TrkJ"] {
        fs::write(folder.path().join(format!("{:020}.journal", 25)), half).unwrap();
        let mut journal = real(folder.path(), true).unwrap();
        journal.append_durably(&Frame::new(25, [block(25, 1)].iter())).unwrap();
        assert_eq!(real(folder.path(), true).unwrap().end(), 26);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_flipped_bit_is_damage_or_the_torn_end_and_never_other_entries(at: prop::sample::Index, bit in 0..8, crashed: bool) {
        let folder = tempfile::tempdir().unwrap();
        let firsts = written(folder.path());
        let path = newest(folder.path());
        let mut bytes = without_room(&path);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        fs::write(&path, bytes).unwrap();
        match real(folder.path(), crashed) {
            Err(error) => prop_assert!(error.to_string().contains("damaged") || error.to_string().contains("version"), "{}", error),
            Ok(journal) => prop_assert!(crashed && journal.end() == firsts[4], "read up to {}", journal.end()),
        }
    }
}
