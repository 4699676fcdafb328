/** The form that adds credit, with the amount and the auto-refill terms. */

import { write } from '../api.js';
import { isRefillOnAtFirst, readRefill } from '../account.js';
import { rememberSession } from '../checkout.js';
import { noteReference } from '../references.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { button, busy, card, field, leaveFor, link, outlet, toggle } from '../ui.js';

const PRESETS = ['5', '25', '100'];
const REFILL_AMOUNT = '25.00';

export function addCredit(context) {
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
  const refill = refillLine(context.config);
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

  /** Larger amounts are for sales. */
  function larger(entered) {
    const isLarger = entered && money.compare(entered, limits.max) > 0;
    return isLarger ? [' ', link('Contact sales', '#help/larger', { testid: 'larger' }), ' for a larger amount.'] : [];
  }

  function show() {
    presets.forEach((preset, index) =>
      preset.setAttribute('aria-pressed', String(custom.input.value === '' && amount === `${offered[index]}.00`)),
    );
    go.lastChild.textContent = amount ? `Continue with ${money.exact(amount)}` : 'Continue to payment';
    refill.forTopup(amount);
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

/**
 * The auto-refill line. Its text is exactly what the customer agrees to. It starts with the current agreement. For a
 * customer who never decided, it starts as the operator chose.
 */
function refillLine(config) {
  const { refill: limits } = config;
  const text = h('span');
  const { input, element } = toggle(text, false, { testid: 'refill-switch', id: 'refill-switch' });
  const usual = money.closest(REFILL_AMOUNT, limits);
  let terms = { threshold: '5.00', amount: usual };
  let agreed = null;
  let topup = null;
  let isKnown = false;
  const show = () => {
    if (!agreed && topup) terms = { threshold: money.defaultThreshold(topup), amount: usual };
    const card = agreed?.charged_card ? 'your saved card' : 'this card';
    if (agreed?.mode === 'to_target') {
      text.textContent = `Bring your balance to ${money.exact(agreed.target)} from your saved card when it falls below ${money.exact(agreed.threshold)}`;
      return;
    }
    text.textContent = `Add ${money.exact(terms.amount)} from ${card} when your balance falls below ${money.exact(terms.threshold)}`;
  };
  show();
  const line = h(
    'div',
    { class: 'refill-line' },
    element,
    h(
      'p',
      { class: 'hint indented' },
      'You can change this or turn it off at any time under ',
      link('Auto-refill', '#refill'),
      '.',
    ),
  );
  line.setAttribute('aria-busy', 'true');
  const ready = start().finally(() => line.removeAttribute('aria-busy'));
  return {
    element: line,
    forTopup: (amount) => {
      topup = amount ?? topup;
      show();
    },
    /** Undefined if the settings could not be read. The current agreement then stays unchanged. */
    agreed: () => {
      if (!isKnown) return undefined;
      if (!input.checked) return { enabled: false };
      // A payment page knows amounts only. The agreement stays as it is.
      return agreed?.mode === 'to_target' ? undefined : { enabled: true, ...terms };
    },
    ready,
  };

  async function start() {
    try {
      const settings = await readRefill();
      const isOn = await isRefillOnAtFirst(settings, config);
      if (settings.enabled) {
        agreed = settings;
        terms = { threshold: settings.threshold, amount: settings.amount };
      }
      input.checked = isOn;
      isKnown = true;
    } catch {
      // A switch that may contradict the current agreement is worse than no switch.
      fill(
        line,
        h(
          'p',
          { class: 'hint' },
          'Your auto-refill settings could not be loaded. This top-up does not change them.',
        ),
      );
    }
    show();
  }
}
