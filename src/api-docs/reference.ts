// GET /openapi.json and GET /reference: the document, and Swagger UI's page for it. Nothing is loaded from other hosts.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type Router from '@koa/router';
import { openApiDocument } from './openapi.js';
import type { DocumentOptions } from './openapi.js';
import { answerPrepared, policy, prepare } from './prepared.js';
import type { Prepared } from './prepared.js';

/** Swagger UI's style sheet has images in data: URLs; it needs no source that is unsafe. */
const POLICY = policy({
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
});

/** Paths are relative, so that a proxy may serve aizumi under any path. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>aizumi: API reference</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="reference/swagger-ui.css">
<link rel="stylesheet" href="reference/page.css">
</head>
<body>
<main id="reference">
<noscript>This page needs JavaScript. The same is in <a href="openapi.json">openapi.json</a>.</noscript>
</main>
<script src="reference/swagger-ui-bundle.js"></script>
<script src="reference/page.js"></script>
</body>
</html>
`;

const SCRIPT = `const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();
SwaggerUIBundle({ url: 'openapi.json', dom_id: '#reference', deepLinking: true, tryItOutEnabled: true, validatorUrl: null });
`;

const STYLE = `body { margin: 0; }
html.dark-mode { background: #1c2022; }
`;

const LIBRARY = ['swagger-ui.css', 'swagger-ui-bundle.js'];

export function addReference(router: Router, options: DocumentOptions): void {
  const document = once(() => prepare('application/json', JSON.stringify(openApiDocument(options))));
  router.get('/openapi.json', async (ctx) => {
    // the document is not secret, and tools on other origins may read it
    answerPrepared(ctx, await document(), { 'Access-Control-Allow-Origin': '*' });
  });
  const page = prepare('text/html', PAGE);
  router.get('/reference', (ctx) => {
    answerPrepared(ctx, page, { 'Content-Security-Policy': POLICY });
  });
  const require = createRequire(import.meta.url);
  const files = {
    'page.css': () => prepare('text/css', STYLE),
    'page.js': () => prepare('text/javascript', SCRIPT),
    ...Object.fromEntries(
      LIBRARY.map((name) => [
        name,
        async () => prepare(typeOf(name), await readFile(require.resolve(`swagger-ui-dist/${name}`))),
      ]),
    ),
  };
  for (const [name, make] of Object.entries(files)) {
    const file = once(make);
    router.get(`/reference/${name}`, async (ctx) => {
      answerPrepared(ctx, await file());
    });
  }
}

const typeOf = (name: string): string => (name.endsWith('.css') ? 'text/css' : 'text/javascript');

/** @returns a function that calls `make` at its first call: most workers never need it */
function once(make: () => Prepared | Promise<Prepared>): () => Promise<Prepared> {
  let made: Promise<Prepared> | undefined;
  return () => (made ??= Promise.resolve(make()));
}
