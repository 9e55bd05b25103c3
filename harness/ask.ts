// One command to one Redis process, on a connection for it alone: an answer soon, or an error.
import { Redis } from 'ioredis';
import { patient } from './patience.js';

const ASK_MS = patient(200);

/** @throws Error when nothing listens there, or it hangs, or it refuses */
export async function ask(port: number, command: string, ...args: (string | number)[]): Promise<unknown> {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: ASK_MS,
    commandTimeout: ASK_MS,
    disconnectTimeout: 50,
  });
  redis.on('error', () => undefined); // the command fails with it
  try {
    return await redis.call(command, ...args);
  } finally {
    redis.disconnect();
  }
}

/** A field of INFO; undefined when it is not there or there is no answer. */
export async function infoField(port: number, section: string, field: string): Promise<string | undefined> {
  const info = String(await ask(port, 'INFO', section).catch(() => ''));
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}
