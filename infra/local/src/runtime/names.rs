//! Names in the local cloud: region, account and ARNs.

/// The region everything is in.
pub const REGION: &str = "us-east-1";

/// The AWS account everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// Where a deployed stack's queues are.
pub(crate) const DEPLOYED_QUEUES: &str = "https://sqs.us-east-1.amazonaws.com/000000000000";

/// The client of tokens with the scope `tollgate/admin` or `tollgate/support`.
pub(crate) const STAFF_CLIENT: &str = "local-staff";

/// The client of tokens with the scope `tollgate/platform`.
pub(crate) const PLATFORM_CLIENT: &str = "local-platform";

/// The client of all other tokens.
const PAGE_CLIENT: &str = "local-page";

/// The client to which the issuer gives a token with these scopes.
pub(crate) fn client_for(scopes: &str) -> &'static str {
    let has = |scope: &str| scopes.split_whitespace().any(|one| one == scope);
    if has("tollgate/admin") || has("tollgate/support") {
        STAFF_CLIENT
    } else if has("tollgate/platform") {
        PLATFORM_CLIENT
    } else {
        PAGE_CLIENT
    }
}

/// The ARN of a resource whose last part is `rest`.
pub(crate) fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

/// Where Stripe's key and the webhooks' secrets are.
#[must_use]
pub fn stripe_secret() -> String {
    arn("secretsmanager", "secret:tollgate-local-stripe-AbCdEf")
}

pub(crate) fn function_arn(name: &str) -> String {
    arn("lambda", &format!("function:{name}"))
}

pub(crate) fn table_arn(table: &str) -> String {
    arn("dynamodb", &format!("table/{table}"))
}

/// The label, on AWS the time at which the stream was switched on, is fixed here.
pub(crate) fn stream_arn(table: &str) -> String {
    format!("{}/stream/2026-01-01T00:00:00.000", table_arn(table))
}

/// An id in the form of a UUID, from a source of randomness that is good enough for ids.
pub(crate) fn new_id() -> String {
    let id = fastrand::u128(..);
    let text = format!("{id:032x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}
