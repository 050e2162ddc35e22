//! Amounts of money and the codes of currencies: three letters of ISO 4217.

use crate::error::{Error, Result};
use crate::value::{Decimal, Json, Value, excerpt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;

/// The code of a currency, as `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CurrencyCode([u8; 3]);

impl CurrencyCode {
    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// The bytes of the letters.
    #[must_use]
    pub fn bytes(self) -> [u8; 3] {
        self.0
    }

    /// The code of three bytes that a file has; `None` when they are no capital letters.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 3]) -> Option<CurrencyCode> {
        bytes.iter().all(u8::is_ascii_uppercase).then_some(CurrencyCode(bytes))
    }

    /// Whether the bytes are capital letters, which those of a damaged file need not be.
    #[must_use]
    pub fn is_sound(self) -> bool {
        CurrencyCode::from_bytes(self.0).is_some()
    }

    /// Reads a code that ISO 4217 has, in either case; the reason when it has not.
    pub fn read(text: &str) -> Result<CurrencyCode, String> {
        let upper = text.to_ascii_uppercase();
        let bytes: Option<[u8; 3]> = upper.as_bytes().try_into().ok();
        bytes
            .and_then(CurrencyCode::from_bytes)
            .filter(|code| iso_currency::Currency::from_code(code.as_str()).is_some())
            .ok_or_else(|| {
                format!("{} is no currency of ISO 4217; write three letters as in USD", excerpt(text))
            })
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CurrencyCode {
    type Err = Error;

    fn from_str(text: &str) -> Result<CurrencyCode> {
        CurrencyCode::read(text).map_err(Error::invalid_input)
    }
}

/// Amount and code of `{"amount": …, "code": …}`; the amount digit by digit, and the code where there is one.
pub fn money_of_json(json: &Json) -> Result<(Decimal, Option<CurrencyCode>), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Money<'a> {
        #[serde(borrow)]
        amount: &'a RawValue,
        #[serde(default)]
        code: Option<String>,
    }
    let money: Money<'_> = serde_json::from_str(json.as_str())
        .map_err(|error| format!("expected {{\"amount\", \"code\"}} of an amount of money: {error}"))?;
    let digits: Option<String> = serde_json::from_str(money.amount.get()).ok();
    let amount = Decimal::read(digits.as_deref().unwrap_or(money.amount.get()))?;
    let code = money.code.as_deref().map(CurrencyCode::read).transpose()?;
    Ok((amount, code))
}

impl Value {
    /// The amount of money in `{"amount": …, "code": …}`; `None` where it is none, or names no currency.
    pub fn currency_of_json(json: &Json) -> Option<Value> {
        let (amount, code) = money_of_json(json).ok()?;
        Some(Value::Currency { amount, code: code? })
    }
}
