//! Which events are counted, by what columns tell.

use crate::{
    model::{Fault, Id, Time},
    read::{
        filter::{KindPattern, Sources},
        parameters::{Parameters, boolean, kind_patterns, moment},
    },
    store::{BOT, Column, Names, PageSpan, SegmentIndex, StoreError, time_number},
};

/// All of it must be so.
pub struct Terms {
    /// Any of these; none: of any type.
    pub kinds: Vec<KindPattern>,
    pub sources: Sources,
    /// Whether known bots sent them.
    pub bot: Option<bool>,
    /// At this server time or later.
    pub from: Option<Time>,
    /// Before this server time.
    pub to: Option<Time>,
}

impl Terms {
    /// Takes `type`, `source`, `bot`, `from` and `to`.
    ///
    /// # Errors
    /// One of them cannot be read; the fault names it.
    pub fn read(parameters: &mut Parameters, now: Time) -> Result<Self, Fault> {
        Ok(Self {
            kinds: kind_patterns(parameters)?,
            sources: Sources::read(parameters)?,
            bot: parameters.read("bot", boolean)?,
            from: parameters.read("from", |text| moment(text, now))?,
            to: parameters.read("to", |text| moment(text, now))?,
        })
    }

    pub fn is_before(&self, span: &PageSpan) -> bool {
        self.from.is_some_and(|from| span.inserted.1 < from)
    }

    pub fn is_behind(&self, span: &PageSpan) -> bool {
        self.to.is_some_and(|to| span.inserted.0 >= to)
    }

    /// The times that are meant, as [`time_number`]s: from the first to before the second.
    pub fn times(&self) -> std::ops::Range<u64> {
        self.from.map_or(0, time_number)..self.to.map_or(u64::MAX, time_number)
    }

    /// What types and sources come to in a segment's numbers.
    pub fn in_segment(&self, names: &Names) -> SegmentTerms {
        let is_meant = |source: &Id| self.sources.takes(source);
        SegmentTerms {
            kinds: names.kinds.iter().map(|kind| KindPattern::any_takes(&self.kinds, kind)).collect(),
            sources: (!self.sources.are_all()).then(|| names.sources.iter().map(is_meant).collect()),
            bot: self.bot,
        }
    }
}

/// The types and sources that are meant, by their numbers in a segment.
pub struct SegmentTerms {
    kinds: Vec<bool>,
    /// `None`: any.
    sources: Option<Vec<bool>>,
    /// `None`: whoever sent them.
    bot: Option<bool>,
}

impl SegmentTerms {
    /// Whether no row can be meant.
    pub fn are_none(&self) -> bool {
        !self.kinds.contains(&true) || self.sources.as_ref().is_some_and(|sources| !sources.contains(&true))
    }

    /// For each row of a page whether it is meant.
    pub fn of_rows(&self, index: &SegmentIndex, page: usize) -> Result<Vec<bool>, StoreError> {
        let is_marked = |marks: &[bool], number: &u64| marks.get(*number as usize).copied().unwrap_or(false);
        let mut rows: Vec<bool> = if self.kinds.contains(&false) {
            index.column(page, Column::Kind)?.iter().map(|kind| is_marked(&self.kinds, kind)).collect()
        } else {
            vec![true; index.pages[page].rows as usize]
        };
        if let Some(sources) = &self.sources {
            let column = index.column(page, Column::Source)?;
            rows.iter_mut().zip(&column).for_each(|(row, source)| *row &= is_marked(sources, source));
        }
        if let Some(bot) = self.bot {
            let column = index.column(page, Column::Flags)?;
            rows.iter_mut().zip(&column).for_each(|(row, flags)| *row &= is_bot(*flags) == bot);
        }
        Ok(rows)
    }
}

/// Whether a row's flags say that a known bot sent it.
pub fn is_bot(flags: u64) -> bool {
    flags & BOT > 0
}
