/** Closing the account. What is lost is shown first, and a typed word confirms it. */

import { read, write } from '../api.js';
import { refreshBalance } from '../account.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { count } from '../time.js';
import { button, busy, card, failure, field, helpLink, link, notice, outlet } from '../ui.js';

const WORD = 'close';
const CHANGED = 'balance_changed';

/** Reasons why an account cannot be closed, each with a remedy. */
const REFUSED = {
  resources: ({ resources }) => [
    resources === 1 ? 'Delete your resource first.' : `Delete your ${resources} resources first.`,
    'An account can be closed once all of its resources are deleted, also stopped and suspended ones.',
    link('Open projects', '#projects', { kind: 'button', testid: 'close-projects' }),
  ],
  refill: () => [
    'A refill is in progress.',
    'Wait until it is paid or canceled, then try again.',
    link('Auto-refill', '#refill', { kind: 'button' }),
  ],
  payment: () => ['A payment is not confirmed yet.', 'Wait until it is confirmed or canceled, then try again.', helpLink()],
  closed: () => ['This account is already closed.', null],
};
const UNKNOWN = () => ['This account cannot be closed now.', 'Contact support to close it.', helpLink(null, '')];

export function closing() {
  const place = h('div', { class: 'outlet', tabindex: '-1' });
  const opener = button('Close account\u2026', look, { testid: 'close-account' });
  return card(
    'Close account',
    {
      testid: 'close-card',
      hint: 'Close this account if you no longer need it. Your transactions and invoices remain available.',
      actions: opener,
    },
    place,
  );

  async function look() {
    try {
      show(await read('v1/account/closing'));
    } catch (problem) {
      fill(place, failure(problem, look));
    }
  }

  function show(found, isChanged = false) {
    opener.hidden = found.can_close;
    fill(place, found.can_close ? preview(found, isChanged) : refused(found));
    place.focus();
    if (found.why === 'closed') refreshBalance().catch(() => {});
  }

  function preview(found, isChanged) {
    const word = field(
      `Type \u201c${WORD}\u201d to confirm`,
      h('input', {
        id: 'close-word',
        testid: 'close-word',
        autocomplete: 'off',
        autocapitalize: 'off',
        spellcheck: 'false',
        maxlength: 20,
      }),
    );
    const confirm = button('Close account', null, { kind: 'danger', testid: 'close-confirm', type: 'submit' });
    const refusal = outlet();
    return h(
      'form',
      { class: 'inset stack tight', testid: 'close-preview', novalidate: true, on: { submit } },
      isChanged &&
        notice('warning', 'Your balance has changed.', {
          text: 'Check the new figures, then confirm again.',
          testid: 'close-changed',
          role: 'alert',
        }),
      h('p', {}, 'When you close this account:'),
      h(
        'ul',
        { class: 'bullets' },
        losses(found).map((loss) => h('li', {}, loss)),
      ),
      h('div', { class: 'grid-2' }, word.element),
      refusal.element,
      h('div', { class: 'form-foot' }, confirm, button('Cancel', () => confirm.hasAttribute('aria-busy') || cancel(), { testid: 'close-cancel' })),
    );

    async function submit(event) {
      event.preventDefault();
      if (confirm.hasAttribute('aria-busy')) return undefined;
      const isTyped = word.input.value.trim().toLowerCase() === WORD;
      word.wrong(isTyped ? null : `Type \u201c${WORD}\u201d to close the account.`);
      if (!isTyped) return word.input.focus();
      refusal.clear();
      return busy(confirm, () => close(found, refusal));
    }
  }

  async function close({ balance }, refusal) {
    try {
      await write('DELETE', 'v1/account', { balance });
    } catch (problem) {
      return explain(problem, refusal);
    }
    fill(place, notice('info', 'This account is closed.'));
    // The banner says the rest, and this card leaves the page.
    await refreshBalance().catch(() => {});
    scrollTo(0, 0);
    return document.getElementById('title').focus({ preventScroll: true });
  }

  /** A refusal may mean that what is shown is out of date. */
  async function explain(problem, refusal) {
    const found = problem.status === 409 ? await read('v1/account/closing').catch(() => null) : null;
    const isChanged = problem.code === CHANGED;
    if (found && (isChanged || !found.can_close)) show(found, isChanged);
    else refusal.show(problem);
  }

  function cancel() {
    fill(place);
    opener.hidden = false;
    opener.focus();
  }
}

function losses({ balance, restorable, auto_refill: refills }) {
  const isLost = money.compare(balance, '0.01') >= 0;
  const isOwed = money.compare(balance, '0') < 0;
  return [
    isLost && [
      h('strong', { class: 'num', testid: 'close-balance', title: `Exactly ${money.exact(balance)}` }, money.balance(balance)),
      ' of credit can no longer be used. ',
      link('Ask support', '#help', { testid: 'close-refund' }),
      ' about a refund before you close.',
    ],
    isOwed && ['Your balance stays at ', h('strong', { class: 'num', testid: 'close-balance' }, money.balance(balance)), '.'],
    restorable > 0 && `${count(restorable, 'deleted resource')} can no longer be restored.`,
    refills && 'Auto-refill is turned off.',
    'You can no longer add credit or start resources.',
  ].filter(Boolean);
}

function refused(found) {
  const why = Object.hasOwn(REFUSED, found.why ?? '') ? REFUSED[found.why] : UNKNOWN;
  const [title, text, ...actions] = why(found);
  return notice('warning', title, { text, actions, testid: 'close-preview', role: 'alert' });
}
