/** Forms for what staff do. Each needs a reason, and shows the row that it appends before it is sent. */

import { now, write } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { announce, busy, button, card, field, notice } from '../ui.js';
import { outcome } from './parts.js';

const DAYS = 86_400_000;
const BYTES_OF_REASON_MAX = 500;

/**
 * A row of buttons, each of which opens its form below.
 * @param {Action[]} actions
 * @param {(text: string) => void} done runs after an action succeeded
 *
 * @typedef {object} Action
 * @property {string} name for tests and as an address
 * @property {string} label
 * @property {string} [kind] of the button that sends it
 * @property {Input[]} [inputs] besides the reason
 * @property {boolean} [needsReason] by default
 * @property {string} [reasonHint]
 * @property {(values: Record<string, string>) => string} preview what is appended, in a sentence
 * @property {(values: Record<string, string>) => ['POST'|'PUT', string, object]} request
 *
 * @typedef {{name: string, label: string, hint?: string, value?: string, prefix?: string, isAmount?: boolean, isOptional?: boolean, type?: string}} Input
 */
export function actionBar(actions, done) {
  const place = h('div');
  const buttons = actions.map((action) =>
    button(action.label, () => open(action), { kind: 'small', testid: `do-${action.name}` }),
  );
  return h('div', { class: 'stack tight' }, h('div', { class: 'row-actions wrap' }, buttons), place);

  function open(action) {
    fill(place, form(action, close, done));
    place.querySelector('input, textarea, button').focus();
  }

  function close() {
    fill(place);
    buttons[0].focus();
  }
}

function form(action, close, done) {
  const { name, label, kind = 'primary', inputs = [], needsReason = true, reasonHint = 'Customers find it in their export.' } = action;
  const fields = inputs.map((input) => [input, field(input.label, control(name, input), { hint: input.hint, prefix: input.prefix })]);
  if (needsReason) {
    const input = { name: 'reason', label: 'Reason' };
    fields.push([input, field('Reason', h('input', { id: `${name}-reason`, testid: 'reason', maxlength: BYTES_OF_REASON_MAX, autocomplete: 'off' }), { hint: reasonHint })]);
  }
  const preview = h('div', { testid: 'preview', role: 'status' });
  const problems = outcome();
  const send = button(label, null, { kind, testid: 'action-send', type: 'submit' });
  const element = h(
    'form',
    { class: 'stack tight', novalidate: true, on: { submit, input: show } },
    fields.map(([, shown]) => shown.element),
    preview,
    problems.element,
    h('div', { class: 'form-foot' }, send, button('Cancel', close, { testid: 'action-cancel' })),
  );
  show();
  return card(label, { id: `action-${name}`, testid: 'action' }, element);

  /** What was typed, or null with each field saying what is wrong. */
  function read(isStrict) {
    const values = {};
    let isRight = true;
    for (const [input, shown] of fields) {
      const { value, error } = valueOf(input, shown.input.value.trim());
      if (isStrict) shown.wrong(error ?? null);
      if (error) isRight = false;
      values[input.name] = value;
    }
    return isRight ? values : null;
  }

  function show() {
    const values = read(false);
    fill(preview, values && notice('info', action.preview(values)));
  }

  async function submit(event) {
    event.preventDefault();
    if (send.hasAttribute('aria-busy')) return;
    problems.clear();
    const values = read(true);
    if (!values) {
      element.querySelector('[aria-invalid]')?.focus();
      return;
    }
    await busy(send, async () => {
      try {
        const answer = await write(...action.request(values));
        announce(`${label}: done.`);
        close();
        done(action, answer);
      } catch (problem) {
        problems.fail(problem);
      }
    });
  }
}

function control(action, { name, value = '', isAmount, type = 'text' }) {
  const input = h('input', {
    id: `${action}-${name}`,
    testid: `in-${name}`,
    type: isAmount ? 'text' : type,
    inputmode: isAmount ? 'decimal' : null,
    autocomplete: 'off',
    maxlength: 300,
  });
  input.value = value;
  return input;
}

function valueOf({ name, isAmount, isOptional, isSigned }, text) {
  if (text === '') return isOptional ? { value: null } : { value: null, error: name === 'reason' ? 'Enter a reason.' : 'Enter a value.' };
  if (!isAmount) return { value: text };
  const isNegative = isSigned && /^[-\u2212]/.test(text);
  const { amount, error } = money.typed(isNegative ? text.slice(1) : text);
  return { value: isNegative && amount ? `-${amount}` : amount, error };
}

/** The day so many days from now, as a date field has it. */
export const dayIn = (days) => new Date(now().getTime() + days * DAYS).toISOString().slice(0, 10);
