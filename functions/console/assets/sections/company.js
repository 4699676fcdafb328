/** Billing details for invoices, the e-mail address for receipts and notices, and the end of the account. */

import { read, write } from '../api.js';
import { whileOpen } from '../account.js';
import { fill, h } from '../dom.js';
import { announce, button, busy, card, field, loading, outlet } from '../ui.js';
import { closing } from './closing.js';
import { yourData } from './your-data.js';

export const title = 'Company';

/** ISO 3166-1 alpha-2 codes. The browser provides the names. */
const COUNTRIES = (
  'AD AE AF AG AI AL AM AO AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CD CF CG CH CI CK ' +
  'CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU ' +
  'GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC ' +
  'MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT ' +
  'PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG ' +
  'US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW'
).split(' ');

/** Stripe's names of the most common tax ID types. A different type that is already set is kept. */
const TAX_IDS = {
  eu_vat: 'EU VAT',
  gb_vat: 'UK VAT',
  us_ein: 'US EIN',
  ch_vat: 'Swiss VAT',
  no_vat: 'Norwegian VAT',
  au_abn: 'Australian ABN',
  br_cnpj: 'Brazilian CNPJ',
  ca_bn: 'Canadian BN',
  ca_gst_hst: 'Canadian GST/HST',
  in_gst: 'Indian GST',
  jp_trn: 'Japanese TRN',
  kr_brn: 'Korean BRN',
  mx_rfc: 'Mexican RFC',
  nz_gst: 'New Zealand GST',
  sg_gst: 'Singaporean GST',
  tr_tin: 'Turkish TIN',
  ae_trn: 'UAE TRN',
  za_vat: 'South African VAT',
};

export function view(host, context) {
  const [company, account] = [h('div'), h('div')];
  loading(company, () => read('v1/company'), companyForm, 6);
  loading(account, () => read('v1/account'), (found) => emailForm(found, context.email), 2);
  fill(
    host,
    card('Billing details', { hint: 'Shown on the payment page and on future invoices.' }, company),
    card('E-mail', { hint: 'Used for receipts and notices.' }, account),
    yourData(),
    whileOpen(closing(), context.signal),
  );
}

function companyForm({ name, address, tax_id: taxId }) {
  const text = (label, id, value, autocomplete, more = {}) =>
    field(label, h('input', { id, testid: id, autocomplete, maxlength: 200, value: value ?? '', ...more }));
  const fields = {
    name: text('Company or name', 'company-name', name, 'organization'),
    line1: text('Address', 'company-line1', address?.line1, 'address-line1'),
    line2: text('Address line 2', 'company-line2', address?.line2, 'address-line2'),
    postal_code: text('Postal code', 'company-postal', address?.postal_code, 'postal-code'),
    city: text('City', 'company-city', address?.city, 'address-level2'),
    state: text('State or region', 'company-state', address?.state, 'address-level1'),
    country: field(
      'Country',
      options('company-country', countries(address?.country), address?.country ?? '', 'country'),
    ),
  };
  const kinds = taxId && !TAX_IDS[taxId.type] ? { ...TAX_IDS, [taxId.type]: taxId.type } : TAX_IDS;
  const kind = field('Tax ID type', options('company-tax-type', { '': 'None', ...kinds }, taxId?.type ?? ''));
  const number = text('Tax ID', 'company-tax-value', taxId?.value, 'off', { spellcheck: 'false' });
  fields.name.element.classList.add('span-2');
  const problems = outlet();
  const save = button('Save', null, { kind: 'primary', testid: 'company-save', type: 'submit' });
  return h(
    'form',
    { class: 'stack tight', testid: 'company-form', novalidate: true, on: { submit } },
    h(
      'div',
      { class: 'grid-2' },
      Object.values(fields).map((each) => each.element),
      kind.element,
      number.element,
    ),
    problems.element,
    h('div', { class: 'form-foot' }, save),
  );

  function body() {
    const value = (each) => each.input.value.trim() || null;
    const place = Object.fromEntries(
      Object.entries(fields)
        .filter(([key]) => key !== 'name')
        .map(([key, each]) => [key, value(each)]),
    );
    return {
      name: value(fields.name),
      address: Object.values(place).some(Boolean) ? place : null,
      tax_id: value(kind) && value(number) ? { type: value(kind), value: value(number) } : null,
    };
  }

  function isWrong() {
    const { address: place } = body();
    fields.country.wrong(place && !place.country ? 'Choose a country.' : null);
    number.wrong(kind.input.value && !number.input.value.trim() ? 'Enter the tax ID, or set the type to None.' : null);
    kind.wrong(!kind.input.value && number.input.value.trim() ? 'Choose the type of this tax ID.' : null);
    return [fields.country, kind, number].find((each) => each.input.getAttribute('aria-invalid'));
  }

  async function submit(event) {
    event.preventDefault();
    const wrong = isWrong();
    if (wrong) return wrong.input.focus();
    problems.clear();
    return busy(save, async () => {
      try {
        await write('PUT', 'v1/company', body());
        problems.say('success', 'Saved. It appears on your next invoice.');
        announce('Saved.');
      } catch (problem) {
        problems.show(problem);
      }
    });
  }
}

/** An account without an address is offered the one of whoever is signed in. */
function emailForm({ email }, known) {
  const address = field(
    'E-mail address',
    h('input', {
      id: 'account-email',
      testid: 'account-email',
      type: 'email',
      autocomplete: 'email',
      maxlength: 254,
      required: true,
      value: email ?? known ?? '',
    }),
    { hint: email || !known ? null : 'From your sign-in. Save it to receive receipts and notices.' },
  );
  const problems = outlet();
  const save = button('Save', null, { kind: 'primary', testid: 'email-save', type: 'submit' });
  return h(
    'form',
    { class: 'stack tight', novalidate: true, on: { submit } },
    h('div', { class: 'grid-2' }, address.element),
    problems.element,
    h('div', { class: 'form-foot' }, save),
  );

  async function submit(event) {
    event.preventDefault();
    address.wrong(address.input.checkValidity() ? null : 'Enter an e-mail address, such as billing@example.com.');
    if (!address.input.checkValidity()) return address.input.focus();
    problems.clear();
    return busy(save, async () => {
      try {
        await write('PUT', 'v1/account', { email: address.input.value.trim() });
        problems.say('success', 'Saved.');
      } catch (problem) {
        problems.show(problem);
      }
    });
  }
}

function options(id, entries, chosen, autocomplete) {
  const element = h(
    'select',
    { id, testid: id, autocomplete },
    Object.entries(entries).map(([value, label]) => h('option', { value }, label)),
  );
  element.value = chosen;
  return element;
}

function countries(chosen) {
  const names = new Intl.DisplayNames(['en'], { type: 'region' });
  const codes = chosen && !COUNTRIES.includes(chosen) ? [...COUNTRIES, chosen] : COUNTRIES;
  const sorted = codes.map((code) => [code, names.of(code)]).sort((a, b) => a[1].localeCompare(b[1]));
  return { '': 'Choose', ...Object.fromEntries(sorted) };
}
