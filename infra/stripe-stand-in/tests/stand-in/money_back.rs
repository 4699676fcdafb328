//! Refunds and disputes.

use serde_json::json;
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute};

use crate::support::{World, id, only, text};

#[tokio::test]
async fn refunds_are_partial_cumulative_and_never_more_than_was_paid() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.top_up(&customer, "4242424242424242").await;
    let intent = text(&session, "payment_intent");
    let refund = world
        .post(
            "/v1/refunds",
            &[("payment_intent", intent), ("amount", "1000"), ("metadata[a]", "b")],
        )
        .await;
    assert_eq!((text(&refund, "status"), &refund["amount"]), ("succeeded", &json!(1000)));
    let (_, error) = world
        .refused("POST", "/v1/refunds", &[("payment_intent", intent), ("amount", "1501")])
        .await;
    assert_eq!(
        text(&error, "message"),
        "Refund amount ($15.01) is greater than unrefunded amount on charge ($15.00)"
    );
    world.post("/v1/refunds", &[("charge", text(&refund, "charge"))]).await;
    let (_, error) = world.refused("POST", "/v1/refunds", &[("payment_intent", intent)]).await;
    assert_eq!(text(&error, "code"), "charge_already_refunded");
    let charge = world
        .get(&format!("/v1/charges/{}", text(&refund, "charge")), &[("expand[]", "refunds")])
        .await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(2500), &json!(true)));
    assert_eq!(charge["refunds"]["data"].as_array().unwrap().len(), 2);
    let list = world.get("/v1/refunds", &[("payment_intent", intent)]).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let told = world.events().await;
    assert_eq!(
        only(&told, &["charge.refunded", "refund.created"]),
        ["charge.refunded", "refund.created", "charge.refunded", "refund.created"]
    );
    assert!(world.told("charge.refunded").await.get("refunds").is_none(), "not since 2022-11-15");
}

#[tokio::test]
async fn a_refund_fails_later_by_its_card_or_on_demand() {
    let world = World::new().await;
    let customer = world.customer().await;
    let refund_of = async |card: &str| {
        let session = world.top_up(&customer, card).await;
        world.post("/v1/refunds", &[("payment_intent", text(&session, "payment_intent"))]).await
    };
    let fails = refund_of("4000000000005126").await;
    let arrives = refund_of("4000000000007726").await;
    let on_demand = refund_of("4242424242424242").await;
    assert_eq!((text(&fails, "status"), text(&arrives, "status")), ("succeeded", "pending"));
    world.advance(60);
    let fails = world.get(&format!("/v1/refunds/{}", id(&fails)), &[]).await;
    assert_eq!(
        (text(&fails, "status"), text(&fails, "failure_reason")),
        ("failed", "lost_or_stolen_card")
    );
    let charge = world.get(&format!("/v1/charges/{}", text(&fails, "charge")), &[]).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
    assert_eq!(
        world.get(&format!("/v1/refunds/{}", id(&arrives)), &[]).await["status"],
        "succeeded"
    );
    assert_eq!(world.told("refund.failed").await["id"], fails["id"]);
    world.stripe.fail_refund(&id(&on_demand)).unwrap();
    assert_eq!(world.told("refund.failed").await["id"], on_demand["id"]);
    let intent = text(&on_demand, "payment_intent");
    assert!(world.stripe.refund_in_dashboard(intent, Some(100)).unwrap().starts_with("re_"));
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_gives_it_back_if_won() {
    let world = World::new().await;
    let customer = world.customer().await;
    let by_card = world.top_up(&customer, "4000000000000259").await;
    let list =
        world.get("/v1/disputes", &[("payment_intent", text(&by_card, "payment_intent"))]).await;
    let dispute = &list["data"][0];
    assert_eq!(
        (text(dispute, "status"), text(dispute, "reason")),
        ("needs_response", "fraudulent")
    );
    assert_eq!(dispute["balance_transactions"][0]["amount"], -2500);
    let (_, error) = world
        .refused("POST", "/v1/refunds", &[("payment_intent", text(&by_card, "payment_intent"))])
        .await;
    assert_eq!(text(&error, "code"), "charge_disputed");
    world.stripe.close_dispute(&id(dispute), DisputeEnd::Won).unwrap();
    assert_eq!(text(&world.told("charge.dispute.closed").await, "status"), "won");
    assert!(world.stripe.close_dispute(&id(dispute), DisputeEnd::Won).is_err());

    let paid = world.top_up(&customer, "4242424242424242").await;
    let new = |kind| NewDispute {
        payment: text(&paid, "payment_intent").to_owned(),
        amount: Some(1000),
        reason: "product_not_received".to_owned(),
        kind,
    };
    let lost = world.stripe.dispute(&new(DisputeKind::Chargeback)).unwrap();
    world.stripe.close_dispute(&lost, DisputeEnd::Lost).unwrap();
    let lost = world.get(&format!("/v1/disputes/{lost}"), &[("expand[]", "charge")]).await;
    assert_eq!(
        (text(&lost, "status"), &lost["amount"], &lost["charge"]["disputed"]),
        ("lost", &json!(1000), &json!(true))
    );
    let inquiry = world.stripe.dispute(&new(DisputeKind::Inquiry)).unwrap();
    assert_eq!(world.stripe.object(&inquiry).unwrap()["balance_transactions"], json!([]));
    world.stripe.close_dispute(&inquiry, DisputeEnd::Won).unwrap();
    assert_eq!(text(&world.told("charge.dispute.closed").await, "status"), "warning_closed");
    let told = world.events().await;
    let disputes: Vec<&String> =
        told.iter().filter(|kind| kind.starts_with("charge.dispute")).collect();
    assert_eq!(
        disputes,
        [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
            "charge.dispute.funds_reinstated",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
            "charge.dispute.created",
            "charge.dispute.closed",
        ]
    );
}

/// Stripe's documentation calls a lost dispute with a returned part "partially won".
#[tokio::test]
async fn disputes_close_again_with_other_outcomes_and_amounts() {
    let world = World::new().await;
    let customer = world.customer().await;
    let paid = world.top_up(&customer, "4242424242424242").await;
    let new = NewDispute {
        payment: text(&paid, "payment_intent").to_owned(),
        amount: Some(2600),
        reason: "fraudulent".to_owned(),
        kind: DisputeKind::Chargeback,
    };
    let dispute = world.stripe.dispute(&new).unwrap();
    for (end, status, moved) in [
        (DisputeEnd::Lost, "lost", &[-2600][..]),
        (DisputeEnd::LostInPart(600), "lost", &[-2600, 600]),
        (DisputeEnd::Won, "won", &[-2600, 600, 2000]),
        (DisputeEnd::Lost, "lost", &[-2600, 600, 2000, -2600]),
        (DisputeEnd::Prevented, "prevented", &[-2600, 600, 2000, -2600]),
    ] {
        world.stripe.close_dispute(&dispute, end).unwrap();
        assert!(world.stripe.close_dispute(&dispute, end).is_err(), "{end:?}");
        let told = world.get(&format!("/v1/disputes/{dispute}"), &[]).await;
        let amounts = told["balance_transactions"].as_array().unwrap().iter();
        let amounts: Vec<i64> = amounts.map(|moved| moved["amount"].as_i64().unwrap()).collect();
        assert_eq!((text(&told, "status"), amounts.as_slice()), (status, moved), "{end:?}");
    }
}
