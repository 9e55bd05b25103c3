// The first step of a request: bytes on the wire → text.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { BrokerError } from '../errors.js';

/** The client went away before its request was complete: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * Reads a request's body, giving up as soon as it is over `maxBytes`; what still comes is discarded by Node.
 * @throws BrokerError too_large, unsupported_media_type, invalid_json (not UTF-8); ClientGone
 */
export async function readBody(req: IncomingMessage, maxBytes: number): Promise<string> {
  checkHeaders(req, maxBytes);
  const bytes = await collect(req, maxBytes);
  if (!isUtf8(bytes)) throw new BrokerError('invalid_json', 'the body is not valid UTF-8');
  return bytes.toString();
}

const JSON_TYPE = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i;

function checkHeaders({ headers }: IncomingMessage, maxBytes: number): void {
  const type = headers['content-type'];
  if (type !== 'application/json' && !JSON_TYPE.test(type ?? ''))
    throw new BrokerError(
      'unsupported_media_type',
      `send Content-Type: application/json (with curl: --json), ${type === undefined ? 'the request has none' : `not ${JSON.stringify(type)}`}`,
    );
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new BrokerError('unsupported_media_type', 'send the body without Content-Encoding');
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function collect(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      req.off('data', onData);
      reject(tooLarge(maxBytes));
    };
    req.on('data', onData);
    req.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    req.once('error', (error) => reject(new ClientGone(error.message)));
  });
}

const tooLarge = (maxBytes: number): BrokerError =>
  new BrokerError(
    'too_large',
    `the body is over the limit of ${maxBytes} bytes (AIZUMI_MAX_BODY_BYTES); nothing was stored`,
  );
