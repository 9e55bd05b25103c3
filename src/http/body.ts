// The first step of a request: bytes on the wire → text.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { BrokerError } from '../errors.js';
import type { Account } from './memory.js';

/** The client went away before its request was complete: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** What a byte of a body takes until the request is answered: its text, the command to Redis, and that command's bytes. */
export const BODY_COPIES = 3;

/**
 * Reads a request's body, giving up as soon as it is over `maxBytes`; what still comes is discarded by Node.
 * @param account what the body takes is counted there until the caller gives {@link memoryOf} back, and not if this throws
 * @throws BrokerError too_large, unsupported_media_type, invalid_json (not UTF-8), overloaded; ClientGone
 */
export async function readBody(req: IncomingMessage, maxBytes: number, account: Account): Promise<string> {
  account.check(checkHeaders(req, maxBytes) * BODY_COPIES);
  const bytes = await collect(req, maxBytes, account);
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

function collect(req: IncomingMessage, maxBytes: number, account: Account): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
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
      size += chunk.length;
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      forget();
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    };
    const onError = (error: Error): void => giveUp(new ClientGone(error.message));
    req.on('data', onData).on('end', onEnd).on('error', onError);
  });
}

const tooLarge = (maxBytes: number): BrokerError =>
  new BrokerError(
    'too_large',
    `the body is over the limit of ${maxBytes} bytes (AIZUMI_MAX_BODY_BYTES); nothing was stored`,
  );
