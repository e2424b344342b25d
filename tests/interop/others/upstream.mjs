// A server of the official TypeScript SDK on a free loopback port, as anybody may have one: it knows of no gate.
// usage: node upstream.mjs FLAVOUR    It prints its URL, and ends when its standard input does.
// FLAVOUR: v1 is @modelcontextprotocol/sdk, with sessions; v2 is @modelcontextprotocol/server, in both protocol eras.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';

const answer = await { v1: older, v2: newer }[process.argv[2]]();
const server = createServer((request, response) => {
  note('headers.jsonl', JSON.stringify(Object.keys(request.headers)));
  Promise.resolve(answer(request, response)).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.stdin.resume().on('end', () => process.exit());
console.log(`http://127.0.0.1:${server.address().port}/mcp`);

async function older() {
  const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js');
  const { StreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/streamableHttp.js');
  const sessions = new Map();
  return async (request, response) => {
    let transport = sessions.get(request.headers['mcp-session-id']);
    if (!transport) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => void sessions.set(id, transport),
      });
      await withTools(new McpServer({ name: 'others', version: '1' }), (context) => context.sendNotification).connect(transport);
    }
    return transport.handleRequest(request, response);
  };
}

async function newer() {
  const { McpServer, createMcpHandler } = await import('@modelcontextprotocol/server');
  const { toNodeHandler } = await import('@modelcontextprotocol/node');
  const made = () => withTools(new McpServer({ name: 'others', version: '1' }), (context) => context.mcpReq.notify);
  return toNodeHandler(createMcpHandler(made));
}

function withTools(server, notifyOf) {
  const tool = (name, run = () => {}) =>
    server.registerTool(name, {}, async (context) => {
      await run(context);
      note('ran', name);
      return { content: [{ type: 'text', text: name }] };
    });
  tool('read_order');
  tool('read_slowly', async (context) => {
    const { progressToken } = (context.mcpReq ?? context)._meta;
    await notifyOf(context)({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 2 } });
    while (!existsSync('may_end')) await new Promise((resolve) => setTimeout(resolve, 10));
  });
  tool('read_failing', () => {
    note('ran', 'read_failing');
    throw new Error('this tool fails');
  });
  tool('delete_order');
  tool('limited');
  return server;
}

function note(file, line) {
  appendFileSync(file, `${line}\n`);
}
