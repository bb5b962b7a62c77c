use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{block::VERSION, *};
use crate::store::entry;

/// Entries that fill some blocks, from offset `first` on; each names its offset.
fn append(log: &Log, first: u64, count: u64) {
    let mut state = first.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    for offset in first..first + count {
        let text: String = std::iter::repeat_with(&mut noise).take(7).collect();
        let entry = Entry::SessionDeleted(Id::required(&format!("{offset}-{text}")).unwrap());
        let mut raw = Vec::new();
        entry::encode_into(&mut raw, &entry);
        log.append(&EncodedEntries { version: VERSION, raw: &raw, entries: &[[entry].into()] }).unwrap();
    }
}

/// The offset that the entry at `offset` names.
fn read(log: &Log, offset: u64) -> Option<u64> {
    let (first, entries) = log.block_around(offset).unwrap()?;
    let Entry::SessionDeleted(id) = entries.get((offset - first) as usize)? else { return None };
    id.text().split('-').next()?.parse().ok()
}

fn assert_reads_all(log: &Log) {
    for offset in (0..log.end()).step_by(97).chain([log.end() - 1]) {
        assert_eq!(read(log, offset), Some(offset), "of {}", log.end());
    }
    let mut next = 0;
    log.scan(0, |first, entries| {
        assert_eq!(first, next);
        next += entries.len() as u64;
        Ok(())
    })
    .unwrap();
    assert_eq!(next, log.end());
}

fn open(path: &Path, keep_live: bool) -> Log {
    Log::open(path, &path.with_extension("indexes"), 200_000, keep_live).unwrap()
}

/// A log of four sealed segments.
fn four_sealed(path: &Path) -> Log {
    let log = open(path, true);
    for _ in 0..4 {
        while !log.is_to_seal(0) {
            append(&log, log.end(), 1_000);
        }
        log.roll().unwrap();
        log.seal().unwrap();
    }
    log
}

#[test]
fn a_segment_is_read_while_it_is_sealed_and_others_go_on_appending() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), true);
    for round in 0..3 {
        while !log.is_to_seal(0) {
            append(&log, log.end(), 1_000);
        }
        log.roll().unwrap();
        // It is full and not sealed yet: everything is read, and more can be appended.
        append(&log, log.end(), 500);
        assert_reads_all(&log);
        assert!(!log.is_to_seal(0), "one at a time");
        std::thread::scope(|scope| {
            let sealing = scope.spawn(|| log.seal());
            while !sealing.is_finished() {
                append(&log, log.end(), 10);
                assert_eq!(read(&log, log.end() - 1), Some(log.end() - 1));
                assert_eq!(read(&log, 0), Some(0));
            }
            sealing.join().unwrap().unwrap();
        });
        assert_eq!(log.sealed().len(), round + 1);
        assert_reads_all(&log);
    }
    let end = log.end();
    log.close().unwrap();
    let log = open(folder.path(), true);
    assert_eq!(log.end(), end, "what was closed is taken as it is");
    assert_reads_all(&log);
}

#[test]
fn blocks_are_the_same_whoever_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = four_sealed(folder.path());
    append(&log, log.end(), 3_000);
    for offsets in [Vec::new(), vec![0], (5..log.end()).step_by(37).collect(), (0..log.end() + 500).collect::<Vec<_>>()]
    {
        let held = offsets.partition_point(|offset| *offset < log.end());
        for on_two_cores in [false, true] {
            let mut found = Vec::new();
            let make = |block: &EventBlock, places: Range<usize>| {
                assert!(offsets[places.clone()].iter().all(|offset| block.offsets().contains(offset)));
                Ok(places)
            };
            log.each_event_block(&offsets, on_two_cores, make, |places| found.push(places)).unwrap();
            found.sort_by_key(|places| places.start);
            let mut next = 0;
            found.iter().for_each(|places| assert_eq!(std::mem::replace(&mut next, places.end), places.start));
            assert_eq!(next, held, "each has its block, but those behind the end");
        }
    }
}

#[test]
fn whoever_goes_through_blocks_is_told_of_damage_and_may_stop() {
    let folder = tempfile::tempdir().unwrap();
    let log = four_sealed(folder.path());
    let offsets: Vec<u64> = (0..log.end()).collect();
    for on_two_cores in [false, true] {
        let looked_at = AtomicUsize::new(0);
        let make = |_: &EventBlock, _| match looked_at.fetch_add(1, Ordering::Relaxed) {
            2 => Err(StoreError::damaged(&log.path, "enough", RESTORE)),
            _ => Ok(()),
        };
        let mut handed_on = 0;
        let stopped = log.each_event_block(&offsets, on_two_cores, make, |()| handed_on += 1);
        assert!(stopped.unwrap_err().to_string().contains("enough"));
        assert!((2..=3).contains(&handed_on), "{handed_on}: what the other one had begun may come");
    }
    let third = log.sealed()[2].clone();
    fs::remove_dir_all(third.path()).unwrap();
    let mut end = 0;
    let read = log.each_event_block(&offsets, false, |block, _| Ok(block.offsets().end), |behind| end = behind);
    assert!(matches!(read, Err(StoreError::DamagedSegment { .. })), "{read:?}");
    assert_eq!(end, third.first, "what stands before it is read");
    let read = log.each_event_block(&offsets, true, |_, _| Ok(()), |()| ());
    assert!(matches!(read, Err(StoreError::DamagedSegment { .. })), "{read:?}");
}

#[test]
fn whoever_reads_a_block_of_the_live_segment_holds_up_nobody_who_appends() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), true);
    append(&log, 0, 5_000); // some blocks, and entries that are in none yet
    std::thread::scope(|scope| {
        for offset in [0, 4_999] {
            let appended = log.in_block(offset, |block| {
                let (done, is_done) = std::sync::mpsc::channel();
                let (log, end) = (&log, log.end());
                scope.spawn(move || {
                    append(log, end, 3_000); // what was in no block gets into one meanwhile
                    done.send(()).unwrap();
                });
                let appended = is_done.recv_timeout(std::time::Duration::from_secs(20));
                assert_eq!(block.entries()?.len(), block.count as usize);
                Ok(appended)
            });
            assert_eq!(appended.unwrap(), Some(Ok(())));
        }
    });
    assert_reads_all(&log);
}

#[test]
fn what_was_not_sealed_before_the_end_is_left_to_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), true);
    append(&log, 0, 2_000);
    log.roll().unwrap();
    log.seal().unwrap();
    append(&log, 2_000, 2_000);
    log.roll().unwrap();
    append(&log, 4_000, 10);
    log.close().unwrap();
    let log = open(folder.path(), true);
    assert_eq!((log.sealed_end(), log.end()), (2_000, 2_000));
    append(&log, 2_000, 100);
    drop(log);
    // After a crash the live segment is not relied on.
    let log = open(folder.path(), false);
    assert_eq!(log.end(), 2_000);
    let names: BTreeSet<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn reading_a_sealed_segment_does_not_make_it_another() {
    let folder = tempfile::tempdir().unwrap();
    let log = four_sealed(folder.path());
    for _ in 0..3 {
        assert_reads_all(&log);
        log.open.close();
        for segment in log.sealed() {
            assert_eq!(checksums::compare(segment.path()).unwrap(), Comparison::Same);
        }
    }
    // One that an earlier version noted before it was read is whole all the same.
    let segment = log.sealed()[0].clone();
    let note = segment.path().join("checksums");
    fs::remove_file(&note).unwrap();
    fs::write(segment.path().join("more"), "more").unwrap();
    checksums::note(segment.path()).unwrap();
    fs::write(segment.path().join("more"), "else").unwrap();
    assert_eq!(segment.compare().unwrap(), Comparison::Same);
    assert_eq!(checksums::compare(segment.path()).unwrap(), Comparison::Same);
}

/// Each closes some of those that others read: of the segments few may be open, and little may have been read of these.
#[test]
fn segments_are_closed_and_opened_again_while_others_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = four_sealed(folder.path());
    let (log, end) = (&log, log.end());
    std::thread::scope(|scope| {
        for reader in 0..4 {
            scope.spawn(move || {
                for round in 0..300 {
                    let offset = (reader * 7_919 + round * 104_729) % end;
                    assert_eq!(read(log, offset), Some(offset));
                }
            });
        }
    });
    assert_reads_all(log);
}

/// The encoded entries of a block, without those at every third offset; `None` if there are none of these any more.
fn without_thirds(block: &Encoded<'_>) -> Result<Option<Vec<u8>>, &'static str> {
    let (mut raw, mut is_changed) = (Vec::new(), false);
    for (offset, entry) in (block.first..).zip(block.entries()?) {
        let goes = offset % 3 == 0 && entry != Entry::Erased;
        entry::encode_into(&mut raw, if goes { &Entry::Erased } else { &entry });
        is_changed |= goes;
    }
    Ok(is_changed.then_some(raw))
}

#[test]
fn a_segment_is_written_anew_while_it_is_read_and_one_of_both_is_found_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), true);
    while !log.is_to_seal(0) {
        append(&log, log.end(), 1_000);
    }
    log.roll().unwrap();
    log.seal().unwrap();
    let (end, before) = (log.sealed_end(), log.sealed()[0].path().to_owned());
    let copy = folder.path().with_extension("before");
    assert!(std::process::Command::new("cp").arg("-r").args([&before, &copy]).status().unwrap().success());
    let assert_thirds_gone = |log: &Log| {
        for offset in 0..end {
            assert_eq!(read(log, offset), Some(offset).filter(|offset| offset % 3 > 0));
        }
    };
    std::thread::scope(|scope| {
        let rewriting = scope.spawn(|| log.rewrite(end / 2, &without_thirds));
        while !rewriting.is_finished() {
            for offset in (0..end).step_by(101) {
                let found = read(&log, offset);
                assert!(found == Some(offset) || found.is_none() && offset % 3 == 0, "{offset}: {found:?}");
            }
        }
        assert_eq!(rewriting.join().unwrap().unwrap(), Some((true, end)));
    });
    assert_thirds_gone(&log);
    assert!(!before.exists());
    assert_eq!(log.rewrite(0, &without_thirds).unwrap(), Some((false, end)), "there is nothing more to do");
    assert_eq!(log.rewrite(end, &without_thirds).unwrap(), None);
    log.close().unwrap();
    // The machine ended before the old one was gone, and while a third was written.
    fs::rename(&copy, &before).unwrap();
    fs::create_dir(before.with_extension("new")).unwrap();
    let log = open(folder.path(), true);
    assert_thirds_gone(&log);
    assert!(!before.exists() && !before.with_extension("new").exists());
    assert_eq!(log.without_index(), Vec::<u64>::new());
}
