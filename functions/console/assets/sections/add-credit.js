/** The form that adds credit, with the amount and the auto-refill terms. */

import { write } from '../api.js';
import { rememberSession } from '../checkout.js';
import { noteReference } from '../references.js';
import { h } from '../dom.js';
import * as money from '../money.js';
import { button, busy, card, field, leaveFor, link, outlet } from '../ui.js';
import { plansLink, readPlans } from './plans.js';
import { refillLine } from './refill-line.js';

const PRESETS = ['5', '25', '100'];

export function addCredit(context, shared) {
  // The operator's limits. The server has the last word, and its answer replaces them.
  const limits = { ...context.config.topup };
  const isAllowed = (each) => money.isWithin(each, limits);
  const offered = PRESETS.filter((dollars) => isAllowed(`${dollars}.00`));
  const usual = isAllowed('25.00') ? '25.00' : money.normal(offered[0] ?? limits.min);
  let amount = usual;
  const problems = outlet();
  const presets = offered.map((dollars) =>
    h(
      'button',
      {
        type: 'button',
        class: 'preset',
        testid: `add-amount-${dollars}`,
        'aria-pressed': 'false',
        on: { click: () => choose(`${dollars}.00`) },
      },
      `$${dollars}`,
    ),
  );
  const custom = field(
    'Other amount',
    h('input', {
      id: 'custom-amount',
      testid: 'custom-amount',
      inputmode: 'decimal',
      autocomplete: 'off',
      placeholder: '0.00',
      maxlength: 16,
      on: { input: () => type() },
    }),
    { prefix: '$' },
  );
  const refill = refillLine(shared, 'refill-switch');
  const go = button('Continue to payment', null, { kind: 'primary wide', testid: 'continue', type: 'submit' });
  const form = h(
    'form',
    { class: 'stack tight', novalidate: true, on: { submit } },
    presets.length > 0 && h('fieldset', { class: 'presets' }, h('legend', {}, 'Amount'), presets),
    custom.element,
    refill.element,
    problems.element,
    go,
    h(
      'p',
      { class: 'hint' },
      'Payments are processed by Stripe. Receipts are sent to your e-mail address. Tax is added on the payment page if it applies.',
    ),
  );
  choose(amount);
  let plans = [];
  readPlans().then(
    ({ plans: found }) => {
      plans = found;
    },
    () => {},
  );
  // The form cannot be submitted before the auto-refill terms are shown.
  go.setAttribute('aria-busy', 'true');
  refill.ready.then(() => go.removeAttribute('aria-busy'));
  // The browser's Back button restores this page as it was left.
  addEventListener('pageshow', () => go.removeAttribute('aria-busy'), { signal: context.signal });
  return card('Add credit', { id: 'add-credit', testid: 'add-credit' }, form);

  function choose(next) {
    amount = next;
    custom.input.value = '';
    custom.wrong(null);
    show();
  }

  function type() {
    const entered = money.typed(custom.input.value);
    if (custom.input.value.trim() === '') return choose(usual);
    amount = entered.amount ?? null;
    custom.wrong(entered.error ?? money.outside(amount, limits), ...larger(amount));
    return show();
  }

  /** Larger amounts are for plans and for sales. */
  function larger(entered) {
    const isLarger = entered && money.compare(entered, limits.max) > 0;
    if (!isLarger) return [];
    const plan = plansLink(plans);
    return [
      ' For a larger amount, ',
      plan && [plan, ' or '],
      link(plan ? 'contact sales' : 'Contact sales', '#help/larger', { testid: 'larger' }),
      '.',
    ];
  }

  function show() {
    presets.forEach((preset, index) =>
      preset.setAttribute('aria-pressed', String(custom.input.value === '' && amount === `${offered[index]}.00`)),
    );
    go.lastChild.textContent = amount ? `Continue with ${money.exact(amount)}` : 'Continue to payment';
    refill.forPrice(amount);
  }

  async function submit(event) {
    event.preventDefault();
    if (go.hasAttribute('aria-busy')) return undefined;
    const wrong = amount ? money.outside(amount, limits) : money.typed(custom.input.value).error;
    custom.wrong(wrong, ...larger(amount));
    if (wrong) return custom.input.focus();
    problems.clear();
    return busy(go, async () => {
      try {
        const agreed = refill.agreed();
        const session = await write('POST', 'v1/checkout-sessions', { amount, auto_refill: agreed });
        rememberSession(session.id, agreed);
        noteReference('Checkout session', session.id);
        await leaveFor(session.url);
      } catch (problem) {
        tell(problem);
      }
    });
  }

  function tell(problem) {
    const { min, max } = problem.members ?? {};
    if (problem.code === 'amount_too_small' && min) limits.min = min;
    if (problem.code === 'amount_too_large' && max) limits.max = max;
    const isAboutAmount = ['amount_too_small', 'amount_too_large', 'invalid_amount'].includes(problem.code);
    if (isAboutAmount && !problem.action) {
      custom.wrong(problem.message);
      custom.input.focus();
    } else {
      problems.show(problem);
    }
  }
}
