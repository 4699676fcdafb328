//! `GET /v1/invoices`: one for each credit that was paid for, newest first.
//!
//! Which there are, the ledger says; number and pages are Stripe's, asked for each time: their
//! addresses expire (docs.stripe.com/invoicing/hosted-invoice-page). One call tells of all invoices
//! of a page's time, one more of all charges without an invoice; only what is in neither is asked
//! for by itself.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate::domain::event::{Change, CreditKind, PaymentChange};
use tollgate::domain::ids::{CustomerId, PaymentId};
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::{DAY, HOUR, Timestamp};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::Payments;
use tollgate::store::RowOrder;
use tollgate::stripe::StripeError;
use tollgate::stripe::objects::{StripeCharge, StripeInvoice};

use crate::AccountClients;
use crate::time_range::invalid;

/// Items of a page, if the caller does not say.
const LIMIT_DEFAULT: u32 = 20;
/// The most items of a page: if Stripe has to be asked for each, at some 150 ms, eight seconds.
const LIMIT_MAX: u32 = 50;
/// How many reads one page may cost between two payments: twenty thousand rows of 1 KB. It is then
/// short, or empty, and says how to go on.
const READS_MAX: u32 = 20;
/// The types of rows in which credit was paid for.
const PAID_FOR: [&str; 3] = ["topup", "auto_refill", "commit"];
/// An invoice is made up to so much before its credit: a refill waits for its customer for 23 hours
/// at the most.
const BEFORE_SECONDS: i64 = DAY;
/// Clocks differ.
const AFTER_SECONDS: i64 = HOUR;

#[derive(Debug, Serialize)]
struct InvoicePage {
    items: Vec<InvoiceView>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct InvoiceView {
    /// The invoice's id, else the payment's.
    id: String,
    /// Null without an invoice.
    number: Option<String>,
    date: String,
    /// What was paid, tax included.
    amount: String,
    status: String,
    /// The invoice's page, else the receipt's.
    hosted_url: Option<String>,
    /// Null without an invoice.
    pdf_url: Option<String>,
    kind: &'static str,
    /// The row of the credit.
    seq: u64,
}

/// A credit that was paid for.
struct PaidRow {
    payment: PaymentId,
    invoice: Option<String>,
    received_cents: i64,
    kind: &'static str,
    at: Timestamp,
    seq: u64,
}

/// `GET /v1/invoices`.
pub(crate) async fn list(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let limit: u32 = call.query("limit")?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid("limit", &format!("must be between 1 and {LIMIT_MAX}")).into());
    }
    let before: u64 = call.query("cursor")?.unwrap_or(u64::MAX);
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let (account, store) = (on.account(), &clients.billing.store);
    let found = store
        .rows_of_types(account, 0..before, RowOrder::NewestFirst, &PAID_FOR, limit, READS_MAX)
        .await?;
    let mut all = Vec::new();
    for row in &found.rows {
        if let Some(paid) = paid(row) {
            let invoice = store.payment_ids(account, &paid.payment).await?.invoice;
            all.push(PaidRow { invoice, ..paid });
        }
    }
    let items = if all.is_empty() {
        Vec::new()
    } else {
        let customer = store.customer_profile(account).await?.customer;
        shown(clients.payments(call).await?, customer.as_ref(), &all).await?
    };
    ApiAnswer::ok(&InvoicePage { items, next: found.rest.map(|rest| rest.end.to_string()) })
}

fn paid(row: &Row) -> Option<PaidRow> {
    let Change::Payment(PaymentChange::Credited { payment, kind, received_cents, .. }) =
        &row.event.change
    else {
        return None;
    };
    let kind = match kind {
        CreditKind::TopUp | CreditKind::Commit => "topup",
        CreditKind::Refill { .. } => "auto_refill",
    };
    let (payment, at) = (payment.clone(), row.event.at);
    Some(PaidRow {
        payment,
        invoice: None,
        received_cents: *received_cents,
        kind,
        at,
        seq: row.seq,
    })
}

async fn shown(
    payments: Payments<'_>,
    customer: Option<&CustomerId>,
    all: &[PaidRow],
) -> Result<Vec<InvoiceView>, ApiError> {
    let mut invoices: BTreeMap<String, StripeInvoice> = BTreeMap::new();
    let mut charges: BTreeMap<String, StripeCharge> = BTreeMap::new();
    if let (Some(customer), Some(newest), Some(oldest)) = (customer, all.first(), all.last()) {
        let (from, to) = (oldest.at.plus(-BEFORE_SECONDS), newest.at.plus(AFTER_SECONDS));
        if all.iter().any(|paid| paid.invoice.is_some()) {
            let listed = payments.stripe.invoices_between(customer, from, to).await?;
            invoices.extend(listed.into_iter().map(|invoice| (invoice.id.clone(), invoice)));
        }
        if all.iter().any(|paid| paid.invoice.is_none()) {
            let listed = payments.stripe.charges_between(customer, from, to).await?;
            charges = by_payment(listed);
        }
    }
    let mut items = Vec::new();
    for paid in all {
        let item = match &paid.invoice {
            Some(id) => {
                let known = match invoices.remove(id) {
                    Some(invoice) => Some(invoice),
                    None => unless_missing(payments.stripe.invoice(id).await)?,
                };
                of_invoice(paid, id, known)
            }
            None => {
                let known = match charges.remove(paid.payment.as_str()) {
                    Some(charge) => Some(charge),
                    None => unless_missing(payments.stripe.charges_of(&paid.payment).await)?
                        .and_then(|listed| by_payment(listed).remove(paid.payment.as_str())),
                };
                of_charge(paid, known)
            }
        };
        items.push(item?);
    }
    Ok(items)
}

/// The charge that succeeded, by its payment: declined ones have no receipt.
fn by_payment(charges: Vec<StripeCharge>) -> BTreeMap<String, StripeCharge> {
    let with_receipt = charges.into_iter().filter(|charge| charge.receipt_url.is_some());
    with_receipt
        .filter_map(|charge| Some((charge.payment_intent.as_ref()?.id.clone(), charge)))
        .collect()
}

/// What is missing at Stripe is shown without its pages: the credit is ours to list.
fn unless_missing<T>(found: Result<T, StripeError>) -> Result<Option<T>, StripeError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StripeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_invoice(
    paid: &PaidRow,
    id: &str,
    invoice: Option<StripeInvoice>,
) -> Result<InvoiceView, ApiError> {
    let shown = of_charge(paid, None)?;
    let Some(invoice) = invoice else { return Ok(InvoiceView { id: id.to_owned(), ..shown }) };
    Ok(InvoiceView {
        id: id.to_owned(),
        number: invoice.number,
        status: invoice.status.unwrap_or(shown.status),
        hosted_url: invoice.hosted_invoice_url,
        pdf_url: invoice.invoice_pdf,
        ..shown
    })
}

fn of_charge(paid: &PaidRow, charge: Option<StripeCharge>) -> Result<InvoiceView, ApiError> {
    let amount = Usd::from_cents(paid.received_cents);
    let amount =
        amount.map_err(|error| Problem::new(ProblemCode::Internal, format!("{error}.")))?;
    Ok(InvoiceView {
        id: paid.payment.to_string(),
        number: None,
        date: paid.at.to_string(),
        amount: amount.to_string(),
        status: "paid".to_owned(),
        hosted_url: charge.and_then(|charge| charge.receipt_url),
        pdf_url: None,
        kind: paid.kind,
        seq: paid.seq,
    })
}
