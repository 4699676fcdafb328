/** The current balance, running costs, runway, and the form that adds credit. */

import { read } from '../api.js';
import { isClosed, refreshBalance, watchBalance, whileOpen } from '../account.js';
import { balanceChart } from '../chart.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { daysAgo, duration, secondsUntil, shown, time } from '../time.js';
import { announce, card, empty, failure, link, loading, perHour, row, skeleton, table } from '../ui.js';
import { addCredit } from './add-credit.js';
import { plans } from './plans.js';
import { isRefillReady, refillNotice } from './refill.js';
import { refillChoice } from './refill-line.js';
import { amountCell, typeName } from './transactions.js';
import { trial } from './trial.js';

const GRANTS = { trial: 'Trial credit', bonus: 'Bonus credit', commit: 'Commit bonus' };
/** A runway shorter than this is highlighted. */
export const LOW_SECONDS = 24 * 3600;

export const title = 'Balance';

export function view(host, context) {
  const now = h('div', { class: 'balance-now' }, skeleton(3));
  const refill = h('div', { role: 'status' });
  // Both forms show the same choice.
  const refillTerms = refillChoice(context.config);
  fill(
    host,
    refill,
    whileOpen(trial(context), context.signal),
    h(
      'div',
      { class: 'split' },
      card('Current balance', { id: 'balance-card', testid: 'balance-card' }, now),
      whileOpen(addCredit(context, refillTerms), context.signal),
      history(),
      recent(),
    ),
    whileOpen(plans(context, refillTerms), context.signal),
  );

  let before = null;
  watchBalance((balance, settings) => {
    fill(now, current(balance, settings));
    // Without settings there is no warning, and the auto-refill section shows the error. An unchanged warning is kept,
    // so that it keeps the focus and is not read again.
    const notable = isClosed(balance) ? null : settings;
    const next = JSON.stringify(notable);
    if (next === before) return;
    before = next;
    fill(refill, notable && refillNotice(notable, () => refreshBalance().catch(() => {}), 'refill-warning'));
  }, context.signal);
  refreshBalance().catch((problem) =>
    fill(
      now,
      failure(problem, () => context.reload()),
    ),
  );
}

function current(balance, settings) {
  const { standing, runway, grants } = balance;
  const refills = settings !== null && isRefillReady(settings);
  const closed = isClosed(balance);
  // An empty new account is not highlighted, and what a closed account has left is not either.
  const low = !['good', 'closed'].includes(standing) || money.compare(balance.balance, '0') < 0 ? 'out' : '';
  return [
    h(
      'p',
      { class: `figure-large ${low}`, testid: 'balance', title: `Exactly ${money.exact(balance.balance)}` },
      money.balance(balance.balance),
    ),
    h(
      'dl',
      { class: 'facts' },
      fact('Current rate', h('span', { testid: 'rate' }, perHour(balance.rate_per_hour))),
      !closed && fact('Lasts until', h('span', { testid: 'lasts-until' }, lastsUntil(balance, refills))),
      money.compare(balance.held, '0') > 0 && [
        fact('Held for usage', h('span', { testid: 'held' }, money.exact(balance.held))),
        fact('Available', h('span', { testid: 'available' }, money.balance(balance.available))),
      ],
      money.compare(balance.owed, '0') > 0 && fact('Owed', money.exact(balance.owed)),
      balance.paid_through && fact('Paid through', time(balance.paid_through)),
      standing === 'good' &&
        !refills &&
        runway.deleted_at &&
        secondsUntil(runway.zero_at ?? runway.deleted_at) < 3 * LOW_SECONDS &&
        fact('Deletion if no credit is added', time(runway.deleted_at)),
    ),
    grants.length > 0 &&
      !closed &&
      h(
        'div',
        { class: 'grants' },
        h('h3', {}, 'Credit that expires'),
        h('ul', { class: 'plain', testid: 'grants' }, grants.map(grant)),
      ),
  ];
}

function fact(name, value) {
  return h('div', {}, h('dt', {}, name), h('dd', {}, value));
}

function lastsUntil({ standing, runway, rate_per_hour: rate }, refills) {
  if (standing !== 'good') return 'Nothing is running';
  if (runway.zero_at) {
    const left = secondsUntil(runway.zero_at);
    return [
      time(runway.zero_at),
      h(
        'span',
        { class: left < LOW_SECONDS && !refills ? 'unit low' : 'unit' },
        (left > 0 ? `in ${duration(left)}` : 'now') + (refills ? ', without refills' : ''),
      ),
    ];
  }
  return money.isUsedUp(rate) ? 'Nothing is running' : 'No end date';
}

function grant({ kind, remaining, expires_at: expiresAt, excludes }) {
  const soon = secondsUntil(expiresAt) < 3 * 86400;
  return h(
    'li',
    {},
    h(
      'span',
      {},
      GRANTS[kind] ?? kind,
      excludes.length > 0 && h('span', { class: 'hint' }, ` not for ${excludes.join(', ')}`),
    ),
    h('span', { class: 'num' }, money.balance(remaining)),
    h('span', { class: soon ? 'hint low' : 'hint' }, 'expires ', time(expiresAt)),
  );
}

/** The balance over time, by hour or by day. */
function history() {
  const spans = {
    hour: { label: '48 hours', at: (at) => shown(at, 'full'), from: null },
    day: { label: '30 days', at: (at) => shown(at, 'date'), from: () => daysAgo(30) },
  };
  let granularity = 'hour';
  const place = h('div', { testid: 'balance-chart' });
  const choice = h('div', { class: 'segments', role: 'group', 'aria-label': 'Time range' });
  const reload = loading(
    place,
    () => read('v1/balance/history', { granularity }),
    ({ items }) => {
      if (items.length < 2 || items.every((item) => money.compare(item.balance, '0') === 0))
        return empty('No history yet', 'Your balance appears here after a few hours of usage.');
      const span = spans[granularity];
      const [first, last] = [items[0], items.at(-1)];
      const summary = `Balance over the last ${span.label}: from ${money.balance(first.balance)} to ${money.balance(last.balance)}`;
      return balanceChart(items, { summary, label: span.at });
    },
    4,
  );
  fill(
    choice,
    Object.entries(spans).map(([name, { label }]) =>
      h(
        'button',
        {
          type: 'button',
          testid: `history-${name}`,
          'aria-pressed': String(name === granularity),
          on: {
            click: ({ currentTarget }) => {
              granularity = name;
              for (const each of choice.children) each.setAttribute('aria-pressed', String(each === currentTarget));
              reload();
              announce(`The chart shows the last ${label}.`);
            },
          },
        },
        label,
      ),
    ),
  );
  return card('Balance over time', { actions: choice }, place);
}

/** The latest transactions, with a link to all of them. */
function recent() {
  const columns = [{ label: 'Description' }, { label: 'Amount', class: 'num' }];
  const place = h('div');
  loading(
    place,
    () => read('v1/transactions', { limit: 5 }),
    ({ items }) => {
      if (items.length === 0) return empty('No transactions yet', 'Your top-ups and usage appear here.');
      return [
        table(
          { caption: 'Recent transactions', columns, class: 'compact headless' },
          items.map((item) =>
            row(columns, [
              [
                h('span', { class: 'clip' }, item.description),
                h('span', { class: 'hint' }, typeName(item.type), ' \u00b7 ', time(item.at)),
              ],
              amountCell(item.amount),
            ]),
          ),
        ),
        h('p', { class: 'card-foot' }, link('All transactions', '#transactions', { testid: 'all-transactions' })),
      ];
    },
    4,
  );
  return card('Recent transactions', {}, place);
}
