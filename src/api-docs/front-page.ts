// Answers GET / from a browser with a page about aizumi and how to send a first message.
import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { answerPrepared, policy, prepare } from './prepared.js';

const STYLE = `:root { color-scheme: light dark; --soft: #f2f4f7; --line: #c9d1dc; --link: #0b57b0; }
@media (prefers-color-scheme: dark) { :root { --soft: #1d2430; --line: #3a4556; --link: #8ab8ff; } }
body { max-width: 46rem; margin: 0 auto; padding: 2rem 1rem 4rem; font: 1rem/1.6 system-ui, sans-serif; }
h1 { margin: 0; font-size: 2rem; }
h2 { margin-top: 2.5rem; font-size: 1.25rem; }
a { color: var(--link); }
pre { padding: 0.75rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 0.4rem; }
code { font: 0.9rem/1.5 ui-monospace, monospace; }
li { margin: 0.3rem 0; }`;

const styleHash = createHash('sha256').update(STYLE).digest('base64');
const POLICY = policy({ 'style-src': `'sha256-${styleHash}'`, 'img-src': 'data:' });

/** Hosts that are safe in a shell command and in HTML without escaping. */
const HOST = /^[\w.-]{1,253}(:\d{1,5})?$|^\[[\da-fA-F:.]{2,45}\](:\d{1,5})?$/;

/**
 * Answers a browser.
 * @returns false when the request is not a browser's GET or HEAD, and nothing was answered
 */
export function answerBrowser(ctx: Context, version: string): boolean {
  const { method, headers } = ctx.req;
  if ((method !== 'GET' && method !== 'HEAD') || headers.accept?.includes('text/html') !== true) return false;
  answerPrepared(ctx, prepare('text/html', pageFor(addressOf(ctx), version)), {
    'Content-Security-Policy': POLICY,
    // the commands on the page contain the host
    Vary: 'Accept, Host, X-Forwarded-Proto',
  });
  return true;
}

/** The address under which the browser reached aizumi, perhaps through a proxy. */
function addressOf({ req: { headers, socket } }: Context): string {
  const host = HOST.test(headers.host ?? '') ? headers.host : 'localhost:8080';
  const isSecure = 'encrypted' in socket || headers['x-forwarded-proto'] === 'https';
  return `${isSecure ? 'https' : 'http'}://${host ?? ''}/`;
}

const command = (address: string, request: object): string =>
  `curl -H 'Content-Type: application/json' -d '${JSON.stringify(request)}' ${address}`;

const pageFor = (address: string, version: string): string => {
  const send = { msg_type: 'MSG_SEND_REQ', saddr: 1, daddr: 100, id: 12000, payload: 'hello' };
  const recv = { msg_type: 'MSG_RECV_REQ', saddr: 100, daddr: 5000, wait_ms: 20_000, details: true };
  const free = { msg_type: 'MSG_FREE_REQ', saddr: 100, daddr: 5000, id: 12000, receipt: 'RECEIPT' };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>aizumi</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>aizumi</h1>
<p>A message broker that any HTTP client can use. Every request is one JSON object, POSTed to this address.</p>
</header>
<main>
<h2>The first message</h2>
<p>A sender, 1, sends to a receiver’s address, 100:</p>
<pre><code>${command(address, send)}</code></pre>
<p>The receiver receives it, or waits up to 20 seconds for one. It is then leased for 30 seconds, and nobody else receives it:</p>
<pre><code>${command(address, recv)}</code></pre>
<p>When it has processed the message, it frees it, with the <code>receipt</code> of that reply:</p>
<pre><code>${command(address, free)}</code></pre>
<ul>
<li>409 <code>lease_lost</code>: the lease had ended. Somebody else has the message, or has freed it: discard the result.</li>
<li>Outcome <code>unknown</code>, or no answer: it may have been done. Send the same FREE again until it is 200 or 409.</li>
<li>MSG_GBYE_REQ returns the messages of all receivers of the address: it is not for the shutdown of one of them.</li>
</ul>
<p>If the broker requires a key, add <code>-H "Authorization: Bearer $KEY"</code>.</p>
<h2>More</h2>
<ul>
<li><a href="reference">API reference</a>, where requests can be tried</li>
<li><a href="openapi.json">openapi.json</a>, for tools</li>
<li><a href="queues">The queues</a>, as JSON; <a href="readyz">readyz</a>: whether Redis answers</li>
</ul>
<p>aizumi ${version}. Its documents, the protocol’s among them, are in the folder docs/ of its source.</p>
</main>
</body>
</html>
`;
};
