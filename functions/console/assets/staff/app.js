/** The staff page: it finds accounts and payments, and does what staff may do. It uses the API for staff only. */

import { useSession } from '../api.js';
import * as oidc from '../auth.js';
import { fill, h } from '../dom.js';
import * as localCloud from '../local.js';
import { button, failure, noteTyping } from '../ui.js';
import * as account from './account.js';
import * as health from './health.js';
import { rights } from './parts.js';
import * as payment from './payment.js';
import * as search from './search.js';

const VIEWS = { search, account, payment, health };
const NAVIGATION = { search: 'Search', health: 'Health' };

const view = document.getElementById('view');

start();

async function start() {
  try {
    const config = await (await fetch('staff/config.json')).json();
    const session = config.mode === 'local' ? await localCloud.signInAsStaff() : await oidc.signIn(config);
    useSession(session);
    // Some issuers put the name of the API before a scope.
    rights.areAll = config.scopes.split(' ').some((scope) => scope.endsWith('tollgate/admin'));
    fill(
      document.getElementById('who'),
      h('span', { class: 'hint' }, 'Signed in as'),
      h('span', { testid: 'who', title: session.account }, session.name),
      session.signOut && button('Sign out', () => session.signOut(), { kind: 'quiet small', testid: 'sign-out' }),
    );
    fill(
      document.getElementById('nav'),
      Object.entries(NAVIGATION)
        .filter(([name]) => rights.areAll || name !== 'health')
        .map(([name, label]) => h('li', {}, h('a', { href: `#${name}`, testid: `nav-${name}` }, h('span', {}, label)))),
    );
    noteTyping(view);
    addEventListener('hashchange', open);
    open();
  } catch (problem) {
    fill(
      view,
      failure(problem, () => location.reload(), 'problem', null),
    );
  }
}

/** Shows what the URL's hash names: a view, and the ID that it is about. */
function open() {
  const [name, ...rest] = location.hash.slice(1).split('/').map(decoded);
  if (name === 'content' && view.querySelector('h1')) return document.getElementById('content').focus();
  const id = rest.join('/') || null;
  const isView = Object.hasOwn(VIEWS, name) && (id || name === 'health');
  const shown = isView ? VIEWS[name] : search;
  const heading = h('h1', { tabindex: '-1', id: 'title' }, shown.title(id));
  const body = h('div', { class: 'stack' });
  fill(view, search.box(id), heading, body);
  document.title = `${shown.title(id)} \u2013 Staff`;
  for (const link of document.querySelectorAll('#nav a')) {
    if (VIEWS[link.hash.slice(1)] === shown) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  shown.view(body, id);
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
  return undefined;
}

/** Decodes a part of the URL. A malformed part is returned unchanged. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
