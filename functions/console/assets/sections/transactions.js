/** All transactions, newest first. */

import { read, readCsv } from '../api.js';
import { whileOpen } from '../account.js';
import { fill, h, icon } from '../dom.js';
import * as money from '../money.js';
import { count, month, span, time } from '../time.js';
import { announce, button, busy, card, copyText, empty, failure, link, outlet, pill, row, saveFile, skeleton, table } from '../ui.js';
import * as units from '../units.js';

const TYPES = {
  topup: 'Top-up',
  auto_refill: 'Auto-refill',
  usage: 'Usage',
  unused: 'Unused time',
  refund: 'Refund',
  bonus: 'Bonus',
  trial: 'Trial',
  commit: 'Commit plan',
  dispute: 'Dispute',
  correction: 'Correction',
  opening_balance: 'Opening balance',
};
const COLUMNS = [
  { label: 'Date', class: 'col-date' },
  { label: 'Type', class: 'col-type' },
  { label: 'Description', class: 'col-what' },
  { label: 'Amount', class: 'num col-amount' },
  { label: 'Balance after', class: 'num col-after' },
];
const PAGE = 25;
/** Lines shown at a time. A row may hold ten thousand. */
const LINES_STEP = 200;
/** How many files of 5,000 rows one download may combine. */
const CSV_PAGES_MAX = 40;

export const title = 'Transactions';

/** The label of a transaction type. */
export const typeName = (type) => TYPES[type] ?? type;

/** An amount in its colour. The sign carries the same information. */
export function amountCell(amount) {
  return h('span', { class: money.compare(amount, '0') > 0 ? 'amount gain' : 'amount' }, money.signed(amount));
}

export function view(host, { signal }) {
  const filter = { type: '', period: '' };
  const type = select('Type', 'tx-type', { '': 'All types', ...TYPES }, (value) => {
    filter.type = value;
    start();
  });
  const period = select('Period', 'tx-period', periods(), (value) => {
    filter.period = value;
    start();
  });
  const problems = outlet();
  const csv = button('Download CSV', () => download(query(filter), problems), { testid: 'csv', iconName: 'download' });
  const place = h('div', { testid: 'transactions' });
  const more = h('div', { class: 'card-foot' });
  const names = resourceNames();
  let turn = 0;
  fill(
    host,
    card(
      'History',
      { actions: csv, hint: zoneHint() },
      h('div', { class: 'filters' }, type, period),
      problems.element,
      place,
      more,
    ),
  );
  start();

  /** Shows the newest page with the current filter. */
  function start() {
    turn += 1;
    fill(more);
    fill(place, skeleton(8));
    page(null, turn);
  }

  async function page(cursor, mine, body = null) {
    try {
      const { items, next } = await read('v1/transactions', { ...query(filter), limit: PAGE, cursor });
      if (mine !== turn) return;
      // A page may be empty although more follow, because the filter dropped its rows.
      if (items.length === 0 && next) return page(next, mine, body);
      const rows = items.map((item) => transaction(item, names));
      const list = body ?? h('tbody', { role: 'rowgroup' });
      list.append(...rows);
      if (!body) fill(place, rows.length ? shown(list) : nothing(filter, signal));
      if (body) {
        announce(`${count(items.length, 'older transaction')} shown.`);
        focusFirst(rows[0]);
      }
      fill(more, next && button('Older', (self) => busy(self, () => page(next, mine, list)), { testid: 'tx-older' }));
    } catch (problem) {
      if (mine !== turn) return;
      fill(
        body ? more : place,
        failure(problem, () => page(cursor, mine, body)),
      );
    }
  }
}

/** The button that loaded these rows may be gone, so the focus moves to the first new row. */
function focusFirst(first) {
  const target = first?.querySelector('button') ?? first?.querySelector('th');
  if (target && !target.matches('button')) target.tabIndex = -1;
  target?.focus();
}

/** Descriptions name billed hours in UTC. */
function zoneHint() {
  return new Date().getTimezoneOffset() === 0
    ? null
    : 'Dates are in your time zone. Hours in descriptions are in UTC.';
}

function shown(body) {
  const element = table(
    { caption: 'Transactions, newest first', columns: COLUMNS, class: 'transactions', testid: 'tx-table' },
    [],
  );
  element.querySelector('tbody').replaceWith(body);
  return element;
}

function nothing({ type, period }, signal) {
  return type || period
    ? empty('No matching transactions', 'No transaction matches the selected type and period.')
    : empty(
        'No transactions yet',
        'Your top-ups and usage appear here.',
        whileOpen(link('Add credit', '#add-credit', { kind: 'button primary' }), signal),
      );
}

/** One transaction. It expands to show its lines, its IDs, and where to get help with it. */
function transaction(item, names) {
  const id = `tx-${item.seq}`;
  const what = h(
    'button',
    {
      type: 'button',
      class: 'opener',
      'aria-expanded': 'false',
      'aria-controls': id,
      testid: 'tx-open',
      on: { click: open },
    },
    icon('chevron'),
    h('span', {}, item.description),
  );
  const element = row(
    COLUMNS,
    [
      time(item.at, 'row'),
      pill(typeName(item.type), `type-${item.type}`),
      what,
      amountCell(item.amount),
      money.exact(item.balance_after),
    ],
    { testid: 'tx-row', 'data-type': item.type },
  );
  return element;

  async function open({ currentTarget: opener }) {
    const isOpen = opener.getAttribute('aria-expanded') === 'true';
    opener.setAttribute('aria-expanded', String(!isOpen));
    if (isOpen) return document.getElementById(id)?.remove();
    const cell = h('td', { role: 'cell', colspan: COLUMNS.length }, skeleton(2));
    element.after(h('tr', { role: 'row', id, class: 'lines', testid: 'tx-lines' }, cell));
    const [shownLines, known] = [item.lines ?? [], item.lines?.length ? await names() : new Map()];
    return fill(
      cell,
      shownLines.length > 0 && lines(item, known),
      item.lines === null && h('p', { class: 'hint' }, 'This transaction has too many lines to show here.'),
      ids(item),
    );
  }
}

/** What support needs to find the transaction. */
function ids({ id, stripe }) {
  const { payment_intent: payment, session, charge, invoice } = stripe ?? {};
  const named = Object.entries({ Transaction: id, Payment: payment, 'Checkout session': session, Charge: charge, Invoice: invoice });
  const status = h('span', { class: 'hint' });
  const copyable = ([name, value]) =>
    h(
      'span',
      { class: 'copyable' },
      `${name} `,
      h('code', {}, value),
      button('Copy', () => copyText(value, status), { kind: 'small', describe: `Copy ${name} ${value}`, testid: 'copy-id' }),
    );
  return h(
    'div',
    { class: 'ids', testid: 'tx-ids' },
    named.filter(([, value]) => value).map(copyable),
    status,
    link('Get help', `#help/tx/${encodeURIComponent(id)}`, { testid: 'get-help' }),
  );
}

function lines(item, names) {
  const columns = [
    { label: 'Resource' },
    { label: 'Rate', class: 'num' },
    { label: 'Quantity', class: 'num' },
    { label: 'Amount', class: 'num' },
  ];
  const line = (each) =>
    row(
      columns,
      each.resource
        ? [named(each.resource, names), `${money.exact(each.rate)} / h`, span(each.seconds), money.exact(each.amount)]
        : [
            [each.sku, ' ', h('span', { class: 'hint' }, units.labelled(each.labels) || each.project)],
            `${money.exact(each.rate)} each`,
            money.ratio(each.quantity, '1'),
            money.exact(each.amount),
          ],
    );
  const element = table({ caption: `Details of ${item.description}`, columns, class: 'compact nested' }, []);
  const body = element.querySelector('tbody');
  const more = h('div');
  step(0);
  return [element, more];

  function step(from) {
    const to = from + LINES_STEP;
    body.append(...item.lines.slice(from, to).map(line));
    fill(
      more,
      to < item.lines.length &&
        button(`Show more (${count(item.lines.length - to, 'line')})`, () => step(to), { testid: 'tx-more-lines' }),
    );
  }
}

function named(id, names) {
  const name = names.get(id);
  return name ? [name, ' ', h('span', { class: 'hint' }, id)] : id;
}

/** Names of resources, loaded when the first row opens. Until then IDs are shown. */
function resourceNames() {
  let asked;
  return () => {
    asked ??= read('v1/spending', { by: 'resource' })
      .then(({ items }) => new Map(items.filter((item) => item.name).map((item) => [item.key, item.name])))
      .catch(() => new Map());
    return asked;
  };
}

function select(label, testid, options, change) {
  return h(
    'label',
    { class: 'inline-field' },
    h('span', {}, label),
    h(
      'select',
      { testid, on: { change: ({ currentTarget }) => change(currentTarget.value) } },
      Object.entries(options).map(([value, text]) => h('option', { value }, text)),
    ),
  );
}

/** Periods by UTC month, like bills. */
function periods() {
  return { '': 'All time', [month(0)]: 'This month', [month(1)]: 'Last month', [month(2)]: 'Two months ago' };
}

function query({ type, period }) {
  if (!period) return { type };
  const [year, index] = period.split('-').map(Number);
  return {
    type,
    from: `${period}-01T00:00:00Z`,
    to: new Date(Date.UTC(year, index, 1)).toISOString().replace('.000Z', 'Z'),
  };
}

async function download(filter, problems) {
  problems.clear();
  try {
    const parts = [];
    let cursor = null;
    do {
      const { text, next } = await readCsv('v1/transactions', { ...filter, cursor });
      // Every part has a header line. The file needs only one.
      parts.push(parts.length ? text.slice(text.indexOf('\n') + 1) : text);
      cursor = next;
    } while (cursor && parts.length < CSV_PAGES_MAX);
    saveFile(new Blob(parts, { type: 'text/csv' }), `transactions-${filter.type || 'all'}.csv`);
    if (cursor) problems.say('warning', 'The file contains the newest 200,000 rows. Choose a period to download older rows.');
    announce('The CSV file was downloaded.');
  } catch (problem) {
    problems.show(problem);
  }
}
