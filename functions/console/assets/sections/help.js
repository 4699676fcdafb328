/** Help: the operator's contact, the IDs that support asks for, and answers to common questions. */

import { read } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { references } from '../references.js';
import { button, card, contact, copyText, link, loading } from '../ui.js';
import { readPlans } from './plans.js';

export const title = 'Help';

export function view(host, { config, path }) {
  const place = h('div');
  loading(
    place,
    // Help must open even if nothing else works.
    () => read('v1/account').catch(() => ({})),
    (account) => support(config, detailsOf(account, path)),
    4,
  );
  const questions = card('Common questions', { testid: 'help-questions' }, answers(config));
  fill(
    host,
    card('Contact support', { testid: 'help-contact', hint: 'Include these details so that we can find your payment.' }, place),
    questions,
  );
  const asked = path && questions.querySelector(`details[data-topic="${CSS.escape(path)}"]`);
  if (asked) {
    asked.open = true;
    asked.scrollIntoView({ block: 'nearest' });
  }
}

/** Everything at hand, as label and value. `tx/<id>` in the path names a transaction. */
function detailsOf({ id, email }, path) {
  const transaction = path?.startsWith('tx/') ? path.slice(3) : null;
  const { 'Checkout session': session, Request: request } = references();
  return Object.entries({
    Account: id,
    'E-mail': email,
    Transaction: transaction,
    'Checkout session': session,
    Request: request,
  }).filter(([, value]) => value);
}

function support({ operator_contact: operator }, details) {
  const text = details.map(([name, value]) => `${name}: ${value}`).join('\n');
  const status = h('span', { class: 'hint', role: 'status' });
  const copy = button('Copy details', () => copyText(text, status), { testid: 'help-copy' });
  return [
    h(
      'dl',
      { class: 'facts references', testid: 'help-details' },
      details.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, h('code', {}, value)))),
    ),
    h(
      'div',
      { class: 'form-foot' },
      operator
        ? contact(operator, 'Contact support', { kind: 'primary', subject: 'Billing', body: text })
        : h('p', {}, 'Contact the operator of this service.'),
      copy,
      status,
    ),
  ];
}

function answers({ operator_contact: operator, topup }) {
  const max = money.exact(topup.max);
  const sales = operator ? [contact(operator, 'Contact sales', { subject: `Top-up above ${max}`, testid: 'contact-sales' })] : [];
  const plans = h('span');
  readPlans().then(
    ({ plans: found }) => found.length > 0 && fill(plans, link('Commit plans', '#plans', { kind: 'button small', testid: 'help-plans' })),
    () => {},
  );
  const questions = {
    declined: [
      'My card was declined',
      'Your bank did not approve the charge, and usually only your bank can say why. You were not charged. Check the card\u2019s number, expiry date and security code, use another card, or ask your bank to allow the payment.',
      link('Payment methods', '#cards', { kind: 'button small' }),
      link('Add credit', '#add-credit', { kind: 'button small' }),
    ],
    currency: [
      'I want a different currency',
      'Credit is sold and billed in US dollars (USD) only. You can still pay with a card in another currency. Your bank converts the amount and may charge a fee for it.',
    ],
    larger: [
      `I need more than ${max} at once`,
      `A top-up is at most ${max}. For a larger amount, contact our sales team.`,
      plans,
      ...sales,
    ],
    missing: [
      'I paid, but my credit is missing',
      'Credit is added as soon as Stripe confirms the payment, usually within seconds. A payment from a bank account can take several business days. If your credit is still missing, contact support with the checkout session above.',
    ],
    receipts: [
      'Where are my receipts?',
      'A receipt is sent to your e-mail address after each payment. All invoices are listed under Invoices.',
      link('Invoices', '#invoices', { kind: 'button small' }),
      link('E-mail address', '#company', { kind: 'button small' }),
    ],
    closing: [
      'How do I close my account?',
      'Delete your resources, then close the account under Company. Credit that is left can no longer be used, so ask support about a refund first.',
      link('Company', '#company', { kind: 'button small' }),
    ],
    confirm: [
      'My bank asks me to confirm a refill',
      'Some banks require you to confirm a payment that starts automatically. Confirm it under Auto-refill. Until then, that refill is not charged.',
      link('Auto-refill', '#refill', { kind: 'button small' }),
    ],
  };
  return Object.entries(questions).map(([topic, [question, answer, ...more]]) =>
    h(
      'details',
      { class: 'question', 'data-topic': topic, testid: `help-${topic}` },
      h('summary', {}, question),
      h('p', {}, answer),
      more.length > 0 && h('div', { class: 'notice-actions' }, more),
    ),
  );
}
