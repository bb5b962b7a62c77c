use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::model::Id;

fn name(id: usize) -> Key {
    Key::Session(Id::required(&format!("s{id}")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_holds_a_name_and_nobody_waits_for_ever() {
    let locks = Arc::new(Locks::default());
    let inside: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let (locks, inside) = (locks.clone(), inside.clone());
        tasks.spawn(async move {
            for round in 0..50 {
                // Two of four names, in every order.
                let wanted = [(task + round) % 4, (task * 3 + round / 4) % 4];
                let held = locks.take(wanted.iter().map(|id| name(*id)).collect()).await;
                let mut wanted = wanted.to_vec();
                wanted.dedup();
                for id in &wanted {
                    assert!(held.holds(&name(*id)));
                    assert_eq!(inside[*id].fetch_add(1, Ordering::SeqCst), 0, "two hold s{id}");
                }
                tokio::task::yield_now().await;
                wanted.iter().for_each(|id| _ = inside[*id].fetch_sub(1, Ordering::SeqCst));
            }
        });
    }
    let all = async { while tasks.join_next().await.is_some_and(|ended| ended.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
    assert!(locks.names.lock().is_empty(), "a name that nobody wants is forgotten");
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let locks = Locks::default();
    let held = locks.take(vec![name(1)]).await;
    let wanted = vec![name(1), name(2)];
    let waited = tokio::time::timeout(Duration::from_millis(10), locks.take(wanted.clone())).await;
    assert!(waited.is_err());
    drop(held);
    locks.forget_unused(&wanted);
    assert!(locks.names.lock().is_empty());
    assert!(locks.take(wanted).await.holds(&name(2)));
}
