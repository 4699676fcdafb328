//! What is printed once everything answers.

use std::path::Path;

use tollgate_local::control::TokenRequest;
use tollgate_local::{Cloud, format_time};

/// The account of the token that is printed.
const ACCOUNT: &str = "acme";

/// Addresses, a token, a test card, and three commands to copy.
pub(crate) fn text(cloud: &Cloud, state: Option<&Path>) -> String {
    let urls = cloud.urls();
    let api = &urls.api;
    let request = TokenRequest { account: ACCOUNT.to_owned(), ..TokenRequest::default() };
    let token = cloud.token(&request).unwrap_or_default();
    let stripe = urls.stripe.as_deref().unwrap_or("https://dashboard.stripe.com/test");
    let kept = state.map_or_else(|| "nowhere".to_owned(), |state| state.display().to_string());
    let mut text = format!(
        "
  API and page    {api}/
  Stripe          {stripe}
  DynamoDB        {}   (for AWS_ENDPOINT_URL_DYNAMODB)
  The clock       {}
  State           {kept}
  Functions       {}

  Account {ACCOUNT}; its token:

    export TOKEN={token}
",
        urls.dynamodb,
        format_time(cloud.now()),
        cloud.wiring().functions.iter().map(|function| function.binary.as_str()).collect::<Vec<_>>().join(", "),
    );
    if urls.stripe.is_some() {
        text.push_str("\n  Test card 4242 4242 4242 4242, any date to come, any CVC\n");
    } else {
        let webhook = format!("{api}/v1/stripe/webhook");
        text.push_str(&format!(
            "\n  Stripe itself is used. Its events come by\n\n    stripe listen --forward-to {webhook}\n"
        ));
    }
    text.push_str(&format!(
        r#"
  Top up (then pay at the `url` of the answer):
    curl {api}/v1/checkout-sessions -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Idempotency-Key: 1' -d '{{"amount": "25.00"}}'

  Start a machine:
    curl {api}/v1/projects -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"name": "first"}}'

  An hour passes:
    curl {api}/local/clock -H 'Content-Type: application/json' -d '{{"advance": "1h"}}'

  Ctrl-C stops everything.
"#
    ));
    text
}
