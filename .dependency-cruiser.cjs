// The import rules of this house: dependencies point inward only, index → http → messages → queue → redis.
const layers = ['http', 'messages', 'queue', 'redis'];

/** A package and its types, as dependency-cruiser resolves them. */
const packages = (...names) => `(^|/)node_modules/(@types/)?(${names.join('|')})(/|$)`;

const only = (where, pattern, names) => ({
  name: `${names[0]}-only-in-${where}`,
  severity: 'error',
  from: { path: '^src/', pathNot: pattern },
  to: { path: packages(...names) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'imports-resolve', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...layers.slice(1).map((layer, i) => ({
      name: `inward-only-from-${layer}`,
      severity: 'error',
      from: { path: `^src/${layer}/` },
      to: { path: `^src/(${layers.slice(0, i + 1).join('|')})/` },
    })),
    {
      name: 'access-is-asked-by-http-and-messages',
      comment: 'what a client may do is settled before anything of a queue or of Redis is touched',
      severity: 'error',
      from: { path: '^src/(queue|redis)/' },
      to: { path: '^src/access/' },
    },
    {
      name: 'access-knows-no-layer',
      severity: 'error',
      from: { path: '^src/access/' },
      to: { path: `^src/(${layers.join('|')})/` },
    },
    {
      name: 'messages-know-permissions-only',
      comment: 'keys and tokens are dealt with before a message type is asked',
      severity: 'error',
      from: { path: '^src/messages/' },
      to: { path: '^src/access/', pathNot: '^src/access/permissions\\.ts$' },
    },
    {
      name: 'nothing-imports-index',
      comment: 'src/index.ts puts the parts together; config is read there and passed down',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/index\\.ts$' },
    },
    {
      name: 'config-is-passed-down',
      comment: "layers may use config.ts's types, not its values",
      severity: 'error',
      from: { path: `^src/(access|${layers.join('|')})/` },
      to: { path: '^src/config/(config|settings)\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'errors-and-settings-are-leaves',
      severity: 'error',
      from: { path: '^src/(errors\\.ts$|config/|timing/|observe/(observer|tracing)\\.ts$)' },
      to: { path: `^src/(access|${layers.join('|')})/` },
    },
    {
      name: 'never-sideways-between-messages',
      comment: 'what message types share is in four files; those on the way from a request to its type know the types',
      severity: 'error',
      from: { path: '^src/messages/', pathNot: '^src/messages/(table|dispatch|batch-order|validate|faults)\\.ts$' },
      to: { path: '^src/messages/', pathNot: '^src/messages/(message-type|fields|reply-text|audited)\\.ts$' },
    },
    only('http', '^src/(http|api-docs)/', ['koa', '@koa', 'koa-[^/]+', 'koa__router']),
    only('messages-access-docs-and-settings', '^src/(messages/|api-docs/|access/|config/)', ['joi']),
    only('redis', '^src/redis/', ['ioredis']),
    only('access', '^src/access/', ['jose', 'yaml']),
    only('metrics', '^src/observe/metrics/', ['prom-client']),
    {
      name: 'layers-do-not-know-who-counts',
      comment: 'they tell the Observer of observe/observer.ts, which worker.ts passes down',
      severity: 'error',
      from: { path: `^src/(${layers.join('|')})/` },
      to: { path: '^src/observe/metrics/' },
    },
    only('traces', '^src/observe/traces/', ['@opentelemetry']),
    {
      name: 'no-dev-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], pathNot: '(^|/)node_modules/@types/' },
    },
    {
      name: 'no-undeclared-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: ['^src/index\\.ts$', '\\.d\\.ts$'] },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
