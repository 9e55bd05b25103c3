// TLS for clients, with certificates from files; when the files change, new connections use the new certificates.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { Config } from '../../config/config.js';
import { BrokerError } from '../../errors.js';
import { pollEvery } from '../../timing/repeat.js';
import { rawRefusal } from '../failure.js';
import { wrappedBy } from './private-api.js';

/** PEM files. With `clientCa`, clients must present a certificate that one of these authorities has signed. */
interface TlsFiles {
  cert: string;
  key: string;
  clientCa?: string | undefined;
}

/** Kubernetes and cert-manager replace symbolic links, which fs.watch does not report on every system: the files are polled. */
const POLL_MS = 2_000;

/** @returns a server that speaks TLS, always with the certificates that the files have at the time */
export function createTlsServer(tls: Tls, http: ServerOptions): Server {
  const isMutual = tls.files.clientCa !== undefined;
  const server = createServer({
    ...http,
    ...tls.options,
    requestCert: isMutual,
    rejectUnauthorized: isMutual,
  });
  watchHandshakes(server, tls.log);
  followCertificates(server, tls);
  return server;
}

/** @throws Error that names the settings, where the files are not a certificate, its key and authorities */
async function readCertificates({ cert, key, clientCa }: TlsFiles): Promise<Certificates> {
  const read = (file: string): Promise<string> => readFile(file, 'utf8');
  try {
    const options: Certificates = {
      cert: await read(cert),
      key: await read(key),
      ...(clientCa !== undefined && { ca: await read(clientCa) }),
      minVersion: 'TLSv1.2',
    };
    createSecureContext(options);
    if (options.ca !== undefined) new X509Certificate(options.ca); // throws if unusable, which createSecureContext would ignore
    return options;
  } catch (error) {
    throw new Error(
      `AIZUMI_TLS_CERT_FILE and AIZUMI_TLS_KEY_FILE${clientCa === undefined ? '' : ' and AIZUMI_TLS_CLIENT_CA_FILE'} ` +
        `cannot be used: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

export interface Tls {
  readonly options: Certificates;
  readonly files: TlsFiles;
  readonly log: Logger;
}

/**
 * @returns undefined when no certificate is set
 * @throws Error that names the settings, as {@link readCertificates}
 */
export async function startTls(config: Config, log: Logger): Promise<Tls | undefined> {
  const { tlsCertFile: cert, tlsKeyFile: key, tlsClientCaFile: clientCa } = config;
  if (cert === undefined || key === undefined) return undefined;
  const files = { cert, key, clientCa };
  return { options: await readCertificates(files), files, log };
}

/**
 * Polls the files every {@link POLL_MS}; when they have changed, new connections use the new certificates. Unusable files are
 * logged once; the old certificates stay in use.
 */
function followCertificates(server: Server, { files, options: current, log }: Tls): void {
  let inUse = textOf(current);
  let refused = '';
  const poll = async (): Promise<void> => {
    try {
      const options = await readCertificates(files);
      refused = '';
      if (textOf(options) === inUse) return;
      server.setSecureContext(options);
      inUse = textOf(options);
      log.info('the TLS certificates have changed: new connections use the new ones');
    } catch (error) {
      const { message } = error as Error;
      if (message !== refused) log.error(`${message}; the old certificates stay in use`);
      refused = message;
    }
  };
  server.once('close', pollEvery(POLL_MS, poll));
}

const textOf = ({ cert, key, ca }: Certificates): string => [cert, key, ca].join('\0');

/** Options of node:tls. */
interface Certificates {
  cert: string;
  key: string;
  ca?: string;
  minVersion: 'TLSv1.2';
}

/** Sockets whose handshake is not over: node:https does not count them among its connections. */
const shaking = new WeakMap<Server, Set<Socket>>();

/** Closes connections whose TLS handshake fails. */
function watchHandshakes(server: Server, log: Logger): void {
  const underWay = new Set<Socket>();
  shaking.set(server, underWay);
  server.on('connection', (socket: Socket) => {
    underWay.add(socket);
    socket.once('close', () => underWay.delete(socket));
  });
  server.on('secureConnection', (socket) => underWay.delete(wrappedBy(socket) as Socket));
  // node:https's own listener would reply as to a broken request, over a connection on which the client could not read it
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    if (error.code === 'ERR_SSL_HTTP_REQUEST') wrappedBy(socket)?.write(rawRefusal(PLAIN_HTTP));
    log.debug(
      { reason: error.message, code: error.code, from: socket.remoteAddress },
      'TLS handshake with a client failed',
    );
    setImmediate(() => socket.destroy()); // after the alert that names the cause was sent
  });
}

/** For a server that stops: closes connections during their handshake, which have no request yet. */
export const cutHandshakes = (server: object): void =>
  shaking.get(server as Server)?.forEach((socket) => socket.destroy());

const PLAIN_HTTP = new BrokerError('invalid_request', 'this port speaks TLS: use https://');
