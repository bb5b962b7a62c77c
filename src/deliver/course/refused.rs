//! A delivery that was refused: halves, until the item that is not taken is alone; and others beside it.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Alone, Course, Line, OTHERS_MAX, TRIES_MIN};
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
        if self.tells_nothing(refusal) {
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
    async fn refused_alone(&mut self, mut line: Line, refusal: Refusal, mut why: NotTaken) -> Result<bool, Refused> {
        let now = self.deliveries.clock.now();
        let item = line.items[0].offset;
        let taken_then = *self.suspects.entry(item).or_insert(self.taken);
        let mut alone = self.alone.take().filter(|it| it.item == item).unwrap_or_else(|| Alone::new(item));
        let mut aside = refused(alone.aside.as_ref(), &why.to_string(), now);
        let (is_over, is_about_items) = (self.is_over(&aside, now), refusal.is_about_items());
        if self.taken == taken_then && (is_about_items || aside.tries >= TRIES_MIN) {
            why = self.try_others(&line.items, &mut alone).await?.unwrap_or(why);
            if self.taken > taken_then {
                alone.aside = Some(aside);
                self.alone = Some(alone);
                return Ok(true); // it is tried once more at once, for it may be that everything is taken again
            }
        }
        // An item that is tried no more may be overtaken by what is theirs: that tells as much.
        if self.taken == taken_then
            && is_over
            && !is_about_items
            && let Some(next) = next_of_same(&line.items)
            && self.try_ahead(&line.items[next]).await.is_ok()
        {
            aside.given_up = true;
        }
        if self.taken == taken_then && !(is_about_items && is_over) {
            let pause = self.left(&aside, now, pause(aside.tries));
            alone.aside = Some(aside);
            self.alone = Some(alone);
            return self.rest(pause, &why).await;
        }
        // It is the item, and not whoever takes it.
        if is_about_items {
            aside.given_up = is_over;
        } else if !aside.given_up {
            (aside.since, aside.tries) = (now, 1); // until now it may have been whoever takes it
        }
        tracing::warn!(destination = %self.destination.id, item, reason = &*aside.reason, "an item is set aside");
        self.failures = 0;
        self.deliveries.status.note(&self.destination.id, |status| status.failures = 0);
        let end = line.items.get(1).map_or(line.end, |next| next.offset);
        let whose = line.items.swap_remove(0).whose;
        let due = Instant::now() + pause(aside.tries);
        let waiting = Waiting { due, taken_then, ..Waiting::new(aside, whose) };
        self.advance(end, Vec::new(), vec![(item, waiting)], line.behind).await
    }

    /// Tries others beside the first item of the line, until one is taken: those of somebody else, then what is set aside and
    /// due. Each time one more than the last time, going on where that ended. Tells why one was not taken that says nothing
    /// of what was sent.
    async fn try_others(&mut self, line: &[Item], alone: &mut Alone) -> Result<Option<NotTaken>, Refused> {
        alone.rounds = (alone.rounds + 1).min(OTHERS_MAX);
        let others = others(line);
        for _ in 0..alone.rounds.min(others.len()) {
            let place = others[alone.probes % others.len()];
            alone.probes += 1;
            match self.try_ahead(&line[place]).await {
                Ok(()) => return Ok(None),
                Err(why) if self.tells_nothing(Refusal::of(&why)) => return Ok(Some(why)),
                Err(_) => {}
            }
        }
        let (begun, taken) = (Instant::now(), self.taken);
        for _ in 0..alone.rounds {
            match self.asides.next() {
                Some((waiting, due)) if due <= begun && self.taken == taken => self.retry(waiting).await?,
                _ => break,
            }
        }
        Ok(None)
    }

    /// Tries an item before its turn.
    async fn try_ahead(&mut self, item: &Item) -> Result<(), NotTaken> {
        if let Err(why) = self.hand_over(std::slice::from_ref(item)).await {
            if !self.tells_nothing(Refusal::of(&why)) {
                self.suspects.entry(item.offset).or_insert(self.taken);
            }
            return Err(why);
        }
        self.note_taken(1);
        self.ahead.insert(item.offset);
        Ok(())
    }

    /// Whether a refusal tells nothing of what was sent.
    fn tells_nothing(&self, refusal: Refusal) -> bool {
        let is_long = |since: Instant| self.failures >= TRIES_MIN && since.elapsed() >= self.destination.retry_for;
        refusal.tells_nothing(self.refused_since.is_some_and(is_long))
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

/// The places of the items that may be taken before those in front of them, for each is the first of its person. Those that
/// follow each other are far apart, for those nearby may be alike.
fn others(line: &[Item]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let mut firsts = Vec::new();
    for (place, item) in line.iter().enumerate() {
        if item.whose.as_ref().is_none_or(|whose| seen.insert(whose)) && place > 0 {
            firsts.push(place);
        }
    }
    // Numbers with their bits reversed: 0, a half, a quarter, three quarters, and so on.
    let span = firsts.len().next_power_of_two();
    let shift = usize::BITS - span.trailing_zeros();
    let spread = (0..span).map(|turn| turn.reverse_bits().checked_shr(shift).unwrap_or(0));
    spread.filter_map(|at| firsts.get(at).copied()).collect()
}

/// The place of the next item of the same person as the first one.
fn next_of_same(line: &[Item]) -> Option<usize> {
    let whose = line.first()?.whose.as_ref()?;
    (1..line.len()).find(|place| line[*place].whose.as_ref() == Some(whose))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deliver::item::Whose, model::Id};

    fn line(people: &[&str]) -> Vec<Item> {
        let item = |offset: usize, whose: &str| Item {
            offset: offset as u64,
            json: String::new(),
            whose: (!whose.is_empty()).then(|| Whose::Session(Id::required(whose).unwrap())),
        };
        people.iter().enumerate().map(|(at, it)| item(at, it)).collect()
    }

    #[test]
    fn others_are_the_first_items_of_somebody_else() {
        let others = |people: &[&str]| others(&line(people));
        assert!(others(&["a"]).is_empty());
        assert!(others(&["a", "a", "a"]).is_empty(), "what is theirs waits behind it");
        assert_eq!(others(&["a", "a", "b", "b"]), [2]);
        assert_eq!(others(&["a", "b", "c", "d"]), [1, 3, 2]);
        assert_eq!(others(&["a", "", "", "a", "b", "c", "d", "e"]), [1, 6, 4, 2, 7, 5]);
        let many: Vec<String> = (0..1_000).map(|person| format!("p{person}")).collect();
        let many: Vec<&str> = many.iter().map(|it| &**it).collect();
        let mut each = others(&many);
        assert_eq!(each[..4], [1, 513, 257, 769]);
        each.sort_unstable();
        assert_eq!(each, (1..1_000).collect::<Vec<_>>(), "each comes in its turn");
    }

    #[test]
    fn the_next_item_of_the_same_person_is_found() {
        assert_eq!(next_of_same(&line(&["a", "b", "a", "a"])), Some(2));
        assert_eq!(next_of_same(&line(&["a", "b"])), None);
        assert_eq!(next_of_same(&line(&["", ""])), None, "nobody is the same as nobody");
    }
}
