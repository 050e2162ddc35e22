//! Days and moments, as numbers and as text.
//!
//! The common forms (`2013-01-01`, `2013-01-01T05:15:00Z`, fractions, offsets) are read here by
//! hand, since every mutation line carries some; all others go to `jiff`. Calendar: proleptic
//! Gregorian. There are no leap seconds: `23:59:60` is read as `23:59:59`.

use crate::error::{Error, Result};
use crate::value::excerpt;
use std::fmt;
use std::str::FromStr;

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A day: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Date(pub i32);

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, from 1677-09-21 to 2262-04-11.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

impl Date {
    /// 0000-01-01, the first day that has a text form of four year digits.
    pub const MIN: Date = Date(-719_528);
    /// 9999-12-31, the last one.
    pub const MAX: Date = Date(2_932_896);

    /// The day of this year, month and day; `None` when there is none, or the year is not in 0..=9999.
    #[must_use]
    pub fn from_civil(year: i32, month: u32, day: u32) -> Option<Date> {
        let known = (0..=9999).contains(&year) && (1..=12).contains(&month);
        (known && day >= 1 && day <= days_in_month(year, month)).then(|| Date(days_of(year, month, day)))
    }

    /// Year, month and day.
    #[must_use]
    pub fn civil(self) -> (i32, u32, u32) {
        // Howard Hinnant's civil_from_days: eras of 400 years that start on 1 March.
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
        let year = (year_of_era + era * 400 + i64::from(month <= 2)) as i32;
        (year, month, day)
    }

    /// Reads `YYYY-MM-DD`; the reason when it is not one or names no day.
    #[inline]
    pub fn read(text: &str) -> Result<Date, String> {
        civil_at(text.as_bytes())
            .filter(|_| text.len() == 10)
            .and_then(|(year, month, day)| Date::from_civil(year, month, day))
            .ok_or_else(|| why_no_date(text))
    }
}

impl Timestamp {
    /// Its day in UTC.
    #[must_use]
    pub fn date(self) -> Date {
        // At most 106,751 days on either side of 1970.
        Date(self.0.div_euclid(NANOS * DAY_SECONDS) as i32)
    }

    /// The moment at this `jiff` timestamp's nanosecond; `None` outside the range.
    fn from_jiff(moment: jiff::Timestamp) -> Option<Timestamp> {
        i64::try_from(moment.as_nanosecond()).ok().map(Timestamp)
    }

    /// Reads RFC 3339 with a zone; the reason when it is not, or lies outside the range.
    #[inline]
    pub fn read(text: &str) -> Result<Timestamp, String> {
        match read_common(text.as_bytes()) {
            Some(timestamp) => Ok(timestamp),
            None => read_uncommon(text),
        }
    }
}

/// Days since 1970-01-01 of a day that exists.
fn days_of(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month as i32 + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[inline]
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + u32::from(digit))
    })
}

/// The numbers of `YYYY-MM-DD` at the start of `bytes`; they may name no day.
#[inline]
fn civil_at(bytes: &[u8]) -> Option<(i32, u32, u32)> {
    let head = bytes.first_chunk::<10>()?;
    if head[4] != b'-' || head[7] != b'-' {
        return None;
    }
    Some((digits(&head[..4])? as i32, digits(&head[5..7])?, digits(&head[8..])?))
}

/// Reads `YYYY-MM-DDTHH:MM:SS`, a fraction of up to nine digits, and `Z` or `±HH:MM`. `None` for
/// every other form and for whatever is out of range, which the slow path then judges.
#[inline]
fn read_common(bytes: &[u8]) -> Option<Timestamp> {
    let head = bytes.first_chunk::<19>()?;
    let (year, month, day) = civil_at(head)?;
    let date = Date::from_civil(year, month, day)?;
    if head[10] != b'T' || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(&bytes[19..])?;
    let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = i64::from(date.0) * DAY_SECONDS + of_day - offset_seconds(zone)?;
    seconds.checked_mul(NANOS)?.checked_add(i64::from(nanos)).map(Timestamp)
}

/// The nanoseconds of `.123` and what follows; nothing and all of it where there is no point.
#[inline]
fn fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    Some((digits(&rest[..count])? * 10u32.pow(9 - count as u32), &rest[count..]))
}

#[inline]
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        [b'-', h1, h2, b':', m1, m2] => (-1, digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

#[cold]
fn read_uncommon(text: &str) -> Result<Timestamp, String> {
    // An IANA zone in brackets would ask for a time zone database.
    if text.contains('[') {
        return Err(format!(
            "{} names a zone in brackets; write the offset alone, as in 2013-01-01T05:15:00-05:00",
            excerpt(text)
        ));
    }
    let moment: jiff::Timestamp = text.parse().map_err(|error| {
        format!(
            "{} is not a timestamp ({error}); write RFC 3339 with zone, as in 2013-01-01T05:15:00Z",
            excerpt(text)
        )
    })?;
    Timestamp::from_jiff(moment).ok_or_else(|| {
        format!(
            "{} is outside the range of a timestamp, {} to {}",
            excerpt(text),
            Timestamp(i64::MIN),
            Timestamp(i64::MAX)
        )
    })
}

#[cold]
fn why_no_date(text: &str) -> String {
    let shown = excerpt(text);
    match civil_at(text.as_bytes()).filter(|_| text.len() == 10) {
        None => format!("{shown} is not a date; write it as YYYY-MM-DD"),
        Some((_, month, _)) if !(1..=12).contains(&month) => {
            format!("{shown} is not a date: there is no month {month}")
        }
        Some((year, month, day)) => {
            let count = days_in_month(year, month);
            format!("{shown} is not a date: {year:04}-{month:02} has {count} days, not {day}")
        }
    }
}

fn put(buffer: &mut [u8], mut value: u32) {
    for byte in buffer.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn put_date(buffer: &mut [u8; 10], year: i32, month: u32, day: u32) {
    put(&mut buffer[..4], year as u32);
    buffer[4] = b'-';
    put(&mut buffer[5..7], month);
    buffer[7] = b'-';
    put(&mut buffer[8..], day);
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("digits and separators are ASCII")
}

/// `2013-01-01`; a year outside 0..=9999 gets a sign and six digits.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        if !(0..=9999).contains(&year) {
            return write!(f, "{year:+07}-{month:02}-{day:02}");
        }
        let mut buffer = [0; 10];
        put_date(&mut buffer, year, month, day);
        f.write_str(as_text(&buffer))
    }
}

/// `2013-01-01T05:15:00Z`, with as many digits of a fraction as it has.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(NANOS), self.0.rem_euclid(NANOS) as u32);
        let (days, of_day) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS) as u32);
        let (year, month, day) = Date(days as i32).civil();
        let mut buffer = *b"0000-00-00T00:00:00.000000000Z";
        put_date(buffer.first_chunk_mut().expect("the buffer has 30 bytes"), year, month, day);
        put(&mut buffer[11..13], of_day / 3600);
        put(&mut buffer[14..16], of_day / 60 % 60);
        put(&mut buffer[17..19], of_day % 60);
        let mut end = 19;
        if nanos > 0 {
            put(&mut buffer[20..29], nanos);
            end = 20 + buffer[20..29].iter().rposition(|b| *b != b'0').map_or(0, |last| last + 1);
        }
        buffer[end] = b'Z';
        f.write_str(as_text(&buffer[..=end]))
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Date> {
        Date::read(text).map_err(Error::invalid_input)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Timestamp> {
        Timestamp::read(text).map_err(Error::invalid_input)
    }
}
