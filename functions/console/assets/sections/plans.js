/** Commit plans: credit bought in advance, with a bonus that expires. */

import { read, write } from '../api.js';
import { rememberSession } from '../checkout.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { noteReference } from '../references.js';
import { count, time } from '../time.js';
import { busy, button, card, leaveFor, link, outlet, pill } from '../ui.js';
import { refillLine } from './refill-line.js';

/** @typedef {{id: string, price: string, bonus: string, credit: string, months: number, excludes: string[], available_until: string|null}} Plan what the API returns */

let reading = null;

/**
 * The plans on offer, with the version that a purchase names. Read once for each time a section is shown.
 * @returns {Promise<{version: number, plans: Plan[]}>}
 */
export function readPlans() {
  reading ??= read('v1/commit-plans').finally(() => {
    reading = null;
  });
  return reading;
}

/** The card with the plans on offer. Empty if there are none or they cannot be read. */
export function plans(context, refill) {
  const place = h('div');
  readPlans().then(
    ({ version, plans: found }) => {
      if (found.length === 0) return;
      fill(place, form(version, found, context, refill));
      if (location.hash === '#plans') place.querySelector('h2').focus();
    },
    () => {},
  );
  return place;
}

function form(version, found, { signal, reload }, shared) {
  const problems = outlet();
  const refill = refillLine(shared, 'plan-refill-switch');
  const go = button('Continue to payment', null, { kind: 'primary', testid: 'plan-continue', type: 'submit' });
  const choices = found.map((plan, index) => choice(plan, index === 0));
  const element = h(
    'form',
    { class: 'stack tight', on: { submit, change: show } },
    h('fieldset', { class: 'plans' }, h('legend', {}, 'Plan'), choices),
    refill.element,
    problems.element,
    h('div', { class: 'form-foot' }, go, h('span', { class: 'hint' }, 'You pay on Stripe\u2019s page. Tax is added there if it applies.')),
  );
  show();
  go.setAttribute('aria-busy', 'true');
  refill.ready.then(() => go.removeAttribute('aria-busy'));
  // The browser's Back button restores this page as it was left.
  addEventListener('pageshow', () => go.removeAttribute('aria-busy'), { signal });
  return card(
    'Commit plans',
    { id: 'plans', testid: 'plans', hint: 'Get bonus credit when you buy a larger amount. The credit you pay for never expires.' },
    element,
  );

  function chosen() {
    return found[choices.findIndex((each) => each.querySelector('input').checked)];
  }

  function show() {
    const { price } = chosen();
    go.lastChild.textContent = `Continue with ${money.exact(price)}`;
    refill.forPrice(price);
  }

  async function submit(event) {
    event.preventDefault();
    if (go.hasAttribute('aria-busy')) return;
    problems.clear();
    await busy(go, async () => {
      try {
        const agreed = refill.agreed();
        const path = `v1/commit-plans/${encodeURIComponent(chosen().id)}/checkout`;
        const session = await write('POST', path, { version, auto_refill: agreed });
        rememberSession(session.id, agreed);
        noteReference('Checkout session', session.id);
        await leaveFor(session.url);
      } catch (problem) {
        if (['offers_changed', 'not_found'].includes(problem.code)) {
          problem.message = 'The plans on offer have changed. You were not charged.';
          problem.remedy = button('Show current plans', reload, { kind: 'small', testid: 'plans-again' });
        }
        problems.show(problem);
      }
    });
  }
}

function choice({ id, price, bonus, credit, months, excludes, available_until: until }, isFirst) {
  const input = h('input', { type: 'radio', name: 'plan', value: id, testid: `plan-${id}` });
  input.checked = isFirst;
  const percent = money.percent(bonus, price);
  const except = excludes.length > 0 ? ` and does not pay for ${excludes.join(', ')}` : '';
  return h(
    'label',
    { class: 'plan', testid: 'plan' },
    input,
    h(
      'span',
      {},
      h('strong', {}, `Pay ${money.exact(price)}, get ${money.exact(credit)}`),
      ' ',
      percent > 0 && pill(`+${percent}%`, 'ok'),
      h('span', { class: 'hint' }, `The ${money.exact(bonus)} bonus expires ${count(months, 'month')} after it is added${except}.`),
      until && h('span', { class: 'hint' }, 'Offered until ', time(until), '.'),
    ),
  );
}

/** Links to the plans, if there are any. @param {Plan[]} found */
export const plansLink = (found) =>
  (found.length > 0 ? link('see commit plans', '#plans', { testid: 'see-plans' }) : null);
