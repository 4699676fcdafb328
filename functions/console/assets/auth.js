/**
 * Signs in with any OpenID Connect provider by redirect (authorization code flow with PKCE, RFC 7636).
 *
 * Tokens live in this module's memory only. The state that must survive the redirect (state, nonce, verifier and the
 * customer's current page) is kept in sessionStorage and removed when the provider redirects back.
 */

import { Problem } from './api.js';
import { forgetReferences } from './references.js';

const PENDING = 'tollgate.sign-in';
/** The times of the last redirects to the provider. */
const REDIRECTS = 'tollgate.redirects';
/** Set while the customer is signed out by choice, so that a reload does not sign in again. */
const SIGNED_OUT = 'tollgate.signed-out';
/** A token this close to its expiry is not used. It could expire while the request is on its way. */
const SPARE_MS = 20_000;
/** A token rejected this soon after signing in would be rejected again, so there is no second redirect. */
const LOOP_MS = 30_000;
/** More redirects than this within a minute lead nowhere. The customer decides how to go on. */
const REDIRECTS_MAX = 2;
const MINUTE_MS = 60_000;
const TIMEOUT_MS = 10_000;
/** The e-mail address is only offered in a form, so the page does not wait long for it. */
const USERINFO_TIMEOUT_MS = 3_000;

/**
 * Signs in, or redirects to the provider and never resolves.
 * @param {{issuer: string, client_id: string, scopes?: string|string[], audience?: string}} config
 * @returns {Promise<{name: string, account: string, email: string | null, token: (method: string) => Promise<string>, expired: (method: string) => string | undefined, signOut: () => Promise<void>}>}
 */
export async function signIn(config) {
  const query = new URLSearchParams(location.search);
  const isAnswer = query.has('code') || query.has('error');
  if (!isAnswer) {
    if (sessionStorage.getItem(SIGNED_OUT)) throw refused('You are signed out.', 'signed_out');
    return leave(config);
  }
  const pending = takePending();
  const isExpected = pending !== null && pending.state === query.get('state');
  history.replaceState(null, '', pending?.page ?? location.pathname);
  // An answer without our state is an old bookmark, another person's sign-in, or a provider's error. Its code must not be
  // used, and its text not be shown.
  if (!isExpected) {
    if (query.has('error')) throw refused('Sign-in failed. The sign-in service returned an error.');
    return leave(config);
  }
  if (query.has('error')) throw refused(`Sign-in failed: ${query.get('error_description') || query.get('error')}`);
  const tokens = await exchange(config, pending, query.get('code'));
  const claims = check(claimsOf(tokens.id_token), config, pending.nonce);
  if (pending.account && pending.account !== claims.sub) {
    // The page was somebody else's, and what it showed or half filled in is not this person's.
    history.replaceState(null, '', location.pathname);
    throw refused(`You are now signed in as ${nameOf(claims)}. Sign in again to open this account.`, 'other_person');
  }
  // Only redirects without the customer's doing count.
  if (!pending.account) sessionStorage.removeItem(REDIRECTS);
  const email = claims.email ?? claimsOf(tokens.access_token)?.email ?? (await emailFromUserinfo(config, tokens, claims.sub));
  return sessionOf(config, tokens, { ...claims, email });
}

/** Forgets earlier attempts and signs in. */
export function signInAgain() {
  for (const name of [REDIRECTS, SIGNED_OUT]) sessionStorage.removeItem(name);
  location.reload();
}

function refused(detail, code = 'sign_in_failed') {
  return new Problem({ status: 401, code, detail, action: { sign_in: true } });
}

const nameOf = (claims) => claims.email ?? claims.name ?? claims.sub;

function sessionOf(config, tokens, claims) {
  const account = claims.sub;
  const signedInAt = Date.now();
  let current = read(tokens);
  /** The one renewal at a time, for all requests that need it. */
  let renewing = null;

  const signedOut = () =>
    refused('Your session has expired. Nothing was changed. Sign in and try again.', 'signed_out');
  /**
   * A read goes on after a redirect. A write is never repeated by a page the customer has not seen, and a form that is
   * half filled in is never lost to a redirect.
   */
  const redirect = (method) => {
    if (method !== 'GET' || isHalfFilled()) throw signedOut();
    return leave(config, account);
  };

  return {
    name: nameOf(claims),
    account,
    email: claims.email ?? null,
    token: async (method) => {
      if (Date.now() < current.usableUntil) return current.token;
      renewing ??= renew().finally(() => {
        renewing = null;
      });
      if (await renewing) return current.token;
      return redirect(method);
    },
    expired: (method) => {
      if (Date.now() - signedInAt < LOOP_MS) return 'The server did not accept your sign-in. Contact support if this happens again.';
      if (method === 'GET' && !isHalfFilled()) leave(config, account).catch(() => {});
      return undefined;
    },
    signOut: () => signOut(config, current.idToken),
  };

  /** Gets new tokens with the refresh token, if the provider gave one. Returns whether it did. */
  async function renew() {
    if (!current.refreshToken) return false;
    const renewed = await ask(config, { grant_type: 'refresh_token', refresh_token: current.refreshToken });
    if (!renewed.access_token && !renewed.id_token) return false;
    // A provider that returns an ID token must return the same person's (OpenID Connect Core, 12.2).
    const other = claimsOf(renewed.id_token);
    if (other && other.sub !== account) return false;
    current = read({ id_token: current.idToken, refresh_token: current.refreshToken, ...renewed });
    return true;
  }

  function read({ access_token: access, id_token: id, refresh_token: refreshToken, expires_in: expiresIn }) {
    const lifetime = Number(expiresIn) > 0 ? Number(expiresIn) * 1000 : 300_000;
    return {
      // The API verifies JWTs. If the provider's access tokens are opaque, the ID token is sent instead.
      token: claimsOf(access) ? access : id,
      idToken: id,
      refreshToken,
      // Of a token that lives for seconds, half its life is used.
      usableUntil: Date.now() + lifetime - Math.min(SPARE_MS, lifetime / 2),
    };
  }
}

/** Whether the customer has typed into a form that is not sent. */
const isHalfFilled = () => [...document.querySelectorAll('form[data-dirty]')].some((form) => form.checkVisibility());

async function signOut(config, idToken) {
  sessionStorage.setItem(SIGNED_OUT, 'yes');
  forgetReferences();
  const { end_session_endpoint: endpoint } = await discover(config.issuer).catch(() => ({}));
  if (!endpoint) return location.replace(location.pathname);
  const url = new URL(endpoint);
  url.searchParams.set('client_id', config.client_id);
  url.searchParams.set('post_logout_redirect_uri', redirectUri());
  // The name that Amazon Cognito has for it. Other providers ignore it.
  url.searchParams.set('logout_uri', redirectUri());
  if (idToken) url.searchParams.set('id_token_hint', idToken);
  return location.assign(url);
}

/** The one redirect under way. */
let leaving = null;

/**
 * Redirects to the provider, which redirects straight back if its own session is still valid.
 * @param {string} [account] who must come back, if this page is already somebody's
 */
function leave(config, account) {
  leaving ??= authorize(config, account).catch((problem) => {
    leaving = null;
    throw problem;
  });
  return leaving;
}

async function authorize(config, account) {
  const { authorization_endpoint: endpoint } = await discover(config.issuer);
  if (!noteRedirect()) throw refused('Sign-in does not complete. The sign-in service keeps sending you back.');
  const [state, nonce, verifier] = [random(), random(), random()];
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const page = location.pathname + location.search + location.hash;
  sessionStorage.setItem(PENDING, JSON.stringify({ state, nonce, verifier, page, account }));
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

/** Counts a redirect. Returns false if there were too many in the last minute. */
function noteRedirect() {
  const since = Date.now() - MINUTE_MS;
  const earlier = (sessionStorage.getItem(REDIRECTS) ?? '').split(' ').map(Number).filter((at) => at > since);
  if (earlier.length >= REDIRECTS_MAX) return false;
  sessionStorage.setItem(REDIRECTS, [...earlier, Date.now()].join(' '));
  return true;
}

async function exchange(config, pending, code) {
  const tokens = await ask(config, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri(),
    code_verifier: pending.verifier,
  });
  if (tokens.id_token) return tokens;
  throw refused(`Sign-in failed: ${tokens.error_description ?? tokens.error ?? 'the sign-in service returned no token'}`);
}

/**
 * The e-mail address from the userinfo endpoint, for providers whose tokens have none. Without an answer in time there is
 * no address, and the customer can enter one. An answer about another person counts as none (OpenID Connect Core, 5.3.2).
 */
async function emailFromUserinfo(config, tokens, person) {
  try {
    const { userinfo_endpoint: endpoint } = await discover(config.issuer);
    if (!endpoint || !tokens.access_token) return null;
    const response = await fetch(endpoint, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
      credentials: 'omit',
      signal: AbortSignal.timeout(USERINFO_TIMEOUT_MS),
    });
    const userinfo = await response.json();
    return userinfo.sub === person ? (userinfo.email ?? null) : null;
  } catch {
    return null;
  }
}

/** Asks the token endpoint. An answer that is no success is one with `error`. */
async function ask(config, parameters) {
  const { token_endpoint: endpoint } = await discover(config.issuer);
  const body = new URLSearchParams({ ...parameters, client_id: config.client_id });
  try {
    const response = await fetch(endpoint, {
      method: 'POST',
      body,
      credentials: 'omit',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return await response.json();
  } catch {
    throw unreachable();
  }
}

const unreachable = () => new Problem({ detail: 'The sign-in service could not be reached. Try again in a moment.' });

async function discover(issuer) {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  try {
    const response = await fetch(url, { credentials: 'omit', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(String(response.status));
    return await response.json();
  } catch {
    throw unreachable();
  }
}

/**
 * Checks the claims of an ID token (OpenID Connect Core, 3.1.3.7). The signature needs no check because the token came
 * from the token endpoint over TLS. The nonce says that it is new, which the clock of the customer's machine could not.
 */
function check(claims, config, nonce) {
  const audience = [claims?.aud ?? []].flat();
  const isOurs =
    claims?.nonce === nonce &&
    String(claims.iss).replace(/\/$/, '') === config.issuer.replace(/\/$/, '') &&
    audience.includes(config.client_id);
  if (isOurs) return claims;
  throw refused('Sign-in failed. The response was not issued for this page.');
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
