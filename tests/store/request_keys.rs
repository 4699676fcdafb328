//! Idempotency keys of requests: where they stand, when they are free, and that a request has one
//! row although functions of two formats answer it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::{Cause, KeyedRequest};
use tollgate::domain::policy::Policy;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::RowDigest;
use tollgate::domain::row_format::RowFormat;
use tollgate::store::{Appended, CommandError, CommandOutcome, Plan, Trigger};
use tollgate_tests::faults::{Calls, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named, receipt};

/// The last format whose rows have their keys in the ledger, and the first that has them in
/// `accounts`.
const IN_LEDGER: RowFormat = RowFormat::new(4);
const IN_ACCOUNTS: RowFormat = RowFormat::new(5);

/// Every pair of formats in which two functions can write at the same time.
const FORMATS: [(RowFormat, RowFormat); 4] = [
    (IN_LEDGER, IN_LEDGER),
    (IN_LEDGER, IN_ACCOUNTS),
    (IN_ACCOUNTS, IN_LEDGER),
    (IN_ACCOUNTS, IN_ACCOUNTS),
];

fn request(digest: &str) -> Cause {
    Cause::Request(KeyedRequest { key: named("route:k1"), digest: digest.to_owned() })
}

/// Alice, whose chain has no row of a format with keys in `accounts`.
async fn opened() -> Ledger {
    let mut ledger = Ledger::new().await;
    ledger.policy = writing(IN_LEDGER);
    ledger.open(ALICE, "2026-11-22T10:00:00Z").await;
    ledger.policy = Policy::default();
    ledger
}

fn writing(row_format: RowFormat) -> Policy {
    Policy { row_format, ..Policy::default() }
}

/// The request with the key `k1`: a correction of a dollar.
async fn correct(
    ledger: &Ledger,
    format: RowFormat,
    digest: &str,
    now: &str,
) -> Result<CommandOutcome, CommandError> {
    let correction = Command::Correct { amount: named("1"), reason: "a test".to_owned() };
    ask(ledger, format, digest, now, &correction).await
}

async fn ask(
    ledger: &Ledger,
    format: RowFormat,
    digest: &str,
    now: &str,
    command: &Command,
) -> Result<CommandOutcome, CommandError> {
    let (account, policy) = (named(ALICE), writing(format));
    let trigger = Trigger { policy: &policy, ..ledger.trigger(&account, at(now)) };
    let plan = |_: &AccountState| Ok(command.clone());
    ledger.store.execute(trigger, request(digest), Plan::on_state(&plan)).await
}

#[track_caller]
fn assert_answered(done: &Result<CommandOutcome, CommandError>, digest: &str, seq: u64) {
    match (done, digest) {
        (Ok(CommandOutcome::AlreadyAppended(known)), "d1") => assert_eq!(known.seq, seq),
        (Err(CommandError::Refused(Refusal::KeyReused)), "d2") => {}
        _ => panic!("{digest}: {done:?}"),
    }
}

async fn key_in_ledger(ledger: &Ledger) -> Option<HashMap<String, AttributeValue>> {
    let key = AttributeValue::S("claim#api#alice#route:k1".to_owned());
    let get = ledger.client.get_item().table_name(ledger.tables.ledger()).key("account", key);
    get.key("seq", AttributeValue::N("0".to_owned())).send().await.unwrap().item
}

async fn key_in_accounts(ledger: &Ledger) -> Option<HashMap<String, AttributeValue>> {
    let get = ledger.client.get_item().table_name(ledger.tables.accounts());
    let get = get.key("pk", AttributeValue::S("account#alice".to_owned()));
    let get = get.key("sk", AttributeValue::S("request-row#route:k1".to_owned()));
    get.send().await.unwrap().item
}

#[tokio::test]
async fn the_format_of_a_row_says_where_its_key_stands() {
    let ledger = opened().await;
    receipt(correct(&ledger, IN_LEDGER, "d1", "10:20:00").await);
    let claim = key_in_ledger(&ledger).await.unwrap();
    let expires = AttributeValue::N(at("2026-11-23T10:20:00Z").seconds().to_string());
    assert_eq!((&claim["expires"], key_in_accounts(&ledger).await), (&expires, None));

    let ledger = opened().await;
    receipt(correct(&ledger, IN_ACCOUNTS, "d1", "10:20:00").await);
    assert_eq!(key_in_ledger(&ledger).await, None);
    let key = key_in_accounts(&ledger).await.unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let expected = [
        ("pk", text("account#alice")),
        ("sk", text("request-row#route:k1")),
        ("digest", text("d1")),
        ("row", AttributeValue::N("1".to_owned())),
        ("expires", expires),
    ];
    assert_eq!(key, expected.map(|(name, value)| (name.to_owned(), value)).into());

    // A chain's format never goes back, so neither does the place.
    let ledger = opened().await;
    ledger.credit(ALICE, "pi_1", "5", "10:10:00").await;
    receipt(correct(&ledger, IN_LEDGER, "d1", "10:20:00").await);
    assert_eq!(key_in_ledger(&ledger).await, None);
    assert!(key_in_accounts(&ledger).await.is_some());
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn key_is_honored_whichever_format_answered_it_first() {
    for (first, second) in FORMATS {
        for digest in ["d1", "d2"] {
            let ledger = opened().await;
            receipt(correct(&ledger, first, "d1", "10:20:00").await);
            let again = correct(&ledger, second, digest, "10:21:00").await;
            assert_answered(&again, digest, 1);
            assert_eq!(check(&ledger, ALICE).await.count("correction"), 1, "{first} {second}");
        }
    }
}

#[tokio::test]
async fn repeat_that_would_be_refused_by_now_is_answered() {
    let close = Command::Close { reason: "a test".to_owned() };
    for (first, second) in FORMATS {
        for digest in ["d1", "d2"] {
            let ledger = opened().await;
            receipt(ask(&ledger, first, "d1", "10:20:00", &close).await);
            let again = ask(&ledger, second, digest, "10:21:00", &close).await;
            assert_answered(&again, digest, 1);
        }
    }
}

#[tokio::test]
async fn key_used_since_the_head_was_read_is_honored() {
    for (slower, faster) in FORMATS {
        for digest in ["d1", "d2"] {
            let ledger = opened().await;
            let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
            let (slow, ()) = tokio::join!(correct(&ledger, slower, digest, "10:20:00"), async {
                gate.reached().await;
                receipt(correct(&ledger, faster, "d1", "10:20:00").await);
                gate.open();
            });
            assert_answered(&slow, digest, 1);
            assert_eq!(check(&ledger, ALICE).await.count("correction"), 1, "{slower} {faster}");
        }
    }
}

/// A writer that knows the newest head, and nothing of the key, is stopped by its transaction.
#[tokio::test]
async fn transaction_is_refused_if_either_place_has_the_key() {
    for (first, second) in FORMATS {
        for digest in ["d1", "d2"] {
            let ledger = opened().await;
            receipt(correct(&ledger, first, "d1", "10:20:00").await);
            let (head, policy) = (ledger.head(ALICE).await, writing(second));
            let command = Command::Correct { amount: named("1"), reason: "a test".to_owned() };
            let cause = request(digest);
            let event = decide(&head.state, &command, cause, &policy, at("10:21:00")).unwrap();
            let list = BillableList::default();
            let appended =
                ledger.store.append(&named(ALICE), &head, &event, &list, &policy).await.unwrap();
            match (&appended, digest) {
                (Appended::AlreadyAppended(known), "d1") | (Appended::KeyReused(known), "d2") => {
                    assert_eq!(known.seq, 1);
                }
                _ => panic!("{first} {second} {digest}: {appended:?}"),
            }
        }
    }
}

#[tokio::test]
async fn expired_key_that_is_not_removed_is_free() {
    for first in [IN_LEDGER, IN_ACCOUNTS] {
        let ledger = opened().await;
        receipt(correct(&ledger, first, "d1", "10:20:00").await);
        let in_time = correct(&ledger, IN_ACCOUNTS, "d2", "2026-11-23T10:20:00Z").await;
        assert_answered(&in_time, "d2", 1);
        let answering = async |now: &str| {
            let key = named("route:k1");
            let row = ledger.store.answering_row(&named(ALICE), &key, at(now)).await.unwrap();
            row.map(|known| known.seq)
        };
        assert_eq!(answering("2026-11-23T10:20:00Z").await, Some(1));
        assert_eq!(answering("2026-11-23T10:20:01Z").await, None);

        receipt(correct(&ledger, IN_ACCOUNTS, "d2", "2026-11-23T10:20:01Z").await);
        let again = correct(&ledger, IN_ACCOUNTS, "d2", "2026-11-24T10:20:01Z").await;
        let Ok(CommandOutcome::AlreadyAppended(known)) = again else { panic!("{again:?}") };
        assert_eq!(known.seq, 2);
        let key = key_in_accounts(&ledger).await.unwrap();
        assert_eq!(key["row"], AttributeValue::N("2".to_owned()));
        check(&ledger, ALICE).await;
    }
}

#[tokio::test]
async fn a_key_costs_one_read() {
    let ledger = opened().await;
    drop(ledger.faults.take_calls());
    receipt(correct(&ledger, IN_ACCOUNTS, "d1", "10:20:00").await);
    let (query, get) = (Operation::Query, Operation::GetItem);
    let calls = ledger.faults.operations();
    // The head before the key.
    assert_eq!(calls[..2], [query.clone(), get.clone()]);
    assert_eq!(calls.iter().filter(|call| **call == get).count(), 1, "{calls:?}");
    drop(ledger.faults.take_calls());
    correct(&ledger, IN_ACCOUNTS, "d1", "10:21:00").await.unwrap();
    // The head, the key, and the list to settle what the first time may have left.
    assert_eq!(ledger.faults.operations(), [query.clone(), get, query]);
}

#[tokio::test]
async fn expired_note_of_a_request_is_free_without_its_answer() {
    let ledger = Ledger::new().await;
    let (account, key) = (named(ALICE), named("route:k1"));
    let note = async |digest: &str, now: &str| {
        let digest = RowDigest::of(&[digest]);
        ledger.store.note_request(&account, &key, &digest, at(now)).await.unwrap()
    };
    let first = note("d1", "10:20:00").await;
    ledger.store.note_answer(&account, &key, first.at, "the answer").await.unwrap();
    let known = note("d2", "2026-11-23T10:20:00Z").await;
    assert_eq!((known.digest, known.at), (first.digest, first.at));
    assert_eq!(known.answer.as_deref(), Some("the answer"));

    let next = note("d2", "2026-11-23T10:20:01Z").await;
    assert_eq!((next.at, &next.answer), (at("2026-11-23T10:20:01Z"), &None));
    // Work that took longer than its note answers nobody else's request.
    ledger.store.note_answer(&account, &key, first.at, "late").await.unwrap();
    assert_eq!(note("d2", "2026-11-23T10:21:00Z").await, next);
}
