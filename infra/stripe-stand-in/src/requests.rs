//! One call to the API: its key, its endpoint, its idempotency key and its answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::account::Account;
use super::control::StripeFaultKind;
use super::endpoints::{self, AnswerShape, Endpoint, Operation};
use super::failure::{Failure, Stage};
use super::form;

/// Seconds for which the answer to an idempotency key is kept. Stripe documents at least 24 hours.
const KEY_SECONDS: i64 = 24 * 60 * 60;

/// A call to the stand-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeCall {
    /// In Unix seconds.
    pub at: i64,
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// The path that was called.
    pub path: String,
    /// The endpoint of the list: `POST /v1/invoices/{invoice}/pay`, if it is one.
    pub endpoint: Option<String>,
    /// The parameters by name, as they were sent.
    pub params: BTreeMap<String, String>,
    pub idempotency_key: Option<String>,
    /// The status that was answered; none if the answer was lost or the connection dropped.
    pub status: Option<u16>,
    /// Whether the answer was the saved one of an earlier call with the same key.
    pub replayed: bool,
    /// Why it is not on the list, if it is not.
    pub outside: Option<String>,
    /// The `Request-Id` of the answer.
    pub request_id: String,
}

/// The answer that an idempotency key keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedAnswer {
    at: i64,
    endpoint: String,
    fingerprint: String,
    request_id: String,
    /// None while the first request is at work.
    answer: Option<(u16, Value)>,
}

/// A request before it is parsed.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) idempotency_key: Option<String>,
    /// The content type if it is not a form's.
    pub(super) foreign_content: Option<String>,
    /// Query and body, form encoded.
    pub(super) form: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgone {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) request_id: String,
    pub(super) replayed_of: Option<String>,
    pub(super) should_retry: Option<bool>,
    pub(super) way: Way,
}

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it should.
    Arrives,
    /// Not at all: the connection ends.
    Lost,
    /// Only once [`StripeStandIn::release_held`](super::StripeStandIn::release_held) is called.
    Held,
}

impl Way {
    fn under(fault: Option<StripeFaultKind>) -> Way {
        match fault {
            Some(StripeFaultKind::AnswerLost | StripeFaultKind::ConnectionDropped) => Way::Lost,
            Some(StripeFaultKind::Held) => Way::Held,
            Some(
                StripeFaultKind::ServerError
                | StripeFaultKind::RateLimited
                | StripeFaultKind::Forbidden
                | StripeFaultKind::Refused,
            )
            | None => Way::Arrives,
        }
    }
}

/// The input of an operation.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) ids: Vec<String>,
    pub(super) params: Value,
    pub(super) url: String,
}

impl Request {
    /// The first id in the path.
    pub(super) fn id(&self) -> &str {
        self.ids.first().map_or("", String::as_str)
    }

    /// A text by JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.params.pointer(pointer).and_then(Value::as_str)
    }

    /// A number by JSON pointer.
    pub(super) fn integer(&self, pointer: &str) -> Option<i64> {
        self.params.pointer(pointer).and_then(Value::as_i64)
    }

    /// A switch by JSON pointer, off if it was not sent.
    pub(super) fn is(&self, pointer: &str) -> bool {
        self.params.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Any value by JSON pointer, `null` if it was not sent.
    pub(super) fn at(&self, pointer: &str) -> Value {
        self.params.pointer(pointer).cloned().unwrap_or_default()
    }

    /// A map of texts, empty if it was not sent.
    pub(super) fn map(&self, pointer: &str) -> Value {
        let fields = self.params.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        let set = fields.filter(|(_, value)| !value.is_null());
        Value::Object(set.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Account {
    /// Answers one call and records it.
    pub(super) fn answer(&mut self, incoming: &Incoming, secret_keys: &[String]) -> Outgone {
        let request_id = self.id("req_", 14);
        let leaves = form::decode(&incoming.form);
        let found = endpoints::find(&incoming.method, &incoming.path);
        let endpoint = found.as_ref().map(|(endpoint, _)| name(endpoint));
        let fault = self.next_fault(endpoint.as_deref());
        let mut call = StripeCall {
            at: self.now,
            method: incoming.method.clone(),
            path: incoming.path.clone(),
            endpoint: endpoint.clone(),
            params: leaves.iter().map(|leaf| (leaf.name.clone(), leaf.value.clone())).collect(),
            idempotency_key: incoming.idempotency_key.clone(),
            status: None,
            replayed: false,
            outside: None,
            request_id: request_id.clone(),
        };
        let mut outgone = Outgone {
            status: 0,
            body: Value::Null,
            request_id: request_id.clone(),
            replayed_of: None,
            should_retry: None,
            way: Way::under(fault),
        };
        let result = match refused_before_work(fault) {
            Some(failure) => Err(failure),
            None => {
                self.keyed(incoming, secret_keys, &request_id, &leaves, found, fault, &mut outgone)
            }
        };
        match result {
            Ok((status, body)) => (outgone.status, outgone.body) = (status, body),
            Err(failure) => {
                if failure.stage == Stage::NotListed {
                    call.outside =
                        failure.error.get("message").and_then(Value::as_str).map(str::to_owned);
                }
                outgone.should_retry = should_retry(failure.status);
                (outgone.status, outgone.body) =
                    (failure.status, self.signed(&failure, &request_id));
            }
        }
        call.replayed = outgone.replayed_of.is_some();
        call.status = (outgone.way != Way::Lost).then_some(outgone.status);
        self.calls.push(call);
        outgone
    }

    /// An error's body, which names the request.
    fn signed(&self, failure: &Failure, request_id: &str) -> Value {
        let mut body = failure.body();
        if (400..500).contains(&failure.status) && failure.status != 401 {
            let log = format!("{}/logs/{request_id}", self.settings.public_url);
            body["error"]["request_log_url"] = json!(log);
        }
        body
    }

    /// Checks key and parameters, gives the saved answer if there is one, else does the work.
    #[allow(clippy::too_many_arguments, reason = "one step of `answer`, split off to fit a screen")]
    fn keyed(
        &mut self,
        incoming: &Incoming,
        secret_keys: &[String],
        request_id: &str,
        leaves: &[form::Leaf],
        found: Option<(&'static Endpoint, Vec<String>)>,
        fault: Option<StripeFaultKind>,
        outgone: &mut Outgone,
    ) -> Result<(u16, Value), Failure> {
        authorize(incoming.authorization.as_deref(), secret_keys)?;
        let Some((endpoint, ids)) = found else {
            return Err(Failure::unrecognized(&incoming.method, &incoming.path));
        };
        check_content(incoming)?;
        let key = incoming.idempotency_key.clone().filter(|_| incoming.method == "POST");
        if let Some(key) = &key {
            check_key(key)?;
            let saved = self.saved(key, &incoming.path, &fingerprint(leaves))?;
            if let Some(SavedAnswer { answer: Some(answer), request_id, .. }) = saved {
                outgone.replayed_of = Some(request_id);
                return Ok(answer);
            }
        }
        let params = form::check(endpoint, leaves)?;
        check_expansion(endpoint, &params)?;
        self.request = Some((request_id.to_owned(), key.clone()));
        let request = Request { ids, params, url: incoming.path.clone() };
        let result = match fault {
            Some(StripeFaultKind::ServerError) => Err(Failure::internal()),
            _ => {
                self.operate(endpoint.operation, &request).map(|body| self.expanded(body, &request))
            }
        };
        self.request = None;
        if let Some(key) = key
            && let Some(answer) = self.kept_answer(&result, request_id)
        {
            let held = fault == Some(StripeFaultKind::Held);
            let saved = SavedAnswer {
                at: self.now,
                endpoint: incoming.path.clone(),
                fingerprint: fingerprint(leaves),
                request_id: request_id.to_owned(),
                answer: (!held).then_some(answer),
            };
            self.answers.insert(key, saved);
        }
        result.map(|body| (200, body))
    }

    /// The answer that the key keeps. None if the request failed before it was at work.
    fn kept_answer(
        &self,
        result: &Result<Value, Failure>,
        request_id: &str,
    ) -> Option<(u16, Value)> {
        match result {
            Ok(body) => Some((200, body.clone())),
            Err(failure) if failure.stage == Stage::AtWork => {
                Some((failure.status, self.signed(failure, request_id)))
            }
            Err(_) => None,
        }
    }

    /// The answer that is kept for this key, once the first request is done.
    fn saved(
        &mut self,
        key: &str,
        path: &str,
        fingerprint: &str,
    ) -> Result<Option<SavedAnswer>, Failure> {
        let now = self.now;
        self.answers.retain(|_, saved| saved.at + KEY_SECONDS > now);
        let Some(saved) = self.answers.get(key) else { return Ok(None) };
        let hint = format!(
            "Try using a key other than '{key}' if you meant to execute a different request."
        );
        if saved.endpoint != path {
            return Err(Failure::idempotency(&format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{path}' \
                 vs '{}'). {hint}",
                saved.endpoint
            )));
        }
        if saved.fingerprint != fingerprint {
            return Err(Failure::idempotency(&format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. {hint}"
            )));
        }
        match &saved.answer {
            Some(_) => Ok(Some(saved.clone())),
            None => Err(Failure::key_in_use(key)),
        }
    }

    /// Ends a request whose answer was held. Its key now has this answer.
    pub(super) fn held_is_done(&mut self, key: &str, status: u16, body: &Value) {
        if let Some(saved) = self.answers.get_mut(key).filter(|saved| saved.answer.is_none()) {
            saved.answer = Some((status, body.clone()));
        }
    }

    /// Forgets requests that were at work when the process ended.
    pub(super) fn forget_unfinished(&mut self) {
        self.answers.retain(|_, saved| saved.answer.is_some());
    }

    fn operate(&mut self, operation: Operation, request: &Request) -> Result<Value, Failure> {
        use Operation as Op;
        match operation {
            Op::CustomerCreate => self.create_customer(request),
            Op::CustomerList => self.list_customers(request),
            Op::CustomerRetrieve => self.of_kind("customer", request.id()).cloned(),
            Op::CustomerUpdate => self.update_customer(request),
            Op::CustomerDelete => self.delete_customer(request),
            Op::TaxIdCreate => self.create_tax_id(request),
            Op::TaxIdList => self.list_tax_ids(request),
            Op::TaxIdDelete => self.delete_tax_id(request),
            Op::PaymentMethodList => self.list_payment_methods(request, request.text("/customer")),
            Op::PaymentMethodListOfCustomer => {
                self.of_kind("customer", request.id())?;
                self.list_payment_methods(request, Some(request.id()))
            }
            Op::PaymentMethodRetrieve => self.of_kind("payment_method", request.id()).cloned(),
            Op::PaymentMethodAttach => self.attach_payment_method(request),
            Op::PaymentMethodDetach => self.detach_payment_method(request.id()),
            Op::SessionCreate => self.create_session(request),
            Op::SessionList => {
                self.list("checkout.session", request, &["customer", "payment_intent", "status"])
            }
            Op::SessionRetrieve => self.of_kind("checkout.session", request.id()).cloned(),
            Op::SessionExpire => self.expire_session(request.id()),
            Op::SessionLineItems => self.list_line_items(request),
            Op::PaymentIntentList => self.list("payment_intent", request, &["customer"]),
            Op::PaymentIntentRetrieve => self.of_kind("payment_intent", request.id()).cloned(),
            Op::PaymentIntentCancel => self.cancel_payment_intent(request),
            Op::SetupIntentRetrieve => self.of_kind("setup_intent", request.id()).cloned(),
            Op::ChargeList => self.list("charge", request, &["customer", "payment_intent"]),
            Op::ChargeRetrieve => self.of_kind("charge", request.id()).cloned(),
            Op::InvoiceCreate => self.create_invoice(request),
            Op::InvoiceList => self.list("invoice", request, &["customer", "status"]),
            Op::InvoiceRetrieve => self.of_kind("invoice", request.id()).cloned(),
            Op::InvoiceFinalize => self.finalize_invoice(request),
            Op::InvoiceSend => self.send_invoice(request.id()),
            Op::InvoicePay => self.pay_invoice(request),
            Op::InvoiceVoid => self.void_invoice(request.id()),
            Op::InvoiceDelete => self.delete_invoice(request.id()),
            Op::InvoiceItemCreate => self.create_invoice_item(request),
            Op::InvoicePaymentList => self.list_invoice_payments(request),
            Op::RefundCreate => self.create_refund(request),
            Op::RefundList => self.list("refund", request, &["charge", "payment_intent"]),
            Op::RefundRetrieve => self.of_kind("refund", request.id()).cloned(),
            Op::DisputeList => self.list("dispute", request, &["charge", "payment_intent"]),
            Op::DisputeRetrieve => self.of_kind("dispute", request.id()).cloned(),
            Op::PortalConfigurationCreate => self.create_portal_configuration(request),
            Op::PortalConfigurationList => {
                self.list("billing_portal.configuration", request, &["active", "is_default"])
            }
            Op::PortalConfigurationRetrieve => {
                self.of_kind("billing_portal.configuration", request.id()).cloned()
            }
            Op::PortalConfigurationUpdate => self.update_portal_configuration(request),
            Op::PortalSessionCreate => self.create_portal_session(request),
            Op::WebhookEndpointCreate => self.create_webhook_endpoint(request),
            Op::WebhookEndpointList => self.list("webhook_endpoint", request, &[]),
            Op::WebhookEndpointRetrieve => self.of_kind("webhook_endpoint", request.id()).cloned(),
            Op::WebhookEndpointUpdate => self.update_webhook_endpoint(request),
            Op::WebhookEndpointDelete => self.delete_webhook_endpoint(request.id()),
            Op::EventList => self.list_events(request),
            Op::EventRetrieve => self.of_kind("event", request.id()).cloned(),
            Op::TaxSettingsRetrieve => Ok(self.tax_settings()),
            Op::AccountRetrieve => Ok(self.own_account()),
        }
    }

    /// A page of a list, newest first, filtered by `fields` with the parameters of the same name.
    pub(super) fn list(
        &self,
        kind: &str,
        request: &Request,
        fields: &[&str],
    ) -> Result<Value, Failure> {
        let wanted: Vec<(&str, Value)> = fields
            .iter()
            .map(|field| (*field, request.at(&format!("/{field}"))))
            .filter(|(_, value)| !value.is_null())
            .collect();
        self.list_where(kind, request, |object| {
            wanted.iter().all(|(field, value)| object[*field] == *value)
        })
    }

    /// A page of a list, newest first.
    pub(super) fn list_where(
        &self,
        kind: &str,
        request: &Request,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let bounds =
            ["gt", "gte", "lt", "lte"].map(|bound| request.integer(&format!("/created/{bound}")));
        let [gt, gte, lt, lte] = bounds;
        let in_time = |object: &Value| {
            let created = object["created"].as_i64().unwrap_or_default();
            gt.is_none_or(|t| created > t)
                && gte.is_none_or(|t| created >= t)
                && lt.is_none_or(|t| created < t)
                && lte.is_none_or(|t| created <= t)
        };
        let all: Vec<&Value> = self
            .objects
            .iter()
            .rev()
            .filter(|object| object["object"] == kind && object.get("deleted").is_none())
            .filter(|object| in_time(object) && wanted(object))
            .collect();
        self.page(kind, request, &all)
    }

    /// The part of a list that the cursor asks for.
    pub(super) fn page(
        &self,
        kind: &str,
        request: &Request,
        all: &[&Value],
    ) -> Result<Value, Failure> {
        let limit = request.integer("/limit").unwrap_or(10);
        let Some(limit) = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit))
        else {
            return Err(Failure::invalid("This value must be between 1 and 100 (inclusive).")
                .param("limit"));
        };
        let place = |param: &str| -> Result<Option<usize>, Failure> {
            let Some(id) = request.text(&format!("/{param}")) else { return Ok(None) };
            let known =
                self.of_kind(kind, id).is_ok() || all.iter().any(|object| object["id"] == id);
            if !known {
                return Err(Failure::missing_in(param, kind, id));
            }
            Ok(all.iter().position(|object| object["id"] == id))
        };
        if request.text("/starting_after").is_some() && request.text("/ending_before").is_some() {
            return Err(Failure::invalid(
                "You cannot specify both starting_after and ending_before.",
            ));
        }
        let after = place("starting_after")?;
        let (data, has_more) = if let Some(end) = place("ending_before")? {
            let start = end.saturating_sub(limit);
            (all.get(start..end).unwrap_or_default(), start > 0)
        } else {
            let rest = all.get(after.map_or(0, |place| place + 1)..).unwrap_or_default();
            (rest.get(..limit).unwrap_or(rest), rest.len() > limit)
        };
        Ok(json!({ "object": "list", "url": request.url, "has_more": has_more, "data": data }))
    }

    /// The answer with the objects of `expand[]` in place of their IDs.
    fn expanded(&self, mut body: Value, request: &Request) -> Value {
        let paths = request.at("/expand");
        for path in paths.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let segments: Vec<&str> = path.split('.').collect();
            self.expand(&mut body, &segments);
        }
        body
    }

    fn expand(&self, place: &mut Value, segments: &[&str]) {
        if let Value::Array(elements) = place {
            for element in elements {
                self.expand(element, segments);
            }
            return;
        }
        let Some((first, rest)) = segments.split_first() else { return };
        if place.get(*first).is_none()
            && let Some(included) = self.included(place, first)
        {
            place[*first] = included;
        }
        let Some(field) = place.get_mut(*first) else { return };
        if let Some(object) = field.as_str().and_then(|id| self.get(id)) {
            *field = object.clone();
        }
        self.expand(field, rest);
    }

    /// Fields that Stripe adds to an object only on request.
    fn included(&self, object: &Value, field: &str) -> Option<Value> {
        let id = object["id"].as_str()?;
        let list = |kind: &str, of: &str, url: String| {
            let data: Vec<&Value> =
                self.objects.iter().rev().filter(|o| o["object"] == kind && o[of] == id).collect();
            json!({ "object": "list", "data": data, "has_more": false, "url": url })
        };
        match (object["object"].as_str()?, field) {
            ("checkout.session", "line_items") => Some(json!({
                "object": "list",
                "data": self.known(id, "line_items"),
                "has_more": false,
                "url": format!("/v1/checkout/sessions/{id}/line_items"),
            })),
            ("charge", "refunds") => {
                Some(list("refund", "charge", format!("/v1/charges/{id}/refunds")))
            }
            ("invoice", "payments") => Some(list(
                "invoice_payment",
                "invoice",
                format!("/v1/invoice_payments?invoice={id}"),
            )),
            ("invoice", "confirmation_secret") => {
                let secret = self.text(&self.known_text(id, "payment_intent"), "/client_secret");
                (!secret.is_empty())
                    .then(|| json!({ "client_secret": secret, "type": "payment_intent" }))
            }
            ("customer", "tax_ids") => {
                Some(list("tax_id", "customer", format!("/v1/customers/{id}/tax_ids")))
            }
            ("customer", "tax") => Some(self.tax_of_customer(object)),
            _ => None,
        }
    }
}

/// The failure of a fault that comes before any work.
fn refused_before_work(fault: Option<StripeFaultKind>) -> Option<Failure> {
    match fault {
        Some(StripeFaultKind::ConnectionDropped) => Some(Failure::internal().before_work()),
        Some(StripeFaultKind::RateLimited) => Some(Failure::rate_limited()),
        Some(StripeFaultKind::Forbidden) => Some(Failure::forbidden()),
        Some(StripeFaultKind::Refused) => {
            Some(Failure::invalid("This operation is not allowed.").before_work())
        }
        Some(
            StripeFaultKind::ServerError | StripeFaultKind::AnswerLost | StripeFaultKind::Held,
        )
        | None => None,
    }
}

/// The header `Stripe-Should-Retry` of an error. None if Stripe sends none.
fn should_retry(status: u16) -> Option<bool> {
    match status {
        409 | 500.. => Some(true),
        400..=404 => Some(false),
        _ => None,
    }
}

fn check_content(incoming: &Incoming) -> Result<(), Failure> {
    let Some(content) = &incoming.foreign_content else { return Ok(()) };
    Err(Failure::invalid(format!(
        "Invalid request (check that your POST content type is application/x-www-form-urlencoded, not {content})"
    ))
    .before_work())
}

fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.chars().count() > 255 {
        return Err(
            Failure::invalid("Idempotency keys must be between 1 and 255 characters").before_work()
        );
    }
    Ok(())
}

/// The name of an endpoint in reports and faults: `POST /v1/customers`.
pub(super) fn name(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.method, endpoint.path)
}

/// Basic (the key as user name) and Bearer.
fn authorize(authorization: Option<&str>, secret_keys: &[String]) -> Result<(), Failure> {
    use base64::Engine as _;
    let given = authorization.and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(credentials.trim().to_owned());
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(credentials.trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        Some(decoded.split(':').next().unwrap_or_default().to_owned())
    });
    match given {
        Some(key) if secret_keys.contains(&key) => Ok(()),
        Some(key) => Err(Failure::unauthorized(Some(&key))),
        None => Err(Failure::unauthorized(None)),
    }
}

/// The part of a request that must be the same when its key is reused.
fn fingerprint(leaves: &[form::Leaf]) -> String {
    let mut pairs: Vec<(&str, &str)> =
        leaves.iter().map(|leaf| (leaf.name.as_str(), leaf.value.as_str())).collect();
    pairs.sort_unstable();
    let digest = Sha256::digest(serde_json::to_vec(&pairs).unwrap_or_default());
    super::deliveries::hex(&digest)
}

fn check_expansion(endpoint: &Endpoint, params: &Value) -> Result<(), Failure> {
    for path in params["expand"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let of_object = match endpoint.answers {
            AnswerShape::One(_) => Some(path),
            AnswerShape::List(_) => path.strip_prefix("data."),
        };
        // A property is expandable if it is listed or on the path to a listed one.
        let listed = |path: &str| {
            endpoint.expandable.iter().any(|known| {
                *known == path || known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        if !of_object.is_some_and(listed) {
            return Err(Failure::not_expandable(path));
        }
    }
    Ok(())
}
