/**
 * npm `oidc-provider`, a certified OpenID provider, on loopback. It signs with the key of the local cloud's issuer, so the
 * local cloud's authorizer accepts its tokens.
 *
 * Standard input has one JSON object a line: first the settings, then changes. Standard output has one JSON object a line:
 * the address, then what happened. The process ends with its input.
 */

import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [packages, keyFile] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${packages}/node_modules/oidc-provider/lib/index.js`));

/**
 * What the tests set: where the page is, the life of tokens in seconds, the kind of access tokens, and how long the
 * userinfo endpoint takes, in milliseconds.
 */
const settings = { page: null, lifetime: 3600, tokens: 'jwt', userinfo: 0 };
let provider = null;

/** Everything that the provider remembers. */
const store = new Map();

class Adapter {
  constructor(kind) {
    this.kind = kind;
  }

  key(id) {
    return `${this.kind} ${id}`;
  }

  async upsert(id, payload) {
    store.set(this.key(id), { ...payload });
  }

  async find(id) {
    return store.get(this.key(id));
  }

  async findByUid(uid) {
    return [...store].find(([key, { uid: found }]) => key.startsWith(`${this.kind} `) && found === uid)?.[1];
  }

  async consume(id) {
    store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    store.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of store) if (payload.grantId === grantId) store.delete(key);
  }
}

const report = (event) => console.log(JSON.stringify(event));

function signingKey() {
  const key = createPrivateKey({ key: readFileSync(keyFile), format: 'der', type: 'pkcs8' });
  const der = createPublicKey(key).export({ format: 'der', type: 'pkcs1' });
  // The same name that the local cloud gives it.
  const kid = createHash('sha256').update(der).digest('base64url').slice(0, 16);
  return { ...key.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' };
}

function make(issuer) {
  const isJwt = settings.tokens === 'jwt';
  const made = new Provider(issuer, {
    adapter: Adapter,
    clients: [
      {
        client_id: 'page',
        token_endpoint_auth_method: 'none',
        redirect_uris: [settings.page],
        post_logout_redirect_uris: [settings.page],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      },
    ],
    jwks: { keys: [signingKey()] },
    cookies: { keys: ['a test'] },
    claims: { openid: ['sub'], email: ['email'] },
    // With opaque access tokens, the provider's default: claims of scopes are at the userinfo endpoint only.
    conformIdTokenClaims: !isJwt,
    scopes: ['openid', 'email', 'offline_access'],
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.test` }) }),
    clientBasedCORS: (_context, origin) => origin === new URL(settings.page).origin,
    issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: {
      AccessToken: () => settings.lifetime,
      IdToken: () => settings.lifetime,
      AuthorizationCode: 60,
      Grant: 3600,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: async (context) => {
      const grant = new context.oidc.provider.Grant({
        clientId: context.oidc.client.clientId,
        accountId: context.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email offline_access');
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context, form) => {
          context.body = page(`${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
      },
      resourceIndicators: {
        enabled: isJwt,
        defaultResource: () => 'urn:tollgate',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: 'tollgate',
          accessTokenTTL: settings.lifetime,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  made.on('authorization.success', () => report({ event: 'authorization' }));
  made.on('grant.success', (context) => report({ event: `grant ${context.oidc.params.grant_type}` }));
  made.on('grant.error', (_context, error) => report({ event: 'grant error', error: error.message }));
  made.on('end_session.success', () => report({ event: 'end of session' }));
  for (const event of ['server_error', 'authorization.error', 'userinfo.error', 'end_session.error']) {
    made.on(event, (_context, error) => report({ event, error: error.error_description ?? String(error) }));
  }
  return made;
}

const page = (body) => `<!doctype html><title>Provider</title><link rel="icon" href="data:,">${body}`;

/** The sign-in page: any name is a person. */
async function interact(request, response) {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    return response.end(
      page(`<form method="post"><input name="person" data-testid="person">
        <button name="go" value="in" data-testid="go">Sign in</button>
        <button name="go" value="cancel" data-testid="cancel">Cancel</button></form>`),
    );
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  const result =
    form.get('go') === 'in'
      ? { login: { accountId: form.get('person') } }
      : { error: 'access_denied', error_description: 'The sign-in was canceled' };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://provider');
  if (pathname === '/me' && request.method === 'GET') {
    report({ event: 'userinfo' });
    setTimeout(() => provider.callback()(request, response), settings.userinfo);
  } else if (pathname.startsWith('/interaction/')) {
    interact(request, response).catch((error) => {
      report({ event: 'interaction error', error: String(error) });
      response.writeHead(500).end();
    });
  } else {
    provider.callback()(request, response);
  }
});

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  report({ event: 'listening', issuer });
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    Object.assign(settings, JSON.parse(line));
    provider ??= make(issuer);
    // All sessions and tokens end, as an administrator ends them.
    if (settings.forget) store.clear();
    settings.forget = false;
    report({ event: 'ready' });
  });
  lines.on('close', () => process.exit(0));
});
