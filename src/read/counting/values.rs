//! What events are counted by: the values that were met, each with a number.

use std::{borrow::Cow, sync::Arc};

use foldhash::HashMap;

use super::rows::NotCounted;
use crate::{
    model::{ContextSections, FACET_BYTES_MAX, Facets, Fault, Id, KnownAgent, Value, value_at},
    store::{BETWEEN, Column, FoundEvent, StoreError, UNLISTED, facet_text, place_of},
};

/// How many values are told apart, and how many bytes they may take together.
const VALUES_MAX: usize = 500_000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The number of what tells no value.
pub const NO_VALUE: u32 = 0;

/// Why counting stopped.
#[derive(Debug)]
pub enum Stopped {
    /// There are more values than are told apart.
    TooManyValues,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What came of counting a segment: what the store failed by, apart from too many values.
pub fn counted(outcome: Result<(), Stopped>) -> Result<Result<(), NotCounted>, StoreError> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(Stopped::Store(error)) => Err(error),
        Err(Stopped::TooManyValues) => {
            let msg = format!("there are more than {VALUES_MAX} values, or they are too long; count from a later time");
            Ok(Err(NotCounted::TooMany(Fault::new("value_error", msg).at("of"))))
        }
    }
}

/// Values and their numbers, in the order in which they were met.
pub struct Values {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    bytes: usize,
}

impl Default for Values {
    fn default() -> Self {
        let nothing: Arc<str> = "".into();
        Self { numbers: [(nothing.clone(), NO_VALUE)].into_iter().collect(), texts: vec![nothing], bytes: 0 }
    }
}

impl Values {
    pub fn number(&mut self, text: &str) -> Result<u32, Stopped> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let number = u32::try_from(self.texts.len()).map_err(|_| Stopped::TooManyValues)?;
        self.bytes += text.len();
        if self.texts.len() > VALUES_MAX || self.bytes > BYTES_MAX {
            return Err(Stopped::TooManyValues);
        }
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        Ok(number)
    }

    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }
}

/// What a segment's index tells of each event: a column of texts, and which part of these is meant if facets share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facet {
    pub column: Column,
    pub part: Option<usize>,
}

impl Facet {
    pub const PAGE: Self = Self { column: Column::Page, part: None };

    /// What the event tells, as its index would.
    pub fn of_event(self, found: &FoundEvent) -> String {
        let sections = ContextSections::of(&found.request.context);
        let facets = Facets::new(&found.request, &sections, &found.event);
        let text = match self.column {
            Column::Page => facets.page().into_owned(),
            Column::Referrer => facets.referrer().into_owned(),
            Column::Campaign => facet_text(&facets.campaign()),
            _ => facet_text(&facets.client(&KnownAgent::of(&facets.user_agent().unwrap_or_default()))),
        };
        self.part_of(&text).to_owned()
    }

    fn part_of(self, text: &str) -> &str {
        match self.part {
            Some(part) => text.split(BETWEEN).nth(part).unwrap_or_default(),
            None => text,
        }
    }
}

/// The numbers of a facet's texts in a segment, as they are asked for.
pub struct SegmentValues {
    facet: Facet,
    texts: Vec<Arc<str>>,
    known: Vec<Option<u32>>,
    /// The number in the column is the place among the texts.
    is_by_place: bool,
}

impl SegmentValues {
    /// `texts`: of the facet's column in the segment.
    pub fn new(facet: Facet, texts: Vec<Arc<str>>) -> Self {
        Self { facet, known: vec![None; texts.len()], texts, is_by_place: false }
    }

    pub fn of_sources(sources: &[Id]) -> Self {
        let texts = sources.iter().map(|source| (*source.text()).into()).collect();
        Self { is_by_place: true, ..Self::new(Facet { column: Column::Source, part: None }, texts) }
    }

    /// Whether only the event itself tells what the text is that has `number`.
    pub fn is_told_by_block(&self, number: u64) -> bool {
        !self.is_by_place && number == UNLISTED
    }

    /// The number among `values` of what a row tells, which has `number` in the facet's column.
    pub fn number(&mut self, values: &mut Values, number: u64) -> Result<u32, Stopped> {
        let place = if self.is_by_place { usize::try_from(number).ok() } else { place_of(number) };
        let Some((place, text)) = place.and_then(|place| Some((place, self.texts.get(place)?))) else {
            return Ok(NO_VALUE);
        };
        if let Some(known) = self.known[place] {
            return Ok(known);
        }
        let number = values.number(self.facet.part_of(text))?;
        self.known[place] = Some(number);
        Ok(number)
    }
}

/// What stands in an event's properties at `steps`, as JSON; empty where nothing does.
pub fn property<'a>(properties: &'a str, steps: &[Box<str>]) -> Cow<'a, str> {
    let value = value_at(properties, steps).filter(|value| *value != "null").unwrap_or_default();
    if value.len() <= FACET_BYTES_MAX {
        return Cow::Borrowed(value);
    }
    let mut end = FACET_BYTES_MAX;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(Value::text(&value[..end]).to_json().as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_numbers_as_long_as_there_is_room() {
        let mut values = Values::default();
        assert_eq!(
            (values.number("").unwrap(), values.number("a").unwrap(), values.number("a").unwrap()),
            (NO_VALUE, 1, 1)
        );
        assert_eq!(values.text(1), "a");
        let long = "x".repeat(1 << 20);
        let taken = (0..100).take_while(|number| values.number(&format!("{long}{number}")).is_ok()).count();
        assert_eq!(taken, 63);
        assert!(matches!(counted(Err(Stopped::TooManyValues)), Ok(Err(NotCounted::TooMany(_)))));
    }

    #[test]
    fn facets_that_share_a_column_are_told_apart() {
        let texts: Vec<Arc<str>> =
            vec!["Firefox\0Linux\0desktop\0de\0".into(), "Firefox\0Android\0mobile\0\0CH".into()];
        let mut values = Values::default();
        let mut told = |part, number| {
            let facet = Facet { column: Column::Client, part: Some(part) };
            let number = SegmentValues::new(facet, texts.clone()).number(&mut values, number).unwrap();
            values.text(number).to_owned()
        };
        assert_eq!(
            (told(0, 2), told(0, 3), told(1, 3), told(3, 3), told(4, 3)),
            ("Firefox".into(), "Firefox".into(), "Android".into(), "".into(), "CH".into())
        );
        assert_eq!((told(0, 0), told(4, 2)), ("".into(), "".into()));
    }
}
