/** The auto-refill line of the forms that lead to a payment page. */

import { isRefillOnAtFirst, readRefill } from '../account.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { link, toggle } from '../ui.js';

const REFILL_AMOUNT = '25.00';

/**
 * The choice that all these lines of a page show: it starts with the current agreement. For a customer who never decided,
 * it starts as the operator chose.
 */
export function refillChoice(config) {
  const listeners = new Set();
  const choice = {
    usual: money.closest(REFILL_AMOUNT, config.refill),
    /** The current agreement, or null. */
    agreed: null,
    isOn: false,
    /** Whether the settings could be read. */
    isKnown: false,
    watch: (listener) => listeners.add(listener),
    choose(isOn) {
      choice.isOn = isOn;
      listeners.forEach((listener) => listener());
    },
  };
  choice.ready = start().finally(() => listeners.forEach((listener) => listener()));
  return choice;

  async function start() {
    try {
      const settings = await readRefill();
      choice.isOn = await isRefillOnAtFirst(settings, config);
      if (settings.enabled) choice.agreed = settings;
      choice.isKnown = true;
    } catch {
      // A switch that may contradict the current agreement is worse than no switch.
    }
  }
}

/**
 * The line of one form. Its text is exactly what the customer agrees to.
 * @param choice what all lines show
 * @param {string} id of its switch
 */
export function refillLine(choice, id) {
  const text = h('span');
  const { input, element } = toggle(text, false, { testid: id, id, change: () => choice.choose(input.checked) });
  let terms = { threshold: '5.00', amount: choice.usual };
  let price = null;
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
  choice.watch(show);
  show();
  const ready = choice.ready.then(() => {
    line.removeAttribute('aria-busy');
    if (choice.isKnown) return;
    fill(line, h('p', { class: 'hint' }, 'Your auto-refill settings could not be loaded. This payment does not change them.'));
  });
  return {
    element: line,
    forPrice: (next) => {
      price = next ?? price;
      show();
    },
    /** Undefined if the settings could not be read. The current agreement then stays unchanged. */
    agreed: () => {
      if (!choice.isKnown) return undefined;
      if (!choice.isOn) return { enabled: false };
      // A payment page knows amounts only. The agreement stays as it is.
      return choice.agreed?.mode === 'to_target' ? undefined : { enabled: true, ...terms };
    },
    ready,
  };

  function show() {
    const { agreed, usual } = choice;
    input.checked = choice.isOn;
    if (agreed) terms = { threshold: agreed.threshold, amount: agreed.amount };
    else if (price) terms = { threshold: money.defaultThreshold(price), amount: usual };
    const card = agreed?.charged_card ? 'your saved card' : 'this card';
    text.textContent =
      agreed?.mode === 'to_target'
        ? `Bring your balance to ${money.exact(agreed.target)} from your saved card when it falls below ${money.exact(agreed.threshold)}`
        : `Add ${money.exact(terms.amount)} from ${card} when your balance falls below ${money.exact(terms.threshold)}`;
  }
}
