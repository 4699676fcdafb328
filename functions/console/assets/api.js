/**
 * The public API, and nothing else: the page has no other door.
 *
 * Reads are repeated when nothing was heard. A write is repeated once with the same Idempotency-Key; if that came to
 * nothing either, the same request made again by hand carries the key of the first, so that it can never happen twice.
 */

/** Why something did not come about, in the words of an RFC 9457 problem document. */
export class Problem extends Error {
  constructor({
    status = 0,
    code = 'offline',
    detail,
    title,
    action = null,
    request_id: requestId = null,
    ...members
  }) {
    super(detail ?? title ?? 'Something went wrong.');
    Object.assign(this, { status, code, action, requestId, members });
  }

  /** Whether the same request may succeed if it is simply made again. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** How a caller is known; set once by whoever signs in. */
let session = { token: async () => null, expired: () => {} };
export const useSession = (next) => {
  session = next;
};

/** How far the cloud's clock is ahead of this machine's, in milliseconds. */
let clockAhead = 0;
/** Now, as the cloud sees it: a browser's clock may be wrong, and the local cloud's can be moved. */
export const now = () => new Date(Date.now() + clockAhead);
export const setNow = (time) => {
  clockAhead = new Date(time).getTime() - Date.now();
};
let followsServer = true;
/** The local cloud has a clock of its own, which no header tells of. */
export const ignoreServerDate = () => {
  followsServer = false;
};

const READS_MAX = 3;
const PAUSE_MS = 700;
/** After this an answer is not coming: API Gateway itself gives up at 30 s. */
const TIMEOUT_MS = 31_000;

/** An address below the page's own, wherever that is served. */
export const address = (path) => new URL(path.replace(/^\//, ''), new URL('.', document.baseURI));

/**
 * Reads JSON.
 * @param {string} path such as `v1/balance`
 * @param {Record<string, string | number | null | undefined>} [query]
 */
export async function read(path, query = {}) {
  return (await get(path, query, 'application/json')).json();
}

/** Reads CSV: its text, and the cursor of the rest if there is more. */
export async function readCsv(path, query) {
  const response = await get(path, query, 'text/csv');
  const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get('link') ?? '');
  return { text: await response.text(), next: next && new URL(next[1], response.url).searchParams.get('cursor') };
}

/** All items of a list, page by page, at most `max`. */
export async function readAll(path, query = {}, max = 1000) {
  const items = [];
  let cursor = null;
  do {
    const page = await read(path, { ...query, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < max);
  return items;
}

/** Keys of writes of which it is not known whether they happened. */
const unanswered = new Map();

/**
 * Changes something; null if the answer has no body.
 * @param {'POST'|'PUT'|'DELETE'} method
 */
export async function write(method, path, body) {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const request = `${method} ${path} ${content}`;
  const key = unanswered.get(request) ?? crypto.randomUUID();
  unanswered.set(request, key);
  const headers = { Accept: 'application/json', 'Idempotency-Key': key };
  if (content !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await repeated(2, () => send(address(path), { method, headers, body: content }));
  } catch (problem) {
    if (!problem.isPassing) unanswered.delete(request);
    throw problem;
  }
  // Anything that went through makes earlier doubts void: the same wish from now on is a new one.
  unanswered.clear();
  return response.status === 204 ? null : response.json();
}

function get(path, query, accept) {
  const url = address(path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, String(value));
  }
  return repeated(READS_MAX, () => send(url, { headers: { Accept: accept } }));
}

async function repeated(times, attempt) {
  for (let left = times - 1; ; left -= 1) {
    try {
      return await attempt();
    } catch (problem) {
      if (!problem.isPassing || left === 0 || !navigator.onLine) throw problem;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (times - left)));
    }
  }
}

async function send(url, { headers, ...init }) {
  const token = await session.token(init.method ?? 'GET');
  let response;
  try {
    response = await fetch(url, {
      ...init,
      headers: { ...headers, Authorization: `Bearer ${token}` },
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Problem({
      detail: navigator.onLine
        ? 'The server could not be reached. Nothing was lost: try again.'
        : 'You are offline. This page goes on when the connection is back.',
    });
  }
  if (followsServer && response.headers.has('date')) setNow(response.headers.get('date'));
  if (response.ok) return response;
  if (response.status === 401) session.expired(init.method ?? 'GET');
  throw await problemOf(response);
}

async function problemOf(response) {
  const { status } = response;
  // What did not come from a function, such as the gateway's own refusals, is no problem document.
  const document = await response.json().catch(() => ({}));
  if (document.code) return new Problem({ ...document, status });
  const details = {
    401: 'Your session has ended. Sign in again to go on.',
    403: 'You may not see or do this.',
    404: 'This is not available here.',
    429: 'Too much at once. Nothing was lost: try again in a moment.',
  };
  const detail = details[status] ?? 'Something went wrong on our side. Nothing was lost: try again in a moment.';
  return new Problem({
    status,
    code: status === 401 ? 'unauthorized' : `http_${status}`,
    detail,
    action: status === 401 ? { sign_in: true } : null,
  });
}
