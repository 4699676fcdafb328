//! The text that is printed once everything answers.

use std::path::Path;

use crate::control::cloud::{Cloud, format_time};
use crate::control::routes::TokenRequest;
use crate::control::seed::{ACCOUNT, PRICES, Seed};

/// Addresses, prices, a token, a test card, and three commands to copy.
pub fn text(cloud: &Cloud, state: Option<&Path>, seed: Option<&Seed>) -> String {
    let urls = cloud.urls();
    let api = &urls.api;
    let stripe = urls.stripe.as_deref().unwrap_or("https://dashboard.stripe.com/test");
    let kept = state.map_or_else(|| "not kept".to_owned(), |state| state.display().to_string());
    let functions = cloud.wiring().functions.iter().map(|function| function.binary.as_str());
    let mut text = format!(
        "
  Page        {api}/
  Stripe      {stripe}
  DynamoDB    {}   (for AWS_ENDPOINT_URL_DYNAMODB)
  Clock       {}
  State       {kept}
  Functions   {}
",
        urls.dynamodb,
        format_time(cloud.now()),
        functions.collect::<Vec<_>>().join(", "),
    );
    if let Some(seed) = seed {
        text.push_str(&to_try(cloud, seed));
    }
    if urls.stripe.is_none() {
        let webhook = format!("{api}/v1/stripe/webhook");
        text.push_str(&format!(
            "\n  Functions use Stripe itself, so the clock cannot be moved. Forward Stripe's events with\n\n    stripe listen --forward-to {webhook}\n"
        ));
    }
    text.push_str("\n  Press Ctrl-C to stop.\n");
    text
}

fn to_try(cloud: &Cloud, seed: &Seed) -> String {
    let api = &cloud.urls().api;
    let request = TokenRequest { account: ACCOUNT.to_owned(), ..TokenRequest::default() };
    let token = cloud.token(&request).unwrap_or_default();
    let prices = PRICES.map(|(sku, _, rate)| format!("{sku} ${rate}")).join(", ");
    let project = &seed.project;
    let json = r#"-H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json'"#;
    let mut text = format!(
        r#"
  Prices      per hour: {prices}
  Account     {ACCOUNT}, with the project {project} and this token:

export TOKEN={token}

  Top up. Open the `url` in the response and pay with the test card 4242 4242 4242 4242, any future date and any CVC:

curl {api}/v1/checkout-sessions {json} -d '{{"amount": "25.00"}}'

  Start a machine:

curl {api}/v1/projects/{project}/resources {json} -d '{{"sku": "vm-large", "name": "web", "start": true}}'
"#
    );
    if cloud.urls().stripe.is_some() {
        text.push_str(&format!(
            r#"
  Move the clock ahead by an hour:

curl {api}/local/clock -d '{{"advance": "1h"}}'
"#
        ));
    }
    text.push_str(&format!(
        "\n  Read the balance: curl {api}/v1/balance -H \"Authorization: Bearer $TOKEN\"\n"
    ));
    text
}
