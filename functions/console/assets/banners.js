/** What is told above every section: the account's standing, and how a payment that was left for ended. */

import { read, write } from './api.js';
import { refreshBalance, watchBalance } from './account.js';
import { fill, h } from './dom.js';
import * as money from './money.js';
import { duration, secondsUntil, shown } from './time.js';
import { announce, button, contact, failure, link, notice } from './ui.js';
import { OPEN_SESSION } from './sections/add-credit.js';
import { LOW_SECONDS } from './sections/balance.js';

/** How long a payment is waited for before its session is named for support. */
const WAIT_MS = 5 * 60_000;
/** Quick at first, as most payments are credited within seconds. */
const pauseMs = (turn) => (turn < 10 ? 1000 : 3000);

/**
 * @param {HTMLElement} host
 * @param {{operator_contact?: string|null}} config
 */
export function banners(host, config) {
  const standing = h('div', { testid: 'standing-banner-place' });
  const connection = h('div', { role: 'status' });
  const result = h('div', { role: 'status' });
  fill(host, connection, standing, result);
  watchBalance((balance) => {
    const next = standingBanner(balance, config);
    // Kept as it is while it says the same: a refresh must not be read out again.
    if (next?.textContent !== standing.firstChild?.textContent) fill(standing, next);
  });
  const online = () =>
    fill(
      connection,
      !navigator.onLine &&
        notice('warning', 'You are offline.', {
          text: 'What is shown may be out of date. The page goes on when the connection is back.',
          testid: 'offline-banner',
        }),
    );
  addEventListener('online', online);
  addEventListener('offline', online);
  online();
  return { result, show: (...children) => fill(result, ...children) };
}

function standingBanner(balance, config) {
  const add = link('Add credit', '#add-credit', { kind: 'button primary', testid: 'banner-add-credit' });
  const help = config.operator_contact ? [contact(config.operator_contact)] : [];
  const { runway, standing, frozen } = balance;
  const options = (actions, text) => ({
    actions,
    text,
    testid: 'banner',
    role: standing === 'good' ? undefined : 'alert',
  });
  if (standing === 'closed')
    return notice(
      'error',
      'This account is closed.',
      options(help, 'Nothing can be started any more. History and invoices stay here.'),
    );
  if (standing === 'deleted') {
    return notice(
      'error',
      'Everything in this account was deleted.',
      options(
        [add, ...help],
        'The grace period ended without credit. After adding credit, what was deleted can be restored for 14 days, under Projects.',
      ),
    );
  }
  if (standing === 'deleting')
    return notice(
      'error',
      'Everything in this account is being deleted.',
      options(
        [add, ...help],
        'The grace period ended without credit. Add credit now, then restore what you need under Projects.',
      ),
    );
  if (frozen)
    return notice(
      'error',
      'This account is frozen.',
      options(help, 'A payment is disputed or being looked at. Nothing can be started until that is settled.'),
    );
  if (standing === 'suspended') {
    const isOut = money.isUsedUp(balance.balance) || runway.deleted_at;
    const text = runway.deleted_at
      ? `Add credit to go on. Without it, everything is deleted on ${shown(runway.deleted_at)}.`
      : 'Add credit to go on.';
    return isOut
      ? notice('error', 'Everything is suspended: the credit is used up.', options([add], text))
      : notice(
          'error',
          'This account is suspended.',
          options(help, 'Nothing runs and nothing is billed until this is settled with support.'),
        );
  }
  const left = runway.zero_at ? secondsUntil(runway.zero_at) : Infinity;
  if (left < LOW_SECONDS) {
    return notice(
      'warning',
      `Your credit lasts ${left > 0 ? `only ${duration(left)}` : 'no longer'}.`,
      options([add], `At zero, on ${shown(runway.zero_at)}, everything stops unless a refill comes first.`),
    );
  }
  return null;
}

/**
 * What the address says about a payment page or card page the customer came back from; the address is cleaned once that
 * is told, so that a reload does not tell it again.
 */
export function returned(place, config, { changed }) {
  const query = new URLSearchParams(location.search);
  if (query.has('session')) return follow(place, config, query.get('session'), changed);
  if (query.get('checkout') === 'canceled') return canceled(place, config, changed);
  if (query.get('card') === 'added') {
    clean();
    tell(place, 'success', 'Card added.', 'It may take a moment until it is in the list.');
    // Stripe's word about the card may come after its customer.
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
  sessionStorage.removeItem(OPEN_SESSION);
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
      // A passing fault changes nothing about the payment: go on asking.
      if (!problem.isPassing) return place.show(failure(problem, null, 'banner'));
    }
    if (found?.status === 'paid') {
      clean();
      const now = await refreshBalance().catch(() => null);
      changed();
      const amount = found.row?.amount;
      return tell(
        place,
        'success',
        amount ? `${money.exact(amount)} was added.` : 'Your credit was added.',
        now && `Your balance is ${money.balance(now.balance)} now.`,
      );
    }
    if (found?.status === 'expired') {
      clean();
      return tell(
        place,
        'warning',
        'The payment was not completed.',
        'No charge was made. Try again, or use another card.',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs(turn)));
  }
  const text = h(
    'span',
    {},
    'Some payments take days to arrive; the credit is then added on its own. If you were charged and wonder, quote this to support: ',
    h('code', { testid: 'banner-session' }, session),
  );
  return place.show(
    notice('warning', 'Your payment is not confirmed yet.', {
      text,
      testid: 'banner-timeout',
      role: 'alert',
      actions: [
        button('Check again', () => follow(place, config, session, changed)),
        ...(config.operator_contact ? [contact(config.operator_contact)] : []),
      ],
    }),
  );
}

/** Back without paying: the open page is ended, so that nobody pays it from another tab by mistake. */
async function canceled(place, config, changed) {
  const session = sessionStorage.getItem(OPEN_SESSION);
  clean();
  if (session) {
    sessionStorage.removeItem(OPEN_SESSION);
    try {
      const { status } = await write('POST', `v1/checkout-sessions/${encodeURIComponent(session)}/cancel`);
      // Paid all the same, in another tab: then that is what is told.
      if (status === 'paid' || status === 'processing') return await follow(place, config, session, changed);
    } catch {
      // It ends by itself within half an hour.
    }
  }
  return tell(place, 'info', 'Top-up cancelled. No charge was made.');
}

function tell(place, kind, title, text) {
  place.show(
    notice(kind, title, {
      text,
      testid: kind === 'success' ? 'banner-success' : 'banner-info',
      close: () => document.getElementById('content').focus(),
    }),
  );
  announce([title, text].filter(Boolean).join(' '));
}

function clean() {
  history.replaceState(null, '', location.pathname + location.hash);
}
