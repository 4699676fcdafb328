/**
 * Money as decimal strings in USD, as in the API. Sums and comparisons use BigInt, never floating point. Twelve
 * decimals hold every amount (six decimals) and every rate on the price list.
 */

const DECIMALS = 12;
const UNIT = 10n ** BigInt(DECIMALS);
const CENT = UNIT / 100n;

/** A decimal string as a whole number of 10^-12 dollars. @param {string} text @returns {bigint} */
export function parse(text) {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(String(text).trim());
  if (!match) throw new TypeError(`not an amount: ${text}`);
  const [, sign, whole, fraction = ''] = match;
  const value = BigInt(whole) * UNIT + BigInt(fraction.padEnd(DECIMALS, '0').slice(0, DECIMALS));
  return sign === '-' ? -value : value;
}

/** The sum of decimal strings, as a decimal string. */
export function sum(amounts) {
  return text(amounts.reduce((total, amount) => total + parse(amount), 0n));
}

/** Negative, zero or positive if `a` is less than, equal to or greater than `b`. */
export function compare(a, b) {
  const difference = parse(a) - parse(b);
  return difference < 0n ? -1 : Number(difference > 0n);
}

/** The smaller of two amounts. */
export const least = (a, b) => (compare(a, b) < 0 ? a : b);

/** Whether it is zero or less. */
export const isUsedUp = (amount) => compare(amount, '0') <= 0;

/** All digits, with at least two decimals. Used in rows, so that rows add up. */
export function exact(amount) {
  return written(parse(amount));
}

/** Whole cents, rounded down, so that a balance never looks larger than it is. */
export function balance(amount) {
  return written(floorCents(parse(amount)));
}

/** Whole cents, rounded up, so that a cost never looks smaller than it is. */
export function cost(amount) {
  return written(-floorCents(-parse(amount)));
}

/** An amount with its sign, for lists of transactions. */
export function signed(amount) {
  const value = parse(amount);
  return value > 0n ? `+${written(value)}` : written(value);
}

/** A price for many units, with all digits. @param {string} rate @param {string} units */
export const product = (rate, units) => written((parse(rate) * parse(units)) / UNIT);

/** One number divided by another, with at most six decimals. @param {string} number @param {string} by */
export function ratio(number, by) {
  const shown = (parse(number) * 1_000_000n) / parse(by);
  const whole = (shown / 1_000_000n).toString().replace(/\B(?=(\d{3})+$)/g, ',');
  const fraction = (shown % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '');
  return fraction ? `${whole}.${fraction}` : whole;
}

/** A part in whole percent, rounded down. @param {string} part @param {string} whole above zero */
export const percent = (part, whole) => Number((parse(part) * 100n) / parse(whole));

/** A decimal string with at least two decimals. */
export const normal = (amount) => text(parse(amount));

/** @typedef {{min: string, max: string}} Limits the smallest and the largest amount that the API accepts */

/** @param {string} amount @param {Limits} limits */
export const isWithin = (amount, { min, max }) => compare(amount, min) >= 0 && compare(amount, max) <= 0;

/** The amount, or the limit that it exceeds. @param {string} amount @param {Limits} limits */
export function closest(amount, { min, max }) {
  if (compare(amount, min) < 0) return normal(min);
  return compare(amount, max) > 0 ? normal(max) : amount;
}

/** The error for an amount outside the limits, or null. @param {string} amount @param {Limits} limits */
export function outside(amount, { min, max }) {
  if (isUsedUp(amount)) return 'Enter an amount above $0.00.';
  if (compare(amount, min) < 0) return `The minimum is ${exact(min)}.`;
  if (compare(amount, max) > 0) return `The maximum is ${exact(max)}.`;
  return null;
}

/** The default threshold for auto-refill. It is a fifth of the top-up in whole cents, at most $10. */
export function defaultThreshold(topup) {
  const fifth = floorCents(parse(topup) / 5n);
  return text(fifth < 10n * UNIT ? fifth : 10n * UNIT);
}

/**
 * Parses user input: `25`, `25.5`, `$1,000.00`, `12,50`.
 * @returns {{amount: string} | {error: string}}
 */
export function typed(input) {
  const plain = input
    .replace(/[\s$]/g, '')
    .replace(/^(\d+),(\d{1,2})$/, '$1.$2')
    .replace(/,(?=\d{3}(\D|$))/g, '');
  if (plain === '') return { error: 'Enter an amount.' };
  if (!/^\d{1,12}(\.\d*)?$/.test(plain)) return { error: 'Enter an amount in dollars, such as 25.00.' };
  if (!/^\d+(\.\d{0,2})?$/.test(plain)) return { error: 'Enter at most two decimals.' };
  return { amount: text(parse(plain)) };
}

function text(value) {
  const [whole, fraction] = digits(value < 0n ? -value : value);
  return `${value < 0n ? '-' : ''}${whole}.${fraction}`;
}

function written(value) {
  const [whole, fraction] = digits(value < 0n ? -value : value);
  return `${value < 0n ? '\u2212' : ''}$${whole.replace(/\B(?=(\d{3})+$)/g, ',')}.${fraction}`;
}

function digits(value) {
  const fraction = (value % UNIT).toString().padStart(DECIMALS, '0').replace(/0+$/, '').padEnd(2, '0');
  return [(value / UNIT).toString(), fraction];
}

function floorCents(value) {
  const rest = ((value % CENT) + CENT) % CENT;
  return value - rest;
}
