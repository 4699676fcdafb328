/**
 * The bar of the local cloud switches accounts without sign-in and moves the clock. It is used only if `config.json`
 * says that the page talks to the local cloud.
 */

import { Problem, address, ignoreServerDate, now, setNow } from './api.js';
import { fill, h, icon } from './dom.js';
import { forgetReferences } from './references.js';
import { announce } from './ui.js';

/** The account's name is remembered for this tab. Its token is not. */
const WHO = 'tollgate.account';
const FIRST = 'acme';
const STEPS = [
  ['10m', '10 min'],
  ['1h', '1 hour'],
  ['1d', '1 day'],
  ['30d', '30 days'],
];

/** Signs in as the account last chosen in this tab. */
export async function signIn() {
  ignoreServerDate();
  const account = sessionStorage.getItem(WHO) ?? FIRST;
  const { token } = await local('local/tokens', { account, email: `${account}@example.test` });
  await readClock();
  return { name: account, account, token: async () => token, expired: () => {} };
}

/** Signs in as the operator, on the staff page. */
export async function signInAsStaff() {
  ignoreServerDate();
  const account = 'operator';
  const { token } = await local('local/tokens', { account, scope: 'tollgate/admin' });
  await readClock();
  return { name: account, account, token: async () => token, expired: () => {} };
}

/**
 * The bar above the page.
 * @param {HTMLElement} host
 * @param {{name: string}} session
 * @param {() => void} moved called after the clock has moved
 */
export function bar(host, session, moved) {
  const clock = h('time', { class: 'local-clock', testid: 'clock-now' });
  const status = h('span', { class: 'local-status', testid: 'clock-status', role: 'status' });
  const steps = STEPS.map(([advance, label]) =>
    h(
      'button',
      {
        type: 'button',
        class: 'local-button',
        testid: `clock-advance-${advance}`,
        'aria-label': `Move the clock ahead by ${label}`,
        on: { click: () => move(advance) },
      },
      `+${label}`,
    ),
  );
  const account = h('input', {
    id: 'local-account',
    class: 'local-input',
    testid: 'account-input',
    list: 'local-accounts',
    autocomplete: 'off',
    spellcheck: 'false',
    required: true,
    maxlength: 64,
    pattern: '[A-Za-z0-9_.@\\-]+',
    value: session.name,
  });
  const tick = () => {
    clock.dateTime = now().toISOString();
    clock.textContent = `${clock.dateTime.slice(0, 10)} ${clock.dateTime.slice(11, 19)} UTC`;
  };
  tick();
  setInterval(tick, 1000);

  fill(
    host,
    h(
      'div',
      { class: 'local-bar', role: 'region', 'aria-label': 'Local cloud', testid: 'clock-bar' },
      h('strong', { class: 'local-title' }, 'Local cloud'),
      h('div', { class: 'local-group' }, icon('clock'), clock, steps, status),
      h(
        'form',
        { class: 'local-group', testid: 'account-switch', on: { submit: change } },
        h('label', { for: 'local-account' }, 'Signed in as'),
        account,
        h(
          'datalist',
          { id: 'local-accounts' },
          ['acme', 'bob', 'carol'].map((name) => h('option', { value: name })),
        ),
        h('button', { class: 'local-button', testid: 'account-change' }, 'Switch'),
      ),
    ),
  );

  let isMoving = false;

  /** The buttons stay enabled, because a disabled button would lose the keyboard focus. */
  function rest(on) {
    isMoving = on;
    steps.forEach((button) => button.setAttribute('aria-disabled', String(on)));
  }

  async function move(advance) {
    if (isMoving) return;
    rest(true);
    status.textContent = 'Moving…';
    try {
      const { now: time } = await local('local/clock', { advance });
      setNow(time);
      tick();
      status.textContent = '';
      announce(`The clock is now at ${clock.textContent}.`);
      moved();
    } catch (problem) {
      status.textContent = problem.message;
    } finally {
      rest(false);
    }
  }

  function change(event) {
    event.preventDefault();
    forgetReferences();
    sessionStorage.setItem(WHO, account.value.trim());
    location.reload();
  }
}

async function readClock() {
  setNow((await local('local/clock')).now);
}

async function local(path, body) {
  const init = body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(address(path), init).catch(() => null);
  if (response?.ok) return response.json();
  const answer = await response?.json().catch(() => null);
  throw new Problem({
    status: response?.status ?? 0,
    code: 'local',
    detail: answer?.detail ?? answer?.message ?? answer?.error ?? 'The local cloud is not responding. Is it running?',
  });
}
