/**
 * Builds elements without markup. All content becomes text nodes, so user input is never parsed as HTML.
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Creates an element.
 * @param {string} tag
 * @param {Record<string, unknown>} [props] attributes. `on` holds listeners, `testid` becomes `data-testid`. Null,
 *   undefined and false are skipped.
 * @param {...unknown} children nodes, strings, numbers and arrays of them. Null, undefined and false are skipped.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === 'testid') {
      element.dataset.testid = String(value);
    } else if (name === 'value') {
      element.value = value;
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  append(element, children);
  return element;
}

/** Replaces the content of an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Paths on a 24 by 24 grid, stroked in the text colour. */
const ICONS = {
  balance: 'M3 7.5A2.5 2.5 0 0 1 5.5 5H18v3M3 7.5V17a2.5 2.5 0 0 0 2.5 2.5H21V8H4M16.5 13.7h.01',
  transactions: 'M4 6h16M4 12h16M4 18h10',
  refill: 'M20 11a8 8 0 0 0-14.5-3.7L4 9M4 4v5h5M4 13a8 8 0 0 0 14.5 3.7L20 15M20 20v-5h-5',
  cards: 'M3 6.5h18v11H3zM3 10.5h18M6.5 14.5h4',
  invoices: 'M6 3h9l4 4v14H6zM14.5 3v4.5H19M9 12h6M9 16h6',
  company: 'M4 20V5h10v15M14 10h6v10M2.5 20h19M7.5 9h3M7.5 13h3',
  projects: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
  warning: 'M12 4 2.8 20h18.400zM12 10v4.5M12 17.3h.01',
  error: 'M12 3a9 9 0 1 0 .01 0M12 7.5v5.5M12 16.3h.01',
  success: 'M12 3a9 9 0 1 0 .01 0M8 12.3l2.8 2.7L16 9.5',
  info: 'M12 3a9 9 0 1 0 .01 0M12 11v5.5M12 7.7h.01',
  chevron: 'M9 6l6 6-6 6',
  external: 'M9 5H5v14h14v-4M13 5h6v6M19 5l-9 9',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6 6 18',
  help: 'M12 3a9 9 0 1 0 .01 0M9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.7.300-1 .8-1 1.700M12 16.800h.01',
  clock: 'M12 3a9 9 0 1 0 .01 0M12 7v5l3.5 2',
};

/** A decorative icon that screen readers skip. @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** The URL if it is safe to link to, else null. URLs come from responses and could be `javascript:`. */
export function safeUrl(address) {
  try {
    const url = new URL(address, document.baseURI);
    return ['https:', 'http:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
