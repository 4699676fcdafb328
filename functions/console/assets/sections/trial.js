/** The free trial: the offer to a new customer, and the end of a trial that nothing followed. */

import { write } from '../api.js';
import { isRefillOnAtFirst, watchBalance, watchTrial } from '../account.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { noteReference } from '../references.js';
import { count, duration, time } from '../time.js';
import { button, busy, card, leaveFor, link, outlet, toggle } from '../ui.js';

const DELETED = 'Everything you create in the trial is deleted when it ends, unless you add credit.';
/** Auto-refill is about to charge the card. The balance section says so. */
const REFILLING = ['wanted', 'charging', 'needs_customer'];

/** What the balance section says about the trial. Empty while a trial runs: its banner is above every section. */
export function trial(context) {
  const place = h('div');
  let refill;
  let standing = null;
  let latest = null;
  let before = null;
  const show = () => {
    // The switch of an offer depends on the settings.
    if (refill === undefined) return;
    // After a deletion, the banner says that the trial ended.
    const isTold = standing !== 'good' || REFILLING.includes(refill?.state);
    const shown = latest?.status === 'ended' && isTold ? null : latest;
    const next = JSON.stringify(shown);
    // An unchanged offer is kept, with the choice that was made in it.
    if (next === before) return;
    before = next;
    if (shown?.status === 'offered') fill(place, offer(shown, refill, context));
    else fill(place, shown?.status === 'ended' && ended(shown));
  };
  watchBalance((balance, settings) => {
    standing = balance.standing;
    refill = settings;
    show();
  }, context.signal);
  watchTrial((found) => {
    latest = found;
    show();
  }, context.signal);
  return place;
}

function ended({ ends_at: endedAt }) {
  return h(
    'p',
    { class: 'hint', testid: 'trial-ended' },
    'Your trial ended on ',
    time(endedAt),
    '. ',
    link('Add credit', '#add-credit'),
    ' to go on.',
  );
}

function offer({ credit, seconds, services_max: services, excludes, auto_refill: terms }, settings, { config, signal }) {
  const problems = outlet();
  const except = excludes.length > 0 ? ` except ${excludes.join(', ')}` : '';
  const refill = refillChoice(terms, settings, config);
  const start = button('Start the trial', null, { kind: 'primary', testid: 'trial-start', type: 'submit' });
  start.setAttribute('aria-busy', 'true');
  refill.ready.then(() => start.removeAttribute('aria-busy'));
  // The browser's Back button restores this page as it was left.
  addEventListener('pageshow', () => start.removeAttribute('aria-busy'), { signal });
  return card(
    `Try it free: ${money.exact(credit)} for ${duration(seconds)}`,
    { id: 'trial', testid: 'trial-offer' },
    h(
      'form',
      { class: 'stack tight', on: { submit } },
      h(
        'p',
        {},
        `Use it for anything${except}, with at most ${count(services, 'service')} running at a time. The trial ends early if the credit is used up.`,
      ),
      h('p', {}, 'You need a credit or debit card that is not prepaid. Your card is not charged now. Wallets such as Apple Pay cannot be used.'),
      refill.element,
      problems.element,
      h('div', { class: 'form-foot' }, start, h('span', { class: 'hint' }, 'You enter your card on Stripe\u2019s page.')),
    ),
  );

  async function submit(event) {
    event.preventDefault();
    if (start.hasAttribute('aria-busy')) return;
    problems.clear();
    await busy(start, async () => {
      try {
        const session = await write('POST', 'v1/trial', { auto_refill: refill.agreed() });
        noteReference('Checkout session', session.id);
        await leaveFor(session.url);
      } catch (problem) {
        problems.show(problem);
      }
    });
  }
}

/** What happens at the end. Beneath the switch are the server's own words, which the customer agrees to. */
function refillChoice(terms, settings, config) {
  const text = h('p', { id: 'trial-words', testid: 'trial-words', role: 'status' });
  if (!terms?.words) {
    fill(text, DELETED);
    return { element: text, agreed: () => ({ enabled: false }), ready: Promise.resolve() };
  }
  const { input, element } = toggle('Continue with auto-refill when the trial ends', false, {
    testid: 'trial-refill',
    id: 'trial-refill',
    change: () => show(),
  });
  input.setAttribute('aria-describedby', text.id);
  text.classList.add('indented');
  const show = () => fill(text, input.checked ? terms.words : DELETED);
  const decided = settings ? isRefillOnAtFirst(settings, config) : Promise.resolve(false);
  const ready = decided
    .catch(() => false)
    .then((isOn) => {
      input.checked = isOn;
      show();
    });
  // What was shown is what is agreed, even if the operator's defaults changed since.
  const { threshold, amount } = terms;
  const agreed = () => (input.checked ? { enabled: true, threshold, amount } : { enabled: false });
  return { element: h('div', { class: 'refill-line' }, element, text), agreed, ready };
}
