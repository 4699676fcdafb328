//! `append`: one row, with whatever must become true together with it.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::accounts::Appending;
use super::claims::{ExistingClaim, claim_item, claimed};
use super::item::StoredItem;
use super::requests::{KeyPlace, KeyWrite, key_of};
use super::resource_ids::IdClaim;
use super::rows::{RowItem, is_same_row, nonce, row_item};
use super::write::{EarlierAttempts, Obstacles, WriteOutcome};
use super::{Store, StoreError};
use crate::domain::event::{Cause, Claim, Event, OnExisting, request_claim};
use crate::domain::ids::{AccountId, ResourceId};
use crate::domain::policy::Policy;
use crate::domain::resources::BillableList;
use crate::domain::row::{ChainHead, encode};

/// What became of a row that was to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was written. The head after it.
    Written(ChainHead),
    /// It was there: an earlier attempt's answer was lost, or another worker recorded the very same
    /// passing of time.
    AlreadyThere(ChainHead),
    /// Its cause has its row already, perhaps in another account's chain. Nothing was written.
    AlreadyAppended(ExistingClaim),
    /// Another account uses the chosen ID of a resource. Nothing was written.
    IdTaken(ResourceId),
    /// Its idempotency key was used for another request. Nothing was written.
    KeyReused(ExistingClaim),
    /// Another row was faster; the head after it, if that is known. Nothing was written: decide
    /// again.
    Lost(Option<ChainHead>),
}

impl Store {
    /// Appends a row after `head`, all or nothing with its claims, the resources and meters it
    /// changes (as they are in `list`) and the account's entries in the indexes. The only function
    /// that writes rows.
    ///
    /// A row with no companions costs a plain conditional put: the hourly debit of up to four
    /// resources is one write unit. An account is never appended to after a row of a newer format,
    /// because such a row makes no [`ChainHead`].
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unavailable`] the row may have been written.
    pub async fn append(
        &self,
        account: &AccountId,
        head: &ChainHead,
        event: &Event,
        list: &BillableList,
        policy: &Policy,
    ) -> Result<Appended, StoreError> {
        let new = encode(account, head, event, policy.row_format)?;
        self.put_chunks(account, &new.chunks).await?;

        let appending =
            Appending { event, before: &head.state, after: &new.head.state, account, list, policy };
        let companions = Companions {
            key: self.key_write(account, event, head.state.next_seq, new.head.format)?,
            ids: self.id_claims(&appending)?,
            rest: self.companions(&appending)?,
        };
        let row = RowItem { row: new.stored, nonce: (event.cause != Cause::Time).then(nonce) };
        let mut claims = event.claims(account);
        // A request's key is the only claim with a digest, and has its own write.
        claims.retain(|claim| claim.digest.is_none() || companions.key.is_none());
        // Every time round there is a claim less.
        loop {
            let writes = self.writes(&row, &claims, &companions)?;
            let obstacles = match self.write(&writes).await? {
                WriteOutcome::Done => return Ok(Appended::Written(new.head)),
                WriteOutcome::Refused(obstacles) => obstacles,
            };
            match self.judge(&row, &new.head, &claims, &companions, obstacles).await? {
                AppendVerdict::Final(appended) => return Ok(*appended),
                AppendVerdict::Without(key) => claims.retain(|claim| claim.key != key),
            }
        }
    }

    /// The row first, then the claims, then the request's key, then the IDs, then the rest:
    /// [`Store::judge`] counts on it.
    fn writes(
        &self,
        row: &RowItem,
        claims: &[Claim],
        companions: &Companions,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let (account, seq, at) = (&row.row.account, row.row.seq, row.row.at);
        let mut writes = vec![self.put_in_ledger(row_item(row))?];
        for claim in claims {
            writes.push(self.put_in_ledger(claim_item(claim, account, seq, at))?);
        }
        writes.extend(companions.key.iter().flat_map(|key| key.writes.clone()));
        writes.extend(companions.ids.iter().map(|claim| claim.write.clone()));
        writes.extend_from_slice(&companions.rest);
        Ok(writes)
    }

    /// What the obstacles mean. The row's own comes before the claims': who decided before a row
    /// that is there now must decide again, and may then come to something else (a payment that was
    /// promised meanwhile is no longer unknown).
    async fn judge(
        &self,
        row: &RowItem,
        head: &ChainHead,
        claims: &[Claim],
        companions: &Companions,
        mut obstacles: Obstacles,
    ) -> Result<AppendVerdict, StoreError> {
        let (account, seq) = (&row.row.account, row.row.seq);
        let in_its_place = match obstacles.found.remove(&0) {
            Some(Some(item)) => Some(item),
            Some(None) => self.row_item(account, seq).await?,
            // Should DynamoDB not tell of every obstacle, the row may be there all the same.
            None if obstacles.earlier == EarlierAttempts::Unanswered => {
                self.row_item(account, seq).await?
            }
            None => None,
        };
        if let Some(item) = in_its_place {
            return self.in_place(&item, row, head).map(AppendVerdict::decided);
        }
        let first = claims.len() + 1;
        // A request's own key says most: whether it was used for something else.
        if let Some(key) = &companions.key {
            for (number, place) in [KeyPlace::Accounts, KeyPlace::Ledger].into_iter().enumerate() {
                if let Some(item) = obstacles.found.get(&(first + number)) {
                    let stopped = self.stop_request(account, key, place, item.as_ref());
                    return stopped.await.map(AppendVerdict::decided);
                }
            }
        }
        let mut existing: Vec<(&Claim, Option<&StoredItem>)> = claims
            .iter()
            .enumerate()
            .filter_map(|(number, claim)| {
                Some((claim, obstacles.found.get(&(number + 1))?.as_ref()))
            })
            .collect();
        existing.sort_by_key(|(claim, _)| claim.digest.is_none());
        let mut without = None;
        for (claim, item) in existing {
            match claim.on_existing {
                OnExisting::Stop => {
                    return self.stop(claim, item).await.map(AppendVerdict::decided);
                }
                OnExisting::GoOn => without = Some(claim.key.clone()),
            }
        }
        if let Some(key) = without {
            return Ok(AppendVerdict::Without(key));
        }
        let first = first + companions.key.as_ref().map_or(0, |key| key.writes.len());
        let mut ids = companions.ids.iter().enumerate();
        let taken = ids.find(|(number, _)| obstacles.found.contains_key(&(first + number)));
        Ok(AppendVerdict::decided(match taken {
            Some((_, taken)) => Appended::IdTaken(taken.id.clone()),
            None => Appended::Lost(None),
        }))
    }

    /// What it means that a row is there already.
    fn in_place(
        &self,
        item: &StoredItem,
        row: &RowItem,
        head: &ChainHead,
    ) -> Result<Appended, StoreError> {
        if is_same_row(item, row) {
            return Ok(Appended::AlreadyThere(head.clone()));
        }
        Ok(Appended::Lost(Some(self.decoded(item)?.into())))
    }

    async fn stop(&self, claim: &Claim, item: Option<&StoredItem>) -> Result<Appended, StoreError> {
        let claimed = match item {
            Some(item) => Some(claimed(&claim.key, item)?),
            None => self.claim(&claim.key).await?,
        };
        Ok(stopped(claimed, claim.digest.as_deref()))
    }

    async fn stop_request(
        &self,
        account: &AccountId,
        key: &KeyWrite,
        place: KeyPlace,
        item: Option<&StoredItem>,
    ) -> Result<Appended, StoreError> {
        let claim = request_claim(account, &key.key);
        let known = match (item, place) {
            (Some(item), KeyPlace::Accounts) => Some(key_of(&claim, account, item)?),
            (Some(item), KeyPlace::Ledger) => Some(claimed(&claim, item)?),
            (None, _) => self.known_key(place, account, &key.key, key.at).await?,
        };
        Ok(stopped(known, Some(&key.digest)))
    }
}

/// What it means that a key is used already; `None` if it is free by now. `digest` is the request's
/// if it is one.
fn stopped(known: Option<ExistingClaim>, digest: Option<&str>) -> Appended {
    match known {
        Some(known) if digest.is_some() && known.digest.as_deref() != digest => {
            Appended::KeyReused(known)
        }
        Some(known) => Appended::AlreadyAppended(known),
        None => Appended::Lost(None),
    }
}

/// What is written with a row besides its claims.
struct Companions {
    key: Option<KeyWrite>,
    ids: Vec<IdClaim>,
    rest: Vec<TransactWriteItem>,
}

enum AppendVerdict {
    Final(Box<Appended>),
    /// This claim exists, which is fine: once more without it.
    Without(String),
}

impl AppendVerdict {
    fn decided(appended: Appended) -> AppendVerdict {
        AppendVerdict::Final(Box::new(appended))
    }
}
