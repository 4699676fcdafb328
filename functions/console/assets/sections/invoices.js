/** Invoices and receipts, one for each payment. */

import { read } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { time } from '../time.js';
import { announce, button, card, empty, link, loading, outlet, pill, row, table } from '../ui.js';

export const title = 'Invoices';

const PAGE = 25;
const COLUMNS = [
  { label: 'Date', class: 'col-date' },
  { label: 'Number', class: 'col-what' },
  { label: 'For', class: 'col-kind' },
  { label: 'Status', class: 'col-type' },
  { label: 'Amount', class: 'num col-amount' },
  { label: 'Documents', class: 'num col-after' },
];
const STATUS = { paid: 'ok', open: 'warn', void: '', uncollectible: 'bad', refunded: 'info' };
const KINDS = { topup: 'Top-up', auto_refill: 'Auto-refill', commit: 'Commit plan' };

export function view(host) {
  const place = h('div', { testid: 'invoices' });
  const toPay = h('div');
  loading(
    place,
    () => read('v1/invoices', { limit: PAGE }),
    ({ open = [], items, next }) => {
      if (open.length > 0) fill(toPay, card('Invoices to pay', { testid: 'invoices-open' }, openList(open)));
      if (items.length === 0) return empty(open.length > 0 ? 'No paid invoices yet' : 'No invoices yet', 'You get an invoice or receipt for every top-up and refill.');
      const list = table(
        { caption: 'Invoices, newest first', columns: COLUMNS, class: 'transactions invoices' },
        items.map(invoice),
      );
      return [list, older(list.querySelector('tbody'), next)];
    },
    5,
  );
  fill(host, toPay, card('Invoices and receipts', {}, place));
}

/** Invoices that the operator sent. Credit is added once one is paid. */
function openList(open) {
  return h(
    'ul',
    { class: 'plain stack tight' },
    open.map(({ number, due_at: dueAt, amount, credit, hosted_url: url }) =>
      h(
        'li',
        { class: 'row-actions' },
        h(
          'span',
          {},
          h('strong', {}, money.exact(amount)),
          ` for invoice ${number}, due `,
          time(dueAt, 'date'),
          `. Adds ${money.exact(credit)} of credit when paid.`,
        ),
        url && link('Pay invoice', url, { kind: 'button small primary', outside: true, testid: 'invoice-pay', describe: `Pay invoice ${number}` }),
      ),
    ),
  );
}

function invoice(item) {
  const name = item.number ?? `of ${item.date.slice(0, 10)}`;
  return row(
    COLUMNS,
    [
      time(item.date, 'date'),
      item.number ?? h('span', { class: 'hint' }, 'Receipt'),
      KINDS[item.kind],
      item.status ? pill(item.status[0].toUpperCase() + item.status.slice(1), STATUS[item.status] ?? '') : null,
      h('span', {}, money.exact(item.amount), wentBack(item.refunded, 'refunded'), wentBack(item.charged_back, 'charged back')),
      h(
        'span',
        { class: 'links' },
        item.hosted_url &&
          link('View', item.hosted_url, {
            outside: true,
            testid: 'invoice-view',
            describe: `View ${item.number ? 'invoice' : 'receipt'} ${name}`,
          }),
        item.pdf_url &&
          link('PDF', item.pdf_url, { outside: true, testid: 'invoice-pdf', describe: `PDF of invoice ${name}` }),
      ),
    ],
    { testid: 'invoice-row' },
  );
}

/** Null if nothing went back, or if the account has too many rows to tell. */
function wentBack(amount, how) {
  return amount && money.compare(amount, '0') > 0 ? h('div', { class: 'hint' }, `${money.exact(amount)} ${how}`) : null;
}

function older(body, cursor) {
  const place = h('div', { class: 'card-foot' });
  const problems = outlet();
  const show = (next) =>
    fill(
      place,
      problems.element,
      next &&
        button(
          'Older',
          async () => {
            problems.clear();
            try {
              const page = await read('v1/invoices', { limit: PAGE, cursor: next });
              body.append(...page.items.map(invoice));
              announce(`${page.items.length} more invoices shown.`);
              show(page.next);
            } catch (problem) {
              problems.show(problem);
            }
          },
          { testid: 'invoices-older' },
        ),
    );
  show(cursor);
  return place;
}
