// Connects ioredis to a host, as its own connector does, but resolves the name with src/names/.
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { lookUp } from '../../names/host-names.js';
import { CLOSED } from '../private-api.js';

export class NamedConnector extends AbstractConnector {
  readonly #options: RedisOptions;

  /** @param options ioredis's own object, untyped; changeLogin() changes it when the files of the login have changed */
  constructor(options: unknown) {
    super((options as RedisOptions).disconnectTimeout ?? 0);
    this.#options = options as RedisOptions;
  }

  /** @throws Error when disconnect() is called meanwhile, after which ioredis does not retry */
  override connect(): Promise<Socket> {
    this.connecting = true;
    return new Promise((resolve, reject) => {
      process.nextTick(() => {
        if (!this.connecting) {
          reject(new Error(CLOSED));
          return;
        }
        try {
          this.stream = this.#open();
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        this.stream.once('error', (error: Error) => (this.firstError = error));
        resolve(this.stream);
      });
    });
  }

  #open(): Socket {
    const { path, host = 'localhost', port = 6_379, family = 0, tls } = this.#options;
    const target = path ? { path } : { host, port, family, lookup: lookUp };
    return tls ? connectTls({ ...target, ...tls }) : connectTcp(target);
  }
}
