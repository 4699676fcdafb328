/**
 * Signs in with any OpenID Connect provider by redirect (authorization code flow with PKCE, RFC 7636).
 *
 * Tokens live in this module's memory only. The state that must survive the redirect (state, nonce, verifier and the
 * customer's current page) is kept in sessionStorage and removed when the provider redirects back.
 */

import { Problem, now } from './api.js';

const PENDING = 'tollgate.sign-in';
/** A token this close to its expiry is not used. It could expire while the request is on its way. */
const SPARE_MS = 20_000;
/** A token rejected this soon after signing in would be rejected again, so there is no second redirect. */
const LOOP_MS = 30_000;

/**
 * Signs in, or redirects to the provider and never resolves.
 * @param {{issuer: string, client_id: string, scopes?: string|string[], audience?: string}} config
 * @returns {Promise<{name: string, account: string, token: (method: string) => Promise<string>, expired: (method: string) => void}>}
 */
export async function signIn(config) {
  const query = new URLSearchParams(location.search);
  const answered = query.has('state') && (query.has('code') || query.has('error'));
  if (!answered) return leave(config);

  const pending = takePending();
  if (!pending || pending.state !== query.get('state')) {
    // An old bookmark or another person's sign-in. Its code must not be used.
    history.replaceState(null, '', location.pathname);
    return leave(config);
  }
  history.replaceState(null, '', pending.page);
  if (query.has('error')) {
    const why = query.get('error_description') || query.get('error');
    throw new Problem({
      status: 401,
      code: 'sign_in_failed',
      detail: `Sign-in failed: ${why}`,
      action: { sign_in: true },
    });
  }
  return sessionOf(config, await exchange(config, pending, query.get('code')), pending.nonce);
}

function sessionOf(config, tokens, nonce) {
  const claims = check(claimsOf(tokens.id_token), config, nonce);
  // The API verifies JWTs. If the provider's access tokens are opaque, the ID token is sent instead.
  const token = claimsOf(tokens.access_token) ? tokens.access_token : tokens.id_token;
  const lifetime = Number(tokens.expires_in) || 300;
  const signedInAt = Date.now();
  const expiresAt = signedInAt + lifetime * 1000;
  const signedOut = () =>
    new Problem({
      status: 401,
      code: 'signed_out',
      action: { sign_in: true },
      detail: 'Your session has expired. Nothing was changed. Sign in and try again.',
    });
  /** A read continues after the redirect. A write is never repeated by a page the customer has not seen. */
  const renew = (method) => (method === 'GET' ? leave(config) : Promise.reject(signedOut()));
  return {
    name: claims.email ?? claims.name ?? claims.sub,
    account: claims.sub,
    token: async (method) => (Date.now() < expiresAt - SPARE_MS ? token : renew(method)),
    expired: (method) => {
      if (method === 'GET' && Date.now() - signedInAt > LOOP_MS) leave(config);
    },
  };
}

/** Redirects to the provider, which redirects straight back if its own session is still valid. */
export async function leave(config) {
  const { authorization_endpoint: endpoint } = await discover(config.issuer);
  const [state, nonce, verifier] = [random(), random(), random()];
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const page = location.pathname + location.search + location.hash;
  sessionStorage.setItem(PENDING, JSON.stringify({ state, nonce, verifier, page }));
  const url = new URL(endpoint);
  const scopes = [config.scopes ?? 'openid email'].flat().join(' ');
  const parameters = {
    response_type: 'code',
    client_id: config.client_id,
    redirect_uri: redirectUri(),
    scope: scopes,
    state,
    nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
    ...(config.audience ? { audience: config.audience } : {}),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
  // The browser is leaving the page. Nothing after this may run.
  return new Promise(() => {});
}

async function exchange(config, pending, code) {
  const { token_endpoint: endpoint } = await discover(config.issuer);
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri(),
    client_id: config.client_id,
    code_verifier: pending.verifier,
  });
  const tokens = await fetch(endpoint, { method: 'POST', body, credentials: 'omit' })
    .then((response) => response.json())
    .catch(() => ({ error: 'the sign-in service could not be reached' }));
  if (tokens.id_token) return tokens;
  const why = tokens.error_description ?? tokens.error ?? 'the sign-in service returned no token';
  throw new Problem({
    status: 401,
    code: 'sign_in_failed',
    detail: `Sign-in failed: ${why}`,
    action: { sign_in: true },
  });
}

async function discover(issuer) {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  try {
    const response = await fetch(url, { credentials: 'omit' });
    if (!response.ok) throw new Error(String(response.status));
    return await response.json();
  } catch {
    throw new Problem({ detail: 'The sign-in service could not be reached. Try again in a moment.' });
  }
}

/**
 * Checks the claims of an ID token (OpenID Connect Core, 3.1.3.7). The signature needs no check because the token came
 * from the token endpoint over TLS.
 */
function check(claims, config, nonce) {
  const audience = [claims?.aud ?? []].flat();
  const isOurs =
    claims?.nonce === nonce &&
    String(claims.iss).replace(/\/$/, '') === config.issuer.replace(/\/$/, '') &&
    audience.includes(config.client_id) &&
    claims.exp * 1000 > now().getTime() - 300_000;
  if (isOurs) return claims;
  throw new Problem({
    status: 401,
    code: 'sign_in_failed',
    detail: 'The sign-in response was not issued for this page.',
    action: { sign_in: true },
  });
}

/** The claims of a JWT, or null if the token is not a JWT. */
function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) =>
      c.charCodeAt(0),
    );
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

function takePending() {
  const text = sessionStorage.getItem(PENDING);
  sessionStorage.removeItem(PENDING);
  return text && JSON.parse(text);
}

const redirectUri = () => location.origin + location.pathname;
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');
