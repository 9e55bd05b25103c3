// TLS for clients: certificates from files, and new ones while connections stay.
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
import { wrappedBy } from './private-api.js';
import { rawReply } from './raw-reply.js';

/** PEM files. With `clientCa` a client must show a certificate that one of these authorities has signed. */
interface TlsFiles {
  cert: string;
  key: string;
  clientCa?: string | undefined;
}

/** Kubernetes and cert-manager swap symbolic links, which fs.watch does not tell of everywhere. */
const LOOK_MS = 2_000;

/** A server whose connections speak TLS, with the certificates that are in the files at the time. */
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
    if (options.ca !== undefined) new X509Certificate(options.ca); // a context passes over what it cannot read
    return options;
  } catch (error) {
    throw new Error(
      `AIZUMI_TLS_CERT_FILE and AIZUMI_TLS_KEY_FILE${clientCa === undefined ? '' : ' and AIZUMI_TLS_CLIENT_CA_FILE'} cannot be used: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** What a server needs to speak TLS. */
export interface Tls {
  readonly options: Certificates;
  readonly files: TlsFiles;
  readonly log: Logger;
}

/**
 * @returns undefined when TLS is not asked for
 * @throws Error that names the settings, as {@link readCertificates}
 */
export async function startTls(config: Config, log: Logger): Promise<Tls | undefined> {
  const { tlsCertFile: cert, tlsKeyFile: key, tlsClientCaFile: clientCa } = config;
  if (cert === undefined || key === undefined) return undefined;
  const files = { cert, key, clientCa };
  return { options: await readCertificates(files), files, log };
}

/**
 * Looks every {@link LOOK_MS} whether the files have changed: new connections get what is in them then. Files that cannot be
 * used are told of once, and leave what was.
 */
function followCertificates(server: Server, { files, options: current, log }: Tls): void {
  let inUse = textOf(current);
  let refused = '';
  const look = async (): Promise<void> => {
    try {
      const options = await readCertificates(files);
      refused = '';
      if (textOf(options) === inUse) return;
      server.setSecureContext(options);
      inUse = textOf(options);
      log.info('the certificates of TLS have changed: new connections get the new ones');
    } catch (error) {
      const { message } = error as Error;
      if (message !== refused) log.error(`${message}; the old certificates stay in use`);
      refused = message;
    }
  };
  server.once('close', pollEvery(LOOK_MS, look));
}

const textOf = ({ cert, key, ca }: Certificates): string => [cert, key, ca].join('\0');

/** As Node takes them. */
interface Certificates {
  cert: string;
  key: string;
  ca?: string;
  minVersion: 'TLSv1.2';
}

/** Sockets whose handshake is not over: node:https does not count them among its connections. */
const shaking = new WeakMap<Server, Set<Socket>>();

/** What becomes of connections on which TLS does not come about. */
function watchHandshakes(server: Server, log: Logger): void {
  const underWay = new Set<Socket>();
  shaking.set(server, underWay);
  server.on('connection', (socket: Socket) => {
    underWay.add(socket);
    socket.once('close', () => underWay.delete(socket));
  });
  server.on('secureConnection', (socket) => underWay.delete(wrappedBy(socket) as Socket));
  // node:https's own takes it for a broken request, and nobody could read the reply
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    if (error.code === 'ERR_SSL_HTTP_REQUEST') wrappedBy(socket)?.write(rawReply(PLAIN_HTTP));
    log.debug({ reason: error.message, code: error.code, from: socket.remoteAddress }, 'no TLS with a client');
    setImmediate(() => socket.destroy()); // the alert that says why goes first
  });
}

/** For a server that stops: nobody has asked for anything on these. */
export const cutHandshakes = (server: object): void =>
  shaking.get(server as Server)?.forEach((socket) => socket.destroy());

const PLAIN_HTTP = new BrokerError('invalid_request', 'this port speaks TLS: use https://');
