// An OpenID provider that is certified as one (npm: oidc-provider), with clients and users of the tests. Arguments: the
// folder of node_modules, the port to listen on, and a file for the private key of the client that proves itself by one.
//
// Whoever says `login=ann` on its page is ann; `cancel=1` goes back without. POST /test/rotate makes other keys, POST
// /test/gateway?URL says where the gateway hears of log-outs.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, port, keyFile] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const issuer = `http://127.0.0.1:${port}`;
const shop = 'https://shop.example';

const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
writeFileSync(keyFile, own.privateKey.export({ type: 'pkcs8', format: 'pem' }));

function keys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const ed = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return { keys: [rsa, ec, ed].map((key) => ({ ...key, use: 'sig' })) };
}

let gateway;
let jwks = keys();

function client(id, more) {
  return {
    client_id: id,
    redirect_uris: [`${shop}/.palisade/login/callback`],
    post_logout_redirect_uris: [`${shop}/.palisade/logout`, `${shop}/bye`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    ...(gateway && { backchannel_logout_uri: gateway, backchannel_logout_session_required: true }),
    ...more,
  };
}

function made() {
  const provider = new Provider(issuer, {
    jwks,
    cookies: { keys: ['one process, one life'] },
    pkce: { required: () => true },
    clients: [
      client('basic', { client_secret: 'a secret of basic' }),
      client('post', {
        client_secret: 'a secret of post',
        token_endpoint_auth_method: 'client_secret_post',
        id_token_signed_response_alg: 'ES256',
      }),
      client('public', { token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'EdDSA' }),
      client('signer', {
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [own.publicKey.export({ format: 'jwk' })] },
      }),
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'roles'] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = `<!doctype html>${form}<button form="op.logoutForm" name="logout" value="yes">yes</button>`;
        },
      },
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: `${id} of the tests`,
        email: `${id}@shop.example`,
        email_verified: !id.startsWith('new'),
        roles: id === 'ann' ? ['admin', 'user'] : ['user'],
      }),
    }),
    // Nobody is asked what the shop may know.
    loadExistingGrant: async (ctx) => {
      const { session, client: of, provider: at } = ctx.oidc;
      const known = session.grantIdFor(of.clientId);
      if (known) return at.Grant.find(known);
      const grant = new at.Grant({ clientId: of.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  });
  for (const event of ['server_error', 'backchannel.error']) {
    provider.on(event, (...told) => console.error(event, told.find((one) => one instanceof Error)));
  }
  return provider;
}

let provider = made();

async function form(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return new URLSearchParams(Buffer.concat(pieces).toString());
}

async function interaction(request, response) {
  if (request.method === 'GET') {
    const { prompt } = await provider.interactionDetails(request, response);
    response.setHeader('content-type', 'text/html');
    return response.end(`<!doctype html><title>Provider</title><p>${prompt.name}</p>
      <form method="post"><input name="login"><button>in</button></form>`);
  }
  const said = await form(request);
  const result = said.get('cancel') ? { error: 'access_denied' } : { login: { accountId: said.get('login') } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

async function answer(request, response) {
  const [path, query] = request.url.split('?');
  if (path === '/test/rotate') jwks = keys();
  if (path === '/test/gateway') gateway = query;
  if (path.startsWith('/test/')) {
    provider = made();
    return response.end('done');
  }
  if (path.startsWith('/interaction/')) return interaction(request, response);
  return provider.callback()(request, response);
}

const server = createServer((request, response) => {
  answer(request, response).catch((fault) => {
    console.error(fault);
    response.statusCode = 500;
    response.end();
  });
});
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
