/** All projects and their spending, with a link to each project. */

import { read, readAll, write } from '../api.js';
import { whileOpen } from '../account.js';
import { spendingChart } from '../chart.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { count, daysAgo, month, monthName, span } from '../time.js';
import { announce, button, busy, card, empty, field, link, loading, outlet, pill, row, table } from '../ui.js';
import * as units from '../units.js';
import { isOver, spentOf } from './budget.js';
import { project } from './project.js';
import { returning } from './returning.js';

export const title = 'Projects';

/** How many bars fit side by side. The smallest items are summed into one bar. */
const BARS_MAX = 8;
/** How many projects show their resources directly. Further projects are only linked. */
const OPEN_MAX = 4;

export function view(host, context) {
  if (context.path) return project(host, context, context.path);
  const place = h('div', { class: 'stack' });
  const load = async () => {
    const [projects, spent] = await Promise.all([
      readAll('v1/projects', { limit: 200 }),
      read('v1/spending', { by: 'project' }).catch(() => null),
    ]);
    // Projects that show their resources read their budgets themselves.
    const isRead = projects.length > OPEN_MAX;
    const budgets = isRead ? await read('v1/budgets').then(({ items }) => items).catch(() => []) : [];
    return { projects, spent, budgets };
  };
  const reload = loading(
    place,
    load,
    ({ projects, spent, budgets }) =>
      projects.length
        ? projects.map((each, index) => summary(context, each, spent, budgets, index < OPEN_MAX))
        : empty('No projects yet', 'A project groups your resources. Create a project to get started.'),
    5,
  );
  context.onMoved(reload);
  fill(host, returning(context, reload), whileOpen(create(reload), context.signal), place, spending(context));
  return undefined;
}

function summary(context, { id, name }, spent, budgets, isOpen) {
  const href = `#projects/${encodeURIComponent(id)}`;
  const total = spent?.items.find((item) => item.key === id)?.amount ?? '0.00';
  if (isOpen) {
    const inside = h('div');
    // The list is rebuilt as a whole, and its parts with it.
    project(inside, { ...context, onMoved: () => {}, isSummary: true, monthTotal: spent ? total : null, name }, id);
    return inside;
  }
  const budget = budgets.find((each) => each.project === id);
  const cost = spent ? money.cost(total) : '\u2014';
  return h(
    'section',
    { class: 'card slim', testid: 'project-row', 'data-id': id },
    h('h2', {}, link(name, href)),
    h(
      'span',
      { class: 'hint' },
      'This month ',
      h('strong', { class: 'num' }, budget ? spentOf(budget) : cost),
      isOver(budget, false) && [' ', pill('Budget used up', 'warn')],
    ),
  );
}

function create(reload) {
  const name = field(
    'Project name',
    h('input', { id: 'project-name', testid: 'project-name', maxlength: 100, autocomplete: 'off', required: true }),
  );
  const problems = outlet();
  const save = button('Create', null, { kind: 'primary', testid: 'project-create', type: 'submit' });
  const cancel = button('Cancel', () => show(false), {});
  const form = h(
    'form',
    { class: 'card stack tight', hidden: true, novalidate: true, on: { submit } },
    name.element,
    problems.element,
    h('div', { class: 'form-foot' }, save, cancel),
  );
  const opener = button('New project', () => show(true), { testid: 'project-new', iconName: 'plus' });
  return h('div', { class: 'stack tight' }, h('div', { class: 'toolbar' }, opener), form);

  function show(on) {
    form.hidden = !on;
    opener.hidden = on;
    name.wrong(null);
    (on ? name.input : opener).focus();
  }

  async function submit(event) {
    event.preventDefault();
    const text = name.input.value.trim();
    name.wrong(text ? null : 'Enter a name.');
    if (!text) return name.input.focus();
    problems.clear();
    return busy(save, async () => {
      try {
        await write('POST', 'v1/projects', { name: text });
        name.input.value = '';
        announce(`Project ${text} was created.`);
        show(false);
        reload();
      } catch (problem) {
        problems.show(problem);
      }
    });
  }
}

const BY = { project: 'Project', sku: 'SKU', resource: 'Resource' };

/** Spending by project, SKU or resource. */
function spending(context) {
  const chosen = { by: 'project', period: month(0) };
  const periods = { [month(0)]: monthName(month(0)), 'last-30': 'Last 30 days', 'last-7': 'Last 7 days' };
  const place = h('div', { testid: 'spending' });
  const load = () =>
    read('v1/spending', {
      by: chosen.by,
      from: chosen.period.startsWith('last-') ? daysAgo(Number(chosen.period.slice(5))) : null,
    });
  const reload = loading(
    place,
    load,
    ({ items, total }) => {
      if (items.length === 0) return empty('No spending', 'Nothing was running in this period.');
      const named = items.map((item) => ({ ...item, name: item.name ?? item.key }));
      const columns = [{ label: BY[chosen.by] }, { label: 'Used', class: 'num' }, { label: 'Amount', class: 'num' }];
      const rows = table(
        { caption: `Spending by ${BY[chosen.by]}`, columns, class: 'compact' },
        named.map((item) => row(columns, [item.name, used(item), money.exact(item.amount)])),
      );
      const summary = `Spending by ${BY[chosen.by].toLowerCase()}, ${periods[chosen.period].toLowerCase()}: ${money.cost(total)} in total, most for ${named[0].name ?? 'what was deleted'}`;
      return [
        h(
          'p',
          { class: 'figure-small', testid: 'spending-total' },
          money.cost(total),
          h(
            'span',
            { class: 'unit' },
            ` for ${count(items.filter(({ key }) => key !== null).length, BY[chosen.by] === 'SKU' ? 'SKU' : BY[chosen.by].toLowerCase())}`,
          ),
        ),
        spendingChart(bars(named), { summary, rows }),
      ];
    },
    5,
  );
  context.onMoved(reload);
  const select = (label, testid, entries, key) =>
    h(
      'label',
      { class: 'inline-field' },
      h('span', { class: 'visually-hidden' }, label),
      h(
        'select',
        {
          testid,
          on: {
            change: ({ currentTarget }) => {
              chosen[key] = currentTarget.value;
              reload();
            },
          },
        },
        Object.entries(entries).map(([value, text]) => h('option', { value }, text)),
      ),
    );
  return card(
    'Spending',
    { actions: [select('Group by', 'spending-by', BY, 'by'), select('Period', 'spending-period', periods, 'period')] },
    place,
  );
}

/** Running time, or what was used of a meter. */
const used = (item) => (item.quantity === null ? span(item.seconds) : units.quantity(item.quantity, item));

function bars(items) {
  if (items.length <= BARS_MAX) return items;
  const rest = items.slice(BARS_MAX - 1);
  return [
    ...items.slice(0, BARS_MAX - 1),
    { name: `${rest.length} others`, amount: money.sum(rest.map((item) => item.amount)) },
  ];
}
