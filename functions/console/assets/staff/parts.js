/** What the views for staff have in common. */

import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { time } from '../time.js';
import { button, copyText, failure, link, loading as load, pill, row, table } from '../ui.js';

/** Whether the page's tokens may do everything, or what support may. */
export const rights = { areAll: true };

const STANDINGS = { good: 'ok', suspended: 'bad', deleting: 'bad', deleted: 'bad', closed: '' };
const COLUMNS = [
  { label: 'Time', class: 'col-date' },
  { label: 'What', class: 'col-what' },
  { label: 'Who and why', class: 'col-what' },
  { label: 'Amount', class: 'num col-amount' },
  { label: 'Balance', class: 'num col-after' },
];

/** Loads content into a host. Problems lead to no help section, because there is none here. */
export const loading = (host, read, show, lines) => load(host, read, show, lines, null);

export const standingPill = (standing, frozen) => [pill(standing, STANDINGS[standing] ?? ''), frozen && [' ', pill('frozen', 'warn')]];

/** A list of names with their values. Empty ones are left out. @param {[string, unknown][]} entries */
export const facts = (entries, testid) =>
  h(
    'dl',
    { class: 'facts', testid },
    entries
      .filter(([, value]) => value !== null && value !== undefined && value !== false)
      .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  );

/** An ID that can be copied. */
export function copyable(id) {
  const status = h('span', { class: 'hint', role: 'status' });
  return h('span', { class: 'copyable' }, h('code', {}, id), button('Copy', () => copyText(id, status), { kind: 'small', describe: `Copy ${id}` }), status);
}

/** Rows of an account, each with who of the staff caused it and why. */
export const rows = (items, caption) =>
  table({ caption, columns: COLUMNS, class: 'staff-table', testid: 'rows' }, items.map(({ row: shown, by, reason }) => oneRow(shown, by, reason)));

function oneRow({ seq, at, type, amount, balance_after: after, description, cause, stripe }, by, reason) {
  const ids = Object.values(stripe ?? {}).filter(Boolean);
  return row(
    COLUMNS,
    [
      [time(at), h('span', { class: 'hint' }, `row ${seq}`)],
      [
        h('span', {}, description),
        h('span', { class: 'hint' }, type),
        ids.map((id) => link(id, `#payment/${encodeURIComponent(id)}`, { kind: 'id', testid: 'payment-link' })),
      ],
      by ? [h('span', {}, by), reason && h('span', { class: 'hint' }, reason)] : h('span', { class: 'hint' }, reason ?? cause),
      money.signed(amount),
      money.exact(after),
    ],
    { testid: 'row', 'data-type': type },
  );
}

/** A place for problems and outcomes of an action. */
export function outcome() {
  const element = h('div', { class: 'outlet' });
  return {
    element,
    clear: () => element.replaceChildren(),
    fail: (problem) => fill(element, failure(problem, null, 'problem', null)),
  };
}
