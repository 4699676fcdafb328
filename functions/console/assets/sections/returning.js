/** Resources that a suspension stopped or that were deleted with the account: start or restore all of them at once. */

import { read, write } from '../api.js';
import { refreshBalance, watchBalance, whileOpen } from '../account.js';
import { h } from '../dom.js';
import * as money from '../money.js';
import { announce, button, busy, card, link, loading, outlet, toggle } from '../ui.js';

/** What can return. One request starts at most so many. */
const AT_ONCE = 80;
const WAYS = {
  start: {
    path: 'v1/account/start',
    verb: 'Start',
    title: (count) => `${resources(count)} stopped by a suspension`,
    text: 'They kept their data and addresses.',
    done: (count) => `${resources(count)} started.`,
  },
  restore: {
    path: 'v1/account/restore',
    verb: 'Restore',
    title: (count) => `${resources(count)} deleted after a suspension`,
    text: 'They come back with their data and new addresses, and run again.',
    done: (count) => `${resources(count)} restored.`,
  },
};

export const resources = (count) => (count === 1 ? '1 resource' : `${count} resources`);
export const readReturning = () => read('v1/account/returning');

/**
 * A card for each way in which resources can return, and the choice for the next suspension. Empty if nothing returns.
 * @param {{onMoved: (work: () => void) => void, signal: AbortSignal}} context
 * @param {() => void} changed runs after resources were started
 */
export function returning(context, changed) {
  const place = h('div', { class: 'stack' });
  let restart = null;
  let reload = null;
  let before = null;
  const show = (offers) => {
    if (!offers) return [];
    const cards = Object.entries(WAYS)
      .filter(([name]) => offers[name].resources > 0)
      .map(([name, way]) => offer(way, offers[name], name, ended));
    // Whoever chose that resources start by themselves can choose otherwise at any time.
    const isChoice = offers.start.resources > 0 || restart === 'in_order';
    return [...cards, isChoice && policy(restart)];
  };
  // Projects are shown with or without it.
  const load = () => readReturning().catch(() => null);
  const ended = () => {
    changed();
    before = null;
    refreshBalance().catch(reload);
  };
  context.onMoved(() => {
    before = null;
  });
  // What returns is read again if credit came, or a resource was started by itself. While it is offered, a resource of it
  // may be deleted, which costs nothing.
  watchBalance((balance) => {
    const next = JSON.stringify([balance.standing, balance.balance, balance.rate_per_hour, balance.restart]);
    if (next === before && !place.querySelector('.card[id]')) return;
    before = next;
    restart = balance.restart;
    if (reload) reload();
    else reload = loading(place, load, show, 1);
  }, context.signal);
  return whileOpen(place, context.signal);
}

function offer(way, { resources: count, rate_per_hour: rate, needed }, name, ended) {
  const problems = outlet();
  const isMore = count > AT_ONCE;
  const isEnough = needed !== null && money.isUsedUp(needed);
  const start = async () => {
    problems.clear();
    try {
      const { resources: started } = await write('POST', way.path);
      announce(way.done(started.length));
      ended();
    } catch (problem) {
      problems.show(problem);
    }
  };
  const action = isEnough
    ? button(isMore ? `${way.verb} the first ${AT_ONCE}` : `${way.verb} all`, start, { kind: 'primary', testid: `${name}-all` })
    : needed !== null && link('Add credit', '#add-credit', { kind: 'button primary', testid: `${name}-all-add-credit` });
  const which = isMore ? `The first ${AT_ONCE}` : 'They';
  const missing = isEnough ? '' : ` Add ${money.exact(needed ?? '0')} to run ${isMore ? 'these' : 'them'} again.`;
  return card(
    way.title(count),
    { id: `${name}-offer`, testid: `${name}-offer`, actions: action },
    h(
      'p',
      {},
      `${way.text} ${which} cost ${money.exact(rate)} per hour.`,
      needed === null ? ' Contact support to use this account again.' : missing,
    ),
    problems.element,
  );
}

/** The choice what happens when the next suspension ends. */
function policy(restart) {
  const problems = outlet();
  const choice = toggle('Start resources by themselves after a suspension', restart === 'in_order', {
    testid: 'restart-switch',
    id: 'restart-switch',
    change: () => busy(choice.input, save),
  });
  const save = async () => {
    const on = choice.input.checked;
    problems.clear();
    try {
      await write('PUT', 'v1/account/restart-policy', { restart: on ? 'in_order' : 'manual' });
      announce(on ? 'Resources will start by themselves.' : 'Resources will stay off until you start them.');
      refreshBalance().catch(() => {});
    } catch (problem) {
      choice.input.checked = !on;
      problems.show(problem);
    }
  };
  return h(
    'div',
    { class: 'card slim' },
    choice.element,
    h(
      'p',
      { class: 'hint' },
      'With the credit that ends the suspension, if it covers a start. The oldest start first, as far as it reaches.',
    ),
    problems.element,
  );
}
