/** Resources that a suspension stopped or that were deleted with the account: start or restore all of them at once. */

import { read, write } from '../api.js';
import { refreshBalance } from '../account.js';
import { fill, h } from '../dom.js';
import * as money from '../money.js';
import { announce, button, busy, card, link, outlet, toggle } from '../ui.js';

/** What can return. One request starts at most so many. */
const AT_ONCE = 80;
const WAYS = {
  start: {
    path: 'v1/account/start',
    label: 'Start all',
    title: (count) => `${resources(count)} stopped by a suspension`,
    text: 'They kept their data and addresses.',
    done: (count) => `${resources(count)} started.`,
  },
  restore: {
    path: 'v1/account/restore',
    label: 'Restore all',
    title: (count) => `${resources(count)} deleted after a suspension`,
    text: 'They come back with their data and new addresses, and run again.',
    done: (count) => `${resources(count)} restored.`,
  },
};

export const resources = (count) => (count === 1 ? '1 resource' : `${count} resources`);
export const readReturning = () => read('v1/account/returning');

/**
 * A card for each way in which resources can return, and the choice for the next suspension. Empty if nothing returns.
 * @param {{onMoved: (work: () => void) => void}} context
 * @param {() => void} changed runs after resources were started
 */
export function returning(context, changed) {
  const place = h('div', { class: 'stack' });
  const show = async () => {
    // Projects are shown with or without it.
    const [offers, balance] = await Promise.all([readReturning(), read('v1/balance')]).catch(() => [null, null]);
    if (!offers) return fill(place);
    const cards = Object.entries(WAYS)
      .filter(([name]) => offers[name].resources > 0)
      .map(([name, way]) => offer(way, offers[name], name, ended));
    return fill(place, cards, offers.start.resources > 0 && policy(balance.restart));
  };
  const ended = async () => {
    refreshBalance().catch(() => {});
    changed();
    await show();
  };
  context.onMoved(show);
  show();
  return place;
}

function offer(way, { resources: count, rate_per_hour: rate, needed }, name, ended) {
  const problems = outlet();
  const first = count > AT_ONCE ? ` The first ${AT_ONCE} start together, then the others.` : '';
  const isEnough = needed !== null && money.isUsedUp(needed);
  const start = async () => {
    problems.clear();
    try {
      const { resources: started } = await write('POST', way.path);
      announce(way.done(started.length));
      await ended();
    } catch (problem) {
      problems.show(problem);
    }
  };
  const action = isEnough
    ? button(way.label, start, { kind: 'primary', testid: `${name}-all` })
    : needed !== null && link('Add credit', '#add-credit', { kind: 'button primary', testid: `${name}-all-add-credit` });
  const missing =
    needed === null
      ? ' Contact support to use this account again.'
      : isEnough
        ? ''
        : ` Add ${money.exact(needed)} to run them again.`;
  return card(
    way.title(count),
    { id: `${name}-offer`, testid: `${name}-offer`, actions: action },
    h('p', {}, `${way.text} They cost ${money.exact(rate)} per hour.${first}${missing}`),
    problems.element,
  );
}

/** The choice what happens when the next suspension ends. */
function policy(restart) {
  const problems = outlet();
  const choice = toggle('Start them automatically when I add credit', restart === 'in_order', {
    testid: 'restart-switch',
    id: 'restart-switch',
    change: () => busy(choice.input, save),
  });
  const save = async () => {
    const on = choice.input.checked;
    problems.clear();
    try {
      await write('PUT', 'v1/account/restart-policy', { restart: on ? 'in_order' : 'manual' });
      announce(on ? 'Resources will start automatically.' : 'Resources will stay off until you start them.');
    } catch (problem) {
      choice.input.checked = !on;
      problems.show(problem);
    }
  };
  return h(
    'div',
    { class: 'card slim' },
    choice.element,
    h('p', { class: 'hint' }, 'After a suspension, the oldest start first, as far as the credit reaches.'),
    problems.element,
  );
}
