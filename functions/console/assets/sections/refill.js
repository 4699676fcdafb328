/** What is agreed about refills from the saved card, how they stand, and what to do when one did not work. */

import { read, write } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { count, shown, time } from '../time.js';
import { announce, button, busy, card, field, link, loading, notice, outlet, pill, toggle } from '../ui.js';
import { addCard, cardName } from './cards.js';

export const title = 'Auto-refill';

/** What refills wait for, and what can be done about it. */
const PAUSED = {
  card_refused: ['The card was refused for good. Refills are paused until you choose another card.', 'card'],
  failures: ['Refills are paused after several declines in a row.', 'resume'],
  card_removed: ['The card that refills were charged to was removed. Choose another one.', 'card'],
  no_card: ['There is no card to charge yet. Add one, or save one with your next top-up.', 'card'],
  frozen: ['No card is charged while the account is frozen.', null],
  suspended: ['No card is charged while the account is suspended by its operator.', null],
  off_too_long: ['Everything has been off for so long that no card is charged by itself. Add credit to begin again.', 'credit'],
  deleted: ['No card is charged now: the grace period is over. Add credit to begin again.', 'credit'],
  closed: ['The account is closed: no card is charged any more.', null],
};
const OUTCOMES = {
  open: ['Under way', 'info'],
  paid: ['Paid', 'ok'],
  failed: ['Declined', 'bad'],
  needs_customer: ['Waits for you', 'warn'],
};

export function view(host, context) {
  const place = h('div', { class: 'stack' });
  fill(host, place);
  const load = async () => {
    const [settings, cards] = await Promise.all([
      read('v1/auto-refill'),
      read('v1/payment-methods').catch(() => ({ items: [] })),
    ]);
    return { settings, cards: cards.items };
  };
  const reload = loading(
    place,
    load,
    ({ settings, cards }) => [
      state(settings, () => reload()),
      lastAttempt(settings, () => reload()),
      form(settings, cards, () => reload()),
    ],
    6,
  );
  context.onMoved(reload);
}

/** For pages about other things: refills that wait for the customer. */
export function refillWarning(settings) {
  const warnings = {
    needs_customer: 'Your bank wants you to confirm a refill.',
    paused: settings.why === 'no_card' ? 'Auto-refill has no card to charge.' : 'Auto-refill is paused.',
  };
  const text = warnings[settings.state];
  return (
    text &&
    notice('warning', text, {
      testid: 'refill-warning',
      actions: [link('Look at auto-refill', '#refill', { kind: 'button small' })],
    })
  );
}

/** How refills stand, if there is anything to say. */
function state(settings, reload) {
  const { state: progress, why, until } = settings;
  const testid = 'refill-state';
  if (progress === 'charging') return notice('info', 'A refill is being charged now.', { testid });
  if (progress === 'needs_customer') {
    const actions = settings.confirm_url
      ? [
          link('Confirm the payment', settings.confirm_url, {
            kind: 'button primary',
            outside: true,
            testid: 'refill-confirm',
          }),
        ]
      : [];
    return notice('warning', 'Your bank wants you to confirm a refill.', {
      text: until && `Without your word it is called off on ${shown(until)}.`,
      actions,
      testid,
    });
  }
  if (progress === 'wanted' && why === 'limit') {
    const text = until && `It is looked at again on ${shown(until)}.`;
    return notice('warning', 'A refill is due but has to wait: a limit is reached, or the last one was declined.', {
      text,
      testid,
    });
  }
  if (progress === 'wanted') return notice('info', 'A refill is due and will be charged in a moment.', { testid });
  if (progress === 'paused') {
    const [text, remedy] = PAUSED[why] ?? ['Refills are paused.', 'resume'];
    return notice('warning', text, { testid, actions: remedies(remedy, settings, reload) });
  }
  return null;
}

function remedies(remedy, settings, reload) {
  if (remedy === 'card') return [cardButton('Add a card')];
  if (remedy === 'credit') return [link('Add credit', '#add-credit', { kind: 'button primary' })];
  if (remedy === 'resume') return [resume('Resume refills', settings, reload)];
  return [];
}

/** The renewed wish ends a pause: the same terms, agreed to once more. */
function resume(label, { threshold, amount }, reload) {
  const problems = outlet();
  return [
    button(
      label,
      async () => {
        try {
          await write('PUT', 'v1/auto-refill', { enabled: true, threshold, amount });
          announce('Refills go on.');
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

function cardButton(label) {
  const problems = outlet();
  return [button(label, () => addCard(problems), { kind: 'primary', testid: 'refill-add-card' }), problems.element];
}

function lastAttempt(settings, reload) {
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
        // One button to confirm is enough, and the notice above has it.
        attempt.action &&
          !(attempt.action.kind === 'confirm' && settings.confirm_url) &&
          h('div', { class: 'notice-actions', testid: 'decline-action' }, remedy(attempt.action, settings, reload)),
      ),
  );
}

/** One button for what an attempt asks for. */
function remedy({ kind, label, url }, settings, reload) {
  if (url) return link(label, url, { kind: 'button primary', outside: true, testid: `action-${kind}` });
  if (kind === 'update_card') return cardButton(label);
  if (kind === 'add_credit') return link(label, '#add-credit', { kind: 'button primary', testid: 'action-add_credit' });
  if (kind === 'retry_later') return settings.enabled && resume(label, settings, reload);
  if (kind === 'raise_cap') {
    return button(label, () => document.getElementById('refill-cap')?.focus(), {
      kind: 'primary',
      testid: 'action-raise_cap',
    });
  }
  return link(label, '#cards', { kind: 'button' });
}

function form(settings, cards, reload) {
  const terms = { threshold: settings.threshold ?? '5.00', amount: settings.amount ?? '25.00' };
  const on = toggle('Refill from a saved card when the balance is low', settings.enabled, {
    testid: 'refill-enabled',
    id: 'refill-enabled',
    change: () => show(),
  });
  const threshold = moneyField('When the balance is below', 'refill-threshold', terms.threshold);
  const amount = moneyField('Add', 'refill-amount', terms.amount);
  const cap = moneyField('At most per calendar month', 'refill-cap', settings.monthly_cap ?? '', {
    hint: 'Empty: no limit. Counts refills only, in UTC months, before tax.',
  });
  const chosen = settings.payment_method ?? cards.find((each) => each.default)?.id ?? '';
  const which = field(
    'Charged to',
    h(
      'select',
      { id: 'refill-card', testid: 'refill-card' },
      !cards.some((each) => each.id === chosen) &&
        h('option', { value: chosen }, chosen ? 'A card that is not in your list' : 'No card yet'),
      cards.map((each) => h('option', { value: each.id, selected: each.id === chosen }, cardName(each))),
    ),
    { hint: cards.length === 0 ? 'Your next top-up saves its card, or add one under Payment methods.' : null },
  );
  const sentence = h('p', { class: 'agreement', testid: 'refill-sentence' });
  const problems = outlet();
  const save = button('Save', null, { kind: 'primary', testid: 'refill-save', type: 'submit' });
  const fields = [threshold, amount, cap];
  fields.forEach(({ input }) => input.addEventListener('input', show));
  const element = h(
    'form',
    { class: 'stack tight', testid: 'refill-form', novalidate: true, on: { submit } },
    on.element,
    h('div', { class: 'grid-2' }, threshold.element, amount.element, which.element, cap.element),
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
    'Agreement',
    { hint: 'A refill adds credit from your saved card on its own, so that nothing stops.' },
    element,
  );

  function show() {
    fields.forEach((each) => each.wrong(wrong(each)));
    const [below, add] = [money.typed(threshold.input.value), money.typed(amount.input.value)];
    sentence.textContent =
      on.input.checked && below.amount && add.amount
        ? `Whenever your balance is below ${money.exact(below.amount)}, your card is charged ${money.exact(add.amount)} (plus tax, if any).`
        : 'Refills are off: at zero, everything stops.';
  }

  function wrong(each) {
    if (each === cap && each.input.value.trim() === '') return null;
    return on.input.checked || each === cap ? money.typed(each.input.value).error : null;
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
          amount: money.typed(amount.input.value).amount,
        });
      try {
        Object.assign(settings, await write('PUT', 'v1/auto-refill', body));
        problems.say('success', settings.enabled ? 'Saved. Refills are on.' : 'Saved. Refills are off.');
        announce(settings.enabled ? 'Saved. Refills are on.' : 'Saved. Refills are off.');
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
      ? notice('warning', warning, { text: 'A larger amount is charged less often.' })
      : h('p', { class: 'hint' }, `At the present rate one refill lasts ${count(hours, 'hour')}.`),
  );
}

function moneyField(label, id, value, { hint } = {}) {
  return field(label, h('input', { id, testid: id, inputmode: 'decimal', autocomplete: 'off', maxlength: 16, value }), {
    prefix: '$',
    hint,
  });
}
