//! [`AccountSnapshot`]: the input of decisions. It holds the state, the matching list of resources,
//! prices and policy.

use crate::domain::account::AccountState;
use crate::domain::apply::apply;
use crate::domain::event::Event;
use crate::domain::ids::AccountId;
use crate::domain::policy::Policy;
use crate::domain::prices::PriceList;
use crate::domain::refusal::Refusal;
use crate::domain::resources::BillableList;

/// An account as decisions see it. The list matches the state.
#[derive(Clone, Debug)]
pub struct AccountSnapshot<'a> {
    account: &'a AccountId,
    state: AccountState,
    billables: BillableList,
    prices: &'a PriceList,
    policy: &'a Policy,
}

impl<'a> AccountSnapshot<'a> {
    /// Combines the parts that were read. `None` if state and list do not match, and both must be
    /// read again.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks a running
    /// resource's SKU.
    pub fn new(
        account: &'a AccountId,
        state: AccountState,
        billables: BillableList,
        prices: &'a PriceList,
        policy: &'a Policy,
    ) -> Result<Option<AccountSnapshot<'a>>, Refusal> {
        let agree = billables.agree_with(&state, prices)?;
        Ok(agree.then_some(AccountSnapshot { account, state, billables, prices, policy }))
    }

    #[must_use]
    pub fn account(&self) -> &'a AccountId {
        self.account
    }

    /// The state after the last row.
    #[must_use]
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// The resources and meters of the account.
    #[must_use]
    pub fn billables(&self) -> &BillableList {
        &self.billables
    }

    #[must_use]
    pub fn prices(&self) -> &'a PriceList {
        self.prices
    }

    /// The business rules in numbers.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Moves the account forward by one row.
    pub fn apply(&mut self, event: &Event) {
        self.billables.apply(event, self.state.next_seq);
        self.state = apply(&self.state, event);
    }
}
