//! The ledger on DynamoDB: rows, conflicts, claims, pages, and the indexes.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::account::{AccountState, PendingPayment, Standing};
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::{Cause, Event, KeyedRequest, PaymentFacts, PendingEnd, TakeBack};
use tollgate::domain::ids::{AccountId, PaymentId};
use tollgate::domain::payment_records::{RecordedTotals, TakenTotals};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::ChainHead;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::TriggerDelivery;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::DAY;
use tollgate::store::{
    Appended, CommandError, CommandOutcome, IndexShard, Plan, RecordOutcome, RowOrder, StoreError,
    TakenPart, Trigger,
};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named, new_resources, project, receipt, topup};

fn alice() -> AccountId {
    named(ALICE)
}

fn request(key: &str, digest: &str) -> Cause {
    Cause::Request(KeyedRequest { key: named(key), digest: digest.to_owned() })
}

/// A staff's correction, decided after a head.
fn correction(ledger: &Ledger, head: &ChainHead, amount: &str) -> Event {
    let command = Command::Correct { amount: named(amount), reason: "a test".to_owned() };
    decide(&head.state, &command, Cause::Command, &ledger.policy, at("11:00:00")).unwrap()
}

async fn append(ledger: &Ledger, head: &ChainHead, event: &Event) -> Appended {
    ledger
        .store
        .append(&alice(), head, event, &BillableList::default(), &ledger.policy)
        .await
        .unwrap()
}

#[tokio::test]
async fn second_opening_of_an_account_is_refused() {
    let ledger = Ledger::new().await;
    assert_eq!(
        ledger.undisturbed.head(&alice()).await,
        Ok(None),
        "there is nothing before the first row"
    );
    assert_eq!(ledger.open(ALICE, "10:00:00").await.row.seq, 0);
    let alice = alice();
    let again = ledger.trigger(&alice, at("10:00:01"));
    let again = ledger
        .store
        .execute(
            again,
            Cause::Command,
            Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(Command::Open)),
        )
        .await;
    assert_eq!(again, Err(CommandError::Refused(Refusal::AccountAlreadyOpen)));
    assert_eq!(check(&ledger, ALICE).await.rows.len(), 1);
}

#[tokio::test]
async fn of_two_simultaneous_openings_one_is_refused() {
    let ledger = Ledger::new().await;
    let alice = alice();
    let open = || {
        ledger.store.execute(
            ledger.trigger(&alice, at("10:00:00")),
            Cause::Command,
            Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(Command::Open)),
        )
    };
    let gate = ledger.faults.gate_before(Calls::of(Operation::PutItem).first(1));
    let (first, second) = tokio::join!(open(), async {
        gate.reached().await;
        let second = open().await;
        gate.open();
        second
    });
    assert_eq!(receipt(second).row.seq, 0);
    assert_eq!(first, Err(CommandError::Refused(Refusal::AccountAlreadyOpen)));
    assert_eq!(check(&ledger, ALICE).await.rows.len(), 1);
}

#[tokio::test]
async fn a_command_for_an_account_that_is_not_open_is_refused() {
    let ledger = Ledger::new().await;
    let refused = ledger.try_credit(ALICE, "pi_1", "10", "10:00:00").await;
    assert_eq!(refused, Err(CommandError::Refused(Refusal::AccountNotOpen)));
    let refused = ledger.try_start(Cause::Command, ALICE, "vm", &["r1"], "10:00:00").await;
    assert_eq!(refused, Err(CommandError::Refused(Refusal::AccountNotOpen)));
}

#[tokio::test]
async fn the_loser_of_a_race_is_given_the_winning_row() {
    let ledger = Ledger::with_credit("10").await;
    let head = ledger.head(ALICE).await;
    let (ours, theirs) = (correction(&ledger, &head, "1"), correction(&ledger, &head, "2"));
    let Appended::Written(winner) = append(&ledger, &head, &theirs).await else {
        panic!("not written")
    };
    assert_eq!(append(&ledger, &head, &ours).await, Appended::Lost(Some(winner)));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("12"));
}

#[tokio::test]
async fn row_with_a_lost_answer_is_recognized_as_own() {
    for fault in
        [DynamoFault::AnswerLost, DynamoFault::InternalErrorApplied, DynamoFault::AppliedTwice]
    {
        let ledger = Ledger::with_credit("10").await;
        ledger.faults.set(Calls::of(Operation::PutItem).first(1), fault);
        let head = ledger.head(ALICE).await;
        let event = correction(&ledger, &head, "1");
        let Appended::AlreadyThere(head) = append(&ledger, &head, &event).await else {
            panic!("{fault:?}")
        };
        assert_eq!(head, ledger.head(ALICE).await);
        assert_eq!(check(&ledger, ALICE).await.balance(), named("11"), "{fault:?}");
    }
}

#[tokio::test]
async fn transaction_with_a_lost_answer_is_recognized_as_own() {
    for fault in
        [DynamoFault::AnswerLost, DynamoFault::InternalErrorApplied, DynamoFault::AppliedTwice]
    {
        let ledger = Ledger::with_credit("10").await;
        ledger.faults.set(Calls::of(Operation::TransactWriteItems).first(1), fault);
        ledger.credit(ALICE, "pi_2", "5", "11:00:00").await;
        ledger.faults.set(Calls::of(Operation::TransactWriteItems).first(1), fault);
        ledger.start(ALICE, "vm", &["r1"], "11:00:00").await;
        let account = check(&ledger, ALICE).await;
        assert_eq!((account.rows.len(), account.balance()), (4, named("14.4")), "{fault:?}");
    }
}

#[tokio::test]
async fn equal_corrections_in_one_second_are_both_recorded() {
    let ledger = Ledger::with_credit("10").await;
    let head = ledger.head(ALICE).await;
    let event = correction(&ledger, &head, "1");
    let Appended::Written(winner) = append(&ledger, &head, &event).await else {
        panic!("not written")
    };
    assert_eq!(append(&ledger, &head, &event).await, Appended::Lost(Some(winner)));
}

#[tokio::test]
async fn two_workers_record_the_same_hour_once() {
    let ledger = Ledger::with_credit("10").await;
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::PutItem).first(1));
    let (first, second) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        let second = ledger.settle(ALICE, "11:00:00").await;
        gate.open();
        second
    });
    assert_eq!((first.found, first.already_there, first.lost), (1, 1, 0));
    assert_eq!((second.found, second.appended), (1, 1));
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("usage"), account.balance()), (1, named("9")));
}

#[tokio::test]
async fn a_payment_is_credited_once_and_its_claim_leads_to_its_row() {
    let ledger = Ledger::with_credit("10").await;
    let again = ledger.try_credit(ALICE, "pi_first", "10", "10:05:00").await.unwrap();
    let CommandOutcome::AlreadyAppended(claimed) = again else { panic!("credited twice") };
    assert_eq!((claimed.account, claimed.seq), (alice(), 1));
    let credited = ledger.store.credited(&named("pi_first")).await.unwrap().unwrap();
    assert_eq!((credited.seq, credited.facts), (1, topup("pi_first", "10")));
    assert_eq!(ledger.store.credited(&named("pi_other")).await, Ok(None));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("10"));
}

#[tokio::test]
async fn payment_credited_elsewhere_is_reported_with_its_account() {
    let ledger = Ledger::with_credit("10").await;
    ledger.open("bob", "10:00:00").await;
    let CommandOutcome::AlreadyAppended(claimed) =
        ledger.try_credit("bob", "pi_first", "10", "10:05:00").await.unwrap()
    else {
        panic!("credited twice")
    };
    assert_eq!(claimed.account, alice());
    assert_eq!(check(&ledger, "bob").await.balance(), named("0"));
}

#[tokio::test]
async fn credit_with_an_existing_pending_mark_is_appended() {
    let ledger = Ledger::with_credit("10").await;
    let alice = alice();
    let promise = |payment: &str| {
        let pending = PendingPayment {
            payment: named(payment),
            amount: named("5"),
            expires_at: at("2026-12-22T10:00:00Z"),
        };
        move |_: &AccountState| Ok(Command::AwaitPayment(pending.clone()))
    };
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    receipt(ledger.store.execute(trigger, Cause::Stripe, Plan::on_state(&promise("pi_2"))).await);
    ledger.credit(ALICE, "pi_2", "5", "10:20:00").await;
    assert_eq!(ledger.head(ALICE).await.state.pending, []);

    ledger.credit(ALICE, "pi_3", "5", "10:20:00").await;
    let late = ledger
        .store
        .execute(trigger, Cause::Stripe, Plan::on_state(&promise("pi_3")))
        .await
        .unwrap();
    assert!(
        matches!(late, CommandOutcome::AlreadyAppended(_)),
        "a promise after the payment says nothing: {late:?}"
    );
    assert_eq!(check(&ledger, ALICE).await.balance(), named("20"));
}

#[tokio::test]
async fn a_failure_that_races_with_its_promise_ends_it() {
    let ledger = Ledger::with_credit("10").await;
    let (alice, payment) = (alice(), named::<PaymentId>("pi_2"));
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let fail = |_: &AccountState| {
        Ok(Command::EndPayment { payment: payment.clone(), how: PendingEnd::Failed })
    };
    let pending = PendingPayment {
        payment: payment.clone(),
        amount: named("5"),
        expires_at: at("2026-12-22T10:00:00Z"),
    };
    let promise = |_: &AccountState| Ok(Command::AwaitPayment(pending.clone()));
    let (ended, ()) =
        tokio::join!(ledger.store.execute(trigger, Cause::Stripe, Plan::on_state(&fail)), async {
            gate.reached().await;
            receipt(
                ledger.undisturbed.execute(trigger, Cause::Stripe, Plan::on_state(&promise)).await,
            );
            gate.open();
        });
    assert_eq!(receipt(ended).row.seq, 3);
    assert_eq!(ledger.head(ALICE).await.state.pending, []);
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn refund_reversal_returns_once_in_either_order() {
    let ledger = Ledger::with_credit("10").await;
    let alice = alice();
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    let of = topup("pi_first", "10");
    let cents = TakenPart::Cents(400);
    let by = TakeBack::Refund(named("re_1"));
    receipt(ledger.store.execute(trigger, Cause::Stripe, Plan::take_back(&by, &of, cents)).await);
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("6"));
    receipt(ledger.store.execute(trigger, Cause::Stripe, Plan::give_back(&by, &of, 400)).await);
    let again =
        ledger.store.execute(trigger, Cause::Stripe, Plan::give_back(&by, &of, 400)).await.unwrap();
    assert!(matches!(again, CommandOutcome::AlreadyAppended(_)));
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("10"));

    let by = TakeBack::Refund(named("re_2"));
    receipt(ledger.store.execute(trigger, Cause::Stripe, Plan::give_back(&by, &of, 400)).await);
    let late = ledger.store.execute(trigger, Cause::Stripe, Plan::take_back(&by, &of, cents)).await;
    assert!(matches!(late, Ok(CommandOutcome::AlreadyAppended(_))));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("10"));
}

#[tokio::test]
async fn reversal_racing_its_refund_returns_what_was_taken() {
    let ledger = Ledger::with_credit("10").await;
    let alice = alice();
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    let (by, of) = (TakeBack::Refund(named("re_1")), topup("pi_first", "10"));
    let take = Plan::take_back(&by, &of, TakenPart::Cents(400));
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let (given, ()) = tokio::join!(
        ledger.store.execute(trigger, Cause::Stripe, Plan::give_back(&by, &of, 400)),
        async {
            gate.reached().await;
            let taken = ledger.undisturbed.execute(trigger, Cause::Stripe, take).await;
            assert_eq!(receipt(taken).head.state.balance(), named("6"));
            gate.open();
        }
    );
    assert_eq!(receipt(given).head.state.balance(), named("10"));
    check(&ledger, ALICE).await;
}

/// The head was read, and what its own transaction wrote beside it was not visible yet.
#[tokio::test]
async fn row_decided_on_totals_that_are_not_the_newest_is_lost() {
    let ledger = Ledger::with_credit("10").await;
    let alice = alice();
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    let of = topup("pi_first", "10");
    let by = TakeBack::Refund(named("re_1"));
    let first = Plan::take_back(&by, &of, TakenPart::Cents(400));
    receipt(ledger.store.execute(trigger, Cause::Stripe, first).await);
    let head = ledger.head(ALICE).await;
    let (by, before) = (TakeBack::Refund(named("re_2")), RecordedTotals::default());
    let stale = Command::TakeBack { by: by.clone(), of: of.clone(), cents: 100, before };
    let event = decide(&head.state, &stale, Cause::Stripe, &ledger.policy, at("10:10:00")).unwrap();
    let list = BillableList::default();
    let appended = ledger.store.append(&alice, &head, &event, &list, &ledger.policy).await;
    assert_eq!(appended, Ok(Appended::Lost(None)));
    let second = Plan::take_back(&by, &of, TakenPart::Cents(100));
    receipt(ledger.store.execute(trigger, Cause::Stripe, second).await);
    assert_eq!(check(&ledger, ALICE).await.balance(), named("5"));
}

#[tokio::test]
async fn two_refunds_at_once_add_up_to_the_micro_dollar() {
    let ledger = Ledger::with_credit("10").await;
    let alice = alice();
    let trigger = ledger.trigger(&alice, at("10:10:00"));
    let of = PaymentFacts { received_cents: 1_190, ..topup("pi_first", "10") };
    let (one, other) = (TakeBack::Refund(named("re_1")), TakeBack::Refund(named("re_2")));
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
    let first = Plan::take_back(&one, &of, TakenPart::Cents(333));
    // It read what was taken before the other row was there.
    let (slow, ()) = tokio::join!(ledger.store.execute(trigger, Cause::Stripe, first), async {
        gate.reached().await;
        let second = Plan::take_back(&other, &of, TakenPart::AtMostLeft(857));
        receipt(ledger.undisturbed.execute(trigger, Cause::Stripe, second).await);
        gate.open();
    });
    assert_eq!(receipt(slow).head.state.balance(), named("0"));
    let records = ledger.undisturbed.payment_records(&alice, &of.payment).await.unwrap();
    assert_eq!(records.taken, Some(TakenTotals { cents: 1_190, credit: named("10") }));
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn a_request_is_answered_once_and_its_key_is_good_for_no_other() {
    let ledger = Ledger::with_credit("10").await;
    let first = receipt(
        ledger.try_start(request("start/k1", "d1"), ALICE, "vm", &["r1"], "10:20:00").await,
    );
    let again = ledger
        .try_start(request("start/k1", "d1"), ALICE, "vm", &["r1"], "10:21:00")
        .await
        .unwrap();
    let CommandOutcome::AlreadyAppended(claimed) = again else { panic!("started twice") };
    assert_eq!((claimed.account, claimed.seq), (alice(), first.row.seq));
    let other = ledger.try_start(request("start/k1", "d2"), ALICE, "vm", &["r2"], "10:21:00").await;
    assert_eq!(other, Err(CommandError::Refused(Refusal::KeyReused)));
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn second_of_two_equal_requests_gets_the_firsts_outcome() {
    for (digest, expected) in
        [("d1", Ok(())), ("d2", Err(CommandError::Refused(Refusal::KeyReused)))]
    {
        let ledger = Ledger::with_credit("10").await;
        let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).first(1));
        let (first, ()) = tokio::join!(
            ledger.try_start(request("start/k1", digest), ALICE, "vm", &["r1"], "10:20:00"),
            async {
                gate.reached().await;
                receipt(
                    ledger
                        .try_start(request("start/k1", "d1"), ALICE, "vm", &["r2"], "10:20:00")
                        .await,
                );
                gate.open();
            }
        );
        let first = first
            .map(|done| assert!(matches!(done, CommandOutcome::AlreadyAppended(_)), "{done:?}"));
        assert_eq!(first, expected);
        assert_eq!(check(&ledger, ALICE).await.count("started"), 1);
    }
}

#[tokio::test]
async fn look_up_leads_to_account_and_row_and_never_changes() {
    let ledger = Ledger::with_credit("10").await;
    ledger.store.note_look_ups(&alice(), 1, &["cs_1", "ch_1"]).await.unwrap();
    ledger.store.note_look_ups(&named("mallory"), 7, &["ch_1", "in_1"]).await.unwrap();
    let leads = async |id: &str| {
        let claimed = ledger.store.look_up(id).await.unwrap();
        claimed.map(|claimed| (claimed.account.to_string(), claimed.seq))
    };
    assert_eq!(leads("cs_1").await, Some(("alice".to_owned(), 1)));
    assert_eq!(leads("ch_1").await, Some(("alice".to_owned(), 1)));
    assert_eq!(leads("in_1").await, Some(("mallory".to_owned(), 7)));
    assert_eq!(leads("re_1").await, None);
    // The owner of an object was known before any row. This must not block the later row.
    ledger.store.note_owner(&alice(), "cs_2").await.unwrap();
    ledger.store.note_owner(&named("mallory"), "cs_2").await.unwrap();
    assert_eq!(leads("cs_2").await, None);
    ledger.store.note_look_ups(&alice(), 1, &["cs_2"]).await.unwrap();
    assert_eq!(leads("cs_2").await, Some(("alice".to_owned(), 1)));
    assert_eq!(ledger.store.owner("cs_2").await.unwrap(), Some(alice()));
    assert_eq!(ledger.store.owner("cs_3").await.unwrap(), None);
}

#[tokio::test]
async fn look_up_returns_an_objects_owner() {
    let ledger = Ledger::with_credit("10").await;
    ledger.store.note_look_ups(&alice(), 0, &["cus_1"]).await.unwrap();
    assert_eq!(ledger.store.owner("cus_1").await.unwrap(), Some(alice()));
    // A noted owner is found first, with one read.
    ledger.store.note_look_ups(&alice(), 1, &["cs_1"]).await.unwrap();
    ledger.store.note_owner(&named("bob"), "cs_1").await.unwrap();
    drop(ledger.faults.take_calls());
    assert_eq!(ledger.store.owner("cs_1").await.unwrap(), Some(named("bob")));
    assert_eq!(ledger.faults.operations(), [Operation::GetItem]);
}

#[tokio::test]
async fn rows_are_paged_in_either_order_with_short_pages() {
    let ledger = Ledger::with_credit("10").await;
    for payment in ["pi_2", "pi_3", "pi_4"] {
        ledger.credit(ALICE, payment, "5", "11:00:00").await;
    }
    let all = async |order, limit| {
        let (mut seqs, mut rest, mut pages) = (Vec::new(), Some(0..u64::MAX), 0);
        while let Some(numbers) = rest {
            let page = ledger.store.rows(&alice(), numbers, order, limit).await.unwrap();
            seqs.extend(page.rows.iter().map(|row| row.seq));
            (rest, pages) = (page.rest, pages + 1);
        }
        (seqs, pages)
    };
    assert_eq!(all(RowOrder::OldestFirst, 100).await, (vec![0, 1, 2, 3, 4], 1));
    assert_eq!(all(RowOrder::OldestFirst, 2).await, (vec![0, 1, 2, 3, 4], 3));
    assert_eq!(all(RowOrder::NewestFirst, 2).await, (vec![4, 3, 2, 1, 0], 3));
    ledger.faults.set(Calls::of(Operation::Query), DynamoFault::ShortPage);
    assert_eq!(all(RowOrder::OldestFirst, 100).await.0, [0, 1, 2, 3, 4]);
    assert_eq!(all(RowOrder::NewestFirst, 100).await.0, [4, 3, 2, 1, 0]);
    let page = ledger.undisturbed.rows(&alice(), 1..3, RowOrder::OldestFirst, 100).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn rows_of_a_stretch_of_time_are_found_by_halving() {
    let ledger = Ledger::with_credit("100").await;
    for (number, time) in ["11:00:00", "11:00:00", "11:30:00", "12:00:00"].iter().enumerate() {
        ledger.credit(ALICE, &format!("pi_{number}"), "1", time).await;
    }
    let between = async |from: &str, until: &str| {
        let numbers = ledger.store.numbers_between(&alice(), at(from), at(until)).await.unwrap();
        (numbers.start, numbers.end)
    };
    assert_eq!(between("10:00:00", "11:00:00").await, (0, 2));
    assert_eq!(between("11:00:00", "11:00:01").await, (2, 4));
    assert_eq!(between("11:00:01", "12:00:00").await, (4, 5));
    assert_eq!(between("12:00:01", "13:00:00").await, (6, 6));
    assert_eq!(between("00:00:00", "23:00:00").await, (0, 6));
    let nobody =
        ledger.store.numbers_between(&named("nobody"), at("10:00:00"), at("11:00:00")).await;
    assert_eq!(nobody, Ok(0..0));
}

#[tokio::test]
async fn indexes_hold_running_accounts_and_next_deadlines() {
    let ledger = Ledger::with_credit("10").await;
    let billable = async || {
        let page = ledger.store.billable(IndexShard::of(&alice()), None, 10).await.unwrap();
        page.accounts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let due = async |until: &str| {
        let page = ledger.store.due(IndexShard::of(&alice()), at(until), None, 10).await.unwrap();
        page.accounts.iter().map(|due| due.due_at.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(billable().await, [] as [&str; 0]);
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    assert_eq!(billable().await, ["alice"]);
    assert_eq!(
        due("2027-01-01T00:00:00Z").await,
        [] as [&str; 0],
        "full hours are the hourly run's"
    );

    ledger.grant(ALICE, "3", "13:00:00", "10:30:00").await;
    assert_eq!(due("13:00:00").await, ["2026-11-22T13:00:00Z"]);
    assert_eq!(due("12:59:59").await, [] as [&str; 0]);
    ledger.grant(ALICE, "3", "11:30:00", "10:30:00").await;
    assert_eq!(
        due("13:00:00").await,
        ["2026-11-22T12:00:00Z"],
        "the deadline moved, and there is one entry"
    );

    ledger.stop(ALICE, &["r1"], "10:40:00").await;
    assert_eq!(billable().await, [] as [&str; 0]);
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn full_hour_is_two_reads_and_one_put_without_indexes() {
    let ledger = Ledger::with_credit("10").await;
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    drop(ledger.faults.take_calls());
    assert_eq!(ledger.settle(ALICE, "11:00:00").await.appended, 1);
    assert_eq!(
        ledger.faults.operations(),
        [Operation::Query, Operation::Query, Operation::PutItem]
    );
    let calls = ledger.faults.take_calls();
    assert_eq!(calls[2].json()["TableName"], ledger.tables.ledger());
    assert_eq!(ledger.settle(ALICE, "11:00:00").await.found, 0);
    assert_eq!(ledger.faults.operations(), [Operation::Query, Operation::Query]);
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn indexes_are_paged_and_each_account_is_in_one_shard() {
    let ledger = Ledger::new().await;
    let accounts: BTreeSet<String> = (0..150).map(|number| format!("account-{number}")).collect();
    for account in &accounts {
        ledger.open(account, "10:00:00").await;
        ledger.grant(account, "10", "12:30:00", "10:00:00").await;
        ledger.start(account, "vm", &[&format!("vm-of-{account}")], "10:20:00").await;
    }
    let (mut billable, mut due) = (Vec::new(), Vec::new());
    for shard in IndexShard::all() {
        let mut after = None;
        loop {
            let page = ledger.store.billable(shard, after.as_ref(), 2).await.unwrap();
            assert!(
                page.accounts.len() <= 2
                    && page.accounts.iter().all(|account| IndexShard::of(account) == shard)
            );
            billable.extend(page.accounts.iter().map(ToString::to_string));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = ledger.store.due(shard, at("13:00:00"), after.as_ref(), 2).await.unwrap();
            due.extend(page.accounts.iter().map(|due| due.account.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    assert_eq!((billable.len(), due.len()), (150, 150));
    assert_eq!(billable.into_iter().collect::<BTreeSet<_>>(), accounts);
    assert_eq!(due.into_iter().collect::<BTreeSet<_>>(), accounts);
    assert_eq!(
        (IndexShard::new(63).map(IndexShard::number), IndexShard::new(64)),
        (Some(63), None)
    );
}

#[tokio::test]
async fn an_account_of_a_newer_release_is_never_appended_to() {
    let ledger = Ledger::with_credit("10").await;
    let put = ledger.client.put_item().table_name(ledger.tables.ledger());
    put.item("account", AttributeValue::S(ALICE.to_owned()))
        .item("seq", AttributeValue::N("2".to_owned()))
        .item("at", AttributeValue::N(at("10:30:00").seconds().to_string()))
        .item("type", AttributeValue::S("unheard_of".to_owned()))
        .item("amount", AttributeValue::N("0".to_owned()))
        .item("balance", AttributeValue::N("10".to_owned()))
        .item("body", AttributeValue::S(r#"{"v":7,"anything":{}}"#.to_owned()))
        .send()
        .await
        .unwrap();
    drop(ledger.faults.take_calls());
    let newer = StoreError::NewerFormat { seq: 2, found: RowFormat::new(7) };
    assert_eq!(ledger.try_settle(ALICE, "11:00:00").await, Err(newer.clone()));
    let refused = ledger.try_credit(ALICE, "pi_2", "10", "11:00:00").await;
    assert_eq!(refused, Err(CommandError::Fault(newer.clone())));
    assert!(!newer.may_retry());
    assert!(
        ledger.faults.operations().iter().all(|operation| *operation == Operation::Query),
        "nothing is written"
    );
}

#[tokio::test]
async fn command_gives_up_when_a_newer_releases_row_appears() {
    let ledger = Ledger::with_credit("10").await;
    let head = ledger.head(ALICE).await;
    let put = ledger.client.put_item().table_name(ledger.tables.ledger());
    put.item("account", AttributeValue::S(ALICE.to_owned()))
        .item("seq", AttributeValue::N("2".to_owned()))
        .item("at", AttributeValue::N("1".to_owned()))
        .item("type", AttributeValue::S("unheard_of".to_owned()))
        .item("amount", AttributeValue::N("0".to_owned()))
        .item("balance", AttributeValue::N("10".to_owned()))
        .item("body", AttributeValue::S(r#"{"v":7}"#.to_owned()))
        .send()
        .await
        .unwrap();
    let event = correction(&ledger, &head, "1");
    let lost = ledger
        .store
        .append(&alice(), &head, &event, &BillableList::default(), &ledger.policy)
        .await;
    assert_eq!(lost, Err(StoreError::NewerFormat { seq: 2, found: RowFormat::new(7) }));
}

#[tokio::test]
async fn trigger_behind_the_last_row_gets_its_time_and_reports_it() {
    let ledger = Ledger::with_credit("10").await;
    let receipt = ledger.credit(ALICE, "pi_2", "5", "09:58:00").await;
    assert_eq!(receipt.row.event.at, at("10:00:00"));
    assert_eq!(
        (receipt.report.clock_behind_seconds, receipt.report.is_clock_alarm()),
        (120, false)
    );
    let receipt = ledger.credit(ALICE, "pi_3", "5", "09:54:59").await;
    assert!(receipt.report.is_clock_alarm());
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn a_trigger_that_waited_in_a_queue_warns_of_no_deletion() {
    let ledger = Ledger::new().await;
    let alice = alice();
    ledger.open(ALICE, "10:00:00").await;
    ledger.credit(ALICE, "pi_1", "5", "10:00:00").await;
    ledger.start(ALICE, "big", &["a"], "11:00:00").await;
    ledger.settle(ALICE, "23:00:00").await;
    let Standing::Suspended(suspension) = ledger.head(ALICE).await.state.standing else {
        panic!("not suspended")
    };
    let (warn_at, delete_at) = (suspension.warn_at.unwrap(), suspension.delete_at.unwrap());
    // It arrives after days without a run. Its own time is long past, and would leave the customer
    // no time at all.
    let queued =
        Trigger { delivery: TriggerDelivery::Queued, ..ledger.trigger(&alice, warn_at.plus(60)) };
    assert_eq!(ledger.store.settle(queued).await.unwrap().found, 0);
    let late = Trigger {
        delivery: TriggerDelivery::Queued,
        ..ledger.trigger(&alice, delete_at.plus(DAY))
    };
    assert_eq!(ledger.store.settle(late).await.unwrap().found, 0);
    // The next minute's run warns, and from then on there is a day.
    let now = delete_at.plus(DAY + 120);
    assert_eq!(ledger.store.settle(ledger.trigger(&alice, now)).await.unwrap().appended, 1);
    let Standing::Suspended(suspension) = ledger.head(ALICE).await.state.standing else {
        panic!("not suspended")
    };
    assert_eq!(suspension.delete_at, Some(now.plus(DAY)));
}

#[tokio::test]
async fn credit_lifts_a_suspension_in_the_same_run() {
    let ledger = Ledger::with_credit("8").await;
    ledger.start(ALICE, "big", &["r1", "r2", "r3"], "10:00:00").await;
    ledger.settle(ALICE, "12:30:00").await;
    assert!(matches!(ledger.head(ALICE).await.state.standing, Standing::Suspended(_)));
    let receipt = ledger.credit(ALICE, "pi_2", "5", "12:40:00").await;
    assert_eq!((receipt.head.state.standing, receipt.report.appended), (Standing::Good, 1));
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn payment_is_credited_despite_a_broken_list_or_prices() {
    let mut ledger = Ledger::with_credit("10").await;
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let prices = std::mem::take(&mut ledger.prices);
    let credited = ledger.credit(ALICE, "pi_2", "5", "10:30:00").await;
    assert_eq!(
        credited.unsettled,
        Some(StoreError::Unpriced(Refusal::UnknownSku { sku: named("vm") }))
    );
    ledger.prices = prices;

    let delete = ledger.client.delete_item().table_name(ledger.tables.accounts());
    let key = |name: &str| AttributeValue::S(name.to_owned());
    delete
        .key("pk", key("account#alice"))
        .key("sk", key("billable#resource#r1"))
        .send()
        .await
        .unwrap();
    let credited = ledger.credit(ALICE, "pi_3", "5", "10:30:00").await;
    assert_eq!(credited.unsettled, Some(StoreError::ListDisagrees));
    assert_eq!(ledger.head(ALICE).await.state.balance(), named("19.6"));
    assert_eq!(ledger.try_settle(ALICE, "11:00:00").await, Err(StoreError::ListDisagrees));
}

#[tokio::test]
async fn a_start_that_failed_is_given_back_over_several_hours() {
    let ledger = Ledger::with_credit("10").await;
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    ledger.start(ALICE, "vm", &["r2"], "10:30:00").await;
    ledger.settle(ALICE, "12:00:00").await;
    let alice = alice();
    let trigger = ledger.trigger(&alice, at("12:30:00"));
    let failed =
        ledger.store.execute(trigger, Cause::Command, Plan::fail_start(&named("r1"))).await;
    // r1 paid $0.40, $0.60 and $0.60.
    assert_eq!(receipt(failed).row.event.amount(), named("1.6"));
    let again = ledger.store.execute(trigger, Cause::Command, Plan::fail_start(&named("r1"))).await;
    assert_eq!(again, Err(CommandError::Refused(Refusal::NotRunning { resource: named("r1") })));
    let unknown =
        ledger.store.execute(trigger, Cause::Command, Plan::fail_start(&named("r9"))).await;
    assert_eq!(
        unknown,
        Err(CommandError::Refused(Refusal::UnknownResource { resource: named("r9") }))
    );
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn a_card_that_vouched_for_one_trial_vouches_for_no_other() {
    use tollgate::domain::command::{CardFunding, CardWallet, TrialCard};
    let ledger = Ledger::new().await;
    let card = TrialCard {
        fingerprint: named("fp_1"),
        funding: CardFunding::Credit,
        wallet: CardWallet::None,
    };
    let trial =
        |_: &AccountSnapshot<'_>| Ok(Command::StartTrial { card: card.clone(), refill: None });
    let mut done = Vec::new();
    for account in [ALICE, "bob"] {
        ledger.open(account, "10:00:00").await;
        let account = named(account);
        done.push(
            ledger
                .store
                .execute(
                    ledger.trigger(&account, at("10:00:00")),
                    Cause::Command,
                    Plan::on_snapshot(&trial),
                )
                .await,
        );
    }
    assert_eq!(done.pop().unwrap(), Err(CommandError::Refused(Refusal::TrialCardUsed)));
    assert_eq!(receipt(done.pop().unwrap()).head.state.balance(), named("20"));
}

#[tokio::test]
async fn an_account_sees_its_own_projects_only() {
    let ledger = Ledger::new().await;
    let of_alice = project(&alice());
    assert_eq!(ledger.store.put_project(&of_alice).await, Ok(RecordOutcome::New));
    assert_eq!(ledger.store.put_project(&of_alice).await, Ok(RecordOutcome::Existing));
    assert_eq!(ledger.store.project(&alice(), &of_alice.id).await, Ok(Some(of_alice.clone())));
    assert_eq!(ledger.store.projects(&alice()).await, Ok(vec![of_alice.clone()]));
    assert_eq!(ledger.store.project(&named("bob"), &of_alice.id).await, Ok(None));
    assert_eq!(ledger.store.projects(&named("bob")).await, Ok(vec![]));
}

#[tokio::test]
async fn a_resource_comes_and_goes_with_its_rows() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "volume", &["v1", "v2"], "10:00:00").await;
    ledger.stop(ALICE, &["v1"], "10:30:00").await;
    ledger.settle(ALICE, "11:00:00").await;
    ledger.start_again(ALICE, &["v1"], "11:15:00").await;
    let (alice, ids) = (alice(), [named("v1"), named("v2")]);
    let delete = |view: &AccountSnapshot<'_>| tollgate::domain::resolve::delete(view, &ids);
    receipt(
        ledger
            .store
            .execute(
                ledger.trigger(&alice, at("11:30:00")),
                Cause::Command,
                Plan::on_snapshot(&delete),
            )
            .await,
    );
    assert_eq!(ledger.undisturbed.billables(&alice).await.unwrap().resources.len(), 2);
    let restore = |view: &AccountSnapshot<'_>| {
        tollgate::domain::resolve::restore(view, &[named("v2")], at("2026-11-23T10:00:00Z"))
    };
    let trigger = ledger.trigger(&alice, at("2026-11-23T10:00:00Z"));
    receipt(ledger.store.execute(trigger, Cause::Command, Plan::on_snapshot(&restore)).await);
    ledger.settle(ALICE, "2026-12-06T11:30:00Z").await;
    let left = ledger.undisturbed.billables(&alice).await.unwrap();
    assert_eq!(
        left.resources.into_keys().collect::<Vec<_>>(),
        [named("v2")],
        "v1 is gone for good"
    );
    check(&ledger, ALICE).await;
}

#[tokio::test]
async fn a_foreign_project_and_a_resource_of_that_name_are_refused() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    let again = ledger.try_start(Cause::Command, ALICE, "vm", &["r1"], "10:00:00").await;
    assert_eq!(
        again,
        Err(CommandError::Refused(Refusal::ResourceExists { resource: named("r1") }))
    );
    let (alice, foreign, new) = (alice(), project(&named("bob")), new_resources("vm", &["r2"]));
    let start = |view: &AccountSnapshot<'_>| {
        tollgate::domain::resolve::start_new(view, &foreign, &new, at("10:00:00"))
    };
    let refused = ledger
        .store
        .execute(ledger.trigger(&alice, at("10:00:00")), Cause::Command, Plan::on_snapshot(&start))
        .await;
    assert_eq!(
        refused,
        Err(CommandError::Refused(Refusal::UnknownProject { project: named("p") }))
    );
}
