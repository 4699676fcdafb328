/** The balance is shown in many places. It is read once and passed to every listener. */

import { read } from './api.js';

const listeners = new Set();
let latest = null;

/** Calls the listener with the current balance and after every refresh, until the signal aborts. */
export function watchBalance(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener('abort', () => listeners.delete(listener));
  if (latest) listener(latest);
}

/** Reads the balance and notifies all listeners. */
export async function refreshBalance() {
  latest = await read('v1/balance');
  listeners.forEach((listener) => listener(latest));
  return latest;
}
