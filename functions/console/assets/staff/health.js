/** Whether the installation works: tables, bus, and the setup at Stripe. */

import { read } from '../api.js';
import { h } from '../dom.js';
import { card, pill } from '../ui.js';
import { loading } from './parts.js';

export const title = () => 'Health';

export function view(host) {
  loading(
    host,
    () => read('v1/admin/health'),
    ({ ok, checks }) =>
      card(
        ok ? 'Everything works' : 'Something does not work',
        { testid: 'health' },
        h(
          'ul',
          { class: 'plain stack tight' },
          checks.map(({ name, ok: isRight, detail }) =>
            h('li', { testid: 'check' }, pill(isRight ? 'ok' : 'failing', isRight ? 'ok' : 'bad'), ' ', h('strong', {}, name.replaceAll('_', ' ')), h('span', { class: 'hint' }, ` ${detail}`)),
          ),
        ),
      ),
  );
}
