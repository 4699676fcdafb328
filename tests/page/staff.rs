//! The staff page: search, an account's story, what staff do, and payments by their IDs.

use serde_json::json;

use crate::support::{Refill, Visit};

const GOOD: &str = "4242424242424242";
const DONE: &str = "[data-testid=done]";
const BALANCE: &str = "[data-testid=balance]";
const ROWS: &str = "[data-testid=rows]";
const PREVIEW: &str = "[data-testid=preview]";
const SUMMARY: &str = "[data-testid=summary]";

async fn open(visit: &Visit, hash: &str) {
    visit.browser.open("about:blank").await;
    visit.browser.open(&format!("{}/staff{hash}", visit.cloud.urls().api)).await;
    visit.browser.see_css("main h1").await;
}

/// Opens a form, fills it in, sees what it will do, and sends it.
async fn act(visit: &Visit, name: &str, inputs: &[(&str, &str)], preview: &str, done: &str) {
    visit.browser.click(&format!("do-{name}")).await;
    for (input, value) in inputs {
        visit.browser.fill(&format!("[data-testid={input}]"), value).await;
    }
    visit.browser.says(PREVIEW, preview).await;
    visit.browser.click("action-send").await;
    visit.browser.says(DONE, done).await;
}

/// A customer with $25, a machine that runs, and an address.
async fn customer() -> Option<Visit> {
    let visit = Visit::begin().await?;
    visit.write("PUT", "/v1/account", &json!({"email": "acme@example.test"})).await;
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.start("vm-large", "web").await;
    Some(visit)
}

fn payment(visit: &Visit) -> String {
    let saved = visit.cloud.stripe().unwrap().save().unwrap();
    let objects = saved["objects"].as_array().unwrap().iter();
    let mut paid = objects.filter(|object| object["object"] == "payment_intent");
    paid.find(|paid| paid["status"] == "succeeded").unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn staff_find_a_customer_and_give_credit() {
    let Some(visit) = customer().await else { return };
    open(&visit, "").await;
    visit.browser.says("[data-testid=empty]", "Find a customer or a payment").await;
    visit.browser.fill("[data-testid=search]", "acme@").await;
    visit.browser.click("search-go").await;
    // Only one is found, so it is opened.
    visit.browser.says(BALANCE, "$24.75").await;
    visit.browser.says(SUMMARY, "acme@example.test").await;
    visit.browser.says(ROWS, "Stripe top-up $25.00").await;

    visit.browser.click("do-bonus").await;
    visit.browser.click("action-send").await;
    visit.browser.says("[data-testid=action]", "Enter a reason.").await;
    visit.browser.click("action-cancel").await;
    let bonus = [("in-amount", "5"), ("reason", "sorry for the outage")];
    act(&visit, "bonus", &bonus, "from $24.75 to $29.75", "Give a bonus: done.").await;
    visit.browser.says(BALANCE, "$29.75").await;
    visit.browser.says(ROWS, "sorry for the outage").await;
    visit.browser.says(ROWS, "operator").await;
    visit.pictures("staff-account").await;
    let less = [("in-amount", "-1.50"), ("reason", "billed twice")];
    act(
        &visit,
        "correction",
        &less,
        "Takes $1.50 of paid credit. The balance goes from $29.75 to $28.25",
        "Correct the balance: done.",
    )
    .await;
    visit.browser.says(BALANCE, "$28.25").await;
    act(
        &visit,
        "withdraw-1",
        &[("reason", "given twice")],
        "Takes $5.00 back",
        "Withdraw bonus 1: done.",
    )
    .await;
    act(&visit, "freeze", &[("reason", "looks stolen")], "Nothing can be started", "Freeze: done.")
        .await;
    visit.browser.says(SUMMARY, "frozen").await;
    act(&visit, "unfreeze", &[("reason", "it was not")], "can be started again", "Unfreeze: done.")
        .await;
    visit.browser.click("verify").await;
    visit.browser.says("[data-testid=verified]", "match their hashes").await;
    visit.end().await;
}

#[tokio::test]
async fn staff_look_up_a_payment_refund_and_recover() {
    let Some(visit) = customer().await else { return };
    let payment = payment(&visit);
    open(&visit, "").await;
    visit.browser.fill("[data-testid=search]", &payment).await;
    visit.browser.click("search-go").await;
    visit.browser.says("[data-testid=payment-row]", "Stripe top-up $25.00").await;
    visit.browser.says("[data-testid=at-stripe]", "succeeded").await;
    act(&visit, "recover", &[], "Credits once", "It was credited before.").await;
    act(&visit, "make-invoice", &[], "No money moves", "The invoice is").await;
    let part = [("in-amount", "10"), ("reason", "too much")];
    act(&visit, "refund", &part, "$10.00 goes back", "The refund is sent.").await;
    visit.pictures("staff-payment").await;
    visit.browser.click("payment-account").await;
    visit.browser.says(BALANCE, "$14.75").await;
    visit.browser.says(ROWS, "arrives within 5 to 10 business days").await;

    let wish = json!({"amount": "5.00"});
    let page = visit.write("POST", "/v1/checkout-sessions", &wish).await;
    let session = page["id"].as_str().unwrap();
    open(&visit, &format!("#payment/{session}")).await;
    act(&visit, "recover", &[], "Credits once", "It is not paid. Stripe says open.").await;
    open(&visit, "#payment/pi_nothing").await;
    visit.browser.says("[data-testid=unknown]", "No row has the ID pi_nothing").await;
    visit.browser.click("do-recover").await;
    visit.browser.click("action-send").await;
    visit.browser.says("[data-testid=problem]", "Stripe has no payment").await;
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("404")), "{complaints:?}");
}

#[tokio::test]
async fn staff_send_an_invoice_and_void_it() {
    let Some(visit) = customer().await else { return };
    open(&visit, "#account/acme").await;
    let wish = [("in-credit", "5000"), ("in-due", "14"), ("reason", "a contract")];
    let preview = "Sends an invoice for $5,000.00 plus any tax, due in 14 days";
    act(&visit, "invoice", &wish, preview, "Send an invoice: done.").await;
    visit.browser.says("[data-testid=staff-invoices]", "a contract").await;
    visit.pictures("staff-invoice").await;
    let listed = "/v1/admin/accounts/acme/invoices";
    let listed = visit.staff().get(listed).await.unwrap().success().unwrap();
    let void = format!("void-{}", listed["invoices"][0]["id"].as_str().unwrap());
    act(&visit, &void, &[("reason", "a mistake")], "can no longer be paid", "done.").await;
    visit.browser.says("[data-testid=staff-invoices]", "void: a mistake").await;
    open(&visit, "#health").await;
    visit.browser.see("check").await;
    visit.pictures("staff-health").await;
    visit.end().await;
}
