/** Quantities of metered usage, in the units that customers read, such as "1M tokens". */

import * as money from './money.js';

/**
 * @typedef {{unit_name: string | null, unit_size: string | null}} Unit null: single units
 */

/** `12.5 × 1M tokens`, or `12,500` in single units. @param {string} used @param {Unit} unit */
export function quantity(used, { unit_name: name, unit_size: size }) {
  const count = money.ratio(used, size ?? '1');
  return name ? `${count} \u00d7 ${name}` : count;
}

/** `$0.15 / 1M tokens`, or `$0.01 each`. @param {string | null} rate null: it changed @param {Unit} unit */
export function price(rate, { unit_name: name, unit_size: size }) {
  if (rate === null) return 'Changed';
  return name ? `${money.product(rate, size ?? '1')} / ${name}` : `${money.exact(rate)} each`;
}

/** `api_key key-1, model small`. @param {Record<string, string>} labels */
export const labelled = (labels) =>
  Object.entries(labels)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
