//! The behavior of Stripe that the product relies on, call by call. By default the tests run with
//! the stand-in. With `STRIPE_SECRET_KEY=sk_test_…` in the environment they run with Stripe itself,
//! so that the stand-in and its users cannot be wrong in the same way.

use std::time::{SystemTime, UNIX_EPOCH};

use stripe_stand_in::StandInConfig;
use tollgate::domain::account::{RefillPurpose, TaxMode};
use tollgate::domain::ids::{AccountId, CustomerId, PaymentId};
use tollgate::domain::money::Usd;
use tollgate::domain::profile::CompanyDetails;
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::stripe::calls::{InvoiceCollection, NewInvoice, NewSession};
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata::{Purchase, PurchaseKind};
use tollgate::stripe::{Stripe, StripeError, StripeSettings};
use tollgate_tests::stand_in::serve;

struct Contract {
    stripe: Stripe,
    /// An account that Stripe has never heard of: keys and metadata of earlier runs must not meet
    /// this one's.
    account: AccountId,
    customer: CustomerId,
}

#[allow(clippy::disallowed_methods, reason = "Stripe's own clock is the machine's")]
fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).unwrap()).unwrap()
}

impl Contract {
    async fn new() -> Contract {
        let key = std::env::var("STRIPE_SECRET_KEY").ok().filter(|key| key.starts_with("sk_test_"));
        let base = match &key {
            Some(_) => None,
            None => Some(serve(StandInConfig::default(), || now().seconds()).await.1),
        };
        let settings = StripeSettings::read(|variable| match variable {
            "STRIPE_SECRET_KEY" => Some(key.clone().unwrap_or_else(|| "sk_test_local".to_owned())),
            "STRIPE_API_BASE" => base.clone(),
            _ => None,
        });
        let stripe = Stripe::new(settings.unwrap()).unwrap();
        let account: AccountId = format!("contract-{:016x}", fastrand::u64(..)).parse().unwrap();
        let email = "contract@example.com".parse().unwrap();
        let customer = stripe
            .create_customer(
                &account,
                &email,
                &CompanyDetails::default(),
                &IdempotencyKey::customer(&account),
            )
            .await
            .unwrap();
        Contract { stripe, customer: customer.id.parse().unwrap(), account }
    }

    fn purchase(&self, kind: PurchaseKind) -> Purchase {
        Purchase { account: self.account.clone(), credit: Usd::dollars(25), kind, agreement: None }
    }

    fn session(&self) -> NewSession {
        NewSession {
            customer: self.customer.clone(),
            purchase: self.purchase(PurchaseKind::TopUp),
            receipt_email: "contract@example.com".parse().unwrap(),
            expires_at: now().plus(31 * MINUTE),
            success_url: "https://billing.example/?session={CHECKOUT_SESSION_ID}".to_owned(),
            cancel_url: "https://billing.example/?checkout=canceled".to_owned(),
            notice: Some("Your card is charged $25.00 when less than $5.00 is left.".to_owned()),
        }
    }
}

#[tokio::test]
async fn repeated_key_replays_its_answer_or_refuses_new_parameters() {
    let Contract { stripe, account, customer } = Contract::new().await;
    let email = "contract@example.com".parse().unwrap();
    let again = stripe
        .create_customer(
            &account,
            &email,
            &CompanyDetails::default(),
            &IdempotencyKey::customer(&account),
        )
        .await
        .unwrap();
    assert_eq!(again.id, customer.to_string());
    let other = "other@example.com".parse().unwrap();
    let misused = stripe
        .create_customer(
            &account,
            &other,
            &CompanyDetails::default(),
            &IdempotencyKey::customer(&account),
        )
        .await;
    assert!(matches!(misused, Err(StripeError::KeyMisused { .. })), "{misused:?}");
    assert_eq!(stripe.customer(&customer).await.unwrap().id, customer.to_string());
    assert_eq!(stripe.cards_of(&customer).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_payment_page_is_open_until_it_is_expired_and_only_once() {
    let contract = Contract::new().await;
    let (stripe, new) = (&contract.stripe, contract.session());
    let session = stripe
        .create_session(&new, &IdempotencyKey::checkout(&contract.account, "one"))
        .await
        .unwrap();
    assert!(session.url.as_ref().is_some_and(|url| url.starts_with("http")), "{session:?}");
    assert_eq!(session.expires_at, Some(new.expires_at.seconds()));
    let seen = stripe.retrieve_session(&session.id).await.unwrap();
    assert_eq!(
        (&seen.id, seen.status.as_deref(), seen.payment_status.as_deref()),
        (&session.id, Some("open"), Some("unpaid"))
    );
    assert_eq!(seen.metadata, new.purchase.write());
    assert_eq!(
        stripe.expire_session(&session.id).await.unwrap().status.as_deref(),
        Some("expired")
    );
    let twice = stripe.expire_session(&session.id).await;
    assert!(matches!(twice, Err(StripeError::Rejected(_))), "{twice:?}");
}

#[tokio::test]
async fn a_refills_invoice_is_drafted_finalized_found_and_voided() {
    let contract = Contract::new().await;
    let stripe = &contract.stripe;
    let kind = PurchaseKind::Refill { attempt: 1, purpose: RefillPurpose::Threshold };
    let new = NewInvoice {
        customer: contract.customer.clone(),
        purchase: contract.purchase(kind),
        tax: TaxMode::Off,
        collection: InvoiceCollection::Charged,
    };
    let key = |step: &str| IdempotencyKey::refill(&contract.account, 1, step);
    let before = now().plus(-MINUTE);
    let draft = stripe.create_invoice(&new, &key("invoice")).await.unwrap();
    assert_eq!((draft.status.as_deref(), &draft.metadata), (Some("draft"), &new.purchase.write()));
    stripe.create_invoice_item(&draft.id, &new, &key("item")).await.unwrap();
    let open = stripe.finalize_invoice(&draft.id, &key("finalize")).await.unwrap();
    assert_eq!((open.status.as_deref(), &open.id), (Some("open"), &draft.id));
    let listed = stripe.invoices_since(&contract.customer, before).await.unwrap();
    assert_eq!(listed.iter().map(|invoice| &invoice.id).collect::<Vec<_>>(), [&draft.id]);
    let unknown = stripe.pay_invoice(&draft.id, &"pm_nothing".parse().unwrap(), &key("pay")).await;
    assert!(
        matches!(unknown, Err(StripeError::Rejected(_) | StripeError::NotFound { .. })),
        "{unknown:?}"
    );
    assert_eq!(stripe.void_invoice(&draft.id).await.unwrap().status.as_deref(), Some("void"));
    let twice = stripe.void_invoice(&draft.id).await;
    assert!(matches!(twice, Err(StripeError::Rejected(_))), "{twice:?}");
    assert_eq!(stripe.invoice(&draft.id).await.unwrap().status.as_deref(), Some("void"));
}

#[tokio::test]
async fn unknown_objects_are_not_found() {
    let Contract { stripe, .. } = Contract::new().await;
    let payment: PaymentId = "pi_nothing".parse().unwrap();
    assert!(matches!(stripe.payment_intent(&payment).await, Err(StripeError::NotFound { .. })));
    assert!(matches!(stripe.invoice("in_nothing").await, Err(StripeError::NotFound { .. })));
    assert!(matches!(
        stripe.retrieve_session("cs_test_nothing").await,
        Err(StripeError::NotFound { .. })
    ));
    assert_eq!(stripe.inspect(&payment).await.unwrap(), None);
}
