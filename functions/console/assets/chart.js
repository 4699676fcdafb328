/**
 * Charts by uPlot, which is loaded when the first chart is drawn. This is the only place where money becomes a floating
 * point number, because pixels need no exact cents. Every chart has a table with the exact amounts beside it.
 */

import { h } from './dom.js';
import * as money from './money.js';
import { table, row } from './ui.js';

const HEIGHT = 210;
let library;

/** The library is a plain script that sets one global. It is kept as its authors published it. */
function load() {
  library ??= new Promise((resolve, reject) => {
    const script = h('script', {
      src: new URL('./vendor/uPlot.iife.min.js', import.meta.url).href,
      on: { load: () => resolve(globalThis.uPlot), error: reject },
    });
    document.head.append(script);
  });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dollars = (value) =>
  `${value < 0 ? '\u2212' : ''}$${Math.abs(value).toLocaleString('en-US', { maximumFractionDigits: 2, minimumFractionDigits: Number.isInteger(value) ? 0 : 2 })}`;

/** Axes in the page's colours. Colours are functions, so a change of theme only needs a redraw. */
const axis = (more) => ({
  stroke: () => colour('--text-quiet'),
  font: '12px system-ui, sans-serif',
  grid: { stroke: () => colour('--line'), width: 1 },
  ticks: { show: false },
  ...more,
});
const VALUE_AXIS = { size: 58, values: (_, splits) => splits.map(dollars) };

/**
 * The balance over time.
 * @param {{at: string, balance: string}[]} items
 * @param {{summary: string, label: (at: string) => string}} texts
 */
export function balanceChart(items, { summary, label }) {
  const data = [items.map((item) => Date.parse(item.at) / 1000), items.map((item) => Number(item.balance))];
  const options = () => ({
    scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high * 1.08)] } },
    axes: [
      axis({
        grid: { show: false },
        space: 64,
        size: 46,
        values: [
          [86400 * 28, '{MMM} {YYYY}', null, null, null, null, null, null, 1],
          [86400, '{D} {MMM}', null, null, null, null, null, null, 1],
          [3600, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
          [60, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
        ],
      }),
      axis(VALUE_AXIS),
    ],
    series: [
      {},
      { stroke: () => colour('--accent'), width: 2, fill: () => colour('--accent-wash'), points: { show: false } },
    ],
  });
  const tip = (index) => `${label(items[index].at)}: ${money.balance(items[index].balance)}`;
  const columns = [{ label: 'Time' }, { label: 'Balance', class: 'num' }];
  return figure(data, options, {
    summary,
    tip,
    rows: table(
      { caption: summary, columns, class: 'compact' },
      [...items].reverse().map((item) => row(columns, [label(item.at), money.exact(item.balance)])),
    ),
  });
}

/**
 * Spending per project, SKU or resource, as bars.
 * @param {{name: string, amount: string}[]} items largest first
 */
export function spendingChart(items, { summary, rows }) {
  const shortened = (name, width) => (name.length > width ? `${name.slice(0, width - 1)}…` : name);
  const data = [items.map((_, index) => index), items.map((item) => Number(item.amount))];
  const options = (plot, width) => ({
    scales: {
      x: { time: false, range: () => [-0.6, items.length - 0.4] },
      y: { range: (_, low, high) => [Math.min(0, low), Math.max(0.01, high * 1.1)] },
    },
    axes: [
      axis({
        grid: { show: false },
        size: 34,
        splits: () => data[0],
        values: (_, splits) =>
          splits.map((index) =>
            shortened(items[index]?.name ?? '', Math.max(5, Math.floor((width - 90) / items.length / 8))),
          ),
      }),
      axis(VALUE_AXIS),
    ],
    series: [
      {},
      {
        stroke: () => colour('--accent'),
        fill: () => colour('--accent'),
        width: 0,
        paths: plot.paths.bars({ size: [0.6, 56], radius: 0.15 }),
        points: { show: false },
      },
    ],
  });
  return figure(data, options, {
    summary,
    rows,
    tip: (index) => `${items[index].name}: ${money.cost(items[index].amount)}`,
  });
}

/** A chart with a line of text for the point under the pointer, and a table of the same data. */
function figure(data, options, { summary, tip, rows }) {
  const reading = h('p', { class: 'chart-reading', 'aria-hidden': 'true' }, '\u00a0');
  const canvas = h('div', { class: 'chart-canvas', role: 'img', 'aria-label': summary });
  const element = h(
    'figure',
    { class: 'chart' },
    canvas,
    reading,
    h(
      'details',
      { class: 'chart-table' },
      h('summary', {}, 'Show as a table'),
      h('div', { class: 'chart-rows' }, rows),
    ),
  );
  draw(canvas, data, options, (index) => {
    reading.textContent = index === null || index === undefined ? '\u00a0' : tip(index);
  }).catch(() => {
    canvas.replaceChildren(h('p', { class: 'hint' }, 'The chart could not be loaded. The table shows the same data.'));
  });
  return element;
}

async function draw(canvas, data, options, read) {
  const uPlot = await load();
  let plot = null;
  const width = () => Math.floor(canvas.clientWidth);
  const make = () => {
    plot?.destroy();
    plot = new uPlot(
      {
        width: width(),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false, x: false }, points: { size: 8 } },
        hooks: { setCursor: [(self) => read(self.cursor.idx)] },
        ...options(uPlot, width()),
      },
      data,
      canvas,
    );
  };
  // Redrawn instead of resized, because labels are cut to the available width.
  const observer = new ResizeObserver(() => {
    if (!canvas.isConnected) return observer.disconnect();
    if (width() > 0 && width() !== plot?.width) make();
    return undefined;
  });
  observer.observe(canvas);
  const theme = matchMedia('(prefers-color-scheme: dark)');
  const repaint = () => (canvas.isConnected ? make() : theme.removeEventListener('change', repaint));
  theme.addEventListener('change', repaint);
}
