// A worker of node:cluster that accepts connections, for test/unit/private-api.test.ts.
import { createServer } from 'node:net';

createServer().listen(0, '127.0.0.1');
