use std::{
    collections::BTreeMap,
    sync::atomic::{self, AtomicBool},
};

use proptest::prelude::*;

use super::*;

/// What is put under a key, or taken from there.
type Put = (u8, Option<u8>);

/// Batches, of each of which so many writes are made before it is made again.
fn batches() -> impl Strategy<Value = Vec<(Vec<Put>, prop::sample::Index)>> {
    let put = (any::<u8>(), prop::option::of(any::<u8>()));
    prop::collection::vec((prop::collection::vec(put, 1..40), any::<prop::sample::Index>()), 1..12)
}

/// A value; every seventh is so large that it stands elsewhere.
fn stored(value: u8) -> Stored {
    if value % 7 == 6 { Stored::InParts } else { Stored::Here(vec![value; usize::from(value % 60)].into()) }
}

fn key_change(tree: Tree, key: &[u8], value: Option<u8>) -> KeyChange {
    KeyChange { tree, key: key.to_vec(), stored: value.map(stored) }
}

proptest! {
    #[test]
    fn chunks_have_what_was_put_into_them(
        batches in batches(),
        ascending: bool,
        (start, end) in any::<(u8, u8)>(),
        turns in prop::collection::vec(any::<bool>(), 0..300),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        let tree = Tree::Sessions;
        let long = |number: usize| [&[(number >> 8) as u8, number as u8][..], &[7; 20][..number % 19]].concat();
        let mut expected = BTreeMap::new();
        for (count, (batch, cut)) in batches.iter().enumerate() {
            // In the order of time most keys come behind all others.
            let number = |key: u8| usize::from(key) + if ascending { 100 * count } else { 0 };
            let changes = || batch.iter().map(|(key, value)| key_change(tree, &long(number(*key)), *value)).collect();
            for (key, value) in batch {
                match value {
                    Some(value) => _ = expected.insert(long(number(*key)), stored(*value)),
                    None => _ = expected.remove(&long(number(*key))),
                }
            }
            let writes = views.chunk_writes(changes()).unwrap();
            let mut progress = views.progress();
            progress.count(&writes);
            let count = cut.index(writes.len() + 1);
            views.write(writes.into_iter().take(count).collect()).unwrap();
            views.write(views.chunk_writes(changes()).unwrap()).unwrap();
            *views.progress.lock() = progress;
        }
        let chunks = views.chunks(tree);
        let pairs = |start, end| chunks.pairs(start, end).map(|pair| pair.map(|pair| (pair.key.to_vec(), pair.stored)));
        let all: Vec<_> = pairs(Vec::new(), None).collect::<Result<_, _>>().unwrap();
        prop_assert!(all.iter().map(|(key, stored)| (key, stored)).eq(&expected));
        let mut backwards: Vec<_> = pairs(Vec::new(), None).rev().collect::<Result<_, _>>().unwrap();
        backwards.reverse();
        prop_assert_eq!(backwards, all);
        for number in 0..1_500 {
            let key = long(number);
            let found = chunks.get(&key).unwrap();
            prop_assert_eq!(found.as_ref(), expected.get(&key));
        }
        let whole = views.verify(|| {}).unwrap();
        prop_assert!(whole, "{} records", views.records());
        let (start, end) = (long(start.into()), long(end.into()));
        let mut within = expected.iter().filter(|(key, _)| **key >= start && **key < end);
        let mut found = pairs(start.clone(), Some(end.clone()));
        for from_front in turns {
            let (found, expected) =
                if from_front { (found.next(), within.next()) } else { (found.next_back(), within.next_back()) };
            let found = found.transpose().unwrap();
            prop_assert_eq!(found.as_ref().map(|(key, stored)| (key, stored)), expected);
        }
    }
}

#[test]
fn what_stands_in_a_chunk_is_found_while_it_is_divided() {
    const KEYS: u32 = 20_000;
    const STEP: u32 = 64;
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let put = |keys: &mut dyn Iterator<Item = u32>| {
        let changes = keys.map(|key| key_change(Tree::Sessions, &key.to_be_bytes(), Some(30))).collect();
        views.write(views.chunk_writes(changes).unwrap()).unwrap();
    };
    put(&mut (0..KEYS).step_by(STEP as usize));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Between those that are there, so that each chunk is divided again and again.
            (1..STEP).for_each(|step| put(&mut (step..KEYS).step_by(STEP as usize)));
            is_done.store(true, atomic::Ordering::Relaxed);
        });
        let chunks = views.chunks(Tree::Sessions);
        while !is_done.load(atomic::Ordering::Relaxed) {
            for key in (0..KEYS).step_by(STEP as usize) {
                assert_eq!(chunks.get(&key.to_be_bytes()).unwrap(), Some(stored(30)), "{key}");
            }
            let is_first = |pair: &Result<Pair, StoreError>| {
                u32::from_be_bytes((*pair.as_ref().unwrap().key).try_into().unwrap()).is_multiple_of(STEP)
            };
            let count = KEYS.div_ceil(STEP) as usize;
            assert_eq!(chunks.pairs(Vec::new(), None).filter(is_first).count(), count);
            assert_eq!(chunks.pairs(Vec::new(), None).rev().filter(is_first).count(), count, "backwards");
        }
    });
}

#[test]
fn many_keys_stand_in_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let tree = Tree::SessionsBegun;
    for batch in 0..10_u64 {
        let keys = (0..100).map(|number| key_change(tree, &(batch * 100 + number).to_be_bytes(), Some(0)));
        views.write(views.chunk_writes(keys.collect()).unwrap()).unwrap();
    }
    let records = views.tree(tree).len();
    assert!(records * 7 < 1_000, "{records} for 1,000 keys of 8 bytes, 10 of which make a record");
}
