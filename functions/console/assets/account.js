/** Balance and auto-refill are shown in many places. They are read once and passed to every listener. */

import { read } from './api.js';
import { pendingAgreement, withAgreed } from './checkout.js';

const listeners = new Set();
let latest = null;

/**
 * Calls the listener with the current balance and auto-refill settings and after every refresh, until the signal aborts.
 * Without an answer the settings are null.
 */
export function watchBalance(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener('abort', () => listeners.delete(listener));
  if (latest) listener(...latest);
}

/** Reads the balance and the auto-refill settings and notifies all listeners. */
export async function refreshBalance() {
  const [balance, refill] = await Promise.all([read('v1/balance'), readRefill().catch(() => null)]);
  latest = [balance, refill];
  listeners.forEach((listener) => listener(...latest));
  return balance;
}

/** The auto-refill settings, with what was agreed on the way to a payment that has just ended. */
export async function readRefill() {
  // Answers may overtake one another, so it counts what was pending when this one was asked for.
  const agreed = pendingAgreement();
  return withAgreed(await read('v1/auto-refill'), agreed);
}
