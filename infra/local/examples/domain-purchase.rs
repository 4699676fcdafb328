//! A one-off purchase: a domain name is held, registered elsewhere, and captured once.
//!
//! `domain-purchase <account> <project> <name>` exits with 0 once the name is registered and paid,
//! and with 1 if it is neither. It may be killed and started again at any time: it registers and
//! charges once, because every step has a key that follows from the name.
//!
//! `TOLLGATE_API`: the address of the API. `TOLLGATE_TOKEN`: a token with the scope
//! `tollgate/platform`. `REGISTRY`: a directory that stands for the registry: a file is a name that
//! is taken.
#![allow(clippy::print_stdout, reason = "it tells what it did")]

use std::process::ExitCode;

use serde_json::{Value, json};
use tollgate_local::api::{ApiClient, ApiReply};

const SKU: &str = "domain-com";
const PRICE: &str = "12.00";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: domain-purchase <account> <project> <name>");
    let (account, project, name) = (next()?, next()?, next()?);
    let api = ApiClient::new(&std::env::var("TOLLGATE_API")?);
    let api = api.with_token(std::env::var("TOLLGATE_TOKEN")?).acting_for(account.clone());

    // An hour is enough for the registry. If this process dies, the credit is free again then.
    let hold = json!({"project": project, "skus": [SKU], "amount": PRICE, "expires_in": 3_600});
    let held = send(&api, "/v1/holds", &format!("hold-{name}"), &hold).await?;
    if held.status == 402 {
        println!("{account} has too little credit for {name}");
        return Ok(ExitCode::FAILURE);
    }
    let id = held.success()?["id"].as_str().ok_or("a hold without an ID")?.to_owned();

    if !register(&name, &account)? {
        send(&api, &format!("/v1/holds/{id}/release"), &format!("release-{name}"), &json!({}))
            .await?;
        println!("{name} is taken");
        return Ok(ExitCode::FAILURE);
    }
    // The name is theirs now. However late this is, it is charged once.
    let usage = json!({"usage": [{"sku": SKU, "quantity": "1", "labels": {"domain": name}}]});
    let path = format!("/v1/holds/{id}/capture");
    send(&api, &path, &format!("capture-{name}"), &usage).await?.success()?;
    println!("{name} belongs to {account}");
    Ok(ExitCode::SUCCESS)
}

/// Registers a name, as a registry does that knows its customers' requests: a repeated request of
/// the owner succeeds.
fn register(name: &str, owner: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let entry = std::path::Path::new(&std::env::var("REGISTRY")?).join(name);
    if !entry.exists() {
        std::fs::write(&entry, owner)?;
    }
    Ok(std::fs::read_to_string(&entry)? == owner)
}

/// Asks until there is an answer. The key makes it one request.
async fn send(api: &ApiClient, path: &str, key: &str, body: &Value) -> Result<ApiReply, String> {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let mut answer = api.send("POST", path, &headers, body.to_string()).await?;
    for _ in 0..20 {
        if answer.status < 500 && answer.status != 429 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        answer = api.send("POST", path, &headers, body.to_string()).await?;
    }
    Ok(answer)
}
