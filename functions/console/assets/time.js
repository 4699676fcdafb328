/** Times in the customer's own time zone, with UTC in the tooltip. */

import { now } from './api.js';
import { h } from './dom.js';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const FORMATS = {
  full: { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  row: { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' },
  date: { day: 'numeric', month: 'short', year: 'numeric' },
};
const formats = new Map();

/** A time as text. @param {'full'|'row'|'date'} how */
export function shown(time, how = 'full') {
  const at = new Date(time);
  // A day in another year is shown with its year.
  const which = how === 'full' && at.getFullYear() !== now().getFullYear() ? 'row' : how;
  if (!formats.has(which)) formats.set(which, new Intl.DateTimeFormat('en-GB', FORMATS[which]));
  return formats.get(which).format(at);
}

/** A `<time>` element. Its tooltip is in UTC, which billing uses. */
export function time(at, how = 'full') {
  return h(
    'time',
    {
      datetime: at,
      title: `${String(at)
        .replace('T', ' ')
        .replace(/(\.\d+)?Z$/, '')} UTC`,
    },
    shown(at, how),
  );
}

/** Seconds from now until a time. Negative if the time has passed. */
export const secondsUntil = (at) => Math.floor((new Date(at).getTime() - now().getTime()) / 1000);

/** A duration in its two largest units: `2 days 3 hours`. */
export function duration(seconds) {
  const rest = Math.max(0, Math.round(seconds));
  if (rest < MINUTE) return count(rest, 'second');
  if (rest < HOUR) return count(Math.floor(rest / MINUTE), 'minute');
  if (rest < DAY) return pair(Math.floor(rest / HOUR), 'hour', Math.floor((rest % HOUR) / MINUTE), 'minute');
  const days = Math.floor(rest / DAY);
  return pair(days, 'day', days < 14 ? Math.floor((rest % DAY) / HOUR) : 0, 'hour');
}

/** An exact duration for bills: `1 h 2 min 5 s`. */
export function span(seconds) {
  const [hours, minutes, rest] = [Math.floor(seconds / HOUR), Math.floor((seconds % HOUR) / MINUTE), seconds % MINUTE];
  const parts = [];
  if (hours) parts.push(`${hours.toLocaleString('en-US')} h`);
  if (minutes) parts.push(`${minutes} min`);
  if (rest || parts.length === 0) parts.push(`${rest} s`);
  return parts.join(' ');
}

export const count = (number, unit) => `${number.toLocaleString('en-US')} ${unit}${number === 1 ? '' : 's'}`;
const pair = (a, unitA, b, unitB) => (b ? `${count(a, unitA)} ${count(b, unitB)}` : count(a, unitA));

/** The UTC month a number of months ago, as `2026-11`. */
export function month(back = 0) {
  const today = now();
  return new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - back, 1)).toISOString().slice(0, 7);
}

/** `November 2026` for `2026-11`. */
export const monthName = (text) =>
  new Intl.DateTimeFormat('en-GB', { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(
    new Date(`${text}-01T00:00:00Z`),
  );

/** A number of days ago, in the API's format. */
export const daysAgo = (days) => new Date(now().getTime() - days * DAY * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
