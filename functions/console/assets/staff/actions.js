/** Forms for what staff do. Each says what it will do before it is sent. */

import { now, write } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { announce, busy, button, card, field, notice } from '../ui.js';
import { outcome } from './parts.js';

const DAYS = 86_400_000;
/** The API allows 500 bytes. */
const REASON_LENGTH_MAX = 500;

/**
 * A row of buttons, each of which opens its form below.
 * @param {Action[]} actions
 * @param {(action: Action, answer: object) => void} done runs after an action succeeded
 *
 * @typedef {object} Action
 * @property {string} name for tests and as an address
 * @property {string} label
 * @property {string} [kind] of the button that sends it
 * @property {Input[]} [inputs] besides the reason
 * @property {boolean} [needsReason] by default
 * @property {string} [reasonHint]
 * @property {(values: Record<string, string>) => string} preview what it will do
 * @property {(values: Record<string, string>) => ['POST'|'PUT', string, object]} request
 *
 * @typedef {{name: string, label: string, hint?: string, value?: string, prefix?: string, isAmount?: boolean, isSigned?: boolean, isOptional?: boolean, type?: string, options?: Record<string, string>}} Input
 */
export function actionBar(actions, done) {
  const place = h('div');
  let opener = null;
  const buttons = actions.map((action, index) =>
    button(action.label, () => open(action, index), { kind: 'small', testid: `do-${action.name}` }),
  );
  return h('div', { class: 'stack tight' }, h('div', { class: 'row-actions wrap' }, buttons), place);

  function open(action, index) {
    // A write that is under way says what became of it in its own form.
    if (place.querySelector('[aria-busy]')) return;
    opener = buttons[index];
    fill(place, form(action, close, done));
    place.querySelector('input, select, button').focus();
  }

  function close() {
    fill(place);
    opener?.focus();
  }
}

function form(action, close, done) {
  const { name, label, kind = 'primary', inputs = [], needsReason = true, reasonHint = 'Included in the customer\u2019s data export.' } = action;
  const fields = inputs.map((input) => [input, field(input.label, control(name, input), { hint: input.hint, prefix: input.prefix })]);
  if (needsReason) {
    const input = { name: 'reason', label: 'Reason' };
    fields.push([input, field('Reason', h('input', { id: `${name}-reason`, testid: 'reason', maxlength: REASON_LENGTH_MAX, autocomplete: 'off' }), { hint: reasonHint })]);
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
    h('div', { class: 'form-foot' }, send, button('Cancel', () => send.hasAttribute('aria-busy') || close(), { testid: 'action-cancel' })),
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

function control(action, { name, value = '', isAmount, type = 'text', options }) {
  if (options) {
    const choices = Object.entries(options).map(([each, label]) => h('option', { value: each }, label));
    return h('select', { id: `${action}-${name}`, testid: `in-${name}` }, choices);
  }
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
