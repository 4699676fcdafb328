/** One payment: what we credited for it, what Stripe says, and what staff can do. */

import { read } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { time } from '../time.js';
import { card, link, notice } from '../ui.js';
import { actionBar } from './actions.js';
import { copyable, facts, loading, rights, rows } from './parts.js';

const RECOVERABLE = ['cs_', 'pi_', 'in_'];
const REFUNDABLE = ['pi_', 'cs_', 'ch_', 'in_'];
const INVOICEABLE = ['pi_', 'cs_', 'ch_'];
const OUTCOMES = {
  credited: 'It was paid, and is credited now.',
  already_credited: 'It was credited before.',
  pending: 'Stripe still processes it. The account waits for it.',
  unpaid: 'It is not paid.',
};

export const title = (id) => (id ? `Payment ${id}` : 'Payment');

export function view(host, id) {
  const path = `v1/admin/payments/${encodeURIComponent(id)}`;
  const said = h('div', { role: 'status' });
  const shown = h('div', { class: 'stack' });
  const begins = (prefixes) => prefixes.some((prefix) => id.startsWith(prefix));
  const actions = [
    begins(RECOVERABLE) && {
      name: 'recover',
      label: 'Recover',
      needsReason: false,
      preview: () => 'Credits once what Stripe says was paid, and records its refunds and disputes.',
      request: () => ['POST', `${path}/recover`],
    },
    begins(REFUNDABLE) && {
      name: 'refund',
      label: 'Refund',
      kind: 'danger',
      inputs: [
        {
          name: 'amount',
          label: 'Amount, before tax',
          prefix: '$',
          hint: `${rights.areAll ? 'Empty: all that is left. ' : ''}At most the paid credit that is available.`,
          isAmount: true,
          isOptional: rights.areAll,
        },
      ],
      preview: ({ amount }) => `${amount ? money.exact(amount) : 'All that is left'} goes back to where it came from, with its tax and the same share of its bonus. The credit is taken now.`,
      request: ({ amount, reason }) => ['POST', `${path}/refunds`, { ...(amount && { amount }), reason }],
    },
    rights.areAll && begins(INVOICEABLE) && {
      name: 'make-invoice',
      label: 'Make an invoice',
      needsReason: false,
      preview: () => 'Makes an invoice with the customer\u2019s address of today, if there is only a receipt. No money moves.',
      request: () => ['POST', `${path}/invoice`],
    },
  ].filter(Boolean);
  fill(host, said, actions.length > 0 && card('Actions', { testid: 'actions' }, actionBar(actions, done)), shown);
  const again = loading(
    shown,
    async () => {
      try {
        return await read(path);
      } catch (problem) {
        if (problem.status === 404) return null;
        throw problem;
      }
    },
    (found) => (found ? payment(found) : unknown(id)),
  );

  function done(action, answer) {
    fill(said, notice(answer.outcome === 'unpaid' || answer.status === 'failed' ? 'warning' : 'success', sentence(action, answer), { testid: 'done' }));
    again();
  }
}

function sentence({ label, name }, answer) {
  const { outcome, stripe_status: status, not_recorded: left = [], why, number, hosted_url: url } = answer;
  if (name === 'recover') return [OUTCOMES[outcome], status && ` Stripe says ${status}.`, left.length > 0 && ` Not recorded: ${left.join('; ')}.`];
  if (name === 'refund') return `The refund is ${answer.status}.${why ? ` ${why}` : ''}`;
  if (name === 'make-invoice') return ['The invoice is ', url ? link(number, url, { outside: true }) : number, '.'];
  return `${label}: done.`;
}

const unknown = (id) =>
  card(
    'Not in the ledger',
    { testid: 'unknown' },
    h(
      'p',
      {},
      'No row has the ID ',
      h('code', {}, id),
      RECOVERABLE.some((prefix) => id.startsWith(prefix))
        ? '. Recover credits the payment if Stripe says that it is paid.'
        : '. Search for the payment\u2019s ID that begins with pi_, cs_ or in_ instead.',
    ),
  );

function payment({ account, row, stripe, stripe_error: error }) {
  return [
    // Only the owner of the ID is known.
    row.seq === 0 && card('Not credited', { testid: 'not-credited' }, h('p', {}, 'No row has credited this ID.')),
    card(
      'In the ledger',
      { testid: 'payment-row' },
      facts([['Account', [link(account, `#account/${encodeURIComponent(account)}`, { testid: 'payment-account' })]]]),
      row.seq > 0 && rows([{ row, by: null, reason: null }], 'The row'),
    ),
    card(
      'At Stripe',
      { testid: 'at-stripe' },
      error && notice('warning', `Stripe could not be asked: ${error}`),
      stripe ? facts(Object.entries(stripe).map(([name, value]) => [name.replaceAll('_', ' '), shown(name, value)])) : !error && h('p', { class: 'hint' }, 'Stripe has no such object.'),
    ),
  ];
}

function shown(name, value) {
  if (value === null || value === undefined) return null;
  if (name.startsWith('amount')) return money.exact((value / 100).toFixed(2));
  if (name === 'created') return time(new Date(value * 1000).toISOString());
  if (typeof value === 'string' && /^[a-z]{2,5}_[A-Za-z0-9_]+$/.test(value)) return copyable(value);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
