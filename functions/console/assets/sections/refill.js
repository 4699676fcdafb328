/** The auto-refill settings, their current state, and what the customer can do when a refill failed. */

import { read, write } from '../api.js';
import { isClosed, knownBalance, readRefill } from '../account.js';
import { forgetAgreed } from '../checkout.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { count, shown, time } from '../time.js';
import { announce, button, busy, card, field, helpLink, link, loading, notice, outlet, pill, toggle } from '../ui.js';
import { addCard, cardName } from './cards.js';

export const title = 'Auto-refill';

/** Reasons why refills are paused, each with a remedy. */
const PAUSED = {
  card_refused: ['Your card was permanently declined. Auto-refill is paused until you choose another card.', 'card'],
  failures: ['Auto-refill is paused after several declines in a row.', 'resume'],
  fraud_warning: ['Auto-refill is paused because your bank reported a payment. Contact support if you recognize your payments.', 'resume'],
  card_removed: ['The card for auto-refill was removed. Choose another card.', 'card'],
  card_expired: ['The card for auto-refill has expired. Add a new card. If your bank renewed this one, save these settings again.', 'card'],
  unconfirmed: ['You did not confirm a refill while your resources were off. Auto-refill waits until you ask for one or add credit.', 'now'],
  no_card: ['There is no card to charge. Add a card, or save one with your next top-up.', 'card'],
  frozen: ['Your card is not charged while the account is frozen.', null],
  suspended: ['Your card is not charged while the account is suspended by support.', null],
  off_too_long: ['Your resources have been off for too long, so your card is no longer charged automatically. Add credit to resume.', 'credit'],
  deleted: ['The grace period has ended, so your card is not charged. Add credit to resume.', 'credit'],
  closed: ['The account is closed. Your card is no longer charged.', null],
};
const OUTCOMES = {
  open: ['In progress', 'info'],
  paid: ['Paid', 'ok'],
  failed: ['Declined', 'bad'],
  needs_customer: ['Action required', 'warn'],
};

export function view(host, context) {
  const place = h('div', { class: 'stack' });
  fill(host, place);
  const load = async () => {
    const [settings, cards, balance] = await Promise.all([
      readRefill(),
      read('v1/payment-methods').catch(() => ({ items: [] })),
      knownBalance(),
    ]);
    return { settings, cards: cards.items, closed: isClosed(balance) };
  };
  const reload = loading(
    place,
    load,
    ({ settings, cards, closed }) =>
      closed
        ? [notice('info', PAUSED.closed[0], { testid: 'refill-state' }), lastAttempt(settings)]
        : [
            refillNotice(settings, () => reload(), 'refill-state'),
            lastAttempt(settings),
            form(settings, cards, context.config.refill, () => reload()),
          ],
    6,
  );
  // What was typed is kept.
  context.onMoved(() => place.querySelector('form[data-dirty]') ?? reload());
}

/** Ended attempts that are no decline: the card was not needed. */
const NOT_NEEDED = ['superseded', 'called_off'];

/** Whether the next refill will be charged, as far as anyone knows. */
export function isRefillReady({ enabled, state, why }) {
  const isDue = state === 'wanted' && (!why || why === 'card_changed');
  return enabled && (['idle', 'charging'].includes(state) || isDue);
}

/**
 * The current state of auto-refill, if there is anything to report: what happened, what happens next, and what the
 * customer can do.
 */
export function refillNotice(settings, reload, testid) {
  const { state: progress, why, until } = settings;
  const failed = settings.last_attempt?.outcome === 'failed' && !NOT_NEEDED.includes(settings.last_attempt.code);
  const last = failed ? settings.last_attempt : null;
  if (progress === 'charging') return notice('info', 'A refill is being charged.', { testid });
  if (progress === 'needs_customer') {
    return notice('warning', 'Your bank requires you to confirm a refill.', {
      text: until && `If you don\u2019t confirm by ${shown(until)}, this refill is canceled.`,
      actions: settings.confirm_url
        ? [link('Confirm payment', settings.confirm_url, { kind: 'button primary', outside: true, testid: 'refill-confirm' })]
        : [],
      testid,
    });
  }
  if (progress === 'wanted' && why === 'monthly_cap') {
    const text = until && `Auto-refill waits until ${shown(until)}. Raise the monthly limit or add credit.`;
    const actions = [remedy({ kind: 'raise_cap', label: 'Raise monthly limit' }, settings, reload)];
    return notice('warning', 'The monthly limit of auto-refill is reached.', { text, actions, testid });
  }
  if (progress === 'wanted' && why === 'card_changed') {
    const text = until && `The new card is charged at ${shown(until)} if your balance is still low then.`;
    return notice('info', 'Your card for auto-refill has changed.', { text, actions: refillNow(reload), testid });
  }
  if (progress === 'wanted' && last) {
    const next = until ? `The next attempt is on ${shown(until)}.` : 'The next attempt follows shortly.';
    return notice('warning', declined(last), { text: `${last.message} ${next}`, actions: [...suggested(last, settings, reload), helpLink('declined')], testid });
  }
  if (progress === 'wanted' && why === 'limit') {
    const text = until && `The next attempt is on ${shown(until)}. Add credit if you need it earlier.`;
    return notice('warning', 'The daily limit of auto-refill is reached.', { text, testid });
  }
  if (progress === 'wanted') return notice('info', 'A refill is due and will be charged shortly.', { testid });
  if (progress === 'paused') {
    const [text, kind] = Object.hasOwn(PAUSED, why ?? '') ? PAUSED[why] : ['Auto-refill is paused.', 'resume'];
    const isDeclined = last && ['failures', 'card_refused'].includes(why);
    return notice('warning', text, {
      text: isDeclined && `${declined(last)} ${last.message}`,
      actions: [...(isDeclined && kind !== 'card' ? suggested(last, settings, reload) : []), ...remedies(kind, settings, reload), helpLink(isDeclined ? 'declined' : null)],
      testid,
    });
  }
  return null;
}

/** `not_charged`: the payment never reached the bank. */
const declined = ({ amount, code }) =>
  `Your refill of ${money.exact(amount)} ${code === 'not_charged' ? 'could not be processed' : 'was declined'}.`;

/** The attempt's own button. */
const suggested = ({ action }, settings, reload) =>
  action ? [h('span', { testid: 'decline-action' }, remedy(action, settings, reload))] : [];

function remedies(remedy, settings, reload) {
  if (remedy === 'card') return [cardButton('Add a card')];
  if (remedy === 'credit') return [link('Add credit', '#add-credit', { kind: 'button primary' })];
  if (remedy === 'now') return refillNow(reload);
  if (remedy === 'resume') return [resume('Resume auto-refill', settings, reload)];
  return [];
}

/** Agreeing to the same terms again ends a pause. */
function resume(label, settings, reload) {
  const problems = outlet();
  return [
    button(
      label,
      async () => {
        try {
          await write('PUT', 'v1/auto-refill', {
            enabled: true,
            threshold: settings.threshold,
            ...(settings.mode === 'to_target' ? { target: settings.target } : { amount: settings.amount }),
          });
          announce('Auto-refill resumed.');
          reload();
        } catch (problem) {
          problems.show(problem);
        }
      },
      { testid: 'refill-resume' },
    ),
    problems.element,
  ];
}

function refillNow(reload) {
  const problems = outlet();
  const now = async () => {
    try {
      await write('POST', 'v1/auto-refill/now');
      announce('A refill is being charged.');
      reload();
      // The charge takes some seconds.
      for (let turn = 0; turn < 20; turn += 1) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const now = await readRefill().catch(() => null);
        if (now && !['wanted', 'charging'].includes(now.state)) break;
      }
      reload();
    } catch (problem) {
      problems.show(problem);
    }
  };
  return [button('Refill now', now, { kind: 'primary', testid: 'refill-now' }), problems.element];
}

function cardButton(label) {
  const problems = outlet();
  return [button(label, () => addCard(problems), { kind: 'primary', testid: 'refill-add-card' }), problems.element];
}

function lastAttempt(settings) {
  const attempt = settings.last_attempt;
  if (!attempt) return null;
  const [label, kind] = OUTCOMES[attempt.outcome] ?? [attempt.outcome, 'info'];
  const isTrouble = attempt.outcome === 'failed' || attempt.outcome === 'needs_customer';
  return card(
    'Last refill',
    { testid: 'last-attempt' },
    h(
      'p',
      { class: 'attempt' },
      h('strong', { class: 'num' }, money.exact(attempt.amount)),
      pill(label, kind),
      h('span', { class: 'hint' }, time(attempt.at)),
    ),
    isTrouble &&
      h(
        'div',
        { class: 'attempt-trouble' },
        attempt.message && h('p', { testid: 'decline-message' }, attempt.message),
      ),
  );
}

/** The button for an attempt's `action`. */
function remedy({ kind, label, url }, settings, reload) {
  if (url) return link(label, url, { kind: 'button primary', outside: true, testid: `action-${kind}` });
  if (kind === 'update_card') return cardButton(label);
  if (kind === 'add_credit') return link(label, '#add-credit', { kind: 'button primary', testid: 'action-add_credit' });
  if (kind === 'retry_later') return settings.enabled && resume(label, settings, reload);
  if (kind === 'raise_cap') {
    const focusCap = () => {
      const field = document.getElementById('refill-cap');
      if (field) field.focus();
      else location.hash = '#refill';
    };
    return button(label, focusCap, { kind: 'primary', testid: 'action-raise_cap' });
  }
  return link(label, '#cards', { kind: 'button' });
}

function form(settings, cards, limits, reload) {
  const terms = { threshold: settings.threshold ?? '5.00', amount: settings.amount ?? money.closest('25.00', limits) };
  const on = toggle('Add credit from a saved card when the balance is low', settings.enabled, {
    testid: 'refill-enabled',
    id: 'refill-enabled',
    change: () => show(),
  });
  const threshold = moneyField('When balance falls below', 'refill-threshold', terms.threshold);
  const mode = field(
    'How much',
    h(
      'select',
      { id: 'refill-mode', testid: 'refill-mode' },
      h('option', { value: 'fixed', selected: settings.mode !== 'to_target' }, 'A fixed amount'),
      h('option', { value: 'to_target', selected: settings.mode === 'to_target' }, 'Up to a balance'),
    ),
  );
  const amount = moneyField('Add', 'refill-amount', terms.amount);
  const target = moneyField('Bring the balance to', 'refill-target', settings.target ?? '50.00');
  const cap = moneyField('Monthly limit', 'refill-cap', settings.monthly_cap ?? '', {
    hint: 'Optional. Limits refills per calendar month (UTC), before tax.',
  });
  // Empty: whichever card is the default at the time of the charge.
  const chosen = settings.payment_method ?? '';
  const byDefault = cards.find((each) => each.default);
  const which = field(
    'Charged to',
    h(
      'select',
      { id: 'refill-card', testid: 'refill-card' },
      h('option', { value: '', selected: !chosen }, byDefault ? `Default card (${cardName(byDefault)})` : 'No card yet'),
      chosen && !cards.some((each) => each.id === chosen) && h('option', { value: chosen, selected: true }, 'A card that is not in your list'),
      cards.map((each) => h('option', { value: each.id, selected: each.id === chosen }, cardName(each))),
    ),
    { hint: cards.length === 0 ? 'Add a card under Payment methods, or save one with your next top-up.' : null },
  );
  const sentence = h('p', { class: 'agreement', testid: 'refill-sentence' });
  const problems = outlet();
  const save = button('Save', null, { kind: 'primary', testid: 'refill-save', type: 'submit' });
  const fields = [threshold, amount, target, cap];
  fields.forEach(({ input }) => input.addEventListener('input', show));
  mode.input.addEventListener('change', show);
  const isToTarget = () => mode.input.value === 'to_target';
  const element = h(
    'form',
    { class: 'stack tight', testid: 'refill-form', novalidate: true, on: { submit } },
    on.element,
    h('div', { class: 'grid-2' }, threshold.element, mode.element, amount.element, target.element, which.element, cap.element),
    sentence,
    coverage(settings),
    problems.element,
    h(
      'div',
      { class: 'form-foot' },
      save,
      settings.agreed_at && h('span', { class: 'hint' }, 'Agreed on ', time(settings.agreed_at, 'row')),
    ),
  );
  show();
  return card(
    'Settings',
    { hint: 'Auto-refill charges your saved card when your balance is low, so that your resources keep running.' },
    element,
  );

  function show() {
    amount.element.hidden = isToTarget();
    target.element.hidden = !isToTarget();
    fields.forEach((each) => each.wrong(wrong(each)));
    sentence.textContent =
      (on.input.checked && agreement()) || 'Auto-refill is off. All resources stop when your balance reaches zero.';
  }

  /** The sentence that the customer agrees to, or null while an amount is missing. */
  function agreement() {
    const [below, add, goal] = [threshold, amount, target].map(({ input }) => money.typed(input.value).amount);
    if (!below || !(isToTarget() ? goal : add)) return null;
    const max = maximum();
    const charged = isToTarget()
      ? `what brings it to ${money.exact(goal)}, at most ${money.exact(max ?? money.least(goal, limits.max))}`
      : money.exact(add) + (max ? ` or a multiple of it, at most ${money.exact(max)}` : '');
    return `When your balance falls below ${money.exact(below)}, your card is charged ${charged} plus any tax.`;
  }

  /** The maximum of one charge that was agreed before, if it fits these terms. Otherwise the server's default applies. */
  function maximum() {
    const isSameMode = (settings.mode === 'to_target') === isToTarget();
    const terms = [settings.threshold, isToTarget() ? settings.target : settings.amount];
    const typed = [threshold, isToTarget() ? target : amount].map(({ input }) => money.typed(input.value).amount);
    const isSame = terms.every((one, index) => one && typed[index] && money.compare(one, typed[index]) === 0);
    if (!isSameMode || !isSame) return null;
    return isToTarget() || money.compare(settings.max_charge, settings.amount) > 0 ? settings.max_charge : null;
  }

  function wrong(each) {
    if (each === cap && each.input.value.trim() === '') return null;
    if (each.element.hidden || (!on.input.checked && each !== cap)) return null;
    const entered = money.typed(each.input.value);
    if (entered.error || each === threshold || each === cap) return entered.error;
    if (each === amount) return money.outside(entered.amount, limits);
    const below = money.typed(threshold.input.value).amount;
    if (!below) return null;
    const [least, most] = [limits.min, limits.max].map((limit) => money.sum([below, limit]));
    if (money.compare(entered.amount, least) < 0) return `Enter at least ${money.exact(least)}.`;
    return money.compare(entered.amount, most) > 0 ? `Enter at most ${money.exact(most)}.` : null;
  }

  async function submit(event) {
    event.preventDefault();
    const first = fields.find(wrong);
    if (first) return first.input.focus();
    problems.clear();
    return busy(save, async () => {
      const body = { enabled: on.input.checked, monthly_cap: money.typed(cap.input.value).amount ?? null };
      if (which.input.value !== (settings.payment_method ?? '')) body.payment_method = which.input.value || null;
      if (body.enabled)
        Object.assign(body, {
          threshold: money.typed(threshold.input.value).amount,
          mode: mode.input.value,
          ...(isToTarget()
            ? { target: money.typed(target.input.value).amount }
            : { amount: money.typed(amount.input.value).amount }),
          max_charge: maximum(),
          shown_text: sentence.textContent,
        });
      try {
        Object.assign(settings, await write('PUT', 'v1/auto-refill', body));
        // What is saved here is newer than what was agreed with a payment.
        forgetAgreed();
        problems.say('success', settings.enabled ? 'Saved. Auto-refill is on.' : 'Saved. Auto-refill is off.');
        announce(settings.enabled ? 'Saved. Auto-refill is on.' : 'Saved. Auto-refill is off.');
        setTimeout(reload, 1500);
      } catch (problem) {
        problems.show(problem);
      }
    });
  }
}

function coverage({ enabled, hours_covered: hours, warning }) {
  if (!enabled || hours === null || hours === undefined) return null;
  return h(
    'div',
    { testid: 'refill-coverage' },
    warning
      ? notice('warning', warning, { text: 'With a larger amount, your card is charged less often.' })
      : h('p', { class: 'hint' }, `At the current rate, one refill lasts ${count(hours, 'hour')}.`),
  );
}

function moneyField(label, id, value, { hint } = {}) {
  return field(label, h('input', { id, testid: id, inputmode: 'decimal', autocomplete: 'off', maxlength: 16, value }), {
    prefix: '$',
    hint,
  });
}
