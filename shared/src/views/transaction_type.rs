//! [`TransactionType`]: the types of transactions there are.

use std::str::FromStr;

/// What a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionType {
    /// Credit bought by hand.
    TopUp,
    /// Credit bought by the saved card, on its own.
    AutoRefill,
    /// Time paid ahead, or quantities used.
    Usage,
    /// Time that was paid ahead and not used, given back.
    Unused,
    /// A payment went back, or the going back failed.
    Refund,
    /// Credit given by the operator; its expiry.
    Bonus,
    /// The trial's credit; its expiry.
    Trial,
    /// A commit plan, with its bonus.
    Commit,
    /// A payment was disputed, or the dispute was won.
    Dispute,
    /// Corrected by the operator.
    Correction,
}

impl TransactionType {
    pub const ALL: [TransactionType; 10] = [
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
    ];

    /// Its name in answers and in the parameter `type`.
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
        }
    }
}

/// No type of transaction is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one of topup, auto_refill, usage, unused, refund, bonus, trial, commit, dispute, correction"
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
