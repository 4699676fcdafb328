/** Saved cards. */

import { now, read, write } from '../api.js';
import { whileOpen } from '../account.js';
import { fill, h } from '../dom.js';
import { announce, button, card, confirm, empty, leaveFor, loading, outlet, pill } from '../ui.js';

export const title = 'Payment methods';

const BRANDS = {
  visa: 'Visa',
  mastercard: 'Mastercard',
  amex: 'American Express',
  discover: 'Discover',
  diners: 'Diners Club',
  jcb: 'JCB',
  unionpay: 'UnionPay',
};
const WALLETS = { apple_pay: 'Apple Pay', google_pay: 'Google Pay' };

/** The name of a card, such as `Visa ending in 4242`. */
export const cardName = ({ brand, last4 }) => `${BRANDS[brand] ?? brand ?? 'Card'} ending in ${last4}`;

/** Opens Stripe's page that saves a card without a payment. */
export async function addCard(problems) {
  problems.clear();
  try {
    const { url } = await write('POST', 'v1/payment-methods/sessions', {});
    await leaveFor(url);
  } catch (problem) {
    problems.show(problem);
  }
}

export function view(host, context) {
  const problems = outlet();
  const place = h('div', { testid: 'cards' });
  const reload = loading(
    place,
    () => read('v1/payment-methods'),
    ({ items }) =>
      items.length
        ? h(
            'ul',
            { class: 'plain rows' },
            items.map((item) => method(item, items, problems, () => reload())),
          )
        : empty('No saved cards', 'Cards that you add, or that you agree to use for auto-refill, appear here.'),
  );
  context.onMoved(reload);
  const add = button('Add a card', () => addCard(problems), { kind: 'primary', testid: 'card-add', iconName: 'plus' });
  const actions = whileOpen(add, context.signal);
  fill(host, card('Saved cards', { actions }, problems.element, place), portal());
}

function method(item, items, problems, reload) {
  const name = cardName(item);
  const act = async (work, done) => {
    problems.clear();
    try {
      await work();
      announce(done);
      reload();
    } catch (problem) {
      problems.show(problem);
    }
  };
  return h(
    'li',
    { class: 'row-item', testid: 'card-row', 'data-id': item.id },
    h(
      'span',
      { class: 'card-brand', 'aria-hidden': 'true' },
      (item.brand === 'amex' ? 'Amex' : (BRANDS[item.brand] ?? item.brand ?? 'Card')).slice(0, 12),
    ),
    h(
      'div',
      { class: 'row-main' },
      h(
        'p',
        {},
        h('span', { class: 'visually-hidden' }, `${name} `),
        h('span', { class: 'num', 'aria-hidden': 'true' }, `\u2022\u2022\u2022\u2022 ${item.last4}`),
        item.default && pill('Default', 'ok'),
        item.refill && pill('Auto-refill', 'info'),
        item.wallet && pill(WALLETS[item.wallet] ?? item.wallet),
      ),
      h(
        'p',
        { class: isOver(item) ? 'hint low' : 'hint' },
        `${isOver(item) ? 'Expired' : 'Expires'} ${String(item.exp_month).padStart(2, '0')}/${item.exp_year}`,
      ),
    ),
    h(
      'div',
      { class: 'row-actions' },
      !item.default &&
        button(
          'Make default',
          () =>
            act(
              () => write('PUT', `v1/payment-methods/${encodeURIComponent(item.id)}/default`, {}),
              `${name} is now the default.`,
            ),
          { kind: 'small', testid: 'card-default', describe: `Make ${name} the default` },
        ),
      button(
        'Remove',
        () =>
          confirm({
            title: `Remove ${name}?`,
            text: consequence(item, items),
            label: 'Remove card',
            testid: 'card-remove-dialog',
            work: async () => {
              await write('DELETE', `v1/payment-methods/${encodeURIComponent(item.id)}`);
              announce(`${name} was removed.`);
              reload();
            },
          }),
        { kind: 'small quiet', testid: 'card-remove', describe: `Remove ${name}` },
      ),
    ),
  );
}

function consequence(item, items) {
  const base = 'You can add the card again later.';
  if (items.length === 1) return `This is your only card. Auto-refill pauses until you add another card. ${base}`;
  return item.refill ? `Auto-refill uses this card and pauses until you choose another card. ${base}` : base;
}

function isOver({ exp_month: month, exp_year: year }) {
  return Date.UTC(year, month, 1) <= now().getTime();
}

function portal() {
  const problems = outlet();
  const open = button(
    'Open Stripe portal',
    async () => {
      problems.clear();
      try {
        await leaveFor((await write('POST', 'v1/portal-sessions', {})).url);
      } catch (problem) {
        problems.show(problem);
      }
    },
    { testid: 'portal' },
  );
  return card(
    'Manage on Stripe',
    { hint: 'View your cards, receipts and billing details in Stripe\u2019s customer portal.', actions: open },
    problems.element,
  );
}
