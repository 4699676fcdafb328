//! `GET /v1/invoices`: one item per paid credit, newest first.
//!
//! The ledger has the list. Stripe has numbers and pages, which are read each time because their
//! addresses expire (docs.stripe.com/invoicing/hosted-invoice-page). One call reads all invoices in
//! the time of a page, and a second call all charges without an invoice. Only items missing in both
//! need a call of their own. What went back of a payment is in the ledger.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate::domain::event::{Change, CreditKind, PaymentChange, TakeBack};
use tollgate::domain::ids::{AccountId, CustomerId, PaymentId};
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::{DAY, HOUR, Timestamp};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, Payments};
use tollgate::store::{RowOrder, Store, StoreError};
use tollgate::stripe::StripeError;
use tollgate::stripe::objects::{StripeCharge, StripeInvoice};

use crate::AccountClients;
use crate::time_range::invalid;

/// The default number of items in a page.
const LIMIT_DEFAULT: u32 = 20;
/// The maximum number of items in a page.
const LIMIT_MAX: u32 = 200;
/// The maximum number of items of a page that need a call of their own. At 150 ms each they take
/// eight seconds. A page that reaches it is short, and has a cursor for the next.
const CALLS_MAX: usize = 50;
/// The maximum number of reads between two payments of a page: twenty thousand rows of 1 KB. A page
/// that reaches it is short or empty, and has a cursor for the next.
const READS_MAX: u32 = 20;
/// The types of rows that add paid credit.
const PAID_FOR: [&str; 3] = ["topup", "auto_refill", "commit"];
/// The types of rows that take a payment back, or give it back again.
const WENT_BACK: [&str; 6] =
    ["refund", "refund_reversed", "refund_pending", "refund_failed", "dispute", "dispute_reversed"];
/// The maximum number of reads for what went back: a hundred thousand rows of 1 KB, eleven years of
/// one row an hour.
const BACK_READS_MAX: u32 = 100;
/// Margin for invoices created before their credit. A refill waits at most 23 hours for its
/// customer.
const BEFORE_SECONDS: i64 = DAY;
/// Margin for the difference between Stripe's clock and ours.
const AFTER_SECONDS: i64 = HOUR;

#[derive(Debug, Serialize)]
struct InvoicePage {
    /// Invoices by staff that can be paid, the newest first. Only on the first page.
    open: Vec<OpenInvoiceView>,
    items: Vec<InvoiceView>,
    next: Option<String>,
}

/// An invoice that the customer can pay.
#[derive(Debug, Serialize)]
struct OpenInvoiceView {
    id: String,
    number: Option<String>,
    date: String,
    due_at: String,
    /// The amount to pay, including tax.
    amount: String,
    /// What is added to the balance once it is paid.
    credit: String,
    /// The page on which it is paid.
    hosted_url: Option<String>,
    pdf_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct InvoiceView {
    /// The ID of the invoice, else of the payment.
    id: String,
    /// Null without an invoice.
    number: Option<String>,
    date: String,
    /// The amount paid, including tax.
    amount: String,
    /// What was refunded, including tax. Null if the account has too many rows to tell.
    refunded: Option<String>,
    /// What the customer's bank took back, including tax. Null as above.
    charged_back: Option<String>,
    status: String,
    /// The page of the invoice, else of the receipt.
    hosted_url: Option<String>,
    /// Null without an invoice.
    pdf_url: Option<String>,
    kind: &'static str,
    /// The row of the credit.
    seq: u64,
}

/// A row with paid credit.
struct PaidRow {
    payment: PaymentId,
    invoice: Option<String>,
    received_cents: i64,
    kind: &'static str,
    at: Timestamp,
    seq: u64,
    back: Option<BackCents>,
}

/// What went back of a payment, in cents, including tax.
#[derive(Clone, Copy, Debug, Default)]
struct BackCents {
    refunded: i64,
    charged_back: i64,
}

/// Handles `GET /v1/invoices`.
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
    let rest = found.rest.map(|rest| rest.end.to_string());
    let open = match before {
        u64::MAX => open_invoices(clients, call, account).await?,
        _ => Vec::new(),
    };
    let Some(oldest) = all.last() else {
        return ApiAnswer::ok(&InvoicePage { open, items: Vec::new(), next: rest });
    };
    if let Some(back) = went_back(store, account, oldest.seq).await? {
        for paid in &mut all {
            paid.back = Some(back.get(&paid.payment).copied().unwrap_or_default());
        }
    }
    let customer = store.customer_profile(account).await?.customer;
    let items = shown(clients.payments(call).await?, customer.as_ref(), &all).await?;
    let cut = items.last().filter(|_| items.len() < all.len()).map(|last| last.seq.to_string());
    ApiAnswer::ok(&InvoicePage { open, items, next: cut.or(rest) })
}

/// The invoices by staff that are not paid. Most accounts have none, and ask Stripe nothing.
async fn open_invoices(
    clients: &AccountClients,
    call: &ApiCall,
    account: &AccountId,
) -> Result<Vec<OpenInvoiceView>, ApiError> {
    let mut noted = clients.billing.store.staff_invoices(account).await?;
    noted.retain(|noted| !noted.is_over);
    if noted.is_empty() {
        return Ok(Vec::new());
    }
    let payments = clients.payments(call).await?;
    let mut open = Vec::new();
    for noted in noted {
        let looked = match payments.look_at_invoice(account, &noted).await {
            Ok(looked) => looked,
            // The webhook has the alarm. The other invoices are shown all the same.
            Err(
                failure @ (PaymentError::Mismatch { .. }
                | PaymentError::UnknownCustomer { .. }
                | PaymentError::Refused(_)),
            ) => {
                tracing::warn!(%account, invoice = %noted.id, %failure, "an invoice is not credited");
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        let Some(invoice) = looked.invoice else { continue };
        if invoice.status.as_deref() != Some("open") {
            continue;
        }
        open.push(OpenInvoiceView {
            id: invoice.id,
            number: invoice.number,
            date: noted.issued.at.to_string(),
            due_at: noted.due_at.to_string(),
            amount: usd(invoice.amount_remaining.or(invoice.amount_due).unwrap_or_default())?,
            credit: noted.credit.to_string(),
            hosted_url: invoice.hosted_invoice_url,
            pdf_url: invoice.invoice_pdf,
        });
    }
    Ok(open)
}

fn usd(cents: i64) -> Result<String, Problem> {
    let amount = Usd::from_cents(cents).map(|amount| amount.to_string());
    amount.map_err(|error| Problem::new(ProblemCode::Internal, format!("{error}.")))
}

/// What went back of each payment, by the rows after this one. None if there are too many rows.
async fn went_back(
    store: &Store,
    account: &AccountId,
    after: u64,
) -> Result<Option<BTreeMap<PaymentId, BackCents>>, StoreError> {
    let (numbers, order) = (after + 1..u64::MAX, RowOrder::OldestFirst);
    let found =
        store.rows_of_types(account, numbers, order, &WENT_BACK, u32::MAX, BACK_READS_MAX).await?;
    if found.rest.is_some() {
        return Ok(None);
    }
    let mut all: BTreeMap<PaymentId, BackCents> = BTreeMap::new();
    for row in &found.rows {
        let Change::Payment(change) = &row.event.change else { continue };
        let Some((payment, moved)) = moved(change) else { continue };
        let back = all.entry(payment.clone()).or_default();
        back.refunded += moved.refunded;
        back.charged_back += moved.charged_back;
    }
    Ok(Some(all))
}

/// What a row took back of a payment. Below zero if it gave back.
fn moved(change: &PaymentChange) -> Option<(&PaymentId, BackCents)> {
    let (by_dispute, of, cents) = match change {
        PaymentChange::TakenBack { by, of, cents, .. } => {
            (matches!(by, TakeBack::Dispute(_)), of, *cents)
        }
        PaymentChange::GivenBack { by, of, cents, known: true, .. } => {
            (matches!(by, TakeBack::Dispute(_)), of, -*cents)
        }
        PaymentChange::DisputeMoved { of, cents, .. } => (true, of, *cents),
        // A reversal that was reported first moved nothing.
        PaymentChange::GivenBack { known: false, .. }
        | PaymentChange::RefundSent { .. }
        | PaymentChange::Credited { .. }
        | PaymentChange::PaymentPending(_)
        | PaymentChange::PaymentEnded { .. }
        | PaymentChange::DisputeOpened { .. }
        | PaymentChange::DisputeClosed { .. }
        | PaymentChange::DisputeChanged { .. }
        | PaymentChange::FraudWarned { .. } => return None,
    };
    let moved = if by_dispute {
        BackCents { charged_back: cents, ..BackCents::default() }
    } else {
        BackCents { refunded: cents, ..BackCents::default() }
    };
    Some((&of.payment, moved))
}

fn paid(row: &Row) -> Option<PaidRow> {
    let Change::Payment(PaymentChange::Credited { payment, kind, received_cents, .. }) =
        &row.event.change
    else {
        return None;
    };
    let kind = match kind {
        CreditKind::TopUp => "topup",
        CreditKind::Commit => "commit",
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
        back: None,
    })
}

/// The items, as many as the calls to Stripe allow.
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
    let (mut items, mut calls) = (Vec::new(), 0);
    for paid in all {
        let is_listed = match &paid.invoice {
            Some(id) => invoices.contains_key(id),
            None => charges.contains_key(paid.payment.as_str()),
        };
        calls += usize::from(!is_listed);
        if calls > CALLS_MAX {
            break;
        }
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

/// The succeeded charge of each payment. Declined charges have no receipt.
fn by_payment(charges: Vec<StripeCharge>) -> BTreeMap<String, StripeCharge> {
    let with_receipt = charges.into_iter().filter(|charge| charge.receipt_url.is_some());
    with_receipt
        .filter_map(|charge| Some((charge.payment_intent.as_ref()?.id.clone(), charge)))
        .collect()
}

/// An object missing at Stripe is listed without its pages, because the credit exists in the
/// ledger.
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
    Ok(InvoiceView {
        id: paid.payment.to_string(),
        number: None,
        date: paid.at.to_string(),
        amount: usd(paid.received_cents)?,
        refunded: paid.back.map(|back| usd(back.refunded)).transpose()?,
        charged_back: paid.back.map(|back| usd(back.charged_back)).transpose()?,
        status: "paid".to_owned(),
        hosted_url: charge.and_then(|charge| charge.receipt_url),
        pdf_url: None,
        kind: paid.kind,
        seq: paid.seq,
    })
}
