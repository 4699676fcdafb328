/** Sign-in, navigation between sections, and refreshing. */

import { Problem, address, useSession } from './api.js';
import { knownBalance, refreshBalance } from './account.js';
import * as oidc from './auth.js';
import { banners, returned } from './banners.js';
import { noteReturn } from './checkout.js';
import { fill, h, icon } from './dom.js';
import * as localCloud from './local.js';
import { button, contact, failure, link, noteTyping } from './ui.js';
import * as balance from './sections/balance.js';
import * as cards from './sections/cards.js';
import * as company from './sections/company.js';
import * as help from './sections/help.js';
import * as invoices from './sections/invoices.js';
import * as projects from './sections/projects.js';
import * as refill from './sections/refill.js';
import * as transactions from './sections/transactions.js';

const SECTIONS = { balance, projects, transactions, refill, cards, invoices, company, help };
/** Parts of the balance section that have an address of their own, with what gets the focus there. */
const PARTS = { 'add-credit': 'custom-amount', trial: 'h-trial', plans: 'h-plans' };
/** How often the balance is refreshed while the page is visible. */
const REFRESH_MS = 60_000;

const view = document.getElementById('view');
/** Aborts the work of the previous section. */
let leaving = new AbortController();

start();

async function start() {
  const place = document.getElementById('banners');
  let config = null;
  try {
    config = await configuration();
    const session = config.mode === 'local' ? await localCloud.signIn() : await oidc.signIn(config);
    useSession(session);
    fill(
      document.getElementById('who'),
      h('span', { class: 'hint' }, 'Signed in as'),
      h('span', { testid: 'who', title: session.account }, session.name),
      session.signOut && button('Sign out', () => session.signOut(), { kind: 'quiet small', testid: 'sign-out' }),
    );
    navigation();
    fill(document.getElementById('foot'), 'Questions about your bill? ', link('Get help', '#help', { testid: 'foot-help' }));
    const above = banners(place, config);
    const show = (isFirst) => open(config, session, isFirst);
    if (config.mode === 'local') {
      localCloud.bar(document.getElementById('local-bar'), session, () => view.dispatchEvent(new Event('moved')));
    }
    addEventListener('hashchange', () => show(false));
    // A section that is drawn again begins anew.
    noteTyping(view);
    // A link to the current hash fires no `hashchange`.
    document.addEventListener('click', (event) => {
      const hash = event.target.closest?.('a[href^="#"]')?.getAttribute('href');
      if (location.hash === hash && focusPart(hash.slice(1))) event.preventDefault();
    });
    // The result is shown on the cards section. `replaceState` avoids a second `hashchange`.
    if (new URLSearchParams(location.search).has('card')) history.replaceState(null, '', `${location.search}#cards`);
    // Before any section shows the auto-refill settings.
    noteReturn(new URLSearchParams(location.search).get('session'));
    show(true);
    returned(above, config, { changed: () => view.dispatchEvent(new Event('moved')) });
    keepFresh();
  } catch (problem) {
    // Without an account there is no help section.
    const operator = config?.operator_contact;
    const help = operator ? contact(operator, 'Contact support', { kind: 'quiet' }) : null;
    fill(
      view,
      failure(problem, () => location.reload(), 'problem', help),
    );
  }
}

async function configuration() {
  // Sent without a token. Nobody is signed in yet, and the configuration is not secret.
  const response = await fetch(address('config.json')).catch(() => null);
  if (response?.ok) return response.json();
  throw new Problem({
    status: response?.status ?? 0,
    code: 'no_configuration',
    detail: 'The page could not be loaded. Try again in a moment.',
  });
}

function navigation() {
  const links = Object.entries(SECTIONS).map(([name, section]) =>
    h('li', {}, h('a', { href: `#${name}`, testid: `nav-${name}` }, icon(name), h('span', {}, section.title))),
  );
  fill(document.getElementById('nav'), links);
}

/** Shows the section named in the URL's hash. */
function open(config, session, isFirst) {
  const [name, ...rest] = location.hash.slice(1).split('/').map(decoded);
  // The target of the skip link is not a section.
  if (name === 'content') return document.getElementById('content').focus();
  // A name such as `constructor` is no section, although every object has it.
  const section = Object.hasOwn(SECTIONS, name) ? SECTIONS[name] : balance;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const context = {
    config,
    signal,
    path: rest.join('/') || null,
    /** The address of whoever is signed in, if it is known. */
    email: session.email ?? null,
    reload: () => open(config, session, true),
    /** Runs after the clock moved or credit was added. */
    onMoved: (work) => view.addEventListener('moved', work, { signal }),
  };
  const heading = h('h1', { tabindex: '-1', id: 'title' }, section.title);
  const body = h('div', { class: 'stack' });
  fill(view, heading, body);
  document.title = `${section.title} \u2013 Billing`;
  for (const link of document.querySelectorAll('#nav a')) {
    if (SECTIONS[link.hash.slice(1)] === section) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  revealInNavigation();
  section.view(body, context);
  if (section === balance)
    context.onMoved(() => {
      if (!isTyping()) open(config, session, true);
    });
  if (!focusPart(name) && !isFirst) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  return undefined;
}

/** On narrow screens the navigation scrolls sideways. `scrollIntoView` would also move the keyboard focus. */
function revealInNavigation() {
  const current = document.querySelector('#nav [aria-current]');
  const bar = current.closest('nav');
  bar.scrollLeft = current.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;
}

/** Decodes a part of the URL. A malformed part is returned unchanged. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Focuses a part of the balance section. Returns false if it is not on the page. */
function focusPart(name) {
  const target = Object.hasOwn(PARTS, name) && document.getElementById(PARTS[name]);
  if (!target) return false;
  document.getElementById(name).scrollIntoView({ block: 'nearest' });
  target.focus({ preventScroll: true });
  return true;
}

/** A form that has the focus, or was typed into, is never replaced. */
function isTyping() {
  const isFocused = document.activeElement?.closest('form') && view.contains(document.activeElement);
  return isFocused || view.querySelector('form[data-dirty]');
}

function keepFresh() {
  const refresh = () => {
    if (!document.hidden && navigator.onLine) refreshBalance().catch(() => {});
  };
  setInterval(refresh, REFRESH_MS);
  document.addEventListener('visibilitychange', refresh);
  addEventListener('online', () => view.dispatchEvent(new Event('moved')));
  view.addEventListener('moved', refresh);
  // Every section shows the balance warnings at the top, so the balance is read even where it is not shown.
  knownBalance();
}
