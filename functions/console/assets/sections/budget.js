/** What a project may cost in a calendar month: its card with a form, and what other places show of it. */

import { write } from '../api.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { button, busy, card, confirm, field, keepingFocus, notice, outlet, toggle } from '../ui.js';

/** From this part on, in percent, the customer gets a notice. */
const NEAR = 80;
const LESS_THAN_CENT = '0.01';
const NOTIFIED = `We\u2019ll notify you at ${NEAR}% and 100%.`;
/** Problems that are about the amount. */
const OF_AMOUNT = ['invalid_amount', 'amount_too_small', 'amount_too_large'];

/** @typedef {{amount: string, stop: boolean, spent: string, left: string}} Budget what the API returns */

/** `$3.20 of $50.00`. @param {Budget} budget */
export const spentOf = ({ spent, amount }) => `${money.cost(spent)} of ${money.exact(amount)}`;

/**
 * Whether a budget ends its project's time. What it leaves may be less than the next second costs.
 * @param {Budget|null|undefined} budget
 * @param {boolean} isRunning whether anything runs in the project
 */
export function isOver(budget, isRunning) {
  if (!budget?.stop) return false;
  return money.isUsedUp(budget.left) || (!isRunning && money.compare(budget.left, LESS_THAN_CENT) < 0);
}

/** The warning that a budget is used up. @param {boolean} isRunning @param {...Node} actions */
export function usedUp(isRunning, ...actions) {
  const text = isRunning
    ? 'This project has used up its budget. Its resources stop at the end of the time already paid for. Raise the budget to keep them running.'
    : 'This project has used up its budget. Raise the budget to start resources again.';
  return notice('warning', text, { actions, testid: 'budget-used-up' });
}

/** If the budget does not cover a start, the message names both amounts and the resource. */
export function explainRefusal(problem, name, remedy) {
  const { required, available } = problem.members ?? {};
  if (problem.code !== 'budget_exceeded' || !required || !available) return;
  problem.message = `${name} was not started. This requires ${money.cost(required)} of the project\u2019s budget, and ${money.balance(available)} is left this month.`;
  problem.remedy = remedy;
}

/**
 * The card of a project's budget. It is empty until `show` is called.
 * @param {string} path the project's
 * @param {(text: string) => void} changed runs after the budget was set or removed
 */
export function budgetCard(path, changed) {
  const place = h('div', { class: 'stack tight' });
  const actions = h('div', { class: 'row-actions' });
  const element = card('Budget', { testid: 'project-budget', actions }, place);
  element.hidden = true;
  let budget = null;
  let spent = '0';
  return { element, show, edit };

  /** What was typed is kept. @param {{budget: Budget|null, total: string}} bill of the current month */
  function show(bill) {
    budget = bill.budget;
    spent = budget?.spent ?? bill.total;
    element.hidden = false;
    if (!place.querySelector('form')) keepingFocus(element, draw);
  }

  function draw() {
    fill(
      actions,
      budget
        ? [
            button('Change', edit, { kind: 'small', testid: 'budget-change', describe: 'Change the budget' }),
            button('Remove', remove, { kind: 'small quiet', testid: 'budget-remove', describe: 'Remove the budget' }),
          ]
        : button('Set a budget', edit, { kind: 'small', testid: 'budget-set' }),
    );
    fill(
      place,
      budget
        ? figures(budget)
        : h('p', { class: 'hint' }, 'Get notified when this project nears a monthly amount. You can also stop its resources there.'),
    );
  }

  /** Opens the form, or moves the focus to it. */
  function edit() {
    if (!place.querySelector('form')) {
      fill(actions);
      fill(place, form(budget, spent, save, close));
    }
    place.querySelector('input').focus();
    element.scrollIntoView({ block: 'nearest' });
  }

  function close() {
    draw();
    actions.querySelector('button').focus();
  }

  async function save(terms) {
    budget = await write('PUT', `${path}/budget`, terms);
    close();
    changed('The budget was saved.');
  }

  function remove() {
    confirm({
      title: 'Remove the budget?',
      label: 'Remove',
      testid: 'budget-remove-dialog',
      text: 'This project can then spend all of your credit, and you won\u2019t be notified. Stopped resources stay stopped.',
      work: async () => {
        await write('DELETE', `${path}/budget`);
        budget = null;
        draw();
        changed('The budget was removed.');
      },
    });
  }
}

function figures(budget) {
  const percent = money.percent(budget.spent, budget.amount);
  const look = percent >= 100 ? 'full' : percent >= NEAR && 'near';
  return [
    h(
      'p',
      { testid: 'budget-spent' },
      h('strong', { class: 'num' }, spentOf(budget)),
      ' spent this month ',
      h('span', { class: 'hint num' }, `(${percent}%)`),
    ),
    h('progress', {
      class: `gauge ${look || ''}`,
      testid: 'budget-gauge',
      max: 100,
      value: Math.max(0, Math.min(100, percent)),
      'aria-label': 'Part of the budget that is spent',
    }),
    h('p', { class: 'hint', testid: 'budget-then' }, budget.stop ? `Resources stop at the limit. ${NOTIFIED}` : `${NOTIFIED} Nothing stops.`),
  ];
}

/**
 * @param {Budget|null} budget
 * @param {string} spent what the month has cost so far
 */
function form(budget, spent, save, close) {
  const amount = field(
    'Amount per month',
    h('input', {
      id: 'budget-amount',
      testid: 'budget-amount',
      inputmode: 'decimal',
      autocomplete: 'off',
      maxlength: 16,
      value: budget ? money.normal(budget.amount) : '',
      on: { input: () => show() },
    }),
    { prefix: '$', hint: 'In USD, for each calendar month (UTC).' },
  );
  const stops = toggle('Stop resources at the limit', budget?.stop ?? false, {
    testid: 'budget-stop',
    id: 'budget-stop',
    change: () => show(),
  });
  const then = h('p', { class: 'hint', testid: 'budget-effect' });
  const problems = outlet();
  const submitter = button('Save', null, { kind: 'primary', testid: 'budget-save', type: 'submit' });
  const element = h(
    'form',
    { class: 'stack tight', testid: 'budget-form', novalidate: true, on: { submit } },
    amount.element,
    stops.element,
    then,
    problems.element,
    h('div', { class: 'form-foot' }, submitter, button('Cancel', close, { testid: 'budget-cancel' })),
  );
  show();
  return element;

  function show() {
    const entered = typed();
    // An empty field is no mistake before it is saved.
    amount.wrong(amount.input.value.trim() === '' ? null : entered.error);
    then.textContent = effect(entered.amount);
  }

  function typed() {
    const entered = money.typed(amount.input.value);
    const isNothing = entered.amount && money.isUsedUp(entered.amount);
    return isNothing ? { error: 'Enter an amount above $0.00.' } : entered;
  }

  function effect(limit) {
    if (!stops.input.checked) return `${NOTIFIED} Nothing stops.`;
    if (limit && money.compare(limit, spent) <= 0)
      return `This project has already cost ${money.cost(spent)} this month. Its resources stop at the end of the time already paid for.`;
    return 'You can\u2019t start resources beyond the limit. Data of stopped resources is still billed. Nothing restarts on its own next month.';
  }

  async function submit(event) {
    event.preventDefault();
    if (submitter.hasAttribute('aria-busy')) return undefined;
    const entered = typed();
    amount.wrong(entered.error);
    if (entered.error) return amount.input.focus();
    problems.clear();
    return busy(submitter, async () => {
      try {
        await save({ amount: entered.amount, stop: stops.input.checked });
      } catch (problem) {
        tell(problem);
      }
    });
  }

  function tell(problem) {
    if (!OF_AMOUNT.includes(problem.code) && problem.members?.parameter !== 'amount') return problems.show(problem);
    amount.wrong(problem.message);
    return amount.input.focus();
  }
}
