//! What happens at Stripe without us: in its dashboard, at banks and at card networks.

use std::time::Duration;

use serde_json::Value;
use stripe_stand_in::{CardRule, DisputeEnd, DisputeKind, NewDispute, NotPossible, StripeStandIn};

use crate::actors::ActorHabits;
use crate::chance::Chance;
use crate::cloud::SimulatedCloud;

/// What happens to an object at Stripe.
#[derive(Clone, Copy, Debug)]
pub enum OutsideAction {
    Refund,
    FailRefund,
    CreditBalance,
    Coupon,
    PayOutOfBand,
    Dispute,
    CloseDispute,
    WarnOfFraud,
    RenewCard,
    DeclineCard,
    DetachCard,
}

impl OutsideAction {
    /// The usual weights of what not every run has.
    pub const USUAL: [(u32, Self); 11] = [
        (4, Self::Refund),
        (1, Self::FailRefund),
        (1, Self::CreditBalance),
        (1, Self::Coupon),
        (1, Self::PayOutOfBand),
        (4, Self::Dispute),
        (4, Self::CloseDispute),
        (1, Self::WarnOfFraud),
        (1, Self::RenewCard),
        (2, Self::DeclineCard),
        (1, Self::DetachCard),
    ];

    /// What it happens to.
    fn kind(self) -> &'static str {
        match self {
            Self::Refund | Self::Dispute | Self::WarnOfFraud => "payment_intent",
            Self::FailRefund => "refund",
            Self::CreditBalance | Self::Coupon => "customer",
            Self::PayOutOfBand => "invoice",
            Self::CloseDispute => "dispute",
            Self::RenewCard | Self::DeclineCard | Self::DetachCard => "payment_method",
        }
    }
}

/// Staff in the dashboard, banks and card networks. Clones draw from the same chance.
#[derive(Clone)]
pub struct Outside {
    pub cloud: SimulatedCloud,
    pub chance: Chance,
}

impl Outside {
    /// Acts until the end.
    pub async fn live(&self, habits: &ActorHabits, until: time::UtcDateTime) {
        let clock = self.cloud.parts().network.parts().clock;
        while clock.now() < until {
            let pause = self.chance.number(60..=habits.pause_minutes * 240);
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if clock.now() < until {
                self.act(*self.chance.weighted(&habits.outside));
            }
        }
    }

    fn act(&self, action: OutsideAction) {
        let is_payment = action.kind() == "payment_intent";
        let object = if is_payment { self.any_payment() } else { self.any(action.kind()) };
        let Some(object) = object else { return };
        let net = self.cloud.parts().network.parts();
        let id = object["id"].as_str().unwrap_or_default();
        let outcome = match self.happen(&net.stand_in, action, &object) {
            Ok(()) => {
                net.journal.reach(format!("at Stripe {action:?}"));
                "done".to_owned()
            }
            Err(error) => error.to_string(),
        };
        net.journal.note(format!("at Stripe: {action:?} of {id}: {outcome}"));
        net.charged.notify_one();
    }

    fn happen(
        &self,
        stripe: &StripeStandIn,
        action: OutsideAction,
        object: &Value,
    ) -> Result<(), NotPossible> {
        let id = object["id"].as_str().unwrap_or_default();
        match action {
            OutsideAction::Refund => {
                let cents = object["amount_received"].as_i64().unwrap_or_default();
                let part = *self.chance.pick(&[cents, cents / 2, cents / 3]);
                stripe.refund_in_dashboard(id, Some(part)).map(|_| ())
            }
            OutsideAction::FailRefund => stripe.fail_refund(id),
            OutsideAction::CreditBalance => stripe.give_credit_balance(id, 700),
            OutsideAction::Coupon => stripe.give_coupon(id, 20),
            OutsideAction::PayOutOfBand => stripe.pay_out_of_band(id),
            OutsideAction::Dispute => stripe.dispute(&self.new_dispute(object, id)).map(|_| ()),
            OutsideAction::CloseDispute => stripe.close_dispute(id, self.end_of(object)),
            OutsideAction::WarnOfFraud => stripe.warn_of_fraud(id).map(|_| ()),
            // Bank accounts do not expire.
            OutsideAction::RenewCard if object["type"] != "card" => Ok(()),
            OutsideAction::RenewCard => {
                let year = self.cloud.parts().network.parts().clock.now().year();
                stripe.update_card(id, 1, i64::from(year) + *self.chance.pick(&[1, 4]))
            }
            OutsideAction::DeclineCard => {
                stripe.decline_card(id, self.decline());
                Ok(())
            }
            OutsideAction::DetachCard => stripe.detach_in_portal(id),
        }
    }

    fn end_of(&self, dispute: &Value) -> DisputeEnd {
        let cents = dispute["amount"].as_i64().unwrap_or_default();
        *self.chance.pick(&[
            DisputeEnd::Won,
            DisputeEnd::Won,
            DisputeEnd::Lost,
            DisputeEnd::LostInPart(cents / 4),
            DisputeEnd::Prevented,
        ])
    }

    /// Of the whole charge, a part of it, or more than it, as exchange rates make it.
    fn new_dispute(&self, payment: &Value, id: &str) -> NewDispute {
        let cents = payment["amount_received"].as_i64().unwrap_or_default();
        let amounts = [None, None, Some(cents / 2), Some(cents + 37)];
        let kinds = [DisputeKind::Chargeback, DisputeKind::Chargeback, DisputeKind::Inquiry];
        NewDispute {
            payment: id.to_owned(),
            amount: *self.chance.pick(&amounts),
            reason: "fraudulent".to_owned(),
            kind: *self.chance.pick(&kinds),
        }
    }

    /// Why a bank declines a card from now on, or that it accepts it again. The network's advice `03`
    /// means never again.
    fn decline(&self) -> Option<CardRule> {
        let rule = |code: &str, advice: Option<&str>| {
            Some(CardRule {
                decline_code: code.to_owned(),
                network_advice_code: advice.map(str::to_owned),
            })
        };
        match self.chance.number(..5) {
            0 => rule("insufficient_funds", None),
            1 => rule("lost_card", None),
            2 => rule("do_not_honor", Some("03")),
            3 => rule("expired_card", None),
            _ => None,
        }
    }

    /// A payment that succeeded.
    pub(super) fn any_payment(&self) -> Option<Value> {
        let mut paid = self.objects("payment_intent");
        paid.retain(|intent| intent["status"] == "succeeded");
        (!paid.is_empty()).then(|| self.chance.pick(&paid).clone())
    }

    pub(super) fn any(&self, kind: &str) -> Option<Value> {
        let all = self.objects(kind);
        (!all.is_empty()).then(|| self.chance.pick(&all).clone())
    }

    fn objects(&self, kind: &str) -> Vec<Value> {
        let stand_in = &self.cloud.parts().network.parts().stand_in;
        let saved = stand_in.save().expect("plain JSON");
        let objects = saved["objects"].as_array().cloned().unwrap_or_default();
        objects.into_iter().filter(|object| object["object"] == kind).collect()
    }
}
