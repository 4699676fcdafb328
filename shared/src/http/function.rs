//! How a function of the HTTP API runs.

use std::future::{Future, ready};
use std::pin::Pin;

use lambda_http::{Body, Error, IntoResponse, Request, Response, run, service_fn};

/// Answers requests until Lambda ends the function.
///
/// # Errors
/// What Lambda's runtime API answered.
pub async fn answer_requests<F>(answer: impl Fn(Request) -> F) -> Result<(), Error>
where
    F: Future<Output = Response<Body>> + Send,
{
    run(service_fn(|request: Request| {
        let answer = answer(request);
        async { Ok::<_, Error>(FinishedAnswer(answer.await)) }
    }))
    .await
}

/// An answer that is sent as it is: its body already is a text or bytes. `lambda_http` would look
/// for an encoding in its headers, and carry the tables of 40 encodings for that (150 KB).
struct FinishedAnswer(Response<Body>);

impl IntoResponse for FinishedAnswer {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0))
    }
}
