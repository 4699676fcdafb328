//! One account's panic stays its own: it becomes an error, and the other accounts of a run go on.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Runs a future. If it panics, returns the panic's message.
///
/// The state behind a panic is not used again: an account is read from the ledger each time, and
/// caches are replaced as a whole.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // Boxed: it is many futures deep.
    let work = AssertUnwindSafe(Box::pin(work));
    work.catch_unwind().await.map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn panic_becomes_an_error_with_its_message() {
        fn at_once<T>(work: impl Future<Output = T>) -> Poll<Result<T, String>> {
            let mut caught = std::pin::pin!(caught(work));
            caught.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
        let number = 7;
        let panics = async {
            std::future::ready(()).await;
            assert!(number < 7, "the number is {number}");
            number
        };
        assert_eq!(at_once(panics), Poll::Ready(Err("the number is 7".to_owned())));
        assert_eq!(at_once(async { number }), Poll::Ready(Ok(7)));
    }
}
