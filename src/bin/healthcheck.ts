// A program for containers: `node dist/bin/healthcheck.js [livez|readyz]` exits with 0 if the aizumi on this machine replies 200.
import { get as getPlain } from 'node:http';
import { get as getSecure } from 'node:https';

const TIMEOUT_MS = 2_500;

const {
  AIZUMI_PORT: port = '',
  AIZUMI_PROBE_PORT: probePort = '',
  AIZUMI_TLS_CERT_FILE: certificate = '',
} = process.env;
const isSecure = probePort === '' && certificate !== '';
const options = {
  host: '127.0.0.1',
  port: probePort || port || 8080,
  path: `/${process.argv[2] ?? 'livez'}`,
  timeout: TIMEOUT_MS,
  // the certificate is for the name that clients use, not for 127.0.0.1
  rejectUnauthorized: false,
};
(isSecure ? getSecure : getPlain)(options, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1))
  .on('timeout', () => process.exit(1))
  .on('error', () => process.exit(1));
