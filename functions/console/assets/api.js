/**
 * Client of the public API. The page uses nothing else.
 *
 * Reads are retried when no response arrives. A write is retried once with the same Idempotency-Key. If the retry fails
 * too and the customer repeats the request by hand, it carries the same key, so it can never happen twice.
 */

/** An error, with the members of an RFC 9457 problem document. */
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

  /** Whether the same request may succeed when retried. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The source of access tokens. Set once at sign-in. */
let session = { token: async () => null, expired: () => undefined };
export const useSession = (next) => {
  session = next;
};

/** The lead of the cloud's clock over this machine's, in milliseconds. */
let clockAhead = 0;
/** The current time of the cloud. A browser's clock may be wrong, and the local cloud's clock can be moved. */
export const now = () => new Date(Date.now() + clockAhead);
export const setNow = (time) => {
  clockAhead = new Date(time).getTime() - Date.now();
};
let followsServer = true;
/** The local cloud has its own clock, which no header reports. */
export const ignoreServerDate = () => {
  followsServer = false;
};

const READS_MAX = 3;
const PAUSE_MS = 700;
/** No response can come later than this. API Gateway itself gives up after 30 s. */
const TIMEOUT_MS = 31_000;

/** A URL relative to the page, wherever the page is served. */
export const address = (path) => new URL(path.replace(/^\//, ''), new URL('.', document.baseURI));

/**
 * Reads JSON.
 * @param {string} path such as `v1/balance`
 * @param {Record<string, string | number | null | undefined>} [query]
 */
export async function read(path, query = {}) {
  return (await get(path, query, 'application/json')).json();
}

/** Reads CSV. Returns its text and the cursor of the next part, or null. */
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

/** Idempotency keys of writes whose outcome is unknown. */
const unanswered = new Map();

/**
 * Sends a write. Returns null if the response has no body.
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
  // A write to this place succeeded, so the current state of it was seen. The same request from now on is a new one.
  for (const known of unanswered.keys()) if (known.split(' ')[1] === path) unanswered.delete(known);
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
        ? 'The server could not be reached. Nothing was lost. Try again.'
        : 'You are offline. This page will update when you are back online.',
    });
  }
  if (followsServer && response.headers.has('date')) setNow(response.headers.get('date'));
  if (response.ok) return response;
  const why = response.status === 401 ? session.expired(init.method ?? 'GET') : undefined;
  throw await problemOf(response, why);
}

async function problemOf(response, why) {
  const { status } = response;
  // Responses that did not come from a function, such as API Gateway's own errors, are not problem documents.
  const document = await response.json().catch(() => ({}));
  if (document.code) return new Problem({ ...document, status });
  const details = {
    401: 'Your session has expired. Sign in to continue.',
    403: 'You do not have permission to do this.',
    404: 'Not found.',
    429: 'Too many requests. Nothing was lost. Try again in a moment.',
  };
  const detail = why ?? details[status] ?? 'Something went wrong on our end. Nothing was lost. Try again in a moment.';
  return new Problem({
    status,
    code: status === 401 ? 'unauthorized' : `http_${status}`,
    detail,
    action: status === 401 ? { sign_in: true } : null,
  });
}
