// The first step of a request: bytes on the wire → text.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { BODY_COPIES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import type { Account } from './limits/memory.js';

/** The client went away before its request was complete: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * Reads a request's body, giving up as soon as it is over `maxBytes`; what still comes is discarded by Node.
 * @param account what the body takes is counted there until the caller gives {@link memoryOf} back, and not if this throws
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

/** What a text that was read here takes, bytes. */
export const memoryOf = (text: string): number => Buffer.byteLength(text) * BODY_COPIES;

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

function collect(req: IncomingMessage, announced: number, maxBytes: number, account: Account): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // most bodies come in one piece; one in very many is not kept in pieces, each of which takes 200 bytes
    let bytes: Buffer = NOTHING;
    let size = 0;
    // a connection remembers its latest request: with a listener left on it, it would remember the body
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

/** @returns a buffer that begins with `size` bytes of `bytes` and then has `chunk`, larger than that so that the next may fit */
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
