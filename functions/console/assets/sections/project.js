/** One project with its resources, their cost, and buttons to start, stop, delete and restore them. */

import { read, readAll, write } from '../api.js';
import { isClosed, knownBalance, refreshBalance, whileOpen } from '../account.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { duration, month, monthName, time } from '../time.js';
import {
  announce,
  button,
  busy,
  card,
  confirm,
  empty,
  field,
  link,
  loading,
  outlet,
  perHour,
  pill,
  row,
  table,
  toggle,
} from '../ui.js';
import * as units from '../units.js';
import { budgetCard, explainRefusal, isOver, spentOf, usedUp } from './budget.js';

const STATES = {
  new: ['New', ''],
  running: ['Running', 'ok'],
  suspended: ['Suspended', 'warn'],
  stopped: ['Stopped', ''],
  deleted: ['Deleted', 'bad'],
};
const MONTHS_BACK = 5;
/** Hourly prices, loaded when the first form opens. Without them any SKU can be typed. */
let prices;
const hourly = () => {
  prices ??= readAll('v1/prices', { limit: 200 })
    .then((items) => items.filter((price) => price.unit === 'hour'))
    .catch(() => {
      prices = undefined;
      return [];
    });
  return prices;
};

/**
 * Shows a project, either as one of several cards or on its own page with the monthly bill.
 * @param {HTMLElement} host
 * @param {{isSummary?: boolean, name?: string, monthTotal?: string|null, onMoved: (work: () => void) => void}} context
 * @param {string} id
 */
export function project(host, context, id) {
  const path = `v1/projects/${encodeURIComponent(id)}`;
  const problems = outlet();
  const figures = h('dl', { class: 'facts inline' });
  const warning = h('div', { class: 'outlet' });
  const place = h('div');
  const budget = context.isSummary ? null : budgetCard(path, changed);
  const load = async () => {
    const [name, resources, bill, balance] = await Promise.all([
      context.name ?? read(path).then((found) => found.name),
      readAll(`${path}/resources`, { limit: 200 }),
      read(`${path}/billing`).catch(() => null),
      knownBalance(),
    ]);
    return { name, resources, bill, balance };
  };
  const reload = loading(
    place,
    load,
    ({ name, bill, ...found }) => {
      heading(name);
      const { resources } = found;
      fill(
        figures,
        fact('Current rate', perHour(money.sum(resources.map((each) => each.cost_per_hour))), 'project-rate'),
        fact('This month', bill?.budget ? spentOf(bill.budget) : money.cost(bill?.total ?? context.monthTotal ?? '0'), 'project-month'),
      );
      warn(bill?.budget, found);
      if (bill) budget?.show(bill);
      return resources.length
        ? list(found, bill)
        : empty('No resources yet', 'Resources are billed by the second and paid an hour ahead.');
    },
    3,
  );
  context.onMoved(reload);

  const starter = startForm(`${path}/resources`, id, changed, explained);
  const heading = (name) => {
    section
      .querySelector('h2')
      .replaceChildren(
        context.isSummary ? link(name, `#projects/${encodeURIComponent(id)}`, { testid: 'project-open' }) : name,
      );
  };
  const section = card(
    context.name ?? 'Project',
    { id: `project-${id}`, testid: 'project', actions: whileOpen(starter.opener, context.signal) },
    figures,
    whileOpen(starter.form, context.signal),
    warning,
    problems.element,
    place,
  );
  section.dataset.id = id;
  if (context.name) heading(context.name);
  if (context.isSummary) return fill(host, section);
  return fill(
    host,
    h('p', { class: 'crumb' }, link('\u2190 All projects', '#projects')),
    section,
    whileOpen(budget.element, context.signal),
    monthly(path, context),
  );

  /** The way to another budget: its form, or the page that has it. */
  function raise(testid) {
    const label = 'Raise the budget';
    return context.isSummary
      ? link(label, `#projects/${encodeURIComponent(id)}`, { kind: 'button', testid, describe: `${label} of ${context.name}` })
      : button(label, budget.edit, { testid });
  }

  function warn(limits, { resources, balance }) {
    const isRunning = resources.some(({ state }) => state === 'running');
    const isWarned = isOver(limits, isRunning) && !isClosed(balance);
    fill(warning, isWarned && usedUp(isRunning, raise('budget-raise')));
  }

  /** A refusal to start a resource, with what helps. The warning offers it already. */
  function explained(problem, name) {
    explainRefusal(problem, name, warning.hasChildNodes() ? null : raise('problem-raise-budget'));
    return short(problem, name);
  }

  function changed(text) {
    announce(text);
    problems.clear();
    reload();
    refreshBalance().catch(() => {});
  }

  function list({ resources, balance }, bill) {
    const columns = [
      { label: 'Name' },
      { label: 'State', class: 'col-type' },
      { label: 'Rate', class: 'num col-rate' },
      { label: 'This month', class: 'num' },
      { label: 'Actions', class: 'col-actions', hidden: true },
    ];
    const spent = new Map((bill?.items ?? []).map((item) => [item.resource, item.amount]));
    return table(
      { caption: 'Resources', columns, class: 'resources' },
      resources.map((each) =>
        row(
          columns,
          [
            [
              h('span', { class: 'clip name' }, each.name),
              h('span', { class: 'hint' }, `${each.sku} \u00b7 ${each.id}`),
            ],
            [
              stateCell(each),
              each.address === 'new' && [' ', h('span', { class: 'hint' }, 'new address')],
            ],
            rateCell(each),
            bill ? money.cost(spent.get(each.id) ?? '0') : '\u2014',
            h('div', { class: 'row-actions' }, actions(each, isClosed(balance))),
          ],
          { testid: 'resource-row', 'data-id': each.id, 'data-state': each.state },
        ),
      ),
    );
  }

  function actions(each, closed) {
    const target = `${path}/resources/${encodeURIComponent(each.id)}`;
    const act = (label, verb, done, kind = '') =>
      button(
        label,
        async () => {
          problems.clear();
          try {
            await write('POST', `${target}/${verb}`);
            changed(`${each.name} ${done}.`);
          } catch (problem) {
            problems.show(explained(problem, each.name));
            problems.element.scrollIntoView({ block: 'nearest' });
          }
        },
        { kind: `small ${kind}`, testid: `resource-${verb}`, describe: `${label} ${each.name}` },
      );
    const remove = button(
      'Delete',
      () =>
        confirm({
          title: `Delete ${each.name}?`,
          label: 'Delete',
          testid: 'resource-delete-dialog',
          text: `Unused prepaid time is credited to your balance. You can restore the resource for ${duration(context.config.restore_seconds)}. It will have a new address.`,
          work: async () => {
            await write('DELETE', target);
            changed(`${each.name} was deleted.`);
          },
        }),
      { kind: 'small quiet', testid: 'resource-delete', describe: `Delete ${each.name}` },
    );
    if (closed) return each.state !== 'deleted' && remove;
    if (each.state === 'deleted') return act('Restore', 'restore', 'was restored');
    if (each.state === 'running') return [act('Stop', 'stop', 'was stopped'), remove];
    return [act('Start', 'start', 'was started', 'primary-soft'), remove];
  }
}

function fact(name, value, testid) {
  return h('div', {}, h('dt', {}, name), h('dd', { class: 'num', testid }, value));
}

/** A stopped volume still costs its storage. */
function stateCell({ state, cost_per_hour: cost }) {
  const isStored = state !== 'running' && !money.isUsedUp(cost);
  return [pill(...STATES[state]), isStored && [' ', h('span', { class: 'hint' }, 'storage billed')]];
}

/** What a resource costs now, and what it costs while it runs if that is more. */
function rateCell({ cost_per_hour: cost, rate_per_hour: rate }) {
  const isLess = money.compare(cost, rate) < 0;
  return [
    h('span', { testid: 'resource-rate' }, perHour(cost)),
    isLess && [' ', h('span', { class: 'hint' }, `${money.exact(rate)} when running`)],
  ];
}

/** If credit is too low, the message names both amounts and the resource. */
function short(problem, name) {
  const { required, available } = problem.members ?? {};
  if (problem.code === 'credit_too_low' && required && available) {
    problem.message = `${name} was not started. This requires ${money.exact(required)} of credit, and ${money.exact(available)} is available.`;
    problem.action ??= { add_credit: true };
  }
  return problem;
}

function startForm(path, id, changed, explained) {
  const name = field(
    'Name',
    h('input', { id: `new-name-${id}`, testid: 'resource-name', maxlength: 100, autocomplete: 'off', required: true }),
  );
  const list = h('datalist', { id: `skus-${id}` });
  const sku = field(
    'SKU',
    h('input', {
      id: `new-sku-${id}`,
      testid: 'resource-sku',
      maxlength: 64,
      autocomplete: 'off',
      spellcheck: 'false',
      list: `skus-${id}`,
      required: true,
      on: { input: () => quote() },
    }),
    { hint: 'A SKU from the price list.' },
  );
  const hint = sku.element.querySelector('.hint');
  const starts = toggle('Start immediately', true, { testid: 'resource-starts', id: `new-start-${id}` });
  const problems = outlet();
  const save = button('Add', null, { kind: 'primary', testid: 'resource-create', type: 'submit' });
  const form = h(
    'form',
    { class: 'inset stack tight', hidden: true, novalidate: true, testid: 'resource-form', on: { submit } },
    h('div', { class: 'grid-2' }, name.element, sku.element),
    list,
    starts.element,
    problems.element,
    h(
      'div',
      { class: 'form-foot' },
      save,
      button('Cancel', () => show(false)),
    ),
  );
  const opener = button('New resource', () => show(true), { kind: 'small', testid: 'resource-new', iconName: 'plus' });
  return { form, opener };

  function show(on) {
    form.hidden = !on;
    opener.hidden = on;
    problems.clear();
    (on ? name.input : opener).focus();
    if (on) offer();
  }

  async function offer() {
    const options = await hourly();
    fill(
      list,
      options.map((price) => h('option', { value: price.sku, label: `${money.exact(price.rate)} per hour` })),
    );
    quote();
  }

  /** Shows the price of the SKU typed. The server decides about a SKU that is not on the list. */
  async function quote() {
    const price = (await hourly()).find((each) => each.sku === sku.input.value.trim());
    hint.textContent = price
      ? `${price.kind}, ${money.exact(price.rate)} per hour${money.isUsedUp(price.idle_rate) ? '' : `, ${money.exact(price.idle_rate)} per hour while stopped`}`
      : 'A SKU from the price list.';
  }

  async function submit(event) {
    event.preventDefault();
    const wrong = [name, sku].filter((each) => {
      const isEmpty = each.input.value.trim() === '';
      each.wrong(isEmpty ? 'This field is required.' : null);
      return isEmpty;
    });
    if (wrong.length) return wrong[0].input.focus();
    problems.clear();
    return busy(save, async () => {
      const label = name.input.value.trim();
      try {
        await write('POST', path, { name: label, sku: sku.input.value.trim(), start: starts.input.checked });
        name.input.value = '';
        show(false);
        changed(`${label} was added.`);
      } catch (problem) {
        problems.show(explained(problem, label));
      }
    });
  }
}

/** A monthly bill by resource. */
function monthly(path, context) {
  let chosen = month(0);
  const columns = [
    { label: 'Resource' },
    { label: 'State', class: 'col-type' },
    { label: 'Rate', class: 'num' },
    { label: 'Used', class: 'num' },
    { label: 'Share of month', class: 'num' },
    { label: 'Amount', class: 'num' },
  ];
  const place = h('div', { testid: 'project-billing' });
  const reload = loading(
    place,
    () => read(`${path}/billing`, { month: chosen }),
    (bill) =>
      bill.items.length === 0
        ? empty('Nothing billed', 'No resource of this project ran in this month.')
        : [
            table(
              { caption: `Bill for ${monthName(bill.month)}`, columns, class: 'resources bill' },
              bill.items.flatMap((item) => (item.metered ? meterRows(columns, item) : [resourceRow(columns, item)])),
            ),
            h(
              'p',
              { class: 'total' },
              h(
                'span',
                {},
                'Total ',
                h('span', { class: 'hint' }, time(bill.from, 'date'), ' to ', time(bill.to, 'row')),
              ),
              h('strong', { class: 'num', testid: 'bill-total' }, money.exact(bill.total)),
            ),
          ],
    4,
  );
  context.onMoved(reload);
  const months = Array.from({ length: MONTHS_BACK + 1 }, (_, back) => month(back));
  const select = h(
    'label',
    { class: 'inline-field' },
    h('span', { class: 'visually-hidden' }, 'Month'),
    h(
      'select',
      {
        testid: 'bill-month',
        on: {
          change: ({ currentTarget }) => {
            chosen = currentTarget.value;
            reload();
          },
        },
      },
      months.map((each) => h('option', { value: each }, monthName(each))),
    ),
  );
  return card('Monthly bill', { actions: select, hint: 'Months begin and end at midnight UTC.' }, place);
}

function resourceRow(columns, item) {
  return row(
    columns,
    [
      [h('span', { class: 'clip name' }, item.name ?? item.resource), h('span', { class: 'hint' }, item.sku)],
      pill(...(STATES[item.state] ?? [item.state ?? 'Removed', ''])),
      item.rate_per_hour ? perHour(item.rate_per_hour) : '\u2014',
      `${item.hours} h`,
      percent(item.utilisation),
      money.exact(item.amount),
    ],
    { testid: 'bill-row' },
  );
}

/** A meter, and a row for each of its labels if it has any. */
function meterRows(columns, { name, sku, amount, metered }) {
  const whole = row(
    columns,
    [
      [h('span', { class: 'clip name' }, name), h('span', { class: 'hint' }, sku)],
      pill('Metered', ''),
      units.price(metered.rate, metered),
      units.quantity(metered.quantity, metered),
      '\u2014',
      money.exact(amount),
    ],
    { testid: 'bill-row' },
  );
  const parts = metered.labels.filter(({ labels }) => Object.keys(labels).length > 0);
  return [
    whole,
    ...parts.map((part) =>
      row(
        columns,
        [
          h('span', { class: 'clip hint' }, units.labelled(part.labels)),
          '\u2014',
          '\u2014',
          units.quantity(part.quantity, metered),
          '\u2014',
          h('span', { class: 'hint' }, money.exact(part.amount)),
        ],
        { testid: 'bill-label-row' },
      ),
    ),
  ];
}

/** Formats `0.5000` as `50 %` by moving digits, without arithmetic. */
function percent(share) {
  if (!share) return '\u2014';
  const [whole, fraction = ''] = share.split('.');
  const moved = `${whole}${fraction.padEnd(4, '0').slice(0, 2)}`.replace(/^0+(?=\d)/, '');
  return `${moved} %`;
}
