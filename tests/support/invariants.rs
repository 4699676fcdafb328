//! The invariants of an account: the rules of the design that can be checked from outside.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::event::{
    BilledLines, BillingChange, Change, Event, KeyedRequest, OnExisting, PaymentChange,
    PaymentFacts, ResourceChange, StandingChange,
};
use tollgate::domain::ids::{AccountId, PaymentId, RequestKey, ResourceId};
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::PaymentRecords;
use tollgate::domain::resources::ResourceCondition;
use tollgate::domain::row::Row;
use tollgate::domain::settle::due::{due_at, is_billable};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::{DAY, Timestamp};
use tollgate::store::{IndexShard, RowOrder};

use crate::ledger::{Ledger, named};

/// An account that was checked.
#[derive(Clone, Debug)]
pub struct Account {
    /// All its rows, oldest first, with their lines.
    pub rows: Vec<Row>,
}

impl Account {
    /// How many rows have this `type`.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.rows.iter().filter(|row| row.event.change.name() == name).count()
    }

    #[must_use]
    pub fn balance(&self) -> Usd {
        self.rows.last().map_or(Usd::ZERO, |row| row.state.balance())
    }
}

/// Reads all data of an account and checks it.
///
/// # Panics
/// If an invariant is broken.
pub async fn check(ledger: &Ledger, account: &str) -> Account {
    let id: AccountId = named(account);
    let verified =
        ledger.undisturbed.verify(&id).await.unwrap_or_else(|fault| panic!("{account}: {fault}"));
    let rows = rows(ledger, &id).await;
    assert_eq!(rows.len() as u64, verified.rows, "{account}: no gap and no row twice");
    let sum: Usd = rows.iter().map(|row| row.event.amount()).sum();
    assert_eq!(sum, verified.head.state.balance(), "{account}: the rows add up to the balance");
    for row in &rows {
        check_money(row);
    }
    let running = check_time(&rows);
    check_claims(ledger, &id, &rows).await;
    check_list(ledger, &id, running).await;
    check_records(ledger, &id, &rows).await;
    check_schedule(ledger, &id).await;
    Account { rows }
}

/// What was taken back of each payment stands in its items: what its rows add up to, and what the
/// newest row says.
async fn check_records(ledger: &Ledger, account: &AccountId, rows: &[Row]) {
    let mut expected: BTreeMap<PaymentId, PaymentRecords> = BTreeMap::new();
    let mut taken: BTreeMap<PaymentId, (i64, Usd)> = BTreeMap::new();
    for row in rows {
        if let Some(change) = row.event.recorded() {
            expected.entry(change.payment.clone()).or_default().apply(change);
        }
        let Some((of, cents, credit)) = taken_by(row) else { continue };
        let total = taken.entry(of.payment.clone()).or_insert((0, Usd::ZERO));
        *total = (total.0 + cents, total.1 + credit);
    }
    for (payment, expected) in expected {
        let mut found = ledger.undisturbed.payment_records(account, &payment).await.expect("items");
        let mut expected = expected;
        found.disputes.sort_by(|one, other| one.dispute.cmp(&other.dispute));
        expected.disputes.sort_by(|one, other| one.dispute.cmp(&other.dispute));
        assert_eq!(found, expected, "{account}: {payment}");
        let sums = taken.get(&payment).copied().unwrap_or((0, Usd::ZERO));
        let totals = found.taken.map(|totals| (totals.cents, totals.credit));
        assert_eq!(totals, Some(sums), "{account}: {payment}");
    }
}

/// The cents and the credit that a row takes of a payment. Below zero if it gives back.
fn taken_by(row: &Row) -> Option<(&PaymentFacts, i64, Usd)> {
    let Change::Payment(change) = &row.event.change else { return None };
    match change {
        PaymentChange::TakenBack { of, cents, credit, .. }
        | PaymentChange::DisputeMoved { of, cents, credit, .. } => Some((of, *cents, *credit)),
        PaymentChange::GivenBack { of, cents, credit, known: true, .. } => {
            Some((of, -*cents, -*credit))
        }
        PaymentChange::GivenBack { known: false, .. }
        | PaymentChange::RefundSent { .. }
        | PaymentChange::Credited { .. }
        | PaymentChange::PaymentPending(_)
        | PaymentChange::PaymentEnded { .. }
        | PaymentChange::DisputeOpened { .. }
        | PaymentChange::DisputeClosed { .. }
        | PaymentChange::DisputeChanged { .. }
        | PaymentChange::FraudWarned { .. } => None,
    }
}

async fn rows(ledger: &Ledger, account: &AccountId) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut rest = Some(0..u64::MAX);
    while let Some(numbers) = rest {
        let page = ledger
            .undisturbed
            .rows(account, numbers, RowOrder::OldestFirst, 1_000)
            .await
            .expect("a page of rows");
        rows.extend(page.rows);
        rest = page.rest;
    }
    for row in &mut rows {
        if let Some(BilledLines::Chunked(_)) = row.event.change.lines() {
            let joined = ledger.undisturbed.row_with_lines(account, row.seq).await.expect("lines");
            *row = joined.expect("a row that was there");
        }
    }
    rows
}

/// Billing for time never takes a balance below zero, and no grant is below zero.
fn check_money(row: &Row) {
    let balance = row.state.balance();
    let is_for_time = matches!(
        row.event.change,
        Change::Billing(BillingChange::Usage { .. })
            | Change::Resource(ResourceChange::Started { .. })
    );
    assert!(
        !is_for_time || !row.event.amount().is_negative() || !balance.is_negative(),
        "row {} charges into {balance}",
        row.seq
    );
    assert!(
        row.state.grants.iter().all(|grant| !grant.remaining.is_negative()),
        "row {}: a grant below zero",
        row.seq
    );
}

/// No second of a running resource is charged twice or missing. The paid time of each is unbroken
/// from its start to its stop, or to the end of the paid time. Returns the running resources.
fn check_time(rows: &[Row]) -> BTreeSet<ResourceId> {
    // Paid through, by running resource.
    let mut running: BTreeMap<ResourceId, Timestamp> = BTreeMap::new();
    for row in rows {
        let (seq, now) = (row.seq, row.event.at);
        let seconds = seconds_by_resource(&row.event);
        if let Change::Resource(ResourceChange::Started { resources, through, .. }) =
            &row.event.change
        {
            for resource in resources {
                let before = running.insert(resource.id.clone(), *through);
                assert_eq!(before, None, "row {seq} starts what runs");
                assert_eq!(
                    seconds.get(&resource.id),
                    Some(&(*through - now)),
                    "row {seq} pays from now on"
                );
            }
        } else if let Change::Billing(BillingChange::Usage { from, through, .. }) =
            &row.event.change
        {
            for (id, paid) in &mut running {
                assert_eq!(
                    paid, from,
                    "row {seq}: {id} is charged twice or not at all for some seconds"
                );
                assert_eq!(seconds.get(id), Some(&(*through - *from)), "row {seq}: {id}");
                *paid = *through;
            }
        } else if let Change::Resource(
            ResourceChange::Stopped { resources, lines, .. }
            | ResourceChange::ResourcesDeleted { resources, lines, .. },
        ) = &row.event.change
        {
            for resource in resources {
                let paid = running.remove(&resource.id);
                if *lines != BilledLines::none()
                    && let (Some(paid), Some(back)) = (paid, seconds.get(&resource.id))
                {
                    assert_eq!(
                        (paid - now).max(0),
                        *back,
                        "row {seq}: the unused time of {}",
                        resource.id
                    );
                }
            }
        } else if let Change::Resource(ResourceChange::StartFailed { resource, .. }) =
            &row.event.change
        {
            running.remove(&resource.id);
        } else if matches!(row.event.change, Change::Standing(StandingChange::Suspended { .. })) {
            running.clear();
        } else if let Change::Standing(StandingChange::Resumed { resources, .. }) =
            &row.event.change
        {
            // They restart, and pay with the next row, which is of the same instant.
            running.extend(resources.iter().map(|resource| (resource.id.clone(), row.event.at)));
        }
    }
    running.into_keys().collect()
}

fn seconds_by_resource(event: &Event) -> BTreeMap<ResourceId, i64> {
    match event.change.lines() {
        Some(BilledLines::Here(lines)) => {
            lines.iter().map(|line| (line.resource.clone(), line.seconds)).collect()
        }
        Some(BilledLines::Chunked(_)) | None => BTreeMap::new(),
    }
}

/// One cause, one row: every key that may be used once was used by one row, and its claim leads
/// there.
async fn check_claims(ledger: &Ledger, account: &AccountId, rows: &[Row]) {
    let (mut used, mut by_key) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        if let Some(KeyedRequest { key, .. }) = row.event.cause.request() {
            let known = ledger.undisturbed.answering_row(account, key, row.event.at).await;
            let known = known.expect("a key is read");
            let known = known.unwrap_or_else(|| panic!("row {} has no key {key}", row.seq));
            // A later row can have the key once it has expired.
            let answering = rows.iter().find(|answering| answering.seq == known.seq);
            assert!(
                known.seq >= row.seq && answering.is_some_and(|row| has_key(&row.event, key)),
                "{key} of row {} leads to row {}",
                row.seq,
                known.seq
            );
            if let Some(before) = by_key.insert(key.clone(), row.event.at) {
                assert!(row.event.at - before > DAY, "{key} has two rows");
            }
        }
        let claims = row.event.claims(account);
        for claim in claims.into_iter().filter(|claim| claim.digest.is_none()) {
            let before = used
                .insert(claim.key.clone(), row.seq)
                .filter(|_| claim.on_existing == OnExisting::Stop);
            assert_eq!(before, None, "{} has two rows", claim.key);
            if claim.on_existing == OnExisting::Stop {
                let claimed = ledger.undisturbed.claim(&claim.key).await.expect("a claim is read");
                let claimed =
                    claimed.unwrap_or_else(|| panic!("row {} has no claim {}", row.seq, claim.key));
                assert_eq!((&claimed.account, claimed.seq), (account, row.seq), "{}", claim.key);
            }
        }
    }
}

fn has_key(event: &Event, wanted: &RequestKey) -> bool {
    event.cause.request().is_some_and(|request| request.key == *wanted)
}

/// The list of resources matches the chain.
async fn check_list(ledger: &Ledger, account: &AccountId, running: BTreeSet<ResourceId>) {
    let head = ledger.head(account.as_str()).await;
    let list = ledger.undisturbed.billables(account).await.expect("a list");
    let now_running: BTreeSet<ResourceId> = list
        .resources
        .values()
        .filter(|resource| resource.condition(&head.state) == ResourceCondition::Running)
        .map(|resource| resource.id.clone())
        .collect();
    assert_eq!(now_running, running, "{account}: what the items say is what the rows say");
    let view = AccountSnapshot::new(account, head.state, list, &ledger.prices, &ledger.policy)
        .expect("everything is priced");
    assert!(view.is_some(), "{account}: list and state agree");
}

/// The account is in the indexes as its state requires.
async fn check_schedule(ledger: &Ledger, account: &AccountId) {
    let head = ledger.head(account.as_str()).await;
    let answer = ledger
        .client
        .get_item()
        .table_name(ledger.tables.accounts())
        .key("pk", AttributeValue::S(format!("account#{account}")))
        .key("sk", AttributeValue::S("schedule".to_owned()))
        .consistent_read(true)
        .send()
        .await
        .expect("an answer");
    let item = answer.item.unwrap_or_default();
    let shard = || Some(AttributeValue::S(IndexShard::of(account).number().to_string()));
    let due = due_at(&head.state, &ledger.policy);
    let expected_due = due.map(|due| AttributeValue::N(due.seconds().to_string()));
    assert_eq!(item.get("due_at").cloned(), expected_due, "{account}: its deadline");
    assert_eq!(
        item.get("due_shard").cloned(),
        due.and_then(|_| shard()),
        "{account}: whether it is due"
    );
    let expected = if is_billable(&head.state) { shard() } else { None };
    assert_eq!(item.get("billable_shard").cloned(), expected, "{account}: whether it is billable");
}
