/** Banners above every section. They show the account's standing and the result of a payment on Stripe's page. */

import { read, write } from './api.js';
import { isClosed, readRefill, refreshBalance, refreshTrial, watchBalance, watchTrial } from './account.js';
import { forgetAgreed, forgetSession, pendingAgreement, noteReturn, openSession } from './checkout.js';
import { fill, h } from './dom.js';
import { noteReference } from './references.js';
import * as money from './money.js';
import { duration, secondsUntil, shown, time } from './time.js';
import { announce, button, failure, helpLink, keepingFocus, link, notice } from './ui.js';
import { LOW_SECONDS } from './sections/balance.js';
import { isRefillReady } from './sections/refill.js';
import { readReturning, resources } from './sections/returning.js';

/** How long to wait for a payment before the session ID is shown for support. */
const WAIT_MS = 5 * 60_000;
/** How often to read whether a trial has started. The read itself starts it, so few are needed. */
const TRIAL_LOOKS_MAX = 8;
const CANCELED = 'Top-up cancelled. No charge was made.';
/** Short pauses at first, because most payments are credited within seconds. */
const pause = (turn) => new Promise((resolve) => setTimeout(resolve, turn < 10 ? 1000 : 3000));

/**
 * @param {HTMLElement} host
 * @param {{operator_contact?: string|null}} config
 */
export function banners(host, config) {
  const standing = h('div', { testid: 'standing-banner-place' });
  const running = h('div', { testid: 'trial-banner-place' });
  const connection = h('div', { role: 'status' });
  const result = h('div', { role: 'status' });
  fill(host, connection, standing, running, result);
  let trial = null;
  let latest = null;
  const show = () => {
    if (latest) replaceChanged(standing, standingBanner(...latest, trial, config));
    const isRunning = trial?.status === 'running' && !isClosed(latest?.[0]);
    replaceChanged(running, isRunning ? trialBanner(trial) : null);
  };
  watchBalance((...next) => {
    latest = next;
    show();
  });
  watchTrial((next) => {
    trial = next;
    show();
  });
  const online = () =>
    fill(
      connection,
      !navigator.onLine &&
        notice('warning', 'You are offline.', {
          text: 'The page may be out of date. It will update when you are back online.',
          testid: 'offline-banner',
        }),
    );
  addEventListener('online', online);
  addEventListener('offline', online);
  online();
  return { result, show: (...children) => fill(result, ...children) };
}

/** An unchanged banner is kept, so that screen readers do not read it again. */
function replaceChanged(place, next) {
  if (next?.textContent !== place.firstChild?.textContent) keepingFocus(place, () => fill(place, next));
}

/** How long a running trial lasts, and what follows. */
function trialBanner({ credit, credit_left: left, ends_at: endsAt, then, renewal }) {
  const seconds = secondsUntil(endsAt);
  const isDeleted = then === 'deletion';
  const after = {
    nothing: () => ['The trial ends on ', time(endsAt), '. Nothing will be charged.'],
    renewal: () => [
      'On ',
      time(endsAt),
      ` your card is charged about ${money.cost(renewal)} plus any tax. You can turn this off under `,
      link('Auto-refill', '#refill'),
      '.',
    ],
    deletion: () => ['On ', time(endsAt), ' everything is stopped and deleted. Add credit to keep it.'],
  };
  return notice(
    isDeleted && seconds < LOW_SECONDS ? 'warning' : 'info',
    h(
      'span',
      { testid: 'trial-left' },
      `Free trial: ${duration(seconds)} left, ${money.balance(left)} of ${money.exact(credit)} left.`,
    ),
    {
      text: h('span', { testid: 'trial-then' }, after[then]()),
      actions: isDeleted
        ? [link('Add credit', '#add-credit', { kind: 'button primary', testid: 'trial-add-credit' })]
        : [],
      testid: 'trial-running',
    },
  );
}

function standingBanner(balance, refill, trial, config) {
  const add = link('Add credit', '#add-credit', { kind: 'button primary', testid: 'banner-add-credit' });
  const help = [helpLink()];
  const onlyHelp = [helpLink(null, '')];
  const { runway, standing, frozen } = balance;
  const ended = `${trial?.status === 'ended' ? 'Your trial' : 'The grace period'} ended and no credit was added.`;
  const options = (actions, text) => ({
    actions,
    text,
    testid: 'banner',
    role: standing === 'good' ? undefined : 'alert',
  });
  if (isClosed(balance))
    return notice('error', 'This account is closed.', {
      text: 'You can no longer add credit or start resources. Your transactions and invoices remain available. Contact support to reopen it.',
      actions: onlyHelp,
      testid: 'closed-banner',
      role: 'alert',
    });
  if (standing === 'deleted') {
    return notice(
      'error',
      'All resources in this account were deleted.',
      options(
        [add, ...help],
        `${ended} Add credit, then restore them under Projects, one by one or all at once. They can be restored for ${duration(config.restore_seconds)}.`,
      ),
    );
  }
  if (standing === 'deleting')
    return notice(
      'error',
      'All resources in this account are being deleted.',
      options(
        [add, ...help],
        `${ended} Add credit now, then restore your resources under Projects.`,
      ),
    );
  if (frozen)
    return notice(
      'error',
      'This account is frozen.',
      options(onlyHelp, 'A payment is disputed or under review. You can\u2019t start resources until this is resolved.'),
    );
  if (standing === 'suspended') {
    // Null if it was staff who suspended the account. Credit would not end that.
    const isOut = balance.needed_to_resume !== null;
    const owed = money.compare(balance.owed, '0') > 0 ? `, which includes ${money.exact(balance.owed)} owed` : '';
    const least = isOut ? `Add at least ${money.exact(leastTopUp(balance, config))} to resume${owed}.` : '';
    const text = runway.deleted_at
      ? `${least} Otherwise all resources will be deleted on ${shown(runway.deleted_at)}.`
      : least;
    return isOut
      ? notice('error', 'Your account is suspended because you are out of credit.', options([add, ...help], text))
      : notice(
          'error',
          'This account is suspended.',
          options(onlyHelp, 'All resources are stopped and nothing is billed. Contact support to resume.'),
        );
  }
  // The banner of the trial says what its end brings.
  if (trial?.status === 'running') return null;
  // A refill comes before the credit ends. If it fails, this warning is back.
  if (refill && isRefillReady(refill)) return null;
  const left = runway.zero_at ? secondsUntil(runway.zero_at) : Infinity;
  if (left < LOW_SECONDS) {
    return notice(
      'warning',
      left > 0 ? `Your credit lasts only ${duration(left)}.` : 'Your credit is used up.',
      options([add, ...help], `Your balance reaches zero on ${shown(runway.zero_at)}. All resources stop then, unless you add credit or a refill succeeds.`),
    );
  }
  return null;
}

/** The smallest top-up that resumes the account. No top-up is smaller than the operator's minimum. */
function leastTopUp({ needed_to_resume: needed }, { topup }) {
  return money.compare(needed, topup.min) < 0 ? topup.min : needed;
}

/**
 * Shows the result when the customer returns from Stripe's payment page or card page, as given in the URL. The query is
 * then removed, so that a reload does not show the result again. A customer who came back some other way, such as by the
 * browser's Back button, left a session open.
 */
export function returned(place, config, { changed }) {
  const query = new URLSearchParams(location.search);
  // A page from the browser's back/forward cache is shown as it was left, without loading.
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted && openSession()) canceled(place, config, changed);
  });
  if (query.has('session')) return follow(place, config, query.get('session'), changed);
  if (query.get('trial') === 'canceled') {
    clean();
    return tell(place, 'info', 'Trial not started. Your card was not charged.');
  }
  if (query.has('trial')) return followTrial(place, query.get('trial'), changed);
  if (query.get('checkout') === 'canceled' || openSession()) return canceled(place, config, changed);
  if (query.get('card') === 'added') {
    clean();
    tell(place, 'success', 'Card added.', 'It may take a moment to appear in the list.');
    // Stripe's webhook about the card may arrive after the customer.
    return [2000, 6000].forEach((pause) => setTimeout(changed, pause));
  }
  if (query.get('card') === 'canceled') {
    clean();
    tell(place, 'info', 'No card was added.');
  }
  return undefined;
}

async function follow(place, config, session, changed) {
  const until = Date.now() + WAIT_MS;
  noteReturn(session);
  noteReference('Checkout session', session);
  place.show(
    notice('info', 'Confirming your payment\u2026', {
      text: 'This usually takes a few seconds. You can leave this page open or come back later.',
      testid: 'banner-waiting',
    }),
  );
  for (let turn = 0; Date.now() < until; turn += 1) {
    let found;
    try {
      found = await read(`v1/checkout-sessions/${encodeURIComponent(session)}`);
    } catch (problem) {
      // A transient error says nothing about the payment. Keep polling.
      if (!problem.isPassing) return place.show(failure(problem, null, 'banner'));
    }
    if (found?.status === 'paid') {
      clean();
      const [now, off] = await Promise.all([refreshBalance().catch(() => null), whatIsOff()]);
      changed();
      followAgreement(changed);
      const amount = found.row?.amount;
      const text = [now && `Your balance is now ${money.balance(now.balance)}.`, off?.text].filter(Boolean).join(' ');
      return tell(
        place,
        'success',
        amount ? `${money.exact(amount)} was added to your balance.` : 'Credit was added to your balance.',
        text,
        ...(off ? [link(off.label, '#projects', { kind: 'button', testid: 'banner-returning' })] : []),
      );
    }
    if (found?.status === 'expired') {
      clean();
      forgetAgreed();
      changed();
      return tell(
        place,
        'warning',
        'The payment was not completed.',
        'No charge was made. Try again or use another card.',
        helpLink('declined', ''),
      );
    }
    await pause(turn);
  }
  const text = h(
    'span',
    {},
    'Some payments take several days. Your credit is added automatically when the payment arrives. If you were charged and have questions, give this ID to support: ',
    h('code', { testid: 'banner-session' }, session),
  );
  return place.show(
    notice('warning', 'Your payment is not confirmed yet.', {
      text,
      testid: 'banner-timeout',
      role: 'alert',
      actions: [
        button('Check again', () => follow(place, config, session, changed)),
        helpLink('missing'),
      ],
    }),
  );
}

/** The customer is back from the page that saves the card of a trial. */
async function followTrial(place, session, changed) {
  noteReference('Checkout session', session);
  place.show(
    notice('info', 'Starting your trial\u2026', { text: 'This usually takes a few seconds.', testid: 'banner-waiting' }),
  );
  for (let turn = 0; turn < TRIAL_LOOKS_MAX; turn += 1) {
    let trial;
    try {
      trial = await refreshTrial(session);
    } catch (problem) {
      // A transient error says nothing about the card. Keep looking.
      if (!problem.isPassing) return trialRefused(place, problem);
    }
    if (trial && trial.status !== 'offered') {
      clean();
      await refreshBalance().catch(() => {});
      changed();
      return trialStarted(place, trial);
    }
    await pause(turn);
  }
  return place.show(
    notice('warning', 'Your trial has not started yet.', {
      text: 'Your card was not charged. Try again in a moment.',
      testid: 'banner-timeout',
      role: 'alert',
      actions: [button('Try again', () => followTrial(place, session, changed), { testid: 'trial-again' }), helpLink()],
    }),
  );
}

function trialStarted(place, { status }) {
  // It ended before the customer came back, or a payment came first.
  if (status !== 'running') return place.show();
  return tell(
    place,
    'success',
    'Your trial has started.',
    undefined,
    link('Open projects', '#projects', { kind: 'button', testid: 'banner-projects' }),
  );
}

/** The card cannot be used. Another one may be. */
async function trialRefused(place, problem) {
  clean();
  if (problem.code !== 'trial_not_allowed') return place.show(failure(problem, null, 'banner'));
  const trial = await refreshTrial().catch(() => null);
  const another = link('Use another card', '#trial', { kind: 'button primary', testid: 'trial-another-card' });
  return place.show(
    notice('warning', problem.message, {
      text: 'Your card was not charged.',
      testid: 'banner',
      role: 'alert',
      actions: [trial?.status === 'offered' && another, helpLink()],
    }),
  );
}

/** What a suspension left off or deleted, in a sentence, and what to do about it; null if there is nothing. */
async function whatIsOff() {
  const offers = await readReturning().catch(() => null);
  const { start, restore } = offers ?? {};
  const is = ({ resources: count }) => `${resources(count)} ${count === 1 ? 'is' : 'are'}`;
  if (restore?.resources > 0) return { text: `${is(restore)} deleted after the suspension.`, label: 'Restore them' };
  return start?.resources > 0 ? { text: `${is(start)} still off after the suspension.`, label: 'Start them' } : null;
}

/** Reads the auto-refill settings until they carry what was agreed with the payment. */
async function followAgreement(changed) {
  for (let turn = 0; pendingAgreement(); turn += 1) {
    await pause(turn);
    const settings = await readRefill().catch(() => null);
    if (!pendingAgreement() || (settings && !settings.isPending)) return changed();
  }
  return undefined;
}

/** The customer came back without paying. The session is expired, so that another tab cannot pay it by mistake. */
async function canceled(place, config, changed) {
  const isNamed = new URLSearchParams(location.search).get('checkout') === 'canceled';
  const session = openSession();
  clean();
  if (!session) return tell(place, 'info', CANCELED);
  let status;
  try {
    ({ status } = await write('POST', `v1/checkout-sessions/${encodeURIComponent(session)}/cancel`));
  } catch (problem) {
    // The session is still remembered, so the next look at the page tries again.
    if (problem.status !== 404) return place.show(failure(problem, () => canceled(place, config, changed), 'banner'));
    // It is the session of another account that was signed in here before.
    forgetSession();
    return isNamed ? tell(place, 'info', CANCELED) : undefined;
  }
  // It was paid in another tab, so that result is shown.
  if (status !== 'expired') return follow(place, config, session, changed);
  forgetSession();
  return tell(place, 'info', CANCELED);
}

function tell(place, kind, title, text, ...actions) {
  place.show(
    notice(kind, title, {
      text,
      actions,
      testid: kind === 'success' ? 'banner-success' : 'banner-info',
      close: () => document.getElementById('content').focus(),
    }),
  );
  announce([title, text].filter(Boolean).join(' '));
}

function clean() {
  history.replaceState(null, '', location.pathname + location.hash);
}
