// The first step of a request: bytes on the wire → text.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { BODY_COPIES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import type { Account } from './limits/memory.js';

/** The client disconnected before its request was complete: nobody would read a reply. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * Reads a request's body and stops as soon as it is over `maxBytes`; Node discards the rest.
 * @param account the body's memory is taken from it; the caller gives {@link memoryOf} back, except when this throws
 * @throws BrokerError too_large, unsupported_media_type, invalid_json (not UTF-8), overloaded; ClientGone
 */
export async function readBody(req: IncomingMessage, maxBytes: number, account: Account): Promise<string> {
  const announced = checkHeaders(req, maxBytes);
  account.check(announced * BODY_COPIES);
  const bytes = await collect(req, announced, maxBytes, account);
  if (isUtf8(bytes)) return bytes.toString();
  account.give('requests', bytes.length * BODY_COPIES);
  throw new BrokerError('invalid_json', 'the body is not valid UTF-8');
}

/** @returns how many bytes of the account a text that was read here takes */
export const memoryOf = (text: string): number => Buffer.byteLength(text) * BODY_COPIES;

const JSON_TYPE = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i;

/** @returns the Content-Length; 0 without one */
function checkHeaders({ headers }: IncomingMessage, maxBytes: number): number {
  const type = headers['content-type'];
  if (type !== 'application/json' && !JSON_TYPE.test(type ?? ''))
    throw new BrokerError(
      'unsupported_media_type',
      'send Content-Type: application/json (with curl: --json), ' +
        (type === undefined ? 'the request has none' : `not ${JSON.stringify(type)}`),
    );
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    throw new BrokerError('unsupported_media_type', 'send the body without Content-Encoding');
  const announced = Number(headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  return announced;
}

function collect(req: IncomingMessage, announced: number, maxBytes: number, account: Account): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // most bodies arrive in one chunk; many small chunks are joined, because each would take 200 bytes more
    let bytes: Buffer = NOTHING;
    let size = 0;
    // Node keeps a connection's latest request: a listener that is left on it would keep the body in memory
    const forget = (): void => void req.off('data', onData).off('end', onEnd).off('error', onError);
    const giveUp = (error: Error): void => {
      forget();
      account.give('requests', size * BODY_COPIES);
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      try {
        if (size + chunk.length > maxBytes) throw tooLarge(maxBytes);
        account.take('requests', chunk.length * BODY_COPIES);
      } catch (error) {
        giveUp(error as Error);
        return;
      }
      bytes = size === 0 ? chunk : append(bytes, size, chunk, announced);
      size += chunk.length;
    };
    const onEnd = (): void => {
      forget();
      resolve(bytes.subarray(0, size));
    };
    const onError = (error: Error): void => giveUp(new ClientGone(error.message));
    req.on('data', onData).on('end', onEnd).on('error', onError);
  });
}

const NOTHING = Buffer.alloc(0);

/** @returns a buffer of `size` bytes of `bytes` and then `chunk`, with room for the chunks that follow */
function append(bytes: Buffer, size: number, chunk: Buffer, announced: number): Buffer {
  const needed = size + chunk.length;
  let target = bytes;
  if (needed > bytes.length) {
    target = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(announced, 16 * needed), 2 * size));
    bytes.copy(target, 0, 0, size);
  }
  chunk.copy(target, size);
  return target;
}

const tooLarge = (maxBytes: number): BrokerError =>
  new BrokerError(
    'too_large',
    `the body is over the limit of ${maxBytes} bytes (AIZUMI_MAX_BODY_BYTES); nothing was stored`,
  );
