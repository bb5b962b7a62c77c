//! Records that gained a value since format 6 have the bytes of then where they do without it, and are read as they were.

use serde::Serialize;

use super::{Merge, MergingRequest, decode, encode};
use crate::model::{Decimal, Field, MergeHistory, MergeKey, Time, Written};

/// A field as format 6 had it.
#[derive(Serialize)]
struct Field6 {
    offset: u64,
    time: Time,
    added: Option<f64>,
    parts: Vec<Written>,
}

#[test]
fn what_was_added_was_a_float() {
    for (added, read) in
        [(None, None), (Some(99.95), Some("99.95")), (Some(-0.1), Some("-0.1")), (Some(1e22), Some("1e22"))]
    {
        let old = Field6 { offset: 7, time: Time::from_micros(1), added, parts: Vec::new() };
        let field = Field { added: read.and_then(Decimal::parse), ..Field::set(7, Time::from_micros(1)) };
        for bytes in [encode(&old), encode(&field)] {
            assert_eq!(decode::<Field>(&bytes).unwrap(), field);
        }
    }
}

#[test]
fn the_history_of_merges_was_a_boolean() {
    for was_split in [false, true] {
        let bytes = encode(&was_split);
        let read: MergeHistory = decode(&bytes).unwrap();
        let mut history = MergeHistory::default();
        history.was_split = was_split;
        assert_eq!((&read, encode(&read)), (&history, bytes));
    }
    let mut noted = MergeHistory::default();
    noted.was_split = true;
    noted.sever(MergeKey([7; 16]));
    noted.count_join(MergeKey([8; 16]), Time::from_micros(5));
    assert_eq!(decode::<MergeHistory>(&encode(&noted)).unwrap(), noted);
}

#[test]
fn a_merge_told_neither_its_request_nor_its_key() {
    for before in [None, Some(4_000_000_000)] {
        let bytes = encode(&(Some(7_u64), before, 3_u64));
        let merge = Merge { state: Some(7), before, shared_visits: 3, request: None, key: None };
        assert_eq!((decode::<Merge>(&bytes).unwrap(), encode(&merge)), (merge, bytes));
        for key in [None, Some(MergeKey([9; 16]))] {
            let merge = Merge {
                state: None,
                before,
                shared_visits: 0,
                request: Some(MergingRequest { begins: 300, merges: 302 }),
                key,
            };
            assert_eq!(decode::<Merge>(&encode(&merge)).unwrap(), merge);
        }
    }
}
