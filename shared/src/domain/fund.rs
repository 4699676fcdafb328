//! [`Fund`]: where the credit of an account is.

use serde::{Deserialize, Serialize};

use crate::domain::money::Usd;

/// A fund of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fund {
    Paid,
    /// The grant with this number. Numbers start at 1.
    Grant(u32),
}

/// The amount that a fund paid (below zero) or got back (above zero), in USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundShare {
    pub fund: Fund,
    pub amount: Usd,
}

/// Stored as a number. 0 is paid credit.
impl Serialize for Fund {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(match self {
            Fund::Paid => 0,
            Fund::Grant(number) => *number,
        })
    }
}

impl<'de> Deserialize<'de> for Fund {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fund, D::Error> {
        Ok(match u32::deserialize(deserializer)? {
            0 => Fund::Paid,
            number => Fund::Grant(number),
        })
    }
}
