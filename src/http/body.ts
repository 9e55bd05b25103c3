// The first step of a request: bytes on the wire → text.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { BrokerError } from '../errors.js';
import type { BytesInFlight } from './bytes-in-flight.js';

/** The client went away before its request was complete: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * Reads a request's body, giving up as soon as it is over `maxBytes`; what still comes is discarded by Node.
 * @param inFlight has room for it until the caller gives {@link sizeOf} back; of what is thrown nothing is left in it
 * @throws BrokerError too_large, unsupported_media_type, invalid_json (not UTF-8), overloaded; ClientGone
 */
export async function readBody(req: IncomingMessage, maxBytes: number, inFlight: BytesInFlight): Promise<string> {
  inFlight.check(checkHeaders(req, maxBytes));
  const bytes = await collect(req, maxBytes, inFlight);
  if (isUtf8(bytes)) return bytes.toString();
  inFlight.give(bytes.length);
  throw new BrokerError('invalid_json', 'the body is not valid UTF-8');
}

/** Of a text that was read here, in bytes. */
export const sizeOf = (text: string): number => Buffer.byteLength(text);

const JSON_TYPE = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i;

/** @returns how many bytes are announced, if that is told */
function checkHeaders({ headers }: IncomingMessage, maxBytes: number): number {
  const type = headers['content-type'];
  if (type !== 'application/json' && !JSON_TYPE.test(type ?? ''))
    throw new BrokerError(
      'unsupported_media_type',
      `send Content-Type: application/json (with curl: --json), ${type === undefined ? 'the request has none' : `not ${JSON.stringify(type)}`}`,
    );
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new BrokerError('unsupported_media_type', 'send the body without Content-Encoding');
  const announced = Number(headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  return announced;
}

function collect(req: IncomingMessage, maxBytes: number, inFlight: BytesInFlight): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const giveUp = (error: Error): void => {
      req.off('data', onData);
      inFlight.give(size);
      size = 0;
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      try {
        if (size + chunk.length > maxBytes) throw tooLarge(maxBytes);
        inFlight.take(chunk.length);
      } catch (error) {
        giveUp(error as Error);
        return;
      }
      size += chunk.length;
      chunks.push(chunk);
    };
    req.on('data', onData);
    req.once('end', () => {
      size = 0; // the caller's from here on
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    req.once('error', (error) => giveUp(new ClientGone(error.message)));
  });
}

const tooLarge = (maxBytes: number): BrokerError =>
  new BrokerError(
    'too_large',
    `the body is over the limit of ${maxBytes} bytes (AIZUMI_MAX_BODY_BYTES); nothing was stored`,
  );
