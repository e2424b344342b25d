// An official TypeScript client that does what it is told, one JSON line a command, and answers each with what an agent
// gets to see of it.   usage: node client.mjs v1|v2|v2-newer URL [TOKEN]   Without a token it logs in by OAuth.
import { createInterface } from 'node:readline';

const [flavour, url, token] = process.argv.slice(2);
const CALLBACK = 'http://127.0.0.1:1/callback';
const heard = [];
const asked = [];
const complaints = [];

class Login {
  redirectUrl = CALLBACK;
  clientMetadata = { client_name: 'interop', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' };
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = (tokens) => void (this.kept = tokens);
  redirectToAuthorization = (to) => void (this.redirect = to.href);
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
}
const login = token ? undefined : new Login();

const answers = {
  'sampling/createMessage': ({ params }) => ({
    role: 'assistant', model: 'a model', content: { type: 'text', text: `sampled ${params.messages[0].content.text}` },
  }),
  'elicitation/create': ({ params }) => {
    if (params.message.includes('say no')) return { action: 'decline' };
    if (params.message.includes('fill in nothing')) return { action: 'accept', content: {} };
    const confirms = params.requestedSchema.required?.includes('confirm');
    return { action: 'accept', content: confirms ? { confirm: 'yes' } : { response: 'yes', name: 'Ada' } };
  },
};
const NOTIFICATIONS = ['message', 'tools/list_changed', 'prompts/list_changed', 'resources/updated'];

const { client, transport: open } = await (flavour === 'v1' ? older() : newer());
client.onerror = (error) => complaints.push(error.message);
let transport;

const commands = {
  async connect() {
    transport = open();
    await client.connect(transport);
    return { server: client.getServerVersion(), capabilities: Object.keys(client.getServerCapabilities()) };
  },
  finish: ({ code, params }) => transport.finishAuth(flavour === 'v1' ? code : new URLSearchParams(params)),
  tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
  async call({ tool, args = {}, abort = false }) {
    const progress = [];
    const gone = new AbortController();
    const onprogress = (each) => {
      progress.push(each.progress);
      if (abort) gone.abort('no longer wanted');
    };
    const params = { name: tool, arguments: args };
    const options = { onprogress, signal: gone.signal };
    const result = await (flavour === 'v1' ? client.callTool(params, undefined, options) : client.callTool(params, options));
    return { result, progress };
  },
  read: ({ uri }) => client.readResource({ uri }),
  prompt: ({ name, args }) => client.getPrompt({ name, arguments: args }),
  complete: (params) => client.complete(params),
  log: ({ level }) => client.setLoggingLevel(level),
  subscribe: ({ uri }) => client.subscribeResource({ uri }),
  async listen({ filter }) {
    await client.listen(filter);
    return 'listening';
  },
  ping: () => client.ping(),
  close: () => client.close(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  const answer = {};
  try {
    answer.value = (await commands[command](rest)) ?? null;
  } catch (error) {
    answer.error = { kind: error.constructor.name, message: error.message, code: error.code, data: error.data };
    answer.error.cause = error.cause?.message;
  }
  if (login?.redirect) answer.redirect = login.redirect;
  if (login?.kept) answer.scope = login.kept.scope;
  await new Promise((resolve) => setTimeout(resolve, rest.linger ?? 0));
  console.log(JSON.stringify({ ...answer, heard: heard.splice(0), asked: asked.splice(0), complaints: complaints.splice(0) }));
}
process.exit();

function settings() {
  return login ? { authProvider: login } : { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
}

async function older() {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const types = await import('@modelcontextprotocol/sdk/types.js');
  const made = new Client({ name: 'interop', version: '1' }, { capabilities: { sampling: {}, elicitation: {} } });
  const schemas = { 'sampling/createMessage': types.CreateMessageRequestSchema, 'elicitation/create': types.ElicitRequestSchema };
  for (const [method, schema] of Object.entries(schemas)) made.setRequestHandler(schema, (request) => reply(method, request));
  made.fallbackNotificationHandler = async ({ method }) => void heard.push(method.replace('notifications/', ''));
  return { client: made, transport: () => new StreamableHTTPClientTransport(new URL(url), settings()) };
}

async function newer() {
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = flavour === 'v2' ? 'legacy' : { pin: '2026-07-28' };
  const options = { capabilities: { sampling: {}, elicitation: {} }, versionNegotiation: { mode } };
  const made = new Client({ name: 'interop', version: '1' }, options);
  for (const method of Object.keys(answers)) made.setRequestHandler(method, (request) => reply(method, request));
  for (const name of NOTIFICATIONS) made.setNotificationHandler(`notifications/${name}`, () => void heard.push(name));
  return { client: made, transport: () => new StreamableHTTPClientTransport(new URL(url), settings()) };
}

function reply(method, request) {
  asked.push(method);
  return answers[method](request);
}
