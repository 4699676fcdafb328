/** One account: how it stands, what happened, and what staff can do. */

import { read } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { time } from '../time.js';
import { announce, button, card, empty, link, notice, perHour, pill, row, table } from '../ui.js';
import { actionBar, dayIn } from './actions.js';
import { copyable, facts, loading, outcome, rights, rows, standingPill } from './parts.js';

const PAGE = 50;
const READ = 'Shown to the customer.';
const METHODS = {
  'bank_transfer,us_bank_account,card': 'Bank transfer, bank debit or card',
  'bank_transfer,card': 'Bank transfer or card',
  'us_bank_account,card': 'Bank debit or card',
  card: 'Card',
};
const INVOICE_STATUS = { paid: 'ok', open: 'warn', void: '', draft: '' };
const GRANTS = [
  { label: 'Grant', class: 'col-what' },
  { label: 'Left', class: 'num col-amount' },
  { label: 'Expires', class: 'col-date' },
  { label: 'Excludes', class: 'col-kind' },
];
const INVOICES = [
  { label: 'Invoice', class: 'col-what' },
  { label: 'Status', class: 'col-type' },
  { label: 'Due', class: 'col-date' },
  { label: 'Issued', class: 'col-what' },
  { label: 'Credit', class: 'num col-amount' },
];

export const title = (id) => id ?? 'Account';

export function view(host, id) {
  const path = `v1/admin/accounts/${encodeURIComponent(id)}`;
  const said = h('div', { role: 'status' });
  const summary = h('div', { class: 'stack' });
  const history = h('div');
  const invoices = h('div');
  fill(host, said, summary, invoices, history);
  const again = loading(
    summary,
    () => read(path),
    (account) => overview(account, path, changed),
    8,
  );
  const readInvoices = loading(invoices, () => invoicesOf(path), (found) => issued(found, path, changed), 1);
  const readRows = loading(
    history,
    () => read(`${path}/transactions`, { include: 'all', limit: PAGE }),
    ({ items, next }) => card('History', { testid: 'history' }, rows(items, 'Rows, the newest first'), older(path, next)),
    6,
  );

  function changed(action) {
    fill(said, notice('success', `${action.label}: done.`, { testid: 'done' }));
    for (const refresh of [again, readInvoices, readRows]) refresh();
  }
}

/** Support sends no invoices, and is not shown any. */
const invoicesOf = async (path) => (rights.areAll ? read(`${path}/invoices`) : { invoices: [] });

function overview(account, path, changed) {
  const { standing, frozen } = account;
  return [
    card(
      'Summary',
      { testid: 'summary' },
      facts([
        ['Account', copyable(account.account)],
        ['E-mail', account.email],
        ['Standing', standingPill(standing, frozen)],
        ['Balance', h('span', { testid: 'balance' }, money.exact(account.balance))],
        ['Available', money.exact(account.available)],
        ['Paid credit', money.exact(account.paid_credit)],
        ['Owed', money.compare(account.owed, '0') > 0 && money.exact(account.owed)],
        ['Held', money.compare(account.held, '0') > 0 && money.exact(account.held)],
        ['Rate', perHour(account.rate_per_hour)],
        ['Resources', `${account.running} running, ${account.idle} off`],
        ['Paid through', account.paid_through && time(account.paid_through)],
        ['Auto-refill', account.auto_refill ? money.exact(account.auto_refill) : 'off'],
        ['Payments under way', account.pending_payments > 0 && String(account.pending_payments)],
        ['Refunds under way', account.open_refunds > 0 && String(account.open_refunds)],
        ['Limits', `${account.quotas.resources} resources, ${account.quotas.projects} projects`],
        ['Last row', [time(account.at), ` (${account.rows} rows)`]],
        ['Budgets', account.budgets.length > 0 && account.budgets.map(budget)],
        ['Personal data', account.erased && 'erased'],
      ]),
      checked(path),
    ),
    card('Actions', { testid: 'actions' }, actionBar(actionsOn(account, path), changed)),
    account.grants.length > 0 &&
      card('Free credit', { testid: 'grants' }, table({ caption: 'Grants', columns: GRANTS, class: 'staff-table' }, account.grants.map(grant)), actionBar(withdrawals(account, path), changed)),
  ];
}

/** Checks every hash of the account's rows. */
function checked(path) {
  const place = h('span', { class: 'hint', role: 'status', testid: 'verified' });
  const problems = outcome();
  const verify = button(
    'Verify history',
    async () => {
      problems.clear();
      try {
        const { verified: isRight, rows: count, wrong } = await read(`${path}/verify`);
        place.textContent = isRight ? `All ${count} rows match their hashes.` : `The history is damaged: ${wrong}`;
      } catch (problem) {
        problems.fail(problem);
      }
    },
    { kind: 'small', testid: 'verify' },
  );
  return h('div', { class: 'form-foot' }, verify, place, problems.element);
}

function actionsOn({ standing, frozen, balance, owed, account }, path) {
  const isClosed = standing === 'closed';
  const isOwed = money.compare(owed, '0') > 0;
  const after = (amount) =>
    `The balance goes from ${money.exact(balance)} to ${money.exact(money.sum([balance, amount]))}.${isOwed ? ` Credit pays the ${money.exact(owed)} that is owed first.` : ''}`;
  const plain = (name, label, sentence, kind) => ({
    name,
    label,
    kind,
    preview: () => sentence,
    request: ({ reason }) => ['POST', `${path}/${name}`, { reason }],
  });
  return [
    {
      name: 'bonus',
      label: 'Give a bonus',
      reasonHint: READ,
      inputs: [
        { name: 'amount', label: 'Amount', prefix: '$', isAmount: true },
        { name: 'expires', label: 'Expires on', type: 'date', value: dayIn(30) },
      ],
      preview: ({ amount, expires }) => `Adds ${money.exact(amount)} of free credit, which expires on ${expires} at 00:00 UTC. ${after(amount)}`,
      request: ({ amount, expires, reason }) => ['POST', `${path}/bonus`, { amount, expires_at: `${expires}T00:00:00Z`, reason }],
    },
    rights.areAll && {
      name: 'correction',
      label: 'Correct the balance',
      reasonHint: READ,
      inputs: [{ name: 'amount', label: 'Amount', prefix: '$', hint: 'Negative to take credit.', isAmount: true, isSigned: true }],
      preview: ({ amount }) => `${amount.startsWith('-') ? 'Takes' : 'Adds'} ${money.exact(amount.replace('-', ''))} of paid credit. ${after(amount)}`,
      request: ({ amount, reason }) => ['POST', `${path}/correction`, { amount, reason }],
    },
    rights.areAll &&
      !isClosed && {
      name: 'invoice',
      label: 'Send an invoice',
      inputs: [
        { name: 'credit', label: 'Credit, before tax', prefix: '$', isAmount: true },
        { name: 'due', label: 'Days to pay', value: '30', type: 'number' },
        { name: 'methods', label: 'How to pay', options: METHODS },
      ],
      preview: ({ credit, due }) => `Sends an invoice for ${money.exact(credit)} plus any tax, due in ${due} days. The credit is added once it is paid in full.`,
      request: ({ credit, due, methods, reason }) => ['POST', `${path}/invoices`, { credit, due_days: Number(due), methods: methods.split(','), reason }],
    },
    ...(rights.areAll ? onStanding() : []),
  ].filter(Boolean);

  function onStanding() {
    const freezing = frozen
      ? plain('unfreeze', 'Unfreeze', 'Resources can be started again.')
      : plain('freeze', 'Freeze', 'Nothing can be started until it is unfrozen. What is running keeps running.');
    if (isClosed) return [freezing, plain('reopen', 'Reopen', 'The account can be used again. Auto-refill stays off.')];
    return [
      freezing,
      standing === 'suspended'
        ? plain('resume', 'End the suspension', 'Ends a suspension by staff, if the credit allows it.')
        : plain('suspend', 'Suspend', 'Stops everything that runs, at once.', 'danger'),
      plain('refill/abandon', 'Abandon the refill', 'Ends a refill that is stuck. One that was paid is credited.'),
      plain('close', 'Close', `Closes ${account}. Possible only while nothing runs. Credit that is left stays on it.`, 'danger'),
    ];
  }
}

function grant({ number, kind, amount, remaining, expires_at: expiresAt, excludes }) {
  return row(
    GRANTS,
    [`${number}: ${kind} of ${money.exact(amount)}`, money.exact(remaining), time(expiresAt), excludes.length > 0 ? excludes.join(', ') : null],
    { testid: 'grant' },
  );
}

const budget = ({ project, amount, spent, stop }) =>
  h('span', { class: 'clip' }, `${project}: ${money.exact(spent)} of ${money.exact(amount)}${stop ? ', then it stops' : ''}`);

/** Only a bonus can be taken back. What a plan or a trial brought belongs to it. */
const withdrawals = ({ grants }, path) =>
  grants
    .map((grant) => ({ ...grant, free: money.sum([grant.remaining, `-${grant.held}`]) }))
    .filter(({ kind, free }) => rights.areAll && kind === 'bonus' && !money.isUsedUp(free))
    .map(({ number, free }) => ({
      name: `withdraw-${number}`,
      label: `Withdraw bonus ${number}`,
      kind: 'danger',
      preview: () => `Takes ${money.exact(free)} back, the rest of bonus ${number} that is not held.`,
      request: ({ reason }) => ['POST', `${path}/grants/${number}/withdraw`, { reason }],
    }));

function issued({ invoices }, path, changed) {
  if (invoices.length === 0) return [];
  const open = invoices.filter(({ status }) => status === 'open' || status === 'draft');
  const voids = open.map(({ id, number }) => ({
    name: `void-${id}`,
    label: `Void ${number ?? id}`,
    kind: 'danger',
    preview: () => `Invoice ${number ?? id} can no longer be paid.`,
    request: ({ reason }) => ['POST', `${path}/invoices/${encodeURIComponent(id)}/void`, { reason }],
  }));
  return card(
    'Invoices by staff',
    { testid: 'staff-invoices' },
    table({ caption: 'Invoices by staff, the newest first', columns: INVOICES, class: 'staff-table' }, invoices.map(invoice)),
    voids.length > 0 && actionBar(voids, changed),
  );
}

function invoice({ id, number, status, credit, due_at: dueAt, issued: act, voided, hosted_url: url }) {
  return row(
    INVOICES,
    [
      [url ? link(number ?? id, url, { outside: true }) : (number ?? id), link(id, `#payment/${encodeURIComponent(id)}`, { kind: 'id' })],
      status && pill(status, INVOICE_STATUS[status] ?? 'bad'),
      time(dueAt, 'date'),
      [h('span', {}, act.by), h('span', { class: 'hint' }, act.reason), voided && h('span', { class: 'hint' }, `void: ${voided.reason}`)],
      money.exact(credit),
    ],
    { testid: 'staff-invoice' },
  );
}

function older(path, cursor) {
  if (!cursor) return null;
  const problems = outcome();
  const more = button(
    'Show older',
    async () => {
      problems.clear();
      try {
        const { items, next } = await read(`${path}/transactions`, { include: 'all', limit: PAGE, cursor });
        const place = more.closest('.card').querySelector('tbody');
        place.append(...rows(items, '').querySelectorAll('tbody tr'));
        announce(`${items.length} older rows.`);
        cursor = next;
        if (!next) foot.replaceChildren(empty('No older rows'));
      } catch (problem) {
        problems.fail(problem);
      }
    },
    { kind: 'small', testid: 'older' },
  );
  const foot = h('div', { class: 'form-foot' }, more, problems.element);
  return foot;
}
