/** The search for accounts and payments, by whatever support is given. */

import { read } from '../api.js';
import { h } from '../dom.js';
import * as money from '../money.js';
import { button, card, empty, link, row, table } from '../ui.js';
import { loading, standingPill } from './parts.js';

/** Beginnings of IDs that name a payment or what became of it. */
const OF_PAYMENTS = ['cs_', 'pi_', 'ch_', 'in_', 're_', 'pyr_', 'dp_', 'du_'];
const COLUMNS = [
  { label: 'Account', class: 'col-what' },
  { label: 'E-mail', class: 'col-what' },
  { label: 'Company', class: 'col-what' },
  { label: 'Standing', class: 'col-type' },
  { label: 'Found by', class: 'col-kind' },
  { label: 'Balance', class: 'num col-amount' },
];

export const title = (query) => (query ? `Accounts for \u201c${query}\u201d` : 'Search');

/** The field above every view. */
export function box(query) {
  const input = h('input', {
    id: 'search',
    type: 'search',
    testid: 'search',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 300,
    placeholder: 'E-mail, company, project, or any ID',
  });
  if (location.hash.startsWith('#search/')) input.value = query ?? '';
  return h(
    'form',
    { class: 'search-box', role: 'search', on: { submit } },
    h('label', { for: 'search', class: 'visually-hidden' }, 'Search accounts and payments'),
    h('div', { class: 'field' }, input),
    button('Search', null, { kind: 'primary', testid: 'search-go', type: 'submit' }),
  );

  function submit(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return input.focus();
    const isPayment = OF_PAYMENTS.some((prefix) => text.startsWith(prefix));
    location.hash = `#${isPayment ? 'payment' : 'search'}/${encodeURIComponent(text)}`;
    return undefined;
  }
}

export function view(host, query) {
  if (!query) {
    host.append(empty('Find a customer or a payment', 'Enter the beginning of an e-mail address, a company or a project, or an ID of ours or of Stripe.'));
    return;
  }
  loading(
    host,
    () => read('v1/admin/accounts', { query }),
    ({ items: accounts }) => {
      // Who is meant is clear, unless another search began since.
      if (accounts.length === 1 && host.isConnected) location.replace(`#account/${encodeURIComponent(accounts[0].account)}`);
      if (accounts.length === 0) return empty('Nothing found', 'Names are found by their beginning, and IDs only as a whole.');
      const found = table({ caption: 'Accounts', columns: COLUMNS, class: 'staff-table', testid: 'accounts' }, accounts.map(account));
      return card('Accounts', {}, found);
    },
  );
}

function account({ account: id, email, name, balance, standing, frozen, matched }) {
  return row(
    COLUMNS,
    [
      link(id, `#account/${encodeURIComponent(id)}`, { testid: 'account-link' }),
      email,
      name,
      standingPill(standing, frozen),
      h('span', { class: 'hint' }, matched),
      money.exact(balance),
    ],
    { testid: 'account-row' },
  );
}

