//! Invoices that staff issue. The customer pays later, and the credit comes with the payment.

use crate::domain::event::{Change, PaymentChange};
use crate::domain::ids::{AccountId, PaymentId, StaffId};
use crate::domain::money::Usd;
use crate::domain::profile::EmailAddress;
use crate::domain::refusal::Refusal;
use crate::domain::row::Row;
use crate::domain::timestamp::DAY;
use crate::payments::{PaymentError, Payments, RecoveredPayment, Recovery};
use crate::store::{PaymentIds, StaffAct, StaffInvoice};
use crate::stripe::StripeError;
use crate::stripe::calls::{InvoiceCollection, InvoiceMethod, NewInvoice, NewReceiptInvoice};
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata::{self, Purchase, PurchaseKind};
use crate::stripe::objects::StripeInvoice;

/// What staff want to bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedInvoice {
    /// In USD, before tax.
    pub credit: Usd,
    /// How long the customer has to pay.
    pub due_days: u32,
    /// How the customer can pay.
    pub methods: Vec<InvoiceMethod>,
}

/// What a look at an invoice came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedAtInvoice {
    /// As it is at Stripe. `None` if Stripe does not have it.
    pub invoice: Option<StripeInvoice>,
    /// Whether the look credited it.
    pub has_credited: bool,
}

/// How an attempt to void an invoice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidOutcome {
    Void,
    /// It was paid before, and is credited unless an alarm says otherwise.
    Paid,
    /// A payment of it is on its way.
    Processing,
}

impl Payments<'_> {
    /// Makes an invoice and sends it. The same key leads to the same invoice, unless Stripe refused it.
    ///
    /// # Errors
    /// [`PaymentError`]. What Stripe refuses leaves nothing that can be paid.
    pub async fn issue_invoice(
        &self,
        account: &AccountId,
        email: &EmailAddress,
        wanted: &WantedInvoice,
        issued: StaffAct,
        key: &str,
    ) -> Result<(StaffInvoice, StripeInvoice), PaymentError> {
        let customer = self.customer(account, email).await?;
        let WantedInvoice { credit, due_days, methods } = wanted.clone();
        let purchase = Purchase {
            account: account.clone(),
            credit,
            kind: PurchaseKind::TopUp,
            agreement: None,
        };
        let tax = self.stripe.settings().tax;
        let collection = InvoiceCollection::Sent { due_days, methods };
        let new = NewInvoice { customer, purchase, tax, collection };
        let first = IdempotencyKey::staff_invoice(account, key, "invoice");
        let draft = self.stripe.create_invoice(&new, &first).await?;
        let id: PaymentId = named(&draft.id)?;
        let due_at = issued.at.plus(i64::from(due_days) * DAY);
        let (voided, is_over) = (None, false);
        let key_noted = key.to_owned();
        let noted = StaffInvoice { id, key: key_noted, credit, due_at, issued, voided, is_over };
        // Before it can be paid, so that its payment is found.
        self.billing.store.note_owner(account, &draft.id).await?;
        self.billing.store.note_staff_invoice(account, &noted).await?;
        match self.send_draft(account, &draft.id, &new, key).await {
            Ok(sent) => Ok((noted, sent)),
            Err(refused @ (StripeError::Rejected(_) | StripeError::Unresolved { .. })) => {
                // Stripe repeats the answer to this key for a day. Another key makes another invoice.
                self.discard(account, &noted).await?;
                Err(refused.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send_draft(
        &self,
        account: &AccountId,
        draft: &str,
        new: &NewInvoice,
        key: &str,
    ) -> Result<StripeInvoice, StripeError> {
        let step = |step: &str| IdempotencyKey::staff_invoice(account, key, step);
        self.stripe.create_invoice_item(draft, new, &step("item")).await?;
        self.stripe.finalize_invoice(draft, &step("finalize")).await?;
        self.stripe.send_invoice(draft, &step("send")).await
    }

    async fn discard(&self, account: &AccountId, noted: &StaffInvoice) -> Result<(), PaymentError> {
        let StaffAct { by, at, .. } = noted.issued.clone();
        let reason = "Stripe refused it".to_owned();
        self.void_staff_invoice(account, &noted.id, &StaffAct { by, at, reason }).await.map(drop)
    }

    /// Voids the open invoices of an account that is being closed, by staff or by its customer. Returns
    /// whether one is being paid.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn end_invoices(
        &self,
        account: &AccountId,
        by: &StaffId,
    ) -> Result<bool, PaymentError> {
        let (by, reason) = (by.to_string(), "the account was closed".to_owned());
        let act = StaffAct { by, at: self.now, reason };
        let (mut is_one_paid, mut failure) = (false, None);
        for noted in self.billing.store.staff_invoices(account).await? {
            if noted.is_over {
                continue;
            }
            match self.void_staff_invoice(account, &noted.id, &act).await {
                Ok(VoidOutcome::Void) => {}
                Ok(VoidOutcome::Paid | VoidOutcome::Processing) => is_one_paid = true,
                // The others must end nevertheless.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(is_one_paid), Err)
    }

    /// Looks at an invoice that staff issued. One that is paid is credited, whether or not its event
    /// came, and then noted as over, as a void one is.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn look_at_invoice(
        &self,
        account: &AccountId,
        noted: &StaffInvoice,
    ) -> Result<LookedAtInvoice, PaymentError> {
        let store = &self.billing.store;
        let invoice = match self.stripe.invoice(noted.id.as_str()).await {
            Ok(invoice) => invoice,
            // A draft that was deleted.
            Err(StripeError::NotFound { .. }) => {
                store.end_staff_invoice(account, &noted.id, None).await?;
                return Ok(LookedAtInvoice::default());
            }
            Err(error) => return Err(error.into()),
        };
        let mut has_credited = false;
        if !noted.is_over {
            let is_over = match invoice.status.as_deref() {
                Some("paid") => match self.recover_invoice(&noted.id, &invoice).await? {
                    Some(is_new) => {
                        has_credited = is_new;
                        true
                    }
                    None => false,
                },
                Some("void") => true,
                Some(_) | None => false,
            };
            if is_over {
                store.end_staff_invoice(account, &noted.id, None).await?;
            }
        }
        Ok(LookedAtInvoice { invoice: Some(invoice), has_credited })
    }

    /// Credits a paid invoice. Returns whether its row is new, and `None` if it cannot be credited.
    async fn recover_invoice(
        &self,
        id: &PaymentId,
        invoice: &StripeInvoice,
    ) -> Result<Option<bool>, PaymentError> {
        if invoice.settled_cents() == Some(0) {
            // Canceled by a credit note: nobody paid.
            return Ok(Some(false));
        }
        match Box::pin(self.recover(id)).await? {
            Recovery::Credited(RecoveredPayment { is_new, .. }) => Ok(Some(is_new)),
            Recovery::Pending { .. } | Recovery::Unpaid { .. } | Recovery::Unknown => {
                tracing::error!(alarm = "payment_without_purchase", %id, "a paid invoice of staff is not credited");
                Ok(None)
            }
        }
    }

    /// Makes an invoice unpayable. One that was paid is credited.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn void_staff_invoice(
        &self,
        account: &AccountId,
        invoice: &PaymentId,
        by: &StaffAct,
    ) -> Result<VoidOutcome, PaymentError> {
        let store = &self.billing.store;
        let refused = match self.stripe.void_invoice(invoice.as_str()).await {
            Ok(_) | Err(StripeError::NotFound { .. }) => {
                store.end_staff_invoice(account, invoice, Some(by)).await?;
                return Ok(VoidOutcome::Void);
            }
            Err(refused @ StripeError::Rejected(_)) => refused,
            Err(error) => return Err(error.into()),
        };
        let found = self.stripe.invoice(invoice.as_str()).await?;
        match found.status.as_deref() {
            Some("paid") => {
                if self.recover_invoice(invoice, &found).await?.is_some() {
                    store.end_staff_invoice(account, invoice, None).await?;
                }
                Ok(VoidOutcome::Paid)
            }
            Some("void") => {
                store.end_staff_invoice(account, invoice, Some(by)).await?;
                Ok(VoidOutcome::Void)
            }
            // A request died before it was finalized, or Stripe refused to.
            Some("draft") => {
                self.stripe.delete_invoice(invoice.as_str()).await?;
                store.end_staff_invoice(account, invoice, Some(by)).await?;
                Ok(VoidOutcome::Void)
            }
            Some("open") if found.is_being_paid() => Ok(VoidOutcome::Processing),
            Some(_) | None => Err(refused.into()),
        }
    }

    /// The invoice of a payment that has none: a document of its own, with the customer's address of
    /// today. It is marked as paid outside of Stripe, so no money moves. Its events credit nothing.
    ///
    /// # Errors
    /// [`Refusal::BalanceAtStripe`] if the customer has a balance at Stripe, which would pay it or be
    /// charged with it; [`Refusal::NoCustomer`]; [`PaymentError`].
    pub async fn invoice_receipt(
        &self,
        account: &AccountId,
        row: &Row,
    ) -> Result<Option<StripeInvoice>, PaymentError> {
        let Change::Payment(PaymentChange::Credited { payment, credit, received_cents, .. }) =
            &row.event.change
        else {
            return Ok(None);
        };
        let known = self.billing.store.payment_ids(account, payment).await?;
        if let Some(invoice) = &known.invoice {
            return Ok(Some(self.stripe.invoice(invoice).await?));
        }
        let profile = self.billing.store.customer_profile(account).await?;
        let customer = profile.customer.ok_or(PaymentError::Refused(Refusal::NoCustomer))?;
        let new = NewReceiptInvoice {
            customer,
            account: account.clone(),
            payment: payment.clone(),
            credit_cents: credit.to_cents().unwrap_or_default(),
            received_cents: *received_cents,
            paid_at: row.event.at,
        };
        let invoice = match self.existing_invoice(&new).await? {
            FoundReceipt::Paid(invoice) => *invoice,
            FoundReceipt::Begun(invoice) => self.finish_receipt(&new, *invoice).await?,
            FoundReceipt::Left { ended } => self.make_receipt(&new, ended).await?,
        };
        let store = &self.billing.store;
        store.note_look_ups(account, row.seq, &[&invoice.id]).await?;
        let ids = PaymentIds { invoice: Some(invoice.id.clone()), ..known };
        store.note_payment(account, payment, &ids).await?;
        Ok(Some(invoice))
    }

    /// The invoice that Stripe has for the payment.
    async fn existing_invoice(
        &self,
        new: &NewReceiptInvoice,
    ) -> Result<FoundReceipt, PaymentError> {
        let leads = match new.payment.as_str().starts_with("pi_") {
            true => self.stripe.invoice_payments_of(&new.payment).await?.data,
            false => Vec::new(),
        };
        if let Some(lead) = leads.into_iter().find_map(|lead| lead.invoice) {
            return Ok(FoundReceipt::Paid(Box::new(self.stripe.invoice(&lead.id).await?)));
        }
        let (mut begun, mut ended) = (None, 0);
        let since = new.paid_at.plus(-DAY);
        for made in self.stripe.invoices_since(&new.customer, since).await? {
            if metadata::receipt_of(&made.metadata) != Some(new.payment.as_str()) {
                continue;
            }
            match made.status.as_deref() {
                Some("paid") => return Ok(FoundReceipt::Paid(Box::new(made))),
                Some("draft" | "open") => begun = Some(Box::new(made)),
                Some(_) | None => ended += 1,
            }
        }
        Ok(begun.map_or(FoundReceipt::Left { ended }, FoundReceipt::Begun))
    }

    /// `ended` is the number of void ones. Two requests at once have the same key, and make one invoice.
    async fn make_receipt(
        &self,
        new: &NewReceiptInvoice,
        ended: usize,
    ) -> Result<StripeInvoice, PaymentError> {
        if self.stripe.customer(&new.customer).await?.balance.unwrap_or_default() != 0 {
            return Err(PaymentError::Refused(Refusal::BalanceAtStripe));
        }
        let key = IdempotencyKey::receipt_invoice(
            &new.account,
            &new.payment,
            &format!("{ended}/invoice"),
        );
        let draft = self.stripe.create_receipt_invoice(new, &key).await?;
        self.finish_receipt(new, draft).await
    }

    /// Goes on with a draft, or with an open invoice that an earlier request left. What is done shows in
    /// the invoice: Stripe may have forgotten the keys.
    async fn finish_receipt(
        &self,
        new: &NewReceiptInvoice,
        begun: StripeInvoice,
    ) -> Result<StripeInvoice, PaymentError> {
        let step = |step: &str| {
            let step = format!("{}/{step}", begun.id);
            IdempotencyKey::receipt_invoice(&new.account, &new.payment, &step)
        };
        let open = if begun.status.as_deref() == Some("draft") {
            let mut cents = 0;
            for (name, line) in new.lines() {
                cents += line.cents;
                if begun.total.unwrap_or_default() < cents {
                    self.stripe.create_receipt_item(&begun.id, new, &line, &step(name)).await?;
                }
            }
            self.stripe.finalize_invoice(&begun.id, &step("finalize")).await?
        } else {
            begun.clone()
        };
        let is_as_meant = open.status.as_deref() == Some("open")
            && open.amount_due == Some(new.received_cents)
            && open.total == Some(new.received_cents);
        if !is_as_meant {
            // The customer's balance changed since it was looked at. Voiding gives it back.
            self.stripe.void_invoice(&open.id).await?;
            return Err(PaymentError::Refused(Refusal::BalanceAtStripe));
        }
        Ok(self.stripe.mark_paid(&open.id, &step("paid")).await?)
    }
}

/// What Stripe has of the invoice of a payment that had none.
enum FoundReceipt {
    Paid(Box<StripeInvoice>),
    /// A draft or an open one that a request left half done.
    Begun(Box<StripeInvoice>),
    /// Nothing, or void ones.
    Left {
        ended: usize,
    },
}

fn named(id: &str) -> Result<PaymentId, StripeError> {
    id.parse().map_err(|_| StripeError::Unresolved {
        call: "POST /invoices".to_owned(),
        why: "no usable id".to_owned(),
    })
}
