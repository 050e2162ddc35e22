//! Exact decimals: a 128-bit mantissa and a scale. 12.50 is 1250 at scale 2.
//!
//! Equality, order and hash are those of the number: 12.5 equals 12.50. What is printed are the
//! digits held, so 12.50 prints as `12.50`. Nothing here rounds: what does not fit is refused.

use crate::error::{Error, Result};
use crate::value::excerpt;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Most digits behind the point; 10^38 is the largest power of ten in an i128.
pub const SCALE_MAX: u8 = 38;

/// An exact decimal number: `mantissa` divided by ten to the power of `scale`.
///
/// ```text
/// let price: Decimal = "12.50".parse()?;
/// assert_eq!(price, "1.25e1".parse()?);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimal {
    /// The mantissa's bytes: an `i128` would align every `Value` to 16 bytes and make it half as large again.
    bytes: [u8; 16],
    scale: u8,
}

impl Decimal {
    /// The decimal with this mantissa and scale; `None` when the scale is over 38.
    #[must_use]
    pub fn new(mantissa: i128, scale: u8) -> Option<Decimal> {
        (scale <= SCALE_MAX).then_some(Decimal::of(mantissa, scale))
    }

    fn of(mantissa: i128, scale: u8) -> Decimal {
        Decimal { bytes: mantissa.to_ne_bytes(), scale }
    }

    /// The number without its point.
    #[must_use]
    pub fn mantissa(self) -> i128 {
        i128::from_ne_bytes(self.bytes)
    }

    /// Digits behind the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The same number at another scale; `None` when a digit would be lost or the mantissa would
    /// not fit 128 bits.
    #[must_use]
    pub fn rescale(self, scale: u8) -> Option<Decimal> {
        if scale > SCALE_MAX {
            return None;
        }
        let mantissa = if scale >= self.scale {
            self.mantissa().checked_mul(power_of_ten(scale - self.scale))?
        } else {
            let divisor = power_of_ten(self.scale - scale);
            (self.mantissa() % divisor == 0).then(|| self.mantissa() / divisor)?
        };
        Some(Decimal::of(mantissa, scale))
    }

    /// The same number with the fewest digits behind the point.
    #[must_use]
    pub fn normalized(self) -> Decimal {
        let (mut mantissa, mut scale) = (self.mantissa(), self.scale);
        // Most mantissas fit 64 bits, where a division is several times cheaper.
        if let Ok(mut small) = i64::try_from(mantissa) {
            while scale > 0 && small % 10 == 0 {
                small /= 10;
                scale -= 1;
            }
            return Decimal::of(i128::from(small), scale);
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Decimal::of(mantissa, scale)
    }

    /// The whole number, where it is one and fits.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        i64::try_from(self.rescale(0)?.mantissa()).ok()
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().expect("a decimal prints as digits with one point")
    }

    /// The decimal with the shortest digits that name this double; `None` when it is not finite or
    /// does not fit.
    #[must_use]
    pub fn from_f64(number: f64) -> Option<Decimal> {
        Decimal::read(&format!("{number:e}")).ok()
    }

    /// Reads digits with an optional sign, point and exponent; the reason when they do not do.
    pub fn read(text: &str) -> Result<Decimal, String> {
        let digits = Digits::scan(text).ok_or_else(|| {
            format!("{} is not a decimal; write digits as in 12.50 or 1.25e1", excerpt(text))
        })?;
        digits.decimal().ok_or_else(|| {
            format!(
                "{} does not fit a decimal of 128 bits with at most {SCALE_MAX} digits behind the point",
                excerpt(text)
            )
        })
    }

    // The magnitudes as integers and decimals, aligned; used where alignment overflows.
    fn compare_magnitude(self, other: Decimal) -> Ordering {
        let (a, b) = (self.mantissa().unsigned_abs(), other.mantissa().unsigned_abs());
        let scaled = |magnitude: u128, by: u8| magnitude.checked_mul(power_of_ten(by).unsigned_abs());
        if self.scale >= other.scale {
            // An overflow means that the scaled number is over 2^128, and so over the other one.
            scaled(b, self.scale - other.scale).map_or(Ordering::Less, |b| a.cmp(&b))
        } else {
            scaled(a, other.scale - self.scale).map_or(Ordering::Greater, |a| a.cmp(&b))
        }
    }
}

#[inline]
fn power_of_ten(exponent: u8) -> i128 {
    10i128.pow(u32::from(exponent))
}

/// What a decimal's text says: magnitude · 10^exponent, and how many digits stood behind the point.
struct Digits {
    negative: bool,
    magnitude: Option<u128>,
    exponent: i64,
    fraction_count: i64,
}

impl Digits {
    /// `None` when the text is no number.
    fn scan(text: &str) -> Option<Digits> {
        let bytes = text.as_bytes();
        let (negative, unsigned) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let end = unsigned.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(unsigned.len());
        let written = if end < unsigned.len() { exponent_of(&unsigned[end + 1..])? } else { 0 };
        let mut digits = Digits { negative, magnitude: Some(0), exponent: 0, fraction_count: 0 };
        let (mut zeros, mut count, mut point) = (0u32, 0usize, false);
        for byte in &unsigned[..end] {
            match byte {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    count += 1;
                    digits.fraction_count += i64::from(point);
                    digits.push(byte - b'0', &mut zeros);
                }
                _ => return None,
            }
        }
        digits.exponent = i64::from(zeros) - digits.fraction_count + written;
        digits.fraction_count -= written;
        (count > 0).then_some(digits)
    }

    // Zeros are held back until a digit follows, so that trailing ones never cost mantissa.
    fn push(&mut self, digit: u8, zeros: &mut u32) {
        if digit == 0 {
            *zeros += u32::from(self.magnitude != Some(0));
            return;
        }
        let shift = zeros.checked_add(1).and_then(|shift| 10u128.checked_pow(shift));
        self.magnitude = self.magnitude.and_then(|magnitude| {
            if magnitude == 0 {
                return Some(u128::from(digit));
            }
            magnitude.checked_mul(shift?)?.checked_add(u128::from(digit))
        });
        *zeros = 0;
    }

    fn decimal(&self) -> Option<Decimal> {
        let magnitude = self.magnitude?;
        if magnitude == 0 {
            let scale = self.fraction_count.clamp(0, i64::from(SCALE_MAX)) as u8;
            return Some(Decimal::of(0, scale));
        }
        let (magnitude, scale) = if self.exponent >= 0 {
            let power = 10u128.checked_pow(u32::try_from(self.exponent).ok()?)?;
            (magnitude.checked_mul(power)?, 0)
        } else {
            (magnitude, u8::try_from(-self.exponent).ok().filter(|scale| *scale <= SCALE_MAX)?)
        };
        let mantissa = if self.negative {
            0i128.checked_sub_unsigned(magnitude)?
        } else {
            i128::try_from(magnitude).ok()?
        };
        let exact = Decimal::of(mantissa, scale);
        // The zeros that were written behind the point are kept where there is room.
        let shown = self.fraction_count.clamp(i64::from(scale), i64::from(SCALE_MAX)) as u8;
        Some(exact.rescale(shown).unwrap_or(exact))
    }
}

// Exponents are clamped far outside what any mantissa reaches.
fn exponent_of(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, b| (value * 10 + i64::from(b - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa() < 0 { "-" } else { "" };
        let magnitude = self.mantissa().unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{sign}{magnitude}");
        }
        let power = power_of_ten(self.scale).unsigned_abs();
        let width = usize::from(self.scale);
        write!(f, "{sign}{}.{:0width$}", magnitude / power, magnitude % power)
    }
}

impl FromStr for Decimal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Decimal> {
        Decimal::read(text).map_err(Error::invalid_input)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match self.mantissa().signum().cmp(&other.mantissa().signum()) {
            Ordering::Equal if self.mantissa() < 0 => other.compare_magnitude(*self),
            Ordering::Equal => self.compare_magnitude(*other),
            apart => apart,
        }
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let normalized = self.normalized();
        let (mantissa, scale) = (normalized.mantissa(), normalized.scale);
        (mantissa, scale).hash(state);
    }
}

macro_rules! from_integer {
    ($($int:ty),*) => {$(
        impl From<$int> for Decimal {
            fn from(value: $int) -> Decimal {
                Decimal::of(i128::from(value), 0)
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64);
