//! The state that is saved between runs.

use serde_json::Value;
use stripe_stand_in::StandInConfig;

use crate::support::{HOOK, World, id, text};

#[tokio::test]
async fn what_was_saved_goes_on_where_it_ended() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    let customer = world.customer().await;
    let kept = world.keyed("k", "/v1/customers", &[]).await.unwrap().ok();
    let method = world.save_card(&customer, "4000002500003155").await;
    let session = world.session(&customer, &[]).await;
    let sent = world.due();
    assert!(!sent.is_empty());
    world.stripe.delivered(sent[0].id, Some(200));

    let saved: Value = serde_json::from_str(&world.stripe.save().unwrap().to_string()).unwrap();
    let later = World::from(StandInConfig::default(), Some(saved)).await;
    assert_eq!(later.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), kept);
    assert_eq!(later.due().len(), sent.len() - 1, "what was not answered is sent again");
    let invoice = later.open_invoice(&customer).await;
    assert_eq!(
        text(&later.pay(&invoice, &method).await.ok(), "status"),
        "paid",
        "it remembers the card's number"
    );
    later
        .browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")]))
        .await
        .location();
    assert_ne!(later.customer().await, customer, "ids go on");
    later.advance(25 * 3600);
    assert_eq!(later.stripe.calls().len(), world.stripe.calls().len() + 6);
}
