/**
 * What this tab remembers of a payment page: the session that it opened, and the auto-refill terms that were agreed with
 * it. The session is how a return without an address is noticed, such as by the browser's Back button.
 */

import * as money from './money.js';

const OPEN = 'tollgate.checkout';
const AGREED = 'tollgate.agreed';
/** The terms are recorded right after the credit. What is not recorded by then is not coming. */
const AGREED_MS = 5 * 60_000;

/** @param {{enabled: boolean, threshold?: string, amount?: string}} [agreed] */
export const rememberSession = (id, agreed) => keep(OPEN, { id, agreed });
export const openSession = () => kept(OPEN)?.id ?? null;
export const forgetSession = () => sessionStorage.removeItem(OPEN);

/** The customer is back from this session. Until the server's answers carry them, its terms are shown as agreed. */
export function noteReturn(id) {
  const open = kept(OPEN);
  if (open?.id !== id) return;
  forgetSession();
  if (open.agreed) keep(AGREED, { ...open.agreed, until: Date.now() + AGREED_MS });
}

export const forgetAgreed = () => sessionStorage.removeItem(AGREED);

/** What was agreed and may not be in the server's answers yet, or null. */
export function pendingAgreement() {
  const agreed = kept(AGREED);
  if (agreed && Date.now() < agreed.until) return agreed;
  forgetAgreed();
  return null;
}

/**
 * The auto-refill settings, with what was agreed in place of older terms.
 * @param settings the server's answer
 * @param agreed what was pending when the answer was asked for
 */
export function withAgreed(settings, agreed) {
  if (!agreed) return settings;
  const { enabled, threshold = settings.threshold, amount = settings.amount } = agreed;
  const areTermsSame = isSame(threshold, settings.threshold) && isSame(amount, settings.amount);
  if (enabled !== settings.enabled || (enabled && !areTermsSame)) {
    return { ...settings, enabled, threshold, amount, isPending: true };
  }
  forgetAgreed();
  return settings;
}

const isSame = (a, b) => a !== null && b !== null && money.compare(a, b) === 0;

const keep = (name, value) => sessionStorage.setItem(name, JSON.stringify(value));

function kept(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}
