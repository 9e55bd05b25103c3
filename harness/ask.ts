// Sends one command to one Redis process on a connection of its own, with a short timeout.
import { Redis } from 'ioredis';
import { patient } from './patience.js';

const ASK_MS = patient(200);

/** @throws Error if the server does not listen, hangs, or refuses the command */
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

/** A field of INFO; undefined if there is none, or no reply. */
export async function infoField(port: number, section: string, field: string): Promise<string | undefined> {
  const info = String(await ask(port, 'INFO', section).catch(() => ''));
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}
