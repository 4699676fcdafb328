//! An inference gateway that sells completions from prepaid credit, and gives none away.
//!
//! For each customer it holds a dollar and serves calls from it. A call is answered only after its
//! cost is captured, and calls that wait at the same time are captured together. So a customer gets
//! no call beyond the credit, even if the gateway is killed: what was not captured was not answered,
//! and its hold expires.
//!
//! `TOLLGATE_API`: the address of the API. `TOLLGATE_TOKEN`: a token with the scope
//! `tollgate/platform`. A client sends `POST /completions` with its account and project as the
//! headers `account` and `project`; a real gateway would know them from an API key.
#![allow(clippy::print_stdout, reason = "it tells its address")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tollgate_local::api::{ApiClient, ApiReply};

const SKU: &str = "output-tokens";
/// What a call costs at most, in millionths of a dollar: a thousand tokens of $10 a million.
const CALL_MICROS_MAX: i64 = 10_000;
const HOLD_MICROS: i64 = 1_000_000;

/// Calls that wait for their customer's credit.
type Calls = mpsc::Sender<oneshot::Sender<StatusCode>>;
type Customers = Arc<Mutex<HashMap<(String, String), Calls>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = ApiClient::new(&std::env::var("TOLLGATE_API")?);
    let api = api.with_token(std::env::var("TOLLGATE_TOKEN")?);
    let app = Router::new().route("/completions", post(complete));
    let app = app.with_state((api, Customers::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn complete(
    State((api, customers)): State<(ApiClient, Customers)>,
    headers: HeaderMap,
) -> (StatusCode, &'static str) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (Some(account), Some(project)) = (text("account"), text("project")) else {
        return (StatusCode::UNAUTHORIZED, "");
    };
    let calls = {
        let mut all = customers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry((account.clone(), project.clone())).or_insert_with(|| {
            let (calls, waiting) = mpsc::channel(1_000);
            let api = api.acting_for(account);
            tokio::spawn(Purse { api, project, hold: None }.serve(waiting));
            calls
        });
        known.clone()
    };
    let (answer, answered) = oneshot::channel();
    drop(calls.send(answer).await);
    let status = answered.await.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, if status == StatusCode::OK { "The answer is 42." } else { "" })
}

/// The credit that is held for one customer, with what is left of it in millionths of a dollar.
struct Purse {
    api: ApiClient,
    project: String,
    hold: Option<(String, i64)>,
}

impl Purse {
    async fn serve(mut self, mut waiting: mpsc::Receiver<oneshot::Sender<StatusCode>>) {
        let mut calls = Vec::new();
        while waiting.recv_many(&mut calls, 100).await > 0 {
            while !calls.is_empty() {
                if let Err(refused) = self.ensure_hold().await {
                    calls.drain(..).for_each(|call| answer(call, refused));
                    break;
                }
                let Some((hold, left)) = self.hold.take() else { continue };
                let fitting = usize::try_from(left / CALL_MICROS_MAX).unwrap_or(0);
                let served: Vec<_> = calls.drain(..fitting.min(calls.len())).collect();
                // The model runs here. Each of its answers has a thousand tokens.
                let tokens = 1_000 * served.len();
                let left = left - CALL_MICROS_MAX * i64::try_from(served.len()).unwrap_or(0);
                let is_last = left < CALL_MICROS_MAX;
                let status = self.capture(&hold, (tokens, is_last)).await;
                served.into_iter().for_each(|call| answer(call, status));
                self.hold = (!is_last && status == StatusCode::OK).then_some((hold, left));
            }
        }
    }

    /// Holds a dollar, or what there is if it pays for a call.
    async fn ensure_hold(&mut self) -> Result<(), StatusCode> {
        let mut amount = HOLD_MICROS;
        while self.hold.is_none() {
            let body = json!({"project": self.project, "skus": [SKU], "amount": dollars(amount)});
            let held = self.ask("/v1/holds", &body).await;
            let answer = held.json();
            let available = micros(&answer["available"]) / CALL_MICROS_MAX * CALL_MICROS_MAX;
            match (held.status, &answer["id"]) {
                (201, Value::String(id)) => self.hold = Some((id.clone(), amount)),
                (402, _) if available > 0 && available < amount => amount = available,
                (status, _) => {
                    return Err(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY));
                }
            }
        }
        Ok(())
    }

    async fn capture(&self, hold: &str, (tokens, is_last): (usize, bool)) -> StatusCode {
        let usage = json!([{"sku": SKU, "quantity": tokens.to_string()}]);
        let path = format!("/v1/holds/{hold}/capture");
        let captured = self.ask(&path, &json!({"usage": usage, "final": is_last})).await;
        StatusCode::from_u16(captured.status).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    /// Asks until there is an answer. The key makes it one request.
    async fn ask(&self, path: &str, body: &Value) -> ApiReply {
        let key = format!("{:032x}", fastrand::u128(..));
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        loop {
            match self.api.send("POST", path, &headers, body.to_string()).await {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return answer,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn answer(call: oneshot::Sender<StatusCode>, status: StatusCode) {
    call.send(status).ok();
}

fn dollars(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn micros(amount: &Value) -> i64 {
    let (whole, part) = amount.as_str().and_then(|text| text.split_once('.')).unwrap_or(("0", "0"));
    format!("{whole}{part:0<6}").parse().unwrap_or(0)
}
