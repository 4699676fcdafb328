//! Invoices by staff: `/v1/admin/accounts/{account}/invoices` for credit that the customer pays later,
//! and `POST /v1/admin/payments/{id}/invoice` for a payment that has only a receipt.

use serde::{Deserialize, Serialize};
use tollgate::domain::account::Standing;
use tollgate::domain::decide::check_reason;
use tollgate::domain::ids::{AccountId, PaymentId};
use tollgate::domain::money::Usd;
use tollgate::domain::policy::check_charge;
use tollgate::domain::refusal::Refusal;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::payments::payments;
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, Payments, VoidOutcome, WantedInvoice};
use tollgate::runtime::billing::Billing;
use tollgate::store::{StaffAct, StaffInvoice};
use tollgate::stripe::StripeError;
use tollgate::stripe::calls::InvoiceMethod;
use tollgate::stripe::objects::StripeInvoice;

use crate::AdminClients;
use crate::payments::{PaymentRow, place};

/// The default time to pay.
const DUE_DAYS: u32 = 30;
/// The longest time to pay.
const DUE_DAYS_MAX: u32 = 365;
/// The maximum number of invoices of an account that may be open.
const OPEN_MAX: usize = 10;
/// The maximum number of invoices in a list. Each is read at Stripe.
const LISTED_MAX: usize = 50;
/// The largest amount in USD. With its tax it fits into what Stripe accepts, $999,999.99
/// (docs.stripe.com/currencies).
const CREDIT_MAX: u32 = 500_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InvoiceRequest {
    /// In USD, before tax.
    credit: Usd,
    #[serde(default)]
    due_days: Option<u32>,
    /// All by default.
    #[serde(default)]
    methods: Option<Vec<InvoiceMethod>>,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonRequest {
    reason: String,
}

#[derive(Debug, Serialize)]
struct InvoicesView {
    invoices: Vec<StaffInvoiceView>,
}

/// An invoice by staff. Amounts are in USD.
#[derive(Debug, Serialize)]
struct StaffInvoiceView {
    id: String,
    number: Option<String>,
    /// Stripe's: `draft`, `open`, `paid`, `void` or `uncollectible`. Null if Stripe does not have it.
    status: Option<String>,
    credit: String,
    /// With tax.
    amount: Option<String>,
    due_at: String,
    hosted_url: Option<String>,
    pdf_url: Option<String>,
    issued: ActView,
    voided: Option<ActView>,
}

#[derive(Debug, Serialize)]
struct ActView {
    by: String,
    at: String,
    reason: String,
}

/// The invoice of a payment.
#[derive(Debug, Serialize)]
struct ReceiptInvoiceView {
    account: String,
    payment: String,
    id: String,
    number: Option<String>,
    status: Option<String>,
    amount: Option<String>,
    hosted_url: Option<String>,
    pdf_url: Option<String>,
}

impl From<StaffAct> for ActView {
    fn from(StaffAct { by, at, reason }: StaffAct) -> ActView {
        ActView { by, at: at.to_string(), reason }
    }
}

impl StaffInvoiceView {
    fn of(noted: StaffInvoice, at_stripe: Option<StripeInvoice>) -> StaffInvoiceView {
        let StaffInvoice { id, credit, due_at, issued, voided, .. } = noted;
        let amount = at_stripe.as_ref().and_then(|invoice| usd(invoice.total));
        let (mut number, mut status) = (None, None);
        let (mut hosted_url, mut pdf_url) = (None, None);
        if let Some(invoice) = at_stripe {
            (number, status) = (invoice.number, invoice.status);
            (hosted_url, pdf_url) = (invoice.hosted_invoice_url, invoice.invoice_pdf);
        }
        StaffInvoiceView {
            id: id.to_string(),
            number,
            status,
            credit: credit.to_string(),
            amount,
            due_at: due_at.to_string(),
            hosted_url,
            pdf_url,
            issued: issued.into(),
            voided: voided.map(ActView::from),
        }
    }
}

/// Handles `POST …/invoices`. The invoice is sent to the customer, and credited once it is paid.
pub(crate) async fn issue(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let InvoiceRequest { credit, due_days, methods, reason } = call.json()?;
    call.require_key()?;
    let (billing, account) = (&clients.billing, call.path::<AccountId>("account")?);
    check_reason(&reason)?;
    let due_days = due_days.unwrap_or(DUE_DAYS);
    if !(1..=DUE_DAYS_MAX).contains(&due_days) {
        return Err(wrong("due_days", &format!("must be from 1 to {DUE_DAYS_MAX}")).into());
    }
    let methods = methods.unwrap_or_else(|| InvoiceMethod::ALL.to_vec());
    let is_repeated =
        |(place, method)| methods.iter().take(place).any(|other: &InvoiceMethod| other == method);
    if methods.is_empty() || methods.iter().enumerate().any(is_repeated) {
        return Err(wrong("methods", "must list at least one method, and none twice").into());
    }
    check_credit(billing, credit)?;
    let wanted = WantedInvoice { credit, due_days, methods };
    let by = call.caller()?.subject.to_string();
    let payments = payments(billing, &clients.stripe, call).await?;
    handler::once_since(billing, &account, call, |at| {
        send(payments, call, &account, wanted, StaffAct { by, at, reason })
    })
    .await
}

async fn send(
    payments: Payments<'_>,
    call: &ApiCall,
    account: &AccountId,
    wanted: WantedInvoice,
    issued: StaffAct,
) -> Result<ApiAnswer, ApiError> {
    let billing = payments.billing;
    let head = billing.store.head(account).await?.ok_or(Refusal::AccountNotOpen)?;
    if head.state.standing == Standing::Closed {
        return Err(Refusal::Closed.into());
    }
    let key = call.key_at_stripe();
    check_open(payments, account, &key).await?;
    let email = OnAccount::named(billing, call, account).required_email().await?;
    let made = Box::pin(payments.issue_invoice(account, &email, &wanted, issued, &key)).await;
    let (noted, sent) = made.map_err(refused)?;
    let StaffAct { by, reason, .. } = &noted.issued;
    let (request_id, invoice) = (&call.request_id, &noted.id);
    tracing::info!(request_id, %account, %invoice, credit = %noted.credit, by, reason, "invoice");
    ApiAnswer::created(&StaffInvoiceView::of(noted, Some(sent)))
}

/// Those that are paid or void by now do not count, and neither does that of this request.
async fn check_open(
    payments: Payments<'_>,
    account: &AccountId,
    key: &str,
) -> Result<(), ApiError> {
    let mut open = payments.billing.store.staff_invoices(account).await?;
    open.retain(|invoice| !invoice.is_over && invoice.key != key);
    if open.len() < OPEN_MAX {
        return Ok(());
    }
    let mut count = 0;
    for noted in &open {
        let invoice = payments.look_at_invoice(account, noted).await?.invoice;
        let status = invoice.as_ref().and_then(|invoice| invoice.status.as_deref());
        count += usize::from(matches!(status, Some("draft" | "open")));
    }
    if count < OPEN_MAX { Ok(()) } else { Err(Refusal::TooManyInvoices { max: OPEN_MAX }.into()) }
}

/// Handles `GET …/invoices`: the newest first. One that is paid and cannot be credited, which has its
/// alarm, is listed as well.
pub(crate) async fn list(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let (billing, account) = (&clients.billing, call.path::<AccountId>("account")?);
    if billing.store.head(&account).await?.is_none() {
        return Err(Refusal::AccountNotOpen.into());
    }
    let payments = payments(billing, &clients.stripe, call).await?;
    let mut invoices = Vec::new();
    for noted in billing.store.staff_invoices(&account).await?.into_iter().take(LISTED_MAX) {
        let at_stripe = match payments.look_at_invoice(&account, &noted).await {
            Ok(looked) => looked.invoice,
            Err(
                failure @ (PaymentError::Mismatch { .. }
                | PaymentError::UnknownCustomer { .. }
                | PaymentError::Refused(_)),
            ) => {
                tracing::warn!(%account, invoice = %noted.id, %failure, "an invoice is not credited");
                Some(payments.stripe.invoice(noted.id.as_str()).await?)
            }
            Err(failure @ (PaymentError::Fault(_) | PaymentError::Stripe(_))) => {
                return Err(failure.into());
            }
        };
        invoices.push(StaffInvoiceView::of(noted, at_stripe));
    }
    ApiAnswer::ok(&InvoicesView { invoices })
}

/// Handles `POST …/invoices/{invoice}/void`.
pub(crate) async fn void(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    check_reason(&reason)?;
    let (billing, account) = (&clients.billing, call.path::<AccountId>("account")?);
    let invoice: PaymentId = call.path("invoice")?;
    let all = billing.store.staff_invoices(&account).await?;
    let unknown = || Problem::new(ProblemCode::NotFound, format!("No invoice {invoice} found."));
    let noted = all.into_iter().find(|noted| noted.id == invoice).ok_or_else(unknown)?;
    let payments = payments(billing, &clients.stripe, call).await?;
    let by = call.caller()?.subject.to_string();
    handler::once_since(billing, &account, call, |at| {
        end(payments, &account, noted, StaffAct { by, at, reason })
    })
    .await
}

async fn end(
    payments: Payments<'_>,
    account: &AccountId,
    mut noted: StaffInvoice,
    by: StaffAct,
) -> Result<ApiAnswer, ApiError> {
    let outcome = Box::pin(payments.void_staff_invoice(account, &noted.id, &by)).await;
    match outcome.map_err(refused)? {
        VoidOutcome::Void => {
            noted.voided.get_or_insert(by);
        }
        VoidOutcome::Paid => {
            let why =
                "The invoice is paid. Its credit is on the balance, or an alarm says why not.";
            return Err(Problem::new(ProblemCode::Conflict, why).into());
        }
        VoidOutcome::Processing => {
            let why = "A payment for this invoice is in progress. It cannot be voided now.";
            return Err(Problem::new(ProblemCode::Conflict, why).into());
        }
    }
    let looked = payments.look_at_invoice(account, &noted).await?;
    ApiAnswer::ok(&StaffInvoiceView::of(noted, looked.invoice))
}

/// Handles `POST /v1/admin/payments/{id}/invoice`. A payment that has an invoice keeps it.
pub(crate) async fn of_payment(
    clients: &AdminClients,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    let (billing, id) = (&clients.billing, call.path::<PaymentId>("id")?);
    if !["pi_", "cs_", "ch_"].iter().any(|prefix| id.as_str().starts_with(prefix)) {
        let why = "id: must begin with pi_, cs_ or ch_.";
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "id")
            .into());
    }
    let unknown = || {
        let why = format!("Nothing was credited for {id}.");
        Problem::new(ProblemCode::NotFound, why)
    };
    let PaymentRow { account, seq } = place(billing, &id).await?.ok_or_else(unknown)?;
    let row = OnAccount::named(billing, call, &account).row(seq).await?;
    let payments = payments(billing, &clients.stripe, call).await?;
    let work = async {
        let made = Box::pin(payments.invoice_receipt(&account, &row)).await.map_err(refused)?;
        let invoice = made.ok_or_else(unknown)?;
        ApiAnswer::ok(&ReceiptInvoiceView {
            account: account.to_string(),
            payment: id.to_string(),
            amount: usd(invoice.total),
            id: invoice.id,
            number: invoice.number,
            status: invoice.status,
            hosted_url: invoice.hosted_invoice_url,
            pdf_url: invoice.invoice_pdf,
        })
    };
    handler::once(billing, &account, call, work).await
}

fn check_credit(billing: &Billing, credit: Usd) -> Result<(), Problem> {
    let min = billing.settings.policy.topup_min;
    check_charge(credit, min, Usd::dollars(CREDIT_MAX))
        .map_err(|refusal| Problem::from(&refusal).with("parameter", "credit"))
}

/// What Stripe refuses is told to staff in its own words.
fn refused(failure: PaymentError) -> ApiError {
    match failure {
        PaymentError::Stripe(StripeError::Rejected(rejection)) => {
            let why = format!("Stripe refused the request: {}", rejection.message);
            Problem::new(ProblemCode::Unusable, why).into()
        }
        failure @ (PaymentError::Stripe(_)
        | PaymentError::Fault(_)
        | PaymentError::Refused(_)
        | PaymentError::Mismatch { .. }
        | PaymentError::UnknownCustomer { .. }) => failure.into(),
    }
}

fn usd(cents: Option<i64>) -> Option<String> {
    cents.and_then(|cents| Usd::from_cents(cents).ok()).map(|amount| amount.to_string())
}

fn wrong(name: &str, why: &str) -> Problem {
    let why = format!("{name}: {why}.");
    Problem::new(ProblemCode::InvalidBody, why).with("parameter", name)
}
