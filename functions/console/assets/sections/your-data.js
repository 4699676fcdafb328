/** Everything that is kept about the customer, as one file. */

import { read } from '../api.js';
import { announce, button, card, outlet, saveFile } from '../ui.js';

export function yourData() {
  const problems = outlet();
  return card(
    'Your data',
    {
      testid: 'data-card',
      hint: 'What is stored about you and this account, as a JSON file. Payments and invoices are also stored by Stripe.',
      actions: button('Download', () => download(problems), { testid: 'data-download', iconName: 'download', describe: 'Download your data' }),
    },
    problems.element,
  );
}

async function download(problems) {
  problems.clear();
  try {
    const whole = { account: null, items: [], rows: [] };
    let cursor = null;
    do {
      const page = await read('v1/account/export', { cursor });
      whole.account = page.account;
      whole.items.push(...page.items);
      whole.rows.push(...page.rows);
      cursor = page.next;
    } while (cursor);
    saveFile(new Blob([JSON.stringify(whole, null, 2)], { type: 'application/json' }), 'account.json');
    announce('The file was downloaded.');
  } catch (problem) {
    problems.show(problem);
  }
}
