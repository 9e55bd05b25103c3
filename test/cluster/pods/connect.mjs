// In a pod of the test: whether a connection to a host and a port is possible. A policy may drop packets as well as refuse them.
import { connect } from 'node:net';

const TIMEOUT_MS = 3_000;
const [host, port] = process.argv.slice(2);

const end = (word) => {
  console.log(word);
  process.exit();
};
connect({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) })
  .setTimeout(TIMEOUT_MS, () => end('no answer'))
  .on('connect', () => end('connected'))
  .on('error', (error) => end(error.code));
