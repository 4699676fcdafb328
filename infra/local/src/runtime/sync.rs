//! Locks that outlive a panic: a task that panicked has left nothing half done that another could
//! not go on with, and the panic itself has been shown.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
