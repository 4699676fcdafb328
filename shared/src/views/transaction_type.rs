//! [`TransactionType`]: the list of transaction types.

use std::str::FromStr;

/// The type of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionType {
    /// Credit bought by the customer.
    TopUp,
    /// Credit charged automatically to the saved card.
    AutoRefill,
    /// Prepaid time, or metered quantities.
    Usage,
    /// Unused prepaid time, given back.
    Unused,
    /// A refund, or a failed refund.
    Refund,
    /// Credit given by the operator, or its expiry.
    Bonus,
    /// Trial credit, or its expiry.
    Trial,
    /// A commit plan, with its bonus.
    Commit,
    /// A dispute took money, or was won.
    Dispute,
    /// A correction by the operator.
    Correction,
    /// What the customer had before the account was moved to Tollgate.
    OpeningBalance,
}

impl TransactionType {
    pub const ALL: [TransactionType; 11] = [
        TransactionType::TopUp,
        TransactionType::AutoRefill,
        TransactionType::Usage,
        TransactionType::Unused,
        TransactionType::Refund,
        TransactionType::Bonus,
        TransactionType::Trial,
        TransactionType::Commit,
        TransactionType::Dispute,
        TransactionType::Correction,
        TransactionType::OpeningBalance,
    ];

    /// The name in answers and in the parameter `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransactionType::TopUp => "topup",
            TransactionType::AutoRefill => "auto_refill",
            TransactionType::Usage => "usage",
            TransactionType::Unused => "unused",
            TransactionType::Refund => "refund",
            TransactionType::Bonus => "bonus",
            TransactionType::Trial => "trial",
            TransactionType::Commit => "commit",
            TransactionType::Dispute => "dispute",
            TransactionType::Correction => "correction",
            TransactionType::OpeningBalance => "opening_balance",
        }
    }
}

/// The name is not a transaction type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one of topup, auto_refill, usage, unused, refund, bonus, trial, commit, dispute, correction, \
     opening_balance"
)]
pub struct TransactionTypeError;

impl FromStr for TransactionType {
    type Err = TransactionTypeError;

    fn from_str(text: &str) -> Result<TransactionType, TransactionTypeError> {
        TransactionType::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(TransactionTypeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_that_is_read_back() {
        for kind in TransactionType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("opened".parse::<TransactionType>(), Err(TransactionTypeError));
    }
}
