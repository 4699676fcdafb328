//! Invoices that staff issued: items `account#A` / `staff-invoice#in_…`, with `key`, `credit`, `due`, and who
//! issued it, when and why: `by`, `at`, `reason`. `is_over` once it is paid or void, and then of a void
//! one `void_by`, `void_at` and `void_reason`. The rest is at Stripe.

use aws_sdk_dynamodb::types::Update;

use super::accounts::RecordOutcome;
use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, parsed, text,
};
use super::{Store, StoreError};
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

pub(super) const STAFF_INVOICES: &str = "staff-invoice#";

/// An invoice that staff issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffInvoice {
    /// At Stripe, `in_…`.
    pub id: PaymentId,
    /// Of the request that issued it.
    pub key: String,
    /// In USD, before tax.
    pub credit: Usd,
    pub due_at: Timestamp,
    pub issued: StaffAct,
    pub voided: Option<StaffAct>,
    /// Whether it is known to be paid or void.
    pub is_over: bool,
}

/// Who did something, when and why: staff, or the customer who closed the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffAct {
    /// The subject of the token.
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
}

impl Store {
    /// The account's invoices by staff, the newest first. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn staff_invoices(
        &self,
        account: &AccountId,
    ) -> Result<Vec<StaffInvoice>, StoreError> {
        let items = self.account_items(&account_partition(account), STAFF_INVOICES).await?;
        let read = items.iter().map(invoice).collect::<Result<Vec<_>, _>>();
        let mut all = read.map_err(malformed(format!("the staff invoices of {account}")))?;
        all.sort_by_key(|invoice| std::cmp::Reverse(invoice.issued.at));
        Ok(all)
    }

    /// Notes an invoice that was made. One that is noted stays as it is.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_staff_invoice(
        &self,
        account: &AccountId,
        invoice: &StaffInvoice,
    ) -> Result<RecordOutcome, StoreError> {
        let StaffInvoice { id, key, credit, due_at, issued, .. } = invoice;
        self.put_new(item([
            ("pk", text(account_partition(account))),
            ("sk", text(sort_key(id))),
            ("key", text(key)),
            ("credit", text(credit.to_string())),
            ("due", number(due_at.seconds())),
            ("by", text(&issued.by)),
            ("at", number(issued.at.seconds())),
            ("reason", text(&issued.reason)),
        ]))
        .await
    }

    /// Notes that an invoice is over: paid, or void. Who voided it first stays noted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn end_staff_invoice(
        &self,
        account: &AccountId,
        invoice: &PaymentId,
        voided: Option<&StaffAct>,
    ) -> Result<(), StoreError> {
        let update = Update::builder().expression_attribute_values(":over", number(1));
        let update = match voided {
            None => update
                .condition_expression("attribute_exists(pk) AND attribute_not_exists(is_over)")
                .update_expression("SET is_over = :over"),
            Some(StaffAct { by, at, reason }) => update
                .condition_expression("attribute_exists(pk) AND attribute_not_exists(void_by)")
                .update_expression(
                    "SET is_over = :over, void_by = :by, void_at = :at, void_reason = :reason",
                )
                .expression_attribute_values(":by", text(by))
                .expression_attribute_values(":at", number(at.seconds()))
                .expression_attribute_values(":reason", text(reason)),
        };
        self.update_account_item(account, &sort_key(invoice), update).await.map(drop)
    }
}

fn sort_key(invoice: &PaymentId) -> String {
    format!("{STAFF_INVOICES}{invoice}")
}

fn invoice(item: &StoredItem) -> Result<StaffInvoice, String> {
    let time = |name: &str| -> Result<Timestamp, String> {
        Timestamp::from_seconds(number_of(item, name)?).map_err(|error| error.to_string())
    };
    let key: String = parsed(item, "sk")?;
    let id = key.strip_prefix(STAFF_INVOICES).ok_or("the key is another one")?;
    let voided = if item.contains_key("void_by") {
        let (by, reason) = (parsed(item, "void_by")?, parsed(item, "void_reason")?);
        Some(StaffAct { by, at: time("void_at")?, reason })
    } else {
        None
    };
    Ok(StaffInvoice {
        id: id.parse().map_err(|error| format!("sk: {error}"))?,
        key: parsed(item, "key")?,
        credit: parsed(item, "credit")?,
        due_at: time("due")?,
        issued: StaffAct {
            by: parsed(item, "by")?,
            at: time("at")?,
            reason: parsed(item, "reason")?,
        },
        voided,
        is_over: item.contains_key("is_over"),
    })
}
