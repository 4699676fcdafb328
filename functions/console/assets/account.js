/** Balance, auto-refill and trial are shown in many places. They are read once and passed to every listener. */

import { read } from './api.js';
import { pendingAgreement, withAgreed } from './checkout.js';

const balances = channel();
const trials = channel();

/**
 * Calls the listener with the current balance and auto-refill settings and after every refresh, until the signal aborts.
 * Without an answer the settings are null.
 */
export const watchBalance = balances.watch;

/** The same with the trial. Its listeners are not called if it cannot be read. */
export const watchTrial = trials.watch;

let reading = null;

/** Reads the balance and the auto-refill settings and notifies all listeners. */
export function refreshBalance() {
  reading = readBoth();
  return reading;
}

async function readBoth() {
  const [balance, refill] = await Promise.all([read('v1/balance'), readRefill().catch(() => null)]);
  balances.tell(balance, refill);
  return balance;
}

/** The auto-refill settings, with what was agreed on the way to a payment that has just ended. */
export async function readRefill() {
  // Answers may overtake one another, so it counts what was pending when this one was asked for.
  const agreed = pendingAgreement();
  return withAgreed(await read('v1/auto-refill'), agreed);
}

/** Whether the account is closed, so that nothing can be bought or started. @param {{standing: string}} [balance] */
export const isClosed = (balance) => balance?.standing === 'closed';

/** The latest balance, or the one that is being read. Null without an answer. */
export async function knownBalance() {
  const [latest] = balances.latest() ?? [];
  return latest ?? (reading ?? refreshBalance()).catch(() => null);
}

/** An element that leaves the page once the account is known to be closed. */
export function whileOpen(element, signal) {
  watchBalance((balance) => {
    // While a section is built, the element may not be in it yet.
    if (isClosed(balance)) queueMicrotask(() => element.remove());
  }, signal);
  return element;
}

/** Whether the customer ever decided about auto-refill. It stays so. */
let hasDecided = false;

/**
 * The initial state of an auto-refill switch: the current agreement. Customers who never decided get the operator's
 * choice.
 * @param {{enabled: boolean, isPending?: boolean}} settings
 * @param {{refill_preselected: boolean}} config
 */
export async function isRefillOnAtFirst(settings, config) {
  if (settings.enabled || settings.isPending || !config.refill_preselected) return settings.enabled;
  const queries = [{ type: 'topup' }, { type: 'commit' }, { type: 'trial' }, { type: 'refill_changed', include: 'all' }];
  // A filter that matches nothing reads the whole history, so the likeliest comes first.
  for (const query of queries) {
    if (hasDecided) break;
    const { items, next } = await read('v1/transactions', { ...query, limit: 1 });
    hasDecided = items.length > 0 || next !== null;
  }
  return !hasDecided;
}

/** The balance and the settings for which the trial was read. */
let seen = null;
let isReading = false;
/** Whether every later answer about the trial will be the same. */
let isFinal = false;

watchBalance(({ standing, frozen, balance, rate_per_hour: rate }, refill) => {
  const next = JSON.stringify([standing, frozen, balance, rate, refill?.enabled, refill?.state]);
  if (next === seen || isReading || isFinal) return;
  seen = next;
  refreshTrial().catch(() => {
    seen = null;
  });
});

/**
 * Reads the trial and notifies its listeners.
 * @param {string} [session] the page at Stripe that the customer is back from
 */
export async function refreshTrial(session) {
  isReading = true;
  try {
    const trial = await read('v1/trial', { session });
    isFinal = trial.status === 'renewed' || (trial.status === 'unavailable' && trial.why !== 'standing');
    trials.tell(trial);
    return trial;
  } finally {
    isReading = false;
  }
}

/** Passes the latest values to listeners. One that comes later gets them at once. */
function channel() {
  const listeners = new Set();
  let latest = null;
  return {
    watch(listener, signal) {
      listeners.add(listener);
      signal?.addEventListener('abort', () => listeners.delete(listener));
      if (latest) listener(...latest);
    },
    tell(...values) {
      latest = values;
      listeners.forEach((listener) => listener(...values));
    },
    latest: () => latest,
  };
}
