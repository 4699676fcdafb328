//! What every function of the HTTP API does the same way: read the request, work on an account
//! (opening it, if this is its customer's first call), answer, and log the request once.
//!
//! A handler is three steps: [`read`], its own routes, [`respond`].

use std::ops::Range;

use lambda_http::http::StatusCode;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, ResourceId};
use crate::domain::profile::EmailAddress;
use crate::domain::refusal::Refusal;
use crate::domain::resources::Resource;
use crate::domain::row::{Row, RowError};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::Timestamp;
use crate::http::body;
use crate::http::call::{self, Acting, ApiCall, BODY_BYTES_MAX};
use crate::http::problem::{Problem, ProblemCode};
use crate::runtime::billing::{Billing, Opening, Visit};
use crate::runtime::settings::Settings;
use crate::store::{
    CommandError, CommandOutcome, CommandReceipt, PaymentIds, Plan, RowOrder, RowPage, StoreError,
};
use crate::views::transaction::{StripeObjects, Transaction, payment, transaction};

/// Where credit is added, if the operator named no page.
const ADD_CREDIT: &str = "/v1/checkout-sessions";

/// What a route came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiAnswer {
    status: StatusCode,
    content: AnswerContent,
    /// For the log: named by neither path nor token.
    account: Option<AccountId>,
    row: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
enum AnswerContent {
    Json(Value),
    Csv { text: String, next: Option<String> },
    Nothing,
}

impl ApiAnswer {
    /// 200 with this body.
    ///
    /// # Errors
    /// [`ProblemCode::Internal`] if it cannot be written as JSON (a bug).
    pub fn ok(body: &impl Serialize) -> Result<ApiAnswer, ApiError> {
        ApiAnswer::with_status(StatusCode::OK, body)
    }

    /// 201 with this body.
    ///
    /// # Errors
    /// As [`ApiAnswer::ok`].
    pub fn created(body: &impl Serialize) -> Result<ApiAnswer, ApiError> {
        ApiAnswer::with_status(StatusCode::CREATED, body)
    }

    /// 200 with a table, and where it goes on.
    #[must_use]
    pub fn csv(text: String, next: Option<String>) -> ApiAnswer {
        ApiAnswer::new(StatusCode::OK, AnswerContent::Csv { text, next })
    }

    /// 204: done, and nothing to say.
    #[must_use]
    pub fn nothing() -> ApiAnswer {
        ApiAnswer::new(StatusCode::NO_CONTENT, AnswerContent::Nothing)
    }

    /// With the account that the request turned out to concern, for the log.
    #[must_use]
    pub fn of_account(mut self, account: &AccountId) -> ApiAnswer {
        self.account = Some(account.clone());
        self
    }

    /// With the row that records what was done, for the log.
    #[must_use]
    pub fn of_row(mut self, seq: u64) -> ApiAnswer {
        self.row = Some(seq);
        self
    }

    fn new(status: StatusCode, content: AnswerContent) -> ApiAnswer {
        ApiAnswer { status, content, account: None, row: None }
    }

    fn with_status(status: StatusCode, body: &impl Serialize) -> Result<ApiAnswer, ApiError> {
        let unwritable =
            |error: serde_json::Error| Problem::new(ProblemCode::Internal, format!("{error}."));
        let body = serde_json::to_value(body).map_err(unwritable)?;
        Ok(ApiAnswer::new(status, AnswerContent::Json(body)))
    }

    /// As it is kept for the next time the same is asked; a table never is.
    fn written(&self) -> String {
        let body = match &self.content {
            AnswerContent::Json(body) => Some(body),
            AnswerContent::Csv { .. } | AnswerContent::Nothing => None,
        };
        json!({"status": self.status.as_u16(), "body": body, "row": self.row}).to_string()
    }

    fn read(written: &str) -> Option<ApiAnswer> {
        let StoredAnswer { status, body, row } = serde_json::from_str(written).ok()?;
        let status = StatusCode::from_u16(status).ok()?;
        let content = if status == StatusCode::NO_CONTENT {
            AnswerContent::Nothing
        } else {
            AnswerContent::Json(body)
        };
        Some(ApiAnswer { row, ..ApiAnswer::new(status, content) })
    }
}

/// An answer as it is kept.
#[derive(Deserialize)]
struct StoredAnswer {
    status: u16,
    body: Value,
    row: Option<u64>,
}

/// Answers a request that leaves no row: the same request with the same `Idempotency-Key` gets the
/// first answer again, another one is refused.
///
/// The request is noted before `work` begins and its answer after it ended. What dies in between is
/// done again, so `work` must lead to the same however often it is done. Only answers are kept:
/// what was refused may be asked again. Without a key nothing is noted.
///
/// # Errors
/// [`Refusal::KeyReused`]; as `work` says.
pub async fn once(
    billing: &Billing,
    account: &AccountId,
    call: &ApiCall,
    work: impl Future<Output = Result<ApiAnswer, ApiError>>,
) -> Result<ApiAnswer, ApiError> {
    once_since(billing, account, call, |_first_asked_at| work).await
}

/// The same for work that depends on when the request was first made.
///
/// # Errors
/// As [`once`].
pub async fn once_since<F: Future<Output = Result<ApiAnswer, ApiError>>>(
    billing: &Billing,
    account: &AccountId,
    call: &ApiCall,
    work: impl FnOnce(Timestamp) -> F,
) -> Result<ApiAnswer, ApiError> {
    let Some(key) = call.request_key() else { return Box::pin(work(call.now)).await };
    let digest = call.digest();
    let noted = billing.store.note_request(account, &key, &digest, call.now).await?;
    if noted.digest != digest.as_str() {
        return Err(Refusal::KeyReused.into());
    }
    if let Some(answer) = noted.answer.as_deref().and_then(ApiAnswer::read) {
        return Ok(answer);
    }
    // Boxed to keep the handler's future small.
    let answer = Box::pin(work(noted.at)).await?;
    billing.store.note_answer(account, &key, noted.at, &answer.written()).await?;
    Ok(answer)
}

/// Why a route came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The request itself cannot be used.
    Problem(Problem),
    /// The domain refused, or the infrastructure failed.
    Failure(Box<CommandError>),
    /// A service that we depend on failed.
    Elsewhere {
        /// The answer to the caller.
        problem: Problem,
        /// For the log.
        cause: String,
        severity: FailureSeverity,
    },
}

/// Whether somebody must look into a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureSeverity {
    /// It passes, or the caller can avoid it: logged as a warning.
    Transient,
    /// Something is wrong on our side: logged as an error.
    Defect,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> ApiError {
        ApiError::Problem(problem)
    }
}

impl From<CommandError> for ApiError {
    fn from(failure: CommandError) -> ApiError {
        ApiError::Failure(Box::new(failure))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        CommandError::from(refusal).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(fault: StoreError) -> ApiError {
        CommandError::from(fault).into()
    }
}

/// Reads a request.
///
/// # Errors
/// The answer, if it cannot be used; it is logged already.
pub fn read(billing: &Billing, request: Request) -> Result<ApiCall, Box<Response<Body>>> {
    read_up_to(|_route| BODY_BYTES_MAX, billing, request)
}

/// Reads a request whose body may have as many bytes as its route allows.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(
    bytes_max: fn(&str) -> usize,
    billing: &Billing,
    request: Request,
) -> Result<ApiCall, Box<Response<Body>>> {
    let names = RequestNames::of(&request);
    ApiCall::read(request, &billing.settings, bytes_max)
        .map_err(|problem| Box::new(names.refuse(problem)))
}

/// Refuses a request that was not read. Logs it.
#[must_use]
pub fn refuse_unread(request: &Request, problem: Problem) -> Response<Body> {
    RequestNames::of(request).refuse(problem)
}

/// What the log names a request by.
struct RequestNames {
    request_id: String,
    route: String,
}

impl RequestNames {
    fn of(request: &Request) -> RequestNames {
        // Other kinds of events exist only if `lambda_http` is built with their features.
        #[allow(
            irrefutable_let_patterns,
            clippy::infallible_destructuring_match,
            reason = "see above"
        )]
        let (request_id, route) =
            if let RequestContext::ApiGatewayV2(context) = request.request_context() {
                (context.request_id.unwrap_or_default(), context.route_key.unwrap_or_default())
            } else {
                Default::default()
            };
        RequestNames { request_id, route }
    }

    fn refuse(&self, problem: Problem) -> Response<Body> {
        let RequestNames { request_id, route } = self;
        let (status, outcome) = (problem.status(), problem.code());
        tracing::info!(route, request_id, status, outcome, "request");
        call::problem(&problem.of_request(request_id))
    }
}

/// The answer to a call, logged.
#[must_use]
pub fn respond(
    billing: &Billing,
    call: &ApiCall,
    result: Result<ApiAnswer, ApiError>,
) -> Response<Body> {
    let caller = call.caller.as_ref().map(|caller| caller.account.as_str()).unwrap_or_default();
    let account = call.path.get("account").map_or(caller, String::as_str);
    let (route, request_id) = (call.route.as_str(), call.request_id.as_str());
    let failed = match result {
        Ok(ApiAnswer { status, content, account: concerned, row }) => {
            let account = concerned.as_ref().map_or(account, AccountId::as_str);
            tracing::info!(
                account,
                caller,
                route,
                request_id,
                status = status.as_u16(),
                row,
                outcome = "ok",
                "request"
            );
            return match content {
                AnswerContent::Json(body) => call::answer(status, &body),
                AnswerContent::Csv { text, next } => call::csv(text, next.as_deref()),
                AnswerContent::Nothing => call::no_content(),
            };
        }
        Err(failed) => failed,
    };
    let (problem, failure) = problem_of(failed, &billing.settings);
    let (status, outcome) = (problem.status(), problem.code());
    match failure {
        Some((cause, FailureSeverity::Defect)) => {
            tracing::error!(account, caller, route, request_id, status, outcome, cause, "request");
        }
        Some((cause, FailureSeverity::Transient)) => {
            tracing::warn!(account, caller, route, request_id, status, outcome, cause, "request");
        }
        None => tracing::info!(account, caller, route, request_id, status, outcome, "request"),
    }
    call::problem(&problem.of_request(request_id))
}

/// One entry of a list in the body, as JSON of the shape that is needed.
///
/// # Errors
/// [`ProblemCode::InvalidBody`], with the field and why.
pub fn item_json<T: DeserializeOwned>(entry: &Value) -> Result<T, Problem> {
    body::read(entry.to_string().as_bytes())
}

/// The problem of one entry of a list. A failure that is not the caller's is logged.
#[must_use]
pub fn item(billing: &Billing, call: &ApiCall, failed: ApiError) -> Problem {
    let (route, request_id) = (call.route.as_str(), call.request_id.as_str());
    let (problem, failure) = problem_of(failed, &billing.settings);
    match failure {
        Some((cause, FailureSeverity::Defect)) => {
            tracing::error!(route, request_id, outcome = problem.code(), cause, "entry");
        }
        Some((cause, FailureSeverity::Transient)) => {
            tracing::warn!(route, request_id, outcome = problem.code(), cause, "entry");
        }
        None => {}
    }
    problem
}

/// The problem to answer, and the failure to log if it is not the caller's.
fn problem_of(
    failed: ApiError,
    settings: &Settings,
) -> (Problem, Option<(String, FailureSeverity)>) {
    match failed {
        ApiError::Problem(problem) => (problem, None),
        ApiError::Elsewhere { problem, cause, severity } => (problem, Some((cause, severity))),
        ApiError::Failure(failure) => match *failure {
            CommandError::Refused(refusal) => (refused(&refusal, settings), None),
            CommandError::Fault(fault) => {
                (Problem::from(&fault), Some((fault.to_string(), FailureSeverity::Defect)))
            }
        },
    }
}

/// There is no such route: the template sends only those that exist.
#[must_use]
pub fn no_such_route(call: &ApiCall) -> ApiError {
    Problem::new(ProblemCode::NotFound, format!("There is no route {}.", call.route)).into()
}

/// A refusal, with where to add credit or whom to ask if that is what helps.
fn refused(refusal: &Refusal, settings: &Settings) -> Problem {
    let problem = Problem::from(refusal);
    let page = settings.billing_url.as_deref().unwrap_or(ADD_CREDIT);
    #[allow(clippy::wildcard_enum_match_arm, reason = "nothing else helps the customer")]
    match refusal {
        Refusal::CreditTooLow { .. } | Refusal::Suspended | Refusal::TrialLimit { .. } => {
            problem.with_action(json!({"add_credit": page}))
        }
        Refusal::SuspendedByStaff
        | Refusal::BalanceTooHigh { .. }
        | Refusal::ResourceQuota { .. }
        | Refusal::ProjectQuota { .. } => match &settings.operator_contact {
            Some(contact) => problem.with_action(json!({"contact": contact})),
            None => problem,
        },
        _ => problem,
    }
}

/// Work on one account at the time of one call.
#[derive(Clone, Copy, Debug)]
pub struct OnAccount<'a> {
    billing: &'a Billing,
    visit: Visit<'a>,
    /// The address in the caller's own token.
    email: Option<&'a EmailAddress>,
}

impl<'a> OnAccount<'a> {
    /// On the caller's account. Its first call opens it. A call for another account opens nothing:
    /// the account's name may be mistyped.
    ///
    /// # Errors
    /// [`ProblemCode::Unauthorized`] on a route without an authorizer.
    pub fn of_caller(billing: &'a Billing, call: &'a ApiCall) -> Result<OnAccount<'a>, ApiError> {
        let caller = call.caller()?;
        let email = caller.email.as_ref();
        let (opening, email) = match caller.acting {
            Acting::ForItself => (Opening::Allowed { email }, email),
            Acting::ForAnother => (Opening::Never, None),
        };
        let visit = Visit { opening, ..Visit::of(&caller.account, call.now) };
        Ok(OnAccount { billing, visit, email })
    }

    /// On an account that was named, which is never opened by that.
    #[must_use]
    pub fn named(billing: &'a Billing, call: &ApiCall, account: &'a AccountId) -> OnAccount<'a> {
        OnAccount { billing, visit: Visit::of(account, call.now), email: None }
    }

    /// On an account that staff import. It is opened before its customer signs in.
    #[must_use]
    pub fn imported(billing: &'a Billing, call: &ApiCall, account: &'a AccountId) -> OnAccount<'a> {
        let opening = Opening::Allowed { email: None };
        let visit = Visit { opening, ..Visit::of(account, call.now) };
        OnAccount { billing, visit, email: None }
    }

    #[must_use]
    pub fn account(&self) -> &'a AccountId {
        self.visit.account
    }

    /// The time of the call.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.visit.now
    }

    /// Makes sure that the account is open.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`] if it is not and must not be opened here; [`StoreError`].
    pub async fn ensure_open(&self) -> Result<(), CommandError> {
        self.billing.ensure_open(self.visit).await
    }

    /// The account's e-mail address: as it was set, else the one of the caller's own token, which
    /// is kept from then on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn email(&self) -> Result<Option<EmailAddress>, StoreError> {
        let store = &self.billing.store;
        if let Some(email) = store.profile(self.account()).await?.email {
            return Ok(Some(email));
        }
        if let Some(email) = self.email {
            store.fill_email(self.account(), email).await?;
        }
        Ok(store.profile(self.account()).await?.email)
    }

    /// The same where nothing can be done without it: a customer at Stripe has an address.
    ///
    /// # Errors
    /// [`ProblemCode::EmailRequired`]; [`StoreError`].
    pub async fn required_email(&self) -> Result<EmailAddress, ApiError> {
        let why = "Set an e-mail address first. It is used for receipts and notices.";
        let unset = || {
            Problem::new(ProblemCode::EmailRequired, why)
                .with_action(json!({"set_email": "PUT /v1/account"}))
        };
        match self.email().await? {
            Some(email) => Ok(email),
            None => {
                self.ensure_not_erased().await?;
                Err(unset().into())
            }
        }
    }

    /// Settles the account and looks at it.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`]; [`StoreError`].
    pub async fn look<T>(
        &self,
        see: impl Fn(&AccountSnapshot<'_>) -> T,
    ) -> Result<T, CommandError> {
        self.billing.settle(self.visit, |settled| see(&settled.view)).await
    }

    /// Carries out the command that follows from `plan`, and returns the row that records it, now
    /// or before.
    ///
    /// # Errors
    /// As [`Store::execute`](crate::store::Store::execute).
    pub async fn execute(&self, cause: Cause, plan: Plan<'_>) -> Result<Row, CommandError> {
        let done = self.billing.execute(self.visit, cause, plan).await?;
        self.row_of(done).await
    }

    /// A row that is known to be there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn row(&self, seq: u64) -> Result<Row, StoreError> {
        let found = Box::pin(self.billing.store.row_with_lines(self.account(), seq)).await?;
        found.ok_or_else(|| RowError::Missing { expected: seq, found: seq }.into())
    }

    /// Some of the account's rows, as [`Store::rows`](crate::store::Store::rows).
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn rows(
        &self,
        seqs: Range<u64>,
        order: RowOrder,
        limit: u32,
    ) -> Result<RowPage, StoreError> {
        self.billing.store.rows(self.account(), seqs, order, limit).await
    }

    /// The numbers of the rows in this range of time: `from` inclusive, `until` exclusive.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn numbers_between(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Range<u64>, StoreError> {
        self.billing.store.numbers_between(self.account(), from, until).await
    }

    /// A resource as it is now, deleted or not. `None` if there is none, or none any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resource(&self, id: &ResourceId) -> Result<Option<Resource>, StoreError> {
        self.billing.store.resource(self.account(), id).await
    }

    /// Makes sure that personal data of the customer may be stored.
    ///
    /// # Errors
    /// [`Refusal::AccountNotOpen`] as [`OnAccount::ensure_open`]; [`Refusal::Erased`]; [`StoreError`].
    pub async fn ensure_not_erased(&self) -> Result<(), CommandError> {
        match self.billing.store.head(self.account()).await? {
            Some(head) if head.state.erased => Err(Refusal::Erased.into()),
            Some(_) => Ok(()),
            None => self.ensure_open().await,
        }
    }

    /// A row as its customer is shown it, with all ids at Stripe that are known of its payment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn transaction(&self, row: &Row) -> Result<Transaction, StoreError> {
        let shown = transaction(self.account(), row);
        let Some(payment) = payment(&row.event.change) else { return Ok(shown) };
        let PaymentIds { session, charge, invoice } =
            self.billing.store.payment_ids(self.account(), payment).await?;
        let stripe =
            StripeObjects { session, payment_intent: Some(payment.to_string()), charge, invoice };
        Ok(Transaction { stripe: Some(stripe), ..shown })
    }

    /// The row of a request, as it was written now, or by the same request before.
    async fn row_of(&self, done: CommandOutcome) -> Result<Row, CommandError> {
        match done {
            CommandOutcome::Appended(receipt) => {
                let CommandReceipt { row, report, unsettled, .. } = *receipt;
                if report.is_clock_alarm() {
                    let seconds = report.clock_behind_seconds;
                    tracing::error!(alarm = "clock_behind", account = %self.account(), seconds, "a clock is behind");
                }
                if let Some(cause) = unsettled {
                    tracing::warn!(account = %self.account(), row = row.seq, %cause, "not settled");
                }
                Ok(row)
            }
            CommandOutcome::AlreadyAppended(claimed) => Ok(self.row(claimed.seq).await?),
        }
    }
}
