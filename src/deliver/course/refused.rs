//! A delivery that was refused: halves, until the item that is not taken is alone; and one of somebody else beside it.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Alone, Course, Line, TRIES_MIN};
use crate::{
    deliver::{
        asides::{Waiting, pause, refused},
        item::Item,
        refusal::Refusal,
    },
    model::{Aside, Time},
    process::NotTaken,
    store::Refused,
};

impl Course<'_> {
    /// The first `count` items of the line were refused.
    pub(super) async fn refused(&mut self, line: Line, count: usize, why: NotTaken) -> Result<bool, Refused> {
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
        } else if aside.tries >= tries
            && let Some((waiting, _)) = self.asides.next()
        {
            // All others wait behind items that are tried again: one of these tells as much.
            let taken = self.taken;
            self.retry(waiting).await?;
            is_item |= self.taken > taken;
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
    pub(super) fn is_over(&self, aside: &Aside, now: Time) -> bool {
        aside.tries >= TRIES_MIN && now.seconds_since(aside.since) >= self.destination.retry_for.as_secs_f64()
    }

    /// The pause before an item is tried again: not longer than it is tried at all.
    pub(super) fn left(&self, aside: &Aside, now: Time, pause: Duration) -> Duration {
        let left = self.destination.retry_for.as_secs_f64() - now.seconds_since(aside.since);
        let left = Duration::try_from_secs_f64(left).unwrap_or_default();
        if left.is_zero() { pause } else { pause.min(left) }
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
    use crate::{deliver::item::Whose, model::Id};

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
