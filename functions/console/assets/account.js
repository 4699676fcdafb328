/** The balance, which half of the page shows in one way or another: read once, told to all who watch. */

import { read } from './api.js';

const listeners = new Set();
let latest = null;

/** Calls back with the balance now and whenever it was read again, until the signal. */
export function watchBalance(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener('abort', () => listeners.delete(listener));
  if (latest) listener(latest);
}

/** Reads the balance; who watches is told. */
export async function refreshBalance() {
  latest = await read('v1/balance');
  listeners.forEach((listener) => listener(latest));
  return latest;
}
