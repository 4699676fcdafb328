//! The cost of the hourly debit: one write unit of 1,024 bytes, for up to four resources and one
//! grant.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::account::{
    AccountState, Grant, GrantKind, RefillAgreement, RefillState, TrialPhase, TrialState,
};
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::Cause;
use tollgate::domain::ids::AccountId;
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::{ChainHead, RowDigest};
use tollgate::domain::row_format::RowFormat;
use tollgate::store::{Appended, Plan, Store};
use tollgate_tests::capacity::CapacityMeter;
use tollgate_tests::faults::Operation;
use tollgate_tests::ledger::{Ledger, at, named, new_resources, project, receipt};

/// As an identity provider names its users.
const ACCOUNT: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// A row's number after a good half year of hours.
const SEQ: u64 = 4_321;

const RESOURCES: [(&str, &str); 4] = [
    ("web", "res_4Zx81QpLm02VtYbNcW"),
    ("web", "res_7hK2Rs9dTfGjE3uXaB"),
    ("volume", "res_0Pq5WvCnJ8yMiOzLrD"),
    ("vm", "res_9aSdF6gHjK1lQwErTy"),
];

fn card() -> RefillState {
    RefillState {
        agreement: Some(RefillAgreement {
            at: at("2026-05-22T10:00:00Z"),
            threshold: named("12.5"),
            amount: named("100"),
            max_charge: None,
            target: None,
        }),
        card: Some(named("pm_1QwErTyUiOpAsDfGhJkLzXcV")),
        ..RefillState::default()
    }
}

fn grant(kind: GrantKind, remaining: &str, expires_at: &str) -> Grant {
    Grant {
        amount: named("20"),
        number: 1,
        kind,
        remaining: named(remaining),
        used: named("0"),
        given_at: Some(at("2026-11-22T10:00:00Z")),
        expires_at: at(expires_at),
        excludes: [].into(),
        payment: None,
    }
}

/// An account without a payment. The trial's grant pays for everything except domains, and a card
/// is saved for the renewal.
fn in_trial() -> AccountState {
    AccountState {
        grants: vec![Grant {
            excludes: [named("domain")].into(),
            ..grant(GrantKind::Trial, "19.283412", "2026-11-25T09:12:44Z")
        }],
        trial: Some(TrialState {
            started_at: at("2026-11-22T09:12:44Z"),
            ends_at: at("2026-11-25T09:12:44Z"),
            phase: TrialPhase::Active,
            used: named("0.716588"),
            has_renewal_terms: false,
            renewal: None,
            told: None,
        }),
        refill: card(),
        ..AccountState::default()
    }
}

/// A customer of half a year, with a bonus, refills, and a monthly cap.
fn in_good_standing() -> AccountState {
    AccountState {
        paid: named("83.120417"),
        grants: vec![grant(GrantKind::Bonus, "9.283412", "2026-12-31T00:00:00Z")],
        ever_paid: true,
        refill: RefillState {
            monthly_cap: Some(named("500")),
            attempts_so_far: 12,
            today: (at("10:00:00").day() - 3, 1),
            this_month: (at("10:00:00").month(), named("200")),
            ..card()
        },
        ..AccountState::default()
    }
}

/// An account in the midst of its life, with the four resources running since 10:20:00.
async fn in_the_midst(ledger: &Ledger, state: AccountState) -> AccountId {
    let account: AccountId = named(ACCOUNT);
    let state = AccountState { next_seq: SEQ, at: at("09:30:00"), grants_so_far: 1, ..state };
    let head =
        ChainHead { state, digest: RowDigest::of(&["the row before"]), format: RowFormat::WRITTEN };
    let command = Command::Freeze { reason: "a test".to_owned() };
    let mut known = head;
    for command in [command, Command::Unfreeze { reason: "a test".to_owned() }] {
        let event =
            decide(&known.state, &command, Cause::Command, &ledger.policy, at("09:30:00")).unwrap();
        let appended = ledger
            .store
            .append(&account, &known, &event, &BillableList::default(), &ledger.policy)
            .await
            .unwrap();
        let Appended::Written(head) = appended else { panic!("not written: {appended:?}") };
        known = head;
    }
    for (sku, id) in RESOURCES {
        let (project, new) = (project(&account), new_resources(sku, &[id]));
        let start = |view: &tollgate::domain::snapshot::AccountSnapshot<'_>| {
            tollgate::domain::resolve::start_new(view, &project, &new, at("10:20:00"))
        };
        receipt(
            ledger
                .store
                .execute(
                    ledger.trigger(&account, at("10:20:00")),
                    Cause::Command,
                    Plan::on_snapshot(&start),
                )
                .await,
        );
    }
    account
}

/// The size of an item by DynamoDB's rules: names and values as UTF-8; a number takes a byte for
/// two significant digits, one more, and one more if it is negative
/// (docs.aws.amazon.com/amazondynamodb, "DynamoDB item sizes and formats").
fn size(item: &HashMap<String, AttributeValue>) -> usize {
    let number = |digits: &str| {
        let significant = digits.trim_start_matches('-').replace('.', "");
        let significant = significant.trim_start_matches('0').trim_end_matches('0').len();
        significant.div_ceil(2) + 1 + usize::from(digits.starts_with('-'))
    };
    item.iter()
        .map(|(name, value)| {
            let value = match (value.as_s(), value.as_n()) {
                (Ok(text), _) => text.len(),
                (_, Ok(digits)) => number(digits),
                _ => panic!("a row has text and numbers only: {value:?}"),
            };
            name.len() + value
        })
        .sum()
}

async fn check_cost(name: &str, state: AccountState) {
    let ledger = Ledger::new().await;
    let account = in_the_midst(&ledger, state).await;
    let meter = CapacityMeter::default();
    let store = Store::new(meter.on(&ledger.client), ledger.names());

    let report = store.settle(ledger.trigger(&account, at("11:00:00"))).await.unwrap();
    assert_eq!(report.appended, 1);

    let head = ledger.undisturbed.head(&account).await.unwrap().unwrap();
    let key = AttributeValue::N((head.state.next_seq - 1).to_string());
    let get = ledger.client.get_item().table_name(ledger.tables.ledger());
    let get = get.key("account", AttributeValue::S(ACCOUNT.to_owned())).key("seq", key);
    let item = get.send().await.unwrap().item.unwrap();
    println!(
        "{name}: {} bytes, of which the body {}",
        size(&item),
        item["body"].as_s().unwrap().len()
    );
    println!("{}", item["body"].as_s().unwrap());
    assert_eq!(item["type"], AttributeValue::S("usage".to_owned()));
    assert!(size(&item) <= 1_024, "{name}: {} bytes", size(&item));
    let units: Vec<_> = meter
        .take()
        .iter()
        .map(|consumed| consumed.capacity_units().unwrap().to_string())
        .collect();
    assert_eq!(units, ["1"], "{name}: one write of one unit");
}

#[tokio::test]
async fn hour_of_four_resources_in_trial_is_one_write_unit() {
    check_cost("in trial", in_trial()).await;
}

#[tokio::test]
async fn hour_of_four_resources_with_a_bonus_is_one_write_unit() {
    check_cost("in good standing", in_good_standing()).await;
}

#[tokio::test]
async fn the_hourly_debit_is_two_reads_and_one_write() {
    let ledger = Ledger::new().await;
    let account = in_the_midst(&ledger, in_good_standing()).await;
    drop(ledger.faults.take_calls());
    ledger.store.settle(ledger.trigger(&account, at("11:00:00"))).await.unwrap();
    assert_eq!(
        ledger.faults.operations(),
        [Operation::Query, Operation::Query, Operation::PutItem]
    );
}
