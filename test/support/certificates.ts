// Certificates for tests, by openssl, in a temporary folder: an authority, and what it signs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  certificate: string;
  key: string;
}

export interface Certificates {
  readonly folder: string;
  /** The authority's certificate. */
  readonly ca: string;
  /** For 127.0.0.1 and localhost. */
  readonly server: Pair;
  /** AIZUMI_TLS_CERT_FILE and AIZUMI_TLS_KEY_FILE. */
  readonly settings: Record<string, string>;
  /** Another one that the authority has signed. @param name its common name @param hosts as openssl's subjectAltName */
  issue(name: string, hosts?: string): Pair;
  remove(): void;
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-certificates-'));
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  openssl('req', '-x509', ...EC, '-days', '1', '-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  const issue = (name: string, hosts = 'IP:127.0.0.1,DNS:localhost'): Pair => {
    const [certificate, key] = [`${name}.pem`, `${name}.key`];
    const names = ['-addext', `subjectAltName=${hosts}`];
    const signed = ['-x509', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '1', '-addext', 'basicConstraints=CA:FALSE'];
    openssl('req', ...signed, ...EC, '-subj', `/CN=${name}`, ...names, '-keyout', key, '-out', certificate);
    return { certificate: join(folder, certificate), key: join(folder, key) };
  };
  const server = issue('server');
  return {
    folder,
    ca: join(folder, 'ca.pem'),
    server,
    settings: { AIZUMI_TLS_CERT_FILE: server.certificate, AIZUMI_TLS_KEY_FILE: server.key },
    issue,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
