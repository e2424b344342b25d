// The certified oidc-provider on a free loopback port, for one person who agrees to everything.
// usage: node server.mjs ALGORITHM [held]    It prints its issuer, and ends when its standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const PERSON = 'alice';
const KEYS = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

const algorithm = process.argv[2];
const signingKey = KEYS[algorithm]().privateKey.export({ format: 'jwk' });

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...signingKey, alg: algorithm, kid: 'first', use: 'sig' }] },
  cookies: { keys: ['only for this test'] },
  clientDefaults: { id_token_signed_response_alg: algorithm },
  pkce: { required: () => true },
  // A client registers with the scopes of the first challenge, and oidc-provider holds it to those it knows itself. What
  // the resources alone know, here orders:write unless clients are held to everything, a client may ask for later.
  scopes: ['openid', 'offline_access', 'orders:read', ...(process.argv[3] === 'held' ? ['orders:write'] : [])],
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => ({
        audience: resource,
        scope: 'orders:read orders:write',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});

const answer = provider.callback();
server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  return agree(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
process.stdin.resume().on('end', () => process.exit());
console.log(issuer);

async function agree(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: PERSON } });
  }
  const known = grantId && (await provider.Grant.find(grantId));
  const grant = known || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}
