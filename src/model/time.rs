//! Times as they come in and as they are shown (docs/contract.md, section 1).

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime};

use super::{Fault, Reader, decimal::parse_exponent};

const MICROS: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z, in seconds since 1970.
const YEAR_1: i64 = -62_135_596_800;
const YEAR_10000: i64 = 253_402_300_800;

/// A moment, in microseconds since 1970-01-01T00:00:00Z; years 0001 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Time(i64);

/// As it is shown.
impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "RFC 3339 in UTC, with microseconds.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-11-25T10:00:00.000000Z"],
        })
    }
}

impl Time {
    /// The moment `micros` microseconds after 1970, held within the years that can be written.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(YEAR_1 * MICROS, YEAR_10000 * MICROS - 1))
    }

    pub fn micros(self) -> i64 {
        self.0
    }

    /// The moment that is `by` later.
    pub fn later(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment that is `by` earlier.
    pub fn earlier(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The day in UTC, in days since 1970.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400 * MICROS)
    }

    /// The seconds from `earlier` to this moment; 0 when it is not earlier.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0).max(0) as f64 / MICROS as f64
    }

    /// Reads a JSON string or number; `None` for `null`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Fault> {
        match reader.peek()? {
            b'n' => reader.null().map(|()| None),
            b'"' => Self::parse(&reader.string()?.text).map(Some),
            b'-' | b'0'..=b'9' => Self::parse_number(reader.number()?).map(Some),
            _ => Err(Fault::wrong_type("a time (RFC 3339 or a number)")),
        }
    }

    /// Reads RFC 3339, also without a zone (taken as UTC), with a blank for `T`, with an offset without colon.
    ///
    /// # Errors
    /// It is none of these, no such day exists, or in UTC it is outside the years 0001 to 9999.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parse_rfc3339(text.as_bytes()).and_then(in_range).ok_or_else(|| unreadable(text))
    }

    /// Reads a JSON number: seconds since 1970 below 1e11, milliseconds from there on; more than microseconds are cut.
    pub(super) fn parse_number(text: &str) -> Result<Self, Fault> {
        decimal_micros(text).and_then(in_range).ok_or_else(|| unreadable(text))
    }
}

fn unreadable(text: &str) -> Fault {
    let msg = format!("not a time of the years 0001 to 9999 in RFC 3339 or epoch seconds: {}", super::short(text));
    Fault::new("value_error.datetime", msg)
}

fn in_range(micros: i64) -> Option<Time> {
    let time = Time::from_micros(micros);
    (time.0 == micros).then_some(time)
}

fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(tail(rest, b"-")?, 2)?;
    let (day, rest) = digits(tail(rest, b"-")?, 2)?;
    let (hour, rest) = digits(tail(rest, b"Tt ")?, 2)?;
    let (minute, rest) = digits(tail(rest, b":")?, 2)?;
    let (second, mut rest) = digits(tail(rest, b":")?, 2)?;
    // RFC 3339 allows the leap second; it is the last one of its minute here, as UTC without leap seconds has none.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut micros = 0;
    if let Some(fraction) = tail(rest, b".") {
        let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        for place in 0..6 {
            micros =
                micros * 10 + fraction.get(place).filter(|_| place < count).map_or(0, |byte| i64::from(byte - b'0'));
        }
        rest = &fraction[count..];
    }
    let offset_minutes = parse_offset(rest)?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let seconds = date.midnight().assume_utc().unix_timestamp() + hour * 3600 + minute * 60 + second.min(59);
    Some((seconds - offset_minutes * 60) * MICROS + micros)
}

/// The minutes that a zone is ahead of UTC: `Z`, nothing, `+02:00`, `+0200` or `+02`.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(count)?;
    let value =
        head.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))?;
    Some((value, rest))
}

fn tail<'a>(text: &'a [u8], one_of: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_first()?;
    one_of.contains(first).then_some(rest)
}

/// The microseconds that a JSON number means, exactly: binary floats would cut the wrong microsecond.
fn decimal_micros(text: &str) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The decimal point stands behind this many digits of `significant`.
    let point = i64::try_from(significant.len())
        .ok()?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(exponent)?;
    let seconds = point < 12; // below 1e11: at most eleven digits before the point
    let point = point + if seconds { 6 } else { 3 };
    if point > 18 {
        return None;
    }
    let point = usize::try_from(point).unwrap_or(0); // a negative point means less than a microsecond
    let mut micros: i64 = 0;
    for place in 0..point {
        micros = micros * 10 + significant.as_bytes().get(place).map_or(0, |byte| i64::from(byte - b'0'));
    }
    Some(if negative { -micros } else { micros })
}

/// RFC 3339 in UTC with microseconds.
impl std::fmt::Display for Time {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A stored time outside the range can only come from a damaged record; it is shown at the nearest end.
        let time = Self::from_micros(self.0);
        let moment =
            OffsetDateTime::from_unix_timestamp(time.0.div_euclid(MICROS)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        let micros = time.0.rem_euclid(MICROS);
        write!(out, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", u8::from(month))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Time::parse(text).ok().map(|time| time.to_string())
    }

    fn number(text: &str) -> Option<String> {
        Time::parse_number(text).ok().map(|time| time.to_string())
    }

    #[test]
    fn every_form_that_clients_send_is_the_same_moment() {
        for text in [
            "2026-11-25T10:00:00Z",
            "2026-11-25t10:00:00.000000999z",
            "2026-11-25 10:00:00",
            "2026-11-25T10:00:00",
            "2026-11-25T12:00:00+0200",
            "2026-11-25T12:00:00+02:00",
            "2026-11-25T04:30:00-05:30",
        ] {
            assert_eq!(shown(text).as_deref(), Some("2026-11-25T10:00:00.000000Z"), "{text}");
        }
    }

    #[test]
    fn more_than_microseconds_are_cut() {
        assert_eq!(shown("9999-12-31T23:59:59.999999999Z").as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert_eq!(shown("0001-01-01T00:00:00.5Z").as_deref(), Some("0001-01-01T00:00:00.500000Z"));
        assert_eq!(shown("1969-12-31T23:59:59.9999999Z").as_deref(), Some("1969-12-31T23:59:59.999999Z"));
    }

    #[test]
    fn the_years_0001_to_9999_hold_in_utc() {
        for text in ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+00:01", "0000-12-31T00:00:00Z"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-25",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-25T24:00:00Z",
            "2026-11-25T10:60:00Z",
            "2026-11-25T10:00:61Z",
            "2026-11-25T10:00:00.Z",
            "2026-11-25T10:00:00+2:00",
            "2026-11-25T10:00:00+24:00",
            "2026-11-25T10:00:00ZZ",
            "2026-11-25T10:00:00é",
            "+026-11-25T10:00:00Z",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_below_1e11_and_milliseconds_from_there_on() {
        assert_eq!(number("1700000000").as_deref(), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(number("1700000000000").as_deref(), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(number("1700000000.123456789").as_deref(), Some("2023-11-14T22:13:20.123456Z"));
        assert_eq!(number("1.7e9").as_deref(), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(number("17000000000000E-1").as_deref(), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(number("99999999999").as_deref(), Some("5138-11-16T09:46:39.000000Z"));
        assert_eq!(number("100000000000").as_deref(), Some("1973-03-03T09:46:40.000000Z"));
        assert_eq!(number("-1.5").as_deref(), Some("1969-12-31T23:59:58.500000Z"));
        assert_eq!(number("1e-400").as_deref(), Some("1970-01-01T00:00:00.000000Z"));
        assert_eq!(number("-0").as_deref(), Some("1970-01-01T00:00:00.000000Z"));
        for text in ["1e400", "1e99999999999999999999", "-99999999999", "999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for micros in [0, 1, -1, YEAR_1 * MICROS, YEAR_10000 * MICROS - 1, 1_795_600_000_123_456] {
            let time = Time::from_micros(micros);
            assert_eq!(Time::parse(&time.to_string()).unwrap(), time);
        }
    }
}
