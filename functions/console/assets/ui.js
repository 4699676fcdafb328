/** The building blocks of every section, each with a loading, an empty and a failed state. */

import { Problem } from './api.js';
import { signInAgain } from './auth.js';
import { fill, h, icon, safeUrl } from './dom.js';
import * as money from './money.js';
import { noteReference } from './references.js';

/** Announces a text to screen readers. */
export function announce(text) {
  const live = document.getElementById('live');
  live.textContent = '';
  // The region is emptied first, so that the same sentence announced twice is two changes.
  setTimeout(() => {
    live.textContent = text;
  }, 60);
}

/** Downloads a file that the page made. */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A button. It is busy while its work runs, and a second click does nothing. */
export function button(label, work, { kind = '', testid, describe, iconName, type = 'button' } = {}) {
  const element = h(
    'button',
    { type, class: `button ${kind}`, testid, 'aria-label': describe },
    iconName && icon(iconName),
    h('span', {}, label),
  );
  if (work) {
    element.addEventListener('click', () => {
      if (element.getAttribute('aria-busy') !== 'true') busy(element, () => work(element));
    });
  }
  return element;
}

/**
 * Copies a text, and says whether it could. Browsers allow it on secure pages only.
 * @param {string} text
 * @param {HTMLElement} status where it is said
 */
export async function copyText(text, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = 'Copied.';
  } catch {
    status.textContent = 'Your browser does not allow copying. Select the text instead.';
  }
  announce(status.textContent);
}

/** Marks forms that were typed into. What was typed is not thrown away by a redirect or a refresh. */
export function noteTyping(view) {
  view.addEventListener('input', ({ target }) => target.closest('form')?.setAttribute('data-dirty', ''));
}

/** Marks an element as busy while work runs. `disabled` would lose the keyboard focus. */
export async function busy(element, work) {
  element.setAttribute('aria-busy', 'true');
  element.setAttribute('aria-disabled', 'true');
  try {
    return await work();
  } finally {
    element.removeAttribute('aria-busy');
    element.removeAttribute('aria-disabled');
  }
}

/** Opens Stripe's page. What waits for it stays busy until the browser has left this one. */
export async function leaveFor(url) {
  location.assign(safeUrl(url));
  await new Promise((resolve) => setTimeout(resolve, 8000));
}

/** A link. Screen readers announce that it opens a new tab. */
export function link(label, href, { kind = '', testid, describe, outside = false } = {}) {
  const target = safeUrl(href);
  if (!target) return h('span', {}, label);
  const leaving = outside ? { target: '_blank', rel: 'noopener noreferrer' } : {};
  return h(
    'a',
    {
      href: href.startsWith('#') ? href : target,
      class: kind,
      testid,
      'aria-label': describe && (outside ? `${describe} (new tab)` : describe),
      ...leaving,
    },
    label,
    outside && icon('external'),
    outside && !describe && h('span', { class: 'visually-hidden' }, ' (new tab)'),
  );
}

/**
 * A notice.
 * @param {'success'|'info'|'warning'|'error'} kind
 */
export function notice(kind, title, { text, actions = [], close, testid, role } = {}) {
  const element = h(
    'div',
    { class: `notice ${kind}`, testid, role },
    icon(kind === 'error' ? 'error' : kind),
    h(
      'div',
      { class: 'notice-body' },
      h('p', { class: 'notice-title' }, title),
      text && h('p', {}, text),
      actions.length > 0 && h('div', { class: 'notice-actions' }, actions),
    ),
    close &&
      h(
        'button',
        {
          type: 'button',
          class: 'icon-button',
          'aria-label': 'Dismiss',
          on: {
            click: () => {
              element.remove();
              close();
            },
          },
        },
        icon('close'),
      ),
  );
  return element;
}

/** Buttons and links for a problem's `action`. */
function actionsOf(problem) {
  const action = problem.action ?? {};
  const actions = [];
  if (action.add_credit)
    actions.push(link('Add credit', '#add-credit', { kind: 'button primary', testid: 'problem-add-credit' }));
  if (action.set_email)
    actions.push(link('Set an e-mail address', '#company', { kind: 'button', testid: 'problem-set-email' }));
  if (action.contact) {
    actions.push(contact(action.contact, problem.code === 'amount_too_large' ? 'Contact sales' : 'Contact support'));
  }
  if (action.sign_in)
    actions.push(button('Sign in', signInAgain, { kind: 'primary', testid: 'problem-sign-in' }));
  if (action.url) actions.push(link(action.label ?? 'Continue', action.url, { kind: 'button', outside: true }));
  return actions;
}

/** A link to the operator. A mail starts with this subject and body. */
export function contact(whom, label, { kind = '', testid = 'contact', subject, body } = {}) {
  const look = { kind: `button ${kind}`, testid };
  if (whom.includes('://')) return link(label, whom, { ...look, outside: true });
  const mail = [['subject', subject], ['body', body]].filter(([, text]) => text);
  const query = mail.map(([name, text]) => `${name}=${encodeURIComponent(text)}`).join('&');
  return link(label, `mailto:${whom.replace(/^mailto:/, '')}${query && `?${query}`}`, look);
}

/** A link to the help section. @param {string} [topic] a question, or `tx/` and a transaction ID */
export const helpLink = (topic, kind = 'quiet') =>
  link('Get help', topic ? `#help/${topic}` : '#help', { kind: `button ${kind}`, testid: 'get-help' });

/**
 * A problem as a notice, with a retry button where a retry may help, and with the way to help. A section can add a
 * control to a problem as its `remedy`.
 * @param {Node|null} [help] instead of the help section
 */
export function failure(problem, retry, testid = 'problem', help = undefined) {
  const known =
    problem instanceof Problem
      ? problem
      : new Problem({ status: 500, code: 'internal', detail: 'Something went wrong on this page. Reload the page.' });
  if (known !== problem) console.error(problem);
  const retryAt = known.action?.retry_at;
  const actions = actionsOf(known);
  if (known.remedy) actions.push(known.remedy);
  if (retry && !known.action?.sign_in) actions.push(button('Try again', retry, { testid: 'retry' }));
  const topic = known.code === 'amount_too_large' ? 'larger' : null;
  actions.push(help === undefined ? helpLink(topic, actions.length ? 'quiet' : '') : help);
  noteReference('Request', known.requestId && `${known.requestId} (${known.code})`);
  const reference = known.requestId && known.status >= 500 ? ` Reference: ${known.requestId}.` : '';
  const later = retryAt
    ? ` You can try again at ${new Date(retryAt).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}.`
    : '';
  return notice(kindOf(known), known.message + later + reference, {
    actions,
    testid,
    role: 'alert',
  });
}

function kindOf({ status, code }) {
  if (code === 'signed_out') return 'info';
  // Limits that the customer can raise.
  if (status === 402 || code === 'budget_exceeded') return 'warning';
  return status === 0 ? 'warning' : 'error';
}

/** A place beside a form for its problems. The next attempt clears it. */
export function outlet() {
  const element = h('div', { class: 'outlet' });
  return {
    element,
    clear: () => element.replaceChildren(),
    show: (problem, retry) => fill(element, failure(problem, retry)),
    say: (kind, text) => {
      // What was typed is saved.
      if (kind === 'success') element.closest('form')?.removeAttribute('data-dirty');
      fill(element, notice(kind, text, { role: 'status' }));
    },
  };
}

/** Grey bars as placeholders while content loads. */
export function skeleton(lines = 3) {
  return h(
    'div',
    { class: 'skeleton', 'aria-hidden': 'true' },
    Array.from({ length: lines }, () => h('span')),
  );
}

/** An empty state with a title and a hint. */
export function empty(title, text, ...actions) {
  return h(
    'div',
    { class: 'empty', testid: 'empty' },
    h('p', { class: 'empty-title' }, title),
    text && h('p', {}, text),
    actions,
  );
}

/**
 * Loads content into a host, with placeholders while it loads and a notice with a retry button if it fails. A reload
 * keeps the old content until the new content arrives.
 * @param {Node|null} [help] as of {@link failure}
 */
export function loading(host, load, show, lines = 3, help = undefined) {
  let turn = 0;
  const run = async () => {
    turn += 1;
    const mine = turn;
    if (!host.hasChildNodes())
      fill(host, skeleton(lines), h('p', { class: 'visually-hidden', role: 'status' }, 'Loading'));
    host.setAttribute('aria-busy', 'true');
    try {
      const found = await load();
      if (mine === turn) keepingFocus(host, () => fill(host, show(found)));
    } catch (problem) {
      if (mine === turn) keepingFocus(host, () => fill(host, failure(problem, run, 'problem', help)));
    } finally {
      if (mine === turn) host.removeAttribute('aria-busy');
    }
  };
  run();
  return run;
}

/** Replaces content and keeps the keyboard focus on the same control, in the same row, or on the heading. */
export function keepingFocus(host, replace) {
  const before = document.activeElement;
  const isInside = host.contains(before);
  const control = before?.dataset?.testid;
  const item = before?.closest('[data-id]')?.dataset.id;
  replace();
  if (!isInside) return;
  const place = item ? [...host.querySelectorAll('[data-id]')].find((each) => each.dataset.id === item) : host;
  const target =
    (control && place?.querySelector(`[data-testid="${control}"]`)) ??
    (item && place?.querySelector('button')) ??
    host.closest('.card')?.querySelector('h2') ??
    document.getElementById('title');
  target?.focus({ preventScroll: true });
}

/** A section with a heading. */
export function card(title, { id, testid, actions, hint } = {}, ...children) {
  const heading = `h-${id ?? title.toLowerCase().replace(/\W+/g, '-')}`;
  return h(
    'section',
    { class: 'card', id, testid, 'aria-labelledby': heading },
    h(
      'div',
      { class: 'card-head' },
      h('div', {}, h('h2', { id: heading, tabindex: '-1' }, title), hint && h('p', { class: 'hint' }, hint)),
      actions && h('div', { class: 'card-actions' }, actions),
    ),
    children,
  );
}

/**
 * A table. On narrow screens its rows become blocks. CSS `display` would remove their roles, so every role is explicit.
 * @param {{caption: string, columns: {label: string, class?: string, hidden?: boolean}[], class?: string, testid?: string}} shape
 */
export function table({ caption, columns, class: kind = '', testid }, rows) {
  const head = h(
    'tr',
    { role: 'row' },
    columns.map((column) =>
      h(
        'th',
        { role: 'columnheader', scope: 'col', class: column.class },
        column.hidden ? h('span', { class: 'visually-hidden' }, column.label) : column.label,
      ),
    ),
  );
  return h(
    'table',
    { role: 'table', class: `table ${kind}`, testid },
    h('caption', { class: 'visually-hidden' }, caption),
    h('thead', { role: 'rowgroup' }, head),
    h('tbody', { role: 'rowgroup' }, rows),
  );
}

/** A row for {@link table}. The first cell is its header. */
export function row(columns, cells, props = {}) {
  return h(
    'tr',
    { role: 'row', ...props },
    cells.map((cell, index) =>
      index === 0
        ? h('th', { role: 'rowheader', scope: 'row', class: columns[0].class }, cell)
        : h('td', { role: 'cell', class: columns[index].class, 'data-label': columns[index].label }, cell),
    ),
  );
}

/** A rate in USD per hour. */
export const perHour = (rate) => [money.exact(rate), ' ', h('span', { class: 'unit' }, 'per hour')];

export const pill = (label, kind = '') => h('span', { class: `pill ${kind}` }, label);

/** A labelled input with a hint and an error message. */
export function field(label, input, { hint, prefix } = {}) {
  const id = input.id || (input.id = `f-${label.toLowerCase().replace(/\W+/g, '-')}`);
  const error = h('p', { class: 'field-error', id: `${id}-error` });
  const note = hint && h('p', { class: 'hint', id: `${id}-hint` }, hint);
  input.setAttribute('aria-describedby', [note && note.id, error.id].filter(Boolean).join(' '));
  const element = h(
    'div',
    { class: 'field' },
    h('label', { for: id }, label),
    prefix ? h('div', { class: 'prefixed' }, h('span', { 'aria-hidden': 'true' }, prefix), input) : input,
    note,
    error,
  );
  return {
    element,
    input,
    /** Shows an error message with what helps, or removes it if there is no text. */
    wrong: (text, ...more) => {
      fill(error, text, text && more);
      if (text) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    },
  };
}

/** A switch with its label. */
export function toggle(label, on, { testid, id, change } = {}) {
  const input = h('input', { type: 'checkbox', role: 'switch', id, testid, class: 'switch', on: change && { change } });
  input.checked = on;
  return { input, element: h('label', { class: 'toggle' }, input, h('span', { class: 'toggle-label' }, label)) };
}

/** Asks before an action that cannot be undone. Focus starts on Cancel and returns to where it was. */
export function confirm({ title, text, label, testid, work }) {
  const problems = outlet();
  const dialog = h(
    'dialog',
    { class: 'dialog', testid, 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text' },
    h('h2', { id: 'dialog-title' }, title),
    h('p', { id: 'dialog-text' }, text),
    problems.element,
    h(
      'div',
      { class: 'dialog-actions' },
      button('Cancel', () => dialog.close(), { testid: 'dialog-cancel' }),
      button(
        label,
        async () => {
          try {
            await work();
            dialog.close();
          } catch (problem) {
            problems.show(problem);
          }
        },
        { kind: 'danger', testid: 'dialog-confirm' },
      ),
    ),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    // The control that opened it may be gone.
    if (document.activeElement === document.body) document.getElementById('title')?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}
