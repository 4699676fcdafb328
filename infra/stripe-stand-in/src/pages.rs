//! The pages for a browser: payment page, bank's page, invoice, receipt and portal. Plain HTML, no
//! JavaScript.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::StripeStandIn;
use super::account::Account;
use super::cards;
use super::checkout::{Consent, Step};
use super::customers::Instrument;
use super::failure::Decline;
use super::form;
use super::objects::{billing_details, dollars};
use super::payments::{Charged, Presence, Verdict};

/// The number of a bank account that lets itself be debited, if the form names none.
const BANK_ACCOUNT: &str = "000123456789";

type Fields = BTreeMap<String, String>;

/// Handles `GET /c/pay/{id}`.
pub(super) async fn checkout(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| checkout_page(account, &id, None))
}

/// Handles `POST /c/pay/{id}`.
pub(super) async fn submit_checkout(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let fields = form::fields(&body);
    stripe.with(|account| {
        if account.text(&id, "/status") != "open" {
            return checkout_page(account, &id, None);
        }
        let buyer = buyer(&fields);
        let types = account
            .get(&id)
            .map(|session| session["payment_method_types"].clone())
            .unwrap_or_default();
        let offered = account.offered_methods(&id);
        let step = match chosen(account, &fields, &buyer, &offered, &types) {
            Ok(method) => account.submit_session(&id, &method, buyer),
            Err(decline) => Step::Declined(decline.message),
        };
        go(account, &id, step)
    })
}

fn go(account: &Account, session: &str, step: Step) -> Response {
    match step {
        Step::Done(url) => redirect(&url),
        Step::Authenticate(intent) => redirect(&format!("/authenticate/{intent}")),
        Step::Declined(message) => checkout_page(account, session, Some(&message)),
        Step::Closed => checkout_page(account, session, None),
    }
}

/// `GET /authenticate/{id}`: the bank's page for 3-D Secure.
pub(super) async fn authenticate(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| {
        if account.text(&id, "/status") != "requires_action" {
            return page(
                StatusCode::GONE,
                "Nothing to confirm",
                "<p>There is nothing to confirm here.</p>",
            );
        }
        let what = match account.number(&id, "/amount") {
            0 => "Your bank asks you to confirm that this card may be saved.".to_owned(),
            amount => format!("Your bank asks you to confirm the payment of {}.", dollars(amount)),
        };
        let body = format!(
            "<p>{what}</p><form method=\"post\">\
             <button name=\"result\" value=\"approve\">Confirm</button> \
             <button name=\"result\" value=\"fail\" class=\"quiet\">Refuse</button></form>"
        );
        page(StatusCode::OK, "3-D Secure", &body)
    })
}

/// `POST /authenticate/{id}` with `result=approve` or `result=fail`.
pub(super) async fn submit_authentication(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let consent = match form::fields(&body).get("result").map(String::as_str) {
        Some("approve") => Consent::Given,
        _ => Consent::Refused,
    };
    stripe.with(|account| {
        let invoice = account.known_text(&id, "invoice");
        let session = account.known_text(&id, "session");
        if session.is_empty() && !invoice.is_empty() {
            return authenticated_invoice(account, &id, &invoice, consent);
        }
        let step = account.authenticated(&id, consent);
        go(account, &session, step)
    })
}

fn authenticated_invoice(
    account: &mut Account,
    intent: &str,
    invoice: &str,
    consent: Consent,
) -> Response {
    if account.text(intent, "/status") != "requires_action" {
        return invoice_page(account, invoice, None);
    }
    if consent == Consent::Refused {
        let message = account.authentication_fails(intent).message;
        return invoice_page(account, invoice, Some(&message));
    }
    let method = account.text(intent, "/payment_method");
    let charged = account.charge_invoice(invoice, &method, Presence::Authenticated);
    charged_invoice(account, invoice, charged)
}

fn charged_invoice(account: &Account, invoice: &str, charged: Charged) -> Response {
    match charged {
        Charged::Succeeded | Charged::Processing => redirect(&format!("/i/{invoice}")),
        Charged::NeedsAuthentication => {
            redirect(&format!("/authenticate/{}", account.known_text(invoice, "payment_intent")))
        }
        Charged::Declined(decline) => invoice_page(account, invoice, Some(&decline.message)),
    }
}

/// `GET /i/{id}`: an invoice, payable while it is open.
pub(super) async fn invoice(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| invoice_page(account, &id, None))
}

/// `POST /i/{id}`: pays it with a card, the customer being there.
pub(super) async fn pay_invoice(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let fields = form::fields(&body);
    stripe.with(|account| {
        if account.text(&id, "/status") != "open" {
            return invoice_page(account, &id, None);
        }
        if let Err(failure) = account.check_payable(&id) {
            let message = failure.error.get("message").and_then(Value::as_str).unwrap_or_default();
            return invoice_page(account, &id, Some(message));
        }
        let saved = saved_cards(account, &account.text(&id, "/customer"));
        let types = account.methods_of_invoice(&id);
        match chosen(account, &fields, &buyer(&fields), &saved, &types) {
            Ok(method) => {
                let charged = account.charge_invoice(&id, &method, Presence::AtPage);
                charged_invoice(account, &id, charged)
            }
            Err(decline) => invoice_page(account, &id, Some(&decline.message)),
        }
    })
}

/// Handles `GET /i/{id}/pdf`.
pub(super) async fn invoice_pdf(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| {
        let Ok(invoice) = account.of_kind("invoice", &id) else { return not_found() };
        let mut lines = vec![
            format!("Invoice {}", invoice["number"].as_str().unwrap_or("(draft)")),
            format!("Status: {}", invoice["status"].as_str().unwrap_or_default()),
        ];
        for line in invoice["lines"]["data"].as_array().into_iter().flatten() {
            let description = line["description"].as_str().unwrap_or("Item");
            lines.push(format!(
                "{description}: {}",
                dollars(line["amount"].as_i64().unwrap_or_default())
            ));
        }
        lines.push(format!("Total: {}", dollars(invoice["total"].as_i64().unwrap_or_default())));
        with_type(StatusCode::OK, "application/pdf", pdf(&lines))
    })
}

/// Handles `GET /receipts/{id}`.
pub(super) async fn receipt(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| {
        let Ok(charge) = account.of_kind("charge", &id) else { return not_found() };
        let description = escape(charge["description"].as_str().unwrap_or("Payment"));
        let amount = dollars(charge["amount"].as_i64().unwrap_or_default());
        let last4 = charge.pointer("/payment_method_details/card/last4").and_then(Value::as_str).unwrap_or("bank");
        let refunded = match charge["amount_refunded"].as_i64().unwrap_or_default() {
            0 => String::new(),
            refunded => format!("<p>Refunded: {}</p>", dollars(refunded)),
        };
        let body = format!(
            "<p>{description}</p><p class=\"amount\">{amount}</p><p>Paid with {} \u{2022}\u{2022}\u{2022}\u{2022} {}</p>{refunded}",
            escape(charge.pointer("/payment_method_details/card/brand").and_then(Value::as_str).unwrap_or("account")),
            escape(last4),
        );
        page(StatusCode::OK, "Receipt", &body)
    })
}

/// `GET /p/session/{id}`: the customer portal.
pub(super) async fn portal(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
) -> Response {
    stripe.with(|account| portal_page(account, &id, None))
}

/// `POST /p/session/{id}` with `action=detach|default` and `payment_method`, or `action=add` and a
/// card.
pub(super) async fn submit_portal(
    State(stripe): State<StripeStandIn>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let fields = form::fields(&body);
    stripe.with(|account| {
        let customer = account.text(&id, "/customer");
        if account.of_kind("billing_portal.session", &id).is_err()
            || !may_change_cards(account, &id)
        {
            return not_found();
        }
        let named = fields.get("payment_method").cloned().unwrap_or_default();
        let is_theirs = account.text(&named, "/customer") == customer;
        let message = match fields.get("action").map(String::as_str) {
            Some("detach") if is_theirs => {
                let _ = account.detach_payment_method(&named);
                None
            }
            Some("default") if is_theirs => {
                account.set_default_method(&customer, &named);
                None
            }
            Some("add") => add_card(account, &customer, &fields).err(),
            _ => Some("This card is not yours.".to_owned()),
        };
        match message {
            None => redirect(&format!("/p/session/{id}")),
            Some(message) => portal_page(account, &id, Some(&message)),
        }
    })
}

/// Adds a card in the portal as the new default.
fn add_card(account: &mut Account, customer: &str, fields: &Fields) -> Result<(), String> {
    let instrument = typed_card(account, fields).map_err(|decline| decline.message)?;
    let buyer = buyer(fields);
    let method = account.new_payment_method(
        &instrument,
        &billing_details(&buyer["name"], &buyer["email"], &buyer["address"]),
    );
    if let Verdict::No(decline) = account.verdict(&method, Presence::AtPage) {
        return Err(decline.message);
    }
    account.remember(&method, "set_up", json!(true));
    account.remember(&method, "used", json!(true));
    account.change(&method, &["payment_method.attached"], |method| {
        method["customer"] = json!(customer);
        method["allow_redisplay"] = json!("always");
    });
    account.set_default_method(customer, &method);
    Ok(())
}

/// The payment method that the form chose: a saved one by `payment_method`, a bank account by
/// `method=us_bank_account`, else the card that was typed.
fn chosen(
    account: &mut Account,
    fields: &Fields,
    buyer: &Value,
    saved: &[Value],
    types: &Value,
) -> Result<String, Decline> {
    let offers = |kind: &str| {
        types.as_array().is_some_and(|types| types.iter().any(|offered| offered == kind))
    };
    let typed =
        |name: &str| fields.get(name).map(String::as_str).filter(|text| !text.trim().is_empty());
    let details = billing_details(&buyer["name"], &buyer["email"], &buyer["address"]);
    if typed("method") == Some("us_bank_account") || !offers("card") {
        if !offers("us_bank_account") {
            return Err(refused("This payment method is not offered here."));
        }
        let number = typed("account").unwrap_or(BANK_ACCOUNT).to_owned();
        return Ok(account.new_payment_method(&Instrument::BankAccount(number), &details));
    }
    match typed("payment_method").filter(|method| *method != "new" && typed("card").is_none()) {
        Some(method) if saved.iter().any(|saved| saved["id"] == method) => Ok(method.to_owned()),
        Some(_) => Err(refused("This card is not saved here.")),
        None => {
            let instrument = typed_card(account, fields)?;
            Ok(account.new_payment_method(&instrument, &details))
        }
    }
}

fn refused(message: &str) -> Decline {
    Decline { message: message.to_owned(), ..Decline::of("generic_decline") }
}

/// The entered card, checked as the page does before any bank is asked.
fn typed_card(account: &Account, fields: &Fields) -> Result<Instrument, Decline> {
    let digits: String = fields
        .get("card")
        .into_iter()
        .flat_map(|text| text.chars())
        .filter(char::is_ascii_digit)
        .collect();
    if digits.is_empty() {
        return Err(refused("Your card number is incomplete."));
    }
    let card = cards::check_number(&digits)?;
    let (exp_month, exp_year) = expiry(fields)?;
    let now = time::OffsetDateTime::from_unix_timestamp(account.now)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    if !(1..=12).contains(&exp_month) {
        return Err(Decline::of("invalid_expiry_month"));
    }
    let (year, month) = (i64::from(now.year()), i64::from(u8::from(now.month())));
    if (exp_year, exp_month) < (year, month) || exp_year > year + 50 {
        return Err(Decline::of("invalid_expiry_year"));
    }
    Ok(Instrument::Card { card, exp_month, exp_year })
}

/// `exp=12/34`, `exp=12/2034`, or `exp_month` and `exp_year`; December 2034 if there is none.
fn expiry(fields: &Fields) -> Result<(i64, i64), Decline> {
    let text = |name: &str| {
        fields.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let (month, year) = match (text("exp"), text("exp_month"), text("exp_year")) {
        (Some(exp), _, _) => {
            let (month, year) =
                exp.split_once('/').ok_or_else(|| Decline::of("invalid_expiry_month"))?;
            (month.trim().to_owned(), year.trim().to_owned())
        }
        (None, Some(month), Some(year)) => (month, year),
        (None, _, _) => return Ok((12, 2034)),
    };
    let month = month.parse::<i64>().map_err(|_| Decline::of("invalid_expiry_month"))?;
    let year = year.parse::<i64>().map_err(|_| Decline::of("invalid_expiry_year"))?;
    Ok((month, if year < 100 { 2000 + year } else { year }))
}

/// The customer's own entries.
fn buyer(fields: &Fields) -> Value {
    let text =
        |name: &str| match fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
        {
            Some(text) => json!(text),
            None => Value::Null,
        };
    let kind = fields.get("tax_id_type").map_or("eu_vat", String::as_str);
    let tax_id = match text("tax_id").as_str() {
        Some(value) => json!({ "type": kind, "value": value }),
        None => Value::Null,
    };
    json!({
        "name": text("name"),
        "email": text("email"),
        "address": {
            "city": text("city"),
            "country": text("country"),
            "line1": text("line1"),
            "line2": text("line2"),
            "postal_code": text("postal_code"),
            "state": text("state"),
        },
        "tax_id": tax_id,
    })
}

fn checkout_page(account: &Account, id: &str, problem: Option<&str>) -> Response {
    let Ok(session) = account.of_kind("checkout.session", id) else { return not_found() };
    if session["status"] != "open" {
        return closed_checkout_page(session);
    }
    let pays = session["mode"] == "payment";
    let mut body = String::new();
    if pays {
        body.push_str(&purchase(account, session, id));
    } else {
        body.push_str("<p>Save a card for later payments. Nothing is charged now.</p>");
    }
    body.push_str(&problem_note(problem));
    body.push_str("<form method=\"post\">");
    body.push_str(&card_choice(&account.offered_methods(id), "new"));
    body.push_str(&checkout_fields(session));
    for text in ["submit", "terms_of_service_acceptance"] {
        if let Some(message) = session["custom_text"][text]["message"].as_str() {
            let _ = write!(body, "<p class=\"note\">{}</p>", escape(message));
        }
    }
    body.push_str(if pays {
        "<button>Pay</button></form>"
    } else {
        "<button>Save card</button></form>"
    });
    if let Some(message) = session["custom_text"]["after_submit"]["message"].as_str() {
        let _ = write!(body, "<p class=\"note\">{}</p>", escape(message));
    }
    if let Some(url) = session["cancel_url"].as_str() {
        let _ = write!(body, "<p><a href=\"{}\">Back</a></p>", escape(url));
    }
    page(status_with(problem), if pays { "Pay" } else { "Add a card" }, &body)
}

fn closed_checkout_page(session: &Value) -> Response {
    let (title, body) = if session["status"] == "complete" {
        ("All done", "<p>This page was paid already. You can close it.</p>")
    } else {
        ("Expired", "<p>This page has expired. Go back and start again.</p>")
    };
    page(StatusCode::GONE, title, body)
}

/// The total, the items, the tax and the description of a payment.
fn purchase(account: &Account, session: &Value, id: &str) -> String {
    let total = session["amount_total"].as_i64().unwrap_or_default();
    let mut body = format!("<p class=\"amount\">{}</p><ul>", dollars(total));
    for item in account.known(id, "line_items").as_array().into_iter().flatten() {
        let name = escape(item["description"].as_str().unwrap_or_default());
        let amount = dollars(item["amount_subtotal"].as_i64().unwrap_or_default());
        let _ = write!(body, "<li>{name}: {amount}</li>");
    }
    let tax = session["total_details"]["amount_tax"].as_i64().unwrap_or_default();
    if tax > 0 {
        let _ = write!(body, "<li>Tax: {}</li>", dollars(tax));
    }
    body.push_str("</ul>");
    let description = account.known(id, "payment_intent_data")["description"].as_str();
    if let Some(description) = description {
        let _ = write!(body, "<p>{}</p>", escape(description));
    }
    body
}

/// The fields of the form: bank account, card, address and tax id, as far as the session asks.
fn checkout_fields(session: &Value) -> String {
    let mut fields = String::new();
    fields.push_str(&bank_account_fields(&session["payment_method_types"]));
    fields.push_str(&card_fields());
    let wants_address = session["billing_address_collection"] == "required"
        || session["automatic_tax"]["enabled"] == true;
    if wants_address {
        fields.push_str(&address_fields());
    }
    if session["tax_id_collection"]["enabled"] == true {
        fields.push_str(&field("tax_id", "Tax id (optional)", "", "off"));
    }
    fields
}

/// The choice of a bank account instead of a card, if it is offered.
fn bank_account_fields(types: &Value) -> String {
    let types = types.as_array();
    if !types.is_some_and(|types| types.iter().any(|kind| kind == "us_bank_account")) {
        return String::new();
    }
    let choice = "<label><input type=\"radio\" name=\"method\" value=\"card\" checked> Card</label>\
         <label><input type=\"radio\" name=\"method\" value=\"us_bank_account\"> US bank account</label>";
    format!("{choice}{}", field("account", "Account number", BANK_ACCOUNT, "off"))
}

fn invoice_page(account: &Account, id: &str, problem: Option<&str>) -> Response {
    let Ok(invoice) = account.of_kind("invoice", id) else { return not_found() };
    let Some(number) = invoice["number"].as_str() else { return not_found() };
    let status = invoice["status"].as_str().unwrap_or_default();
    let total = invoice["total"].as_i64().unwrap_or_default();
    let mut body = format!(
        "<p class=\"amount\">{}</p><p>Invoice {}: {status}</p><ul>",
        dollars(total),
        escape(number)
    );
    for line in invoice["lines"]["data"].as_array().into_iter().flatten() {
        let name = escape(line["description"].as_str().unwrap_or("Item"));
        let _ = write!(
            body,
            "<li>{name}: {}</li>",
            dollars(line["amount"].as_i64().unwrap_or_default())
        );
    }
    let _ = write!(body, "</ul><p><a href=\"/i/{}/pdf\">PDF</a></p>", escape(id));
    body.push_str(&problem_note(problem));
    if status == "open" {
        let saved = saved_cards(account, invoice["customer"].as_str().unwrap_or_default());
        let types = account.methods_of_invoice(id);
        body.push_str("<form method=\"post\">");
        body.push_str(&bank_account_fields(&types));
        body.push_str(&card_choice(&saved, "new"));
        body.push_str(&card_fields());
        body.push_str("<button>Pay</button></form>");
    }
    page(status_with(problem), "Invoice", &body)
}

fn portal_page(account: &Account, id: &str, problem: Option<&str>) -> Response {
    let Ok(session) = account.of_kind("billing_portal.session", id) else { return not_found() };
    let customer = session["customer"].as_str().unwrap_or_default();
    let default = account.text(customer, "/invoice_settings/default_payment_method");
    let changes = may_change_cards(account, id);
    let mut body = problem_note(problem);
    for card in saved_cards(account, customer) {
        let method = card["id"].as_str().unwrap_or_default();
        let note = if method == default { " (default)" } else { "" };
        let _ = write!(body, "<p>{}{note}</p>", escape(&label(&card)));
        if changes {
            let _ = write!(
                body,
                "<form method=\"post\"><input type=\"hidden\" name=\"payment_method\" value=\"{}\">\
                 <button name=\"action\" value=\"default\" class=\"quiet\">Make default</button> \
                 <button name=\"action\" value=\"detach\" class=\"quiet\">Remove</button></form>",
                escape(method)
            );
        }
    }
    if changes {
        let _ = write!(
            body,
            "<h2>Add a card</h2><form method=\"post\"><input type=\"hidden\" name=\"action\" value=\"add\">{}\
             <button>Add</button></form>",
            card_fields()
        );
    }
    if let Some(url) = session["return_url"].as_str() {
        let _ = write!(body, "<p><a href=\"{}\">Back</a></p>", escape(url));
    }
    page(status_with(problem), "Payment methods", &body)
}

fn may_change_cards(account: &Account, session: &str) -> bool {
    let configuration = account.text(session, "/configuration");
    account.get(&configuration).is_some_and(|configuration| {
        configuration["features"]["payment_method_update"]["enabled"] == true
    })
}

fn saved_cards(account: &Account, customer: &str) -> Vec<Value> {
    account
        .objects
        .iter()
        .filter(|method| method["object"] == "payment_method" && method["customer"] == customer)
        .filter(|method| method["type"] == "card")
        .cloned()
        .collect()
}

fn label(method: &Value) -> String {
    let card = &method["card"];
    format!(
        "{} \u{2022}\u{2022}\u{2022}\u{2022} {}, {:02}/{}",
        card["brand"].as_str().unwrap_or_default(),
        card["last4"].as_str().unwrap_or_default(),
        card["exp_month"].as_i64().unwrap_or_default(),
        card["exp_year"].as_i64().unwrap_or_default(),
    )
}

fn card_choice(saved: &[Value], new: &str) -> String {
    let mut choice = String::new();
    if saved.is_empty() {
        return choice;
    }
    for (place, card) in saved.iter().enumerate() {
        let checked = if place == 0 { " checked" } else { "" };
        let id = escape(card["id"].as_str().unwrap_or_default());
        let _ = write!(
            choice,
            "<label><input type=\"radio\" name=\"payment_method\" value=\"{id}\"{checked}> {}</label>",
            escape(&label(card))
        );
    }
    let _ = write!(
        choice,
        "<label><input type=\"radio\" name=\"payment_method\" value=\"{new}\"> Another card</label>"
    );
    choice
}

fn card_fields() -> String {
    [
        field("card", "Card number", "4242 4242 4242 4242", "cc-number"),
        field("exp", "Expires", "12/34", "cc-exp"),
        field("cvc", "Security code", "123", "cc-csc"),
        field("name", "Name", "", "name"),
    ]
    .concat()
}

fn address_fields() -> String {
    [
        field("line1", "Address", "", "address-line1"),
        field("postal_code", "Postal code", "94103", "postal-code"),
        field("city", "City", "", "address-level2"),
        field("state", "State", "", "address-level1"),
        field("country", "Country", "US", "country"),
    ]
    .concat()
}

fn field(name: &str, label: &str, placeholder: &str, autocomplete: &str) -> String {
    format!(
        "<label>{label}<input name=\"{name}\" placeholder=\"{placeholder}\" autocomplete=\"{autocomplete}\"></label>"
    )
}

fn problem_note(problem: Option<&str>) -> String {
    problem.map(|problem| format!("<p role=\"alert\">{}</p>", escape(problem))).unwrap_or_default()
}

/// A page that refuses has an error status too, for programs.
fn status_with(problem: Option<&str>) -> StatusCode {
    if problem.is_some() { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK }
}

fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, "Not found", "<p>There is nothing here.</p>")
}

fn redirect(url: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(url) = HeaderValue::from_str(url) {
        response.headers_mut().insert(header::LOCATION, url);
    }
    response
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#1a1f36}}\
         label{{display:block;margin:.6rem 0}}input:not([type=radio]){{display:block;width:100%;padding:.5rem;\
         box-sizing:border-box;font:inherit}}button{{padding:.6rem 1.2rem;font:inherit;background:#2b50c8;color:#fff;\
         border:0;border-radius:.3rem}}button.quiet{{background:#eef;color:#1a1f36}}.amount{{font-size:2rem;margin:0}}\
         .note{{color:#4a5069}}[role=alert]{{color:#b3122a}}.test{{color:#4a5069;font-size:.85rem}}</style></head>\
         <body><h1>{title}</h1>{body}<p class=\"test\">Test mode: a stand-in for Stripe. No money moves.</p></body></html>"
    );
    with_type(status, "text/html; charset=utf-8", html.into_bytes())
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A PDF of one page with these lines.
fn pdf(lines: &[String]) -> Vec<u8> {
    let mut text = String::from("BT /F1 12 Tf 60 780 Td 18 TL\n");
    for line in lines {
        let plain: String =
            line.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
        let plain = plain.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        let _ = writeln!(text, "({plain}) Tj T*");
    }
    text.push_str("ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = String::from("%PDF-1.4\n");
    let mut places = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        places.push(pdf.len());
        let _ = write!(pdf, "{} 0 obj\n{object}\nendobj\n", number + 1);
    }
    let start = pdf.len();
    let _ = write!(pdf, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        let _ = writeln!(pdf, "{place:010} 00000 n ");
    }
    let _ = write!(
        pdf,
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    pdf.into_bytes()
}
