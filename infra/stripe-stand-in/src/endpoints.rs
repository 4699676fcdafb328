//! The list of everything the stand-in imitates: endpoints, parameters, expandable fields.
//!
//! It is the single source of truth. A call outside it gets Stripe's error, never an invented
//! success, and is recorded in
//! [`StripeStandIn::calls_outside`](super::StripeStandIn::calls_outside). A test compares every
//! line of it with Stripe's own OpenAPI (`tests/stand-in/openapi.rs`).

#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The path as in Stripe's OpenAPI: `/v1/customers/{customer}`.
    pub path: &'static str,
    /// The supported parameters, in groups. `expand[]` is always supported, except for `DELETE`.
    pub groups: &'static [&'static [Parameter]],
    /// The supported values of `expand[]`. For lists, without the leading `data.`.
    pub expandable: &'static [&'static str],
    /// The name of the object it answers with, `list` for a list of them.
    pub answers: AnswerShape,
    pub(super) operation: Operation,
}

/// The answer of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerShape {
    /// One object of this kind.
    One(&'static str),
    /// A list of objects of this kind.
    List(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name with brackets: `line_items[][price_data][unit_amount]`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: ParameterKind,
    /// Whether the call is refused without it.
    pub required: bool,
}

/// The values that a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum ParameterKind {
    /// Any text; empty unsets.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Keys and texts of the caller's own; an empty value unsets the key, or all keys.
    Map,
    /// One of these values. Stripe may support more.
    OneOf(&'static [&'static str]),
}

const fn text(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Text, required: false }
}
const fn integer(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Integer, required: false }
}
const fn boolean(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Boolean, required: false }
}
const fn map(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Map, required: false }
}
const fn one_of(name: &'static str, values: &'static [&'static str]) -> Parameter {
    Parameter { name, kind: ParameterKind::OneOf(values), required: false }
}
const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}

impl Endpoint {
    /// All its parameters, without `expand[]`.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The parameter at a path of name segments, with its pattern (`[]` for an element of a list).
    pub(super) fn parameter_at(&self, path: &[String]) -> Option<(Parameter, Vec<&'static str>)> {
        let mut found = None;
        if self.method != "DELETE" {
            found = matches(&text("expand[]"), path);
        }
        found.or_else(|| self.parameters().find_map(|parameter| matches(parameter, path)))
    }

    /// The ids in the path, if this is the endpoint's.
    fn ids(&self, path: &str) -> Option<Vec<String>> {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        let mut ids = Vec::new();
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(ids),
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                    ids.push(given.to_owned());
                }
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return None,
            }
        }
    }
}

/// The segments of a parameter's name: `a[][b]` is `["a", "[]", "b"]`.
fn pattern(name: &'static str) -> Vec<&'static str> {
    name.split('[')
        .map(|segment| segment.trim_end_matches(']'))
        .map(|s| if s.is_empty() { "[]" } else { s })
        .collect()
}

fn matches(parameter: &Parameter, path: &[String]) -> Option<(Parameter, Vec<&'static str>)> {
    let mut pattern = pattern(parameter.name);
    if matches!(parameter.kind, ParameterKind::Map) && path.len() == pattern.len() + 1 {
        pattern.push("*");
    } else if matches!(parameter.kind, ParameterKind::Map) {
        // `metadata=` unsets all keys; a map has no other plain value.
        return (pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(wanted, given)| wanted == given))
        .then_some((*parameter, pattern));
    }
    let fits = |(wanted, given): (&&str, &String)| match *wanted {
        "[]" => given.parse::<usize>().is_ok(),
        "*" => true,
        wanted => wanted == given,
    };
    (pattern.len() == path.len() && pattern.iter().zip(path).all(fits))
        .then_some((*parameter, pattern))
}

/// The endpoint of a call, with the ids in its path. A written path wins over one with an id.
pub(super) fn find(method: &str, path: &str) -> Option<(&'static Endpoint, Vec<String>)> {
    ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.method == method)
        .find_map(|endpoint| Some((endpoint, endpoint.ids(path)?)))
}

/// The operation of an endpoint: one for each, so that none can be listed and not be imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    CustomerCreate,
    CustomerList,
    CustomerRetrieve,
    CustomerUpdate,
    CustomerDelete,
    TaxIdCreate,
    TaxIdList,
    TaxIdDelete,
    PaymentMethodList,
    PaymentMethodListOfCustomer,
    PaymentMethodRetrieve,
    PaymentMethodAttach,
    PaymentMethodDetach,
    SessionCreate,
    SessionList,
    SessionRetrieve,
    SessionExpire,
    SessionLineItems,
    PaymentIntentList,
    PaymentIntentRetrieve,
    PaymentIntentCancel,
    SetupIntentRetrieve,
    ChargeList,
    ChargeRetrieve,
    InvoiceCreate,
    InvoiceList,
    InvoiceRetrieve,
    InvoiceFinalize,
    InvoiceSend,
    InvoicePay,
    InvoiceVoid,
    InvoiceDelete,
    InvoiceItemCreate,
    InvoicePaymentList,
    RefundCreate,
    RefundList,
    RefundRetrieve,
    DisputeList,
    DisputeRetrieve,
    PortalConfigurationCreate,
    PortalConfigurationList,
    PortalConfigurationRetrieve,
    PortalConfigurationUpdate,
    PortalSessionCreate,
    WebhookEndpointCreate,
    WebhookEndpointList,
    WebhookEndpointRetrieve,
    WebhookEndpointUpdate,
    WebhookEndpointDelete,
    EventList,
    EventRetrieve,
    TaxSettingsRetrieve,
    AccountRetrieve,
}

const fn endpoint(
    operation: Operation,
    method: &'static str,
    path: &'static str,
    groups: &'static [&'static [Parameter]],
    expandable: &'static [&'static str],
    answers: AnswerShape,
) -> Endpoint {
    Endpoint { method, path, groups, expandable, answers, operation }
}

const TAX_ID_TYPES: &[&str] = &[
    "eu_vat",
    "gb_vat",
    "us_ein",
    "au_abn",
    "br_cnpj",
    "ca_bn",
    "ca_gst_hst",
    "ch_vat",
    "in_gst",
    "jp_cn",
    "mx_rfc",
    "no_vat",
    "nz_gst",
    "sg_gst",
    "za_vat",
];
const LIST: &[Parameter] = &[integer("limit"), text("starting_after"), text("ending_before")];
const CREATED: &[Parameter] = &[
    integer("created[gt]"),
    integer("created[gte]"),
    integer("created[lt]"),
    integer("created[lte]"),
];
const METADATA: &[Parameter] = &[map("metadata")];
const CUSTOMER: &[Parameter] = &[
    text("email"),
    text("name"),
    text("phone"),
    text("description"),
    text("business_name"),
    text("individual_name"),
    text("address[city]"),
    text("address[country]"),
    text("address[line1]"),
    text("address[line2]"),
    text("address[postal_code]"),
    text("address[state]"),
    one_of("tax[validate_location]", &["deferred", "immediately"]),
    one_of("tax_exempt", &["none", "exempt", "reverse"]),
    text("invoice_settings[default_payment_method]"),
];
const PORTAL_CONFIGURATION: &[Parameter] = &[
    text("business_profile[headline]"),
    text("business_profile[privacy_policy_url]"),
    text("business_profile[terms_of_service_url]"),
    text("default_return_url"),
    text("name"),
    boolean("features[customer_update][enabled]"),
    one_of(
        "features[customer_update][allowed_updates][]",
        &["address", "email", "name", "phone", "shipping", "tax_id"],
    ),
    boolean("features[invoice_history][enabled]"),
    boolean("features[payment_method_update][enabled]"),
    boolean("login_page[enabled]"),
];
const CHECKOUT: &[Parameter] = &[
    required(one_of("mode", &["payment", "setup"])),
    text("customer"),
    text("client_reference_id"),
    text("success_url"),
    text("cancel_url"),
    one_of("ui_mode", &["hosted_page"]),
    text("locale"),
    text("currency"),
    integer("expires_at"),
    one_of("submit_type", &["auto", "pay"]),
    one_of("payment_method_types[]", &["card", "us_bank_account"]),
    one_of(
        "payment_method_options[us_bank_account][verification_method]",
        &["automatic", "instant"],
    ),
    one_of("wallet_options[link][display]", &["auto", "never"]),
    boolean("adaptive_pricing[enabled]"),
    boolean("allow_promotion_codes"),
    boolean("automatic_tax[enabled]"),
    one_of("billing_address_collection", &["auto", "required"]),
    one_of("customer_update[address]", &["auto", "never"]),
    one_of("customer_update[name]", &["auto", "never"]),
    boolean("tax_id_collection[enabled]"),
    one_of("tax_id_collection[required]", &["if_supported", "never"]),
    integer("line_items[][quantity]"),
    text("line_items[][price_data][currency]"),
    integer("line_items[][price_data][unit_amount]"),
    one_of("line_items[][price_data][tax_behavior]", &["exclusive", "inclusive", "unspecified"]),
    text("line_items[][price_data][product_data][name]"),
    text("line_items[][price_data][product_data][description]"),
    text("line_items[][price_data][product_data][tax_code]"),
    map("line_items[][price_data][product_data][metadata]"),
    text("payment_intent_data[description]"),
    map("payment_intent_data[metadata]"),
    text("payment_intent_data[receipt_email]"),
    one_of("payment_intent_data[setup_future_usage]", &["off_session", "on_session"]),
    text("payment_intent_data[statement_descriptor]"),
    text("payment_intent_data[statement_descriptor_suffix]"),
    text("setup_intent_data[description]"),
    map("setup_intent_data[metadata]"),
    one_of(
        "saved_payment_method_options[allow_redisplay_filters][]",
        &["always", "limited", "unspecified"],
    ),
    one_of("saved_payment_method_options[payment_method_save]", &["enabled", "disabled"]),
    one_of("saved_payment_method_options[payment_method_remove]", &["enabled", "disabled"]),
    one_of("consent_collection[payment_method_reuse_agreement][position]", &["auto", "hidden"]),
    text("custom_text[submit][message]"),
    text("custom_text[after_submit][message]"),
    text("custom_text[terms_of_service_acceptance][message]"),
    boolean("invoice_creation[enabled]"),
    text("invoice_creation[invoice_data][description]"),
    text("invoice_creation[invoice_data][footer]"),
    map("invoice_creation[invoice_data][metadata]"),
];
const INVOICE: &[Parameter] = &[
    required(text("customer")),
    boolean("auto_advance"),
    one_of("pending_invoice_items_behavior", &["exclude"]),
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    integer("days_until_due"),
    // Empty: without the customer's coupon.
    one_of("discounts", &[""]),
    text("currency"),
    text("description"),
    text("footer"),
    text("statement_descriptor"),
    text("default_payment_method"),
    boolean("automatic_tax[enabled]"),
    one_of(
        "payment_settings[payment_method_types][]",
        &["card", "us_bank_account", "customer_balance"],
    ),
    one_of(
        "payment_settings[payment_method_options][customer_balance][funding_type]",
        &["bank_transfer"],
    ),
    one_of(
        "payment_settings[payment_method_options][customer_balance][bank_transfer][type]",
        &["us_bank_transfer"],
    ),
];

const OF_SESSION: &[&str] = &[
    "customer",
    "invoice",
    "line_items",
    "payment_intent",
    "payment_intent.latest_charge",
    "payment_intent.latest_charge.balance_transaction",
    "payment_intent.payment_method",
    "setup_intent",
    "setup_intent.payment_method",
];
const OF_INTENT: &[&str] = &[
    "customer",
    "latest_charge",
    "latest_charge.balance_transaction",
    "latest_charge.refunds",
    "payment_method",
];
const OF_CHARGE: &[&str] = &["balance_transaction", "customer", "payment_intent", "refunds"];
const OF_INVOICE: &[&str] = &[
    "confirmation_secret",
    "customer",
    "default_payment_method",
    "payments",
    "payments.data.payment.payment_intent",
    "payments.data.payment.payment_intent.latest_charge",
];
const OF_INVOICE_PAYMENT: &[&str] =
    &["invoice", "payment.payment_intent", "payment.payment_intent.latest_charge"];
const OF_REFUND: &[&str] = &["balance_transaction", "charge", "payment_intent"];
const OF_DISPUTE: &[&str] = &["charge", "payment_intent"];
const OF_CUSTOMER: &[&str] = &["invoice_settings.default_payment_method", "tax", "tax_ids"];

/// All supported endpoints.
pub const ENDPOINTS: &[Endpoint] = {
    use AnswerShape::{List, One};
    use Operation as Op;
    &[
        endpoint(
            Op::CustomerCreate,
            "POST",
            "/v1/customers",
            &[
                CUSTOMER,
                METADATA,
                &[
                    text("payment_method"),
                    one_of("tax_id_data[][type]", TAX_ID_TYPES),
                    text("tax_id_data[][value]"),
                ],
            ],
            OF_CUSTOMER,
            One("customer"),
        ),
        endpoint(
            Op::CustomerList,
            "GET",
            "/v1/customers",
            &[LIST, CREATED, &[text("email")]],
            OF_CUSTOMER,
            List("customer"),
        ),
        endpoint(
            Op::CustomerRetrieve,
            "GET",
            "/v1/customers/{customer}",
            &[],
            OF_CUSTOMER,
            One("customer"),
        ),
        endpoint(
            Op::CustomerUpdate,
            "POST",
            "/v1/customers/{customer}",
            &[CUSTOMER, METADATA],
            OF_CUSTOMER,
            One("customer"),
        ),
        endpoint(
            Op::CustomerDelete,
            "DELETE",
            "/v1/customers/{customer}",
            &[],
            &[],
            One("deleted_customer"),
        ),
        endpoint(
            Op::TaxIdList,
            "GET",
            "/v1/customers/{customer}/tax_ids",
            &[LIST],
            &[],
            List("tax_id"),
        ),
        endpoint(
            Op::TaxIdCreate,
            "POST",
            "/v1/customers/{customer}/tax_ids",
            &[&[required(one_of("type", TAX_ID_TYPES)), required(text("value"))]],
            &[],
            One("tax_id"),
        ),
        endpoint(
            Op::TaxIdDelete,
            "DELETE",
            "/v1/customers/{customer}/tax_ids/{id}",
            &[],
            &[],
            One("deleted_tax_id"),
        ),
        endpoint(
            Op::PaymentMethodListOfCustomer,
            "GET",
            "/v1/customers/{customer}/payment_methods",
            &[
                LIST,
                &[
                    one_of("type", &["card", "us_bank_account"]),
                    one_of("allow_redisplay", &["always", "limited", "unspecified"]),
                ],
            ],
            &["customer"],
            List("payment_method"),
        ),
        endpoint(
            Op::PaymentMethodList,
            "GET",
            "/v1/payment_methods",
            &[
                LIST,
                &[
                    text("customer"),
                    one_of("type", &["card", "us_bank_account"]),
                    one_of("allow_redisplay", &["always", "limited", "unspecified"]),
                ],
            ],
            &["customer"],
            List("payment_method"),
        ),
        endpoint(
            Op::PaymentMethodRetrieve,
            "GET",
            "/v1/payment_methods/{payment_method}",
            &[],
            &["customer"],
            One("payment_method"),
        ),
        endpoint(
            Op::PaymentMethodAttach,
            "POST",
            "/v1/payment_methods/{payment_method}/attach",
            &[&[required(text("customer"))]],
            &["customer"],
            One("payment_method"),
        ),
        endpoint(
            Op::PaymentMethodDetach,
            "POST",
            "/v1/payment_methods/{payment_method}/detach",
            &[],
            &[],
            One("payment_method"),
        ),
        endpoint(
            Op::SessionCreate,
            "POST",
            "/v1/checkout/sessions",
            &[CHECKOUT, METADATA],
            OF_SESSION,
            One("checkout.session"),
        ),
        endpoint(
            Op::SessionList,
            "GET",
            "/v1/checkout/sessions",
            &[
                LIST,
                CREATED,
                &[
                    text("customer"),
                    text("payment_intent"),
                    one_of("status", &["open", "complete", "expired"]),
                ],
            ],
            OF_SESSION,
            List("checkout.session"),
        ),
        endpoint(
            Op::SessionRetrieve,
            "GET",
            "/v1/checkout/sessions/{session}",
            &[],
            OF_SESSION,
            One("checkout.session"),
        ),
        endpoint(
            Op::SessionExpire,
            "POST",
            "/v1/checkout/sessions/{session}/expire",
            &[],
            OF_SESSION,
            One("checkout.session"),
        ),
        endpoint(
            Op::SessionLineItems,
            "GET",
            "/v1/checkout/sessions/{session}/line_items",
            &[LIST],
            &[],
            List("item"),
        ),
        endpoint(
            Op::PaymentIntentList,
            "GET",
            "/v1/payment_intents",
            &[LIST, CREATED, &[text("customer")]],
            OF_INTENT,
            List("payment_intent"),
        ),
        endpoint(
            Op::PaymentIntentRetrieve,
            "GET",
            "/v1/payment_intents/{intent}",
            &[],
            OF_INTENT,
            One("payment_intent"),
        ),
        endpoint(
            Op::PaymentIntentCancel,
            "POST",
            "/v1/payment_intents/{intent}/cancel",
            &[&[one_of(
                "cancellation_reason",
                &["abandoned", "duplicate", "fraudulent", "requested_by_customer"],
            )]],
            OF_INTENT,
            One("payment_intent"),
        ),
        endpoint(
            Op::SetupIntentRetrieve,
            "GET",
            "/v1/setup_intents/{intent}",
            &[],
            &["customer", "payment_method"],
            One("setup_intent"),
        ),
        endpoint(
            Op::ChargeList,
            "GET",
            "/v1/charges",
            &[LIST, CREATED, &[text("customer"), text("payment_intent")]],
            OF_CHARGE,
            List("charge"),
        ),
        endpoint(Op::ChargeRetrieve, "GET", "/v1/charges/{charge}", &[], OF_CHARGE, One("charge")),
        endpoint(
            Op::InvoiceCreate,
            "POST",
            "/v1/invoices",
            &[INVOICE, METADATA],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoiceList,
            "GET",
            "/v1/invoices",
            &[
                LIST,
                CREATED,
                &[
                    text("customer"),
                    one_of("status", &["draft", "open", "paid", "uncollectible", "void"]),
                ],
            ],
            OF_INVOICE,
            List("invoice"),
        ),
        endpoint(
            Op::InvoiceRetrieve,
            "GET",
            "/v1/invoices/{invoice}",
            &[],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoiceFinalize,
            "POST",
            "/v1/invoices/{invoice}/finalize",
            &[&[boolean("auto_advance")]],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoicePay,
            "POST",
            "/v1/invoices/{invoice}/pay",
            &[&[boolean("off_session"), boolean("paid_out_of_band"), text("payment_method")]],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoiceSend,
            "POST",
            "/v1/invoices/{invoice}/send",
            &[],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoiceDelete,
            "DELETE",
            "/v1/invoices/{invoice}",
            &[],
            &[],
            One("deleted_invoice"),
        ),
        endpoint(
            Op::InvoiceVoid,
            "POST",
            "/v1/invoices/{invoice}/void",
            &[],
            OF_INVOICE,
            One("invoice"),
        ),
        endpoint(
            Op::InvoiceItemCreate,
            "POST",
            "/v1/invoiceitems",
            &[
                METADATA,
                &[
                    required(text("customer")),
                    required(text("invoice")),
                    required(integer("amount")),
                    text("currency"),
                    text("description"),
                    one_of("tax_behavior", &["exclusive", "inclusive", "unspecified"]),
                    text("tax_code"),
                ],
            ],
            &["customer", "invoice"],
            One("invoiceitem"),
        ),
        endpoint(
            Op::InvoicePaymentList,
            "GET",
            "/v1/invoice_payments",
            &[
                LIST,
                CREATED,
                &[
                    text("invoice"),
                    one_of("status", &["canceled", "open", "paid"]),
                    one_of("payment[type]", &["payment_intent"]),
                    text("payment[payment_intent]"),
                ],
            ],
            OF_INVOICE_PAYMENT,
            List("invoice_payment"),
        ),
        endpoint(
            Op::RefundCreate,
            "POST",
            "/v1/refunds",
            &[
                METADATA,
                &[
                    text("payment_intent"),
                    text("charge"),
                    integer("amount"),
                    one_of("reason", &["duplicate", "fraudulent", "requested_by_customer"]),
                ],
            ],
            OF_REFUND,
            One("refund"),
        ),
        endpoint(
            Op::RefundList,
            "GET",
            "/v1/refunds",
            &[LIST, CREATED, &[text("payment_intent"), text("charge")]],
            OF_REFUND,
            List("refund"),
        ),
        endpoint(Op::RefundRetrieve, "GET", "/v1/refunds/{refund}", &[], OF_REFUND, One("refund")),
        endpoint(
            Op::DisputeList,
            "GET",
            "/v1/disputes",
            &[LIST, CREATED, &[text("payment_intent"), text("charge")]],
            OF_DISPUTE,
            List("dispute"),
        ),
        endpoint(
            Op::DisputeRetrieve,
            "GET",
            "/v1/disputes/{dispute}",
            &[],
            OF_DISPUTE,
            One("dispute"),
        ),
        endpoint(
            Op::PortalConfigurationList,
            "GET",
            "/v1/billing_portal/configurations",
            &[LIST, &[boolean("active"), boolean("is_default")]],
            &[],
            List("billing_portal.configuration"),
        ),
        endpoint(
            Op::PortalConfigurationCreate,
            "POST",
            "/v1/billing_portal/configurations",
            &[PORTAL_CONFIGURATION, METADATA],
            &[],
            One("billing_portal.configuration"),
        ),
        endpoint(
            Op::PortalConfigurationRetrieve,
            "GET",
            "/v1/billing_portal/configurations/{configuration}",
            &[],
            &[],
            One("billing_portal.configuration"),
        ),
        endpoint(
            Op::PortalConfigurationUpdate,
            "POST",
            "/v1/billing_portal/configurations/{configuration}",
            &[PORTAL_CONFIGURATION, METADATA, &[boolean("active")]],
            &[],
            One("billing_portal.configuration"),
        ),
        endpoint(
            Op::PortalSessionCreate,
            "POST",
            "/v1/billing_portal/sessions",
            &[&[
                required(text("customer")),
                text("configuration"),
                text("return_url"),
                text("locale"),
                one_of("flow_data[type]", &["payment_method_update"]),
                one_of("flow_data[after_completion][type]", &["portal_homepage", "redirect"]),
                text("flow_data[after_completion][redirect][return_url]"),
            ]],
            &["configuration"],
            One("billing_portal.session"),
        ),
        endpoint(
            Op::WebhookEndpointList,
            "GET",
            "/v1/webhook_endpoints",
            &[LIST],
            &[],
            List("webhook_endpoint"),
        ),
        endpoint(
            Op::WebhookEndpointCreate,
            "POST",
            "/v1/webhook_endpoints",
            &[
                METADATA,
                &[
                    required(text("url")),
                    required(text("enabled_events[]")),
                    text("api_version"),
                    text("description"),
                ],
            ],
            &[],
            One("webhook_endpoint"),
        ),
        endpoint(
            Op::WebhookEndpointRetrieve,
            "GET",
            "/v1/webhook_endpoints/{webhook_endpoint}",
            &[],
            &[],
            One("webhook_endpoint"),
        ),
        endpoint(
            Op::WebhookEndpointUpdate,
            "POST",
            "/v1/webhook_endpoints/{webhook_endpoint}",
            &[
                METADATA,
                &[text("url"), text("enabled_events[]"), text("description"), boolean("disabled")],
            ],
            &[],
            One("webhook_endpoint"),
        ),
        endpoint(
            Op::WebhookEndpointDelete,
            "DELETE",
            "/v1/webhook_endpoints/{webhook_endpoint}",
            &[],
            &[],
            One("deleted_webhook_endpoint"),
        ),
        endpoint(
            Op::EventList,
            "GET",
            "/v1/events",
            &[LIST, CREATED, &[text("type"), text("types[]"), boolean("delivery_success")]],
            &[],
            List("event"),
        ),
        endpoint(Op::EventRetrieve, "GET", "/v1/events/{id}", &[], &[], One("event")),
        endpoint(Op::TaxSettingsRetrieve, "GET", "/v1/tax/settings", &[], &[], One("tax.settings")),
        endpoint(Op::AccountRetrieve, "GET", "/v1/account", &[], &[], One("account")),
    ]
};
