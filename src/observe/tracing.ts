// The interface through which the layers report traces. Its implementation is loaded only if traces are on (src/observe/traces/).
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * A traceparent of 55 characters: version, trace id, the sender's span id, flags. Version ff and ids of only zeros are invalid.
 * https://www.w3.org/TR/trace-context/#traceparent-header
 */
export const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** @param header as received; an invalid one is ignored */
export const traceparentOf = (header: unknown): string | undefined =>
  typeof header === 'string' && TRACEPARENT.test(header) ? header : undefined;

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Where traces are off, the layers have undefined instead. */
export interface Traces {
  /** @returns the listener, with each request in a span of its own, whose parent is the request's header traceparent */
  serve(listener: Listener): Listener;
  /**
   * Carries out a request in a span of its own.
   * @param type for example MSG_SEND_REQ
   * @param fields the validated request's; their traceparent, if there is one, is the parent instead of the HTTP request's span
   * @param carryOut receives the span's own traceparent
   */
  request<T>(
    type: string,
    fields: Readonly<Record<string, unknown>>,
    carryOut: (traceparent: string) => Promise<T>,
  ): Promise<T>;
  /** Links the current span to the spans that sent these received messages. */
  received(messages: readonly { id: number; traceparent?: string | undefined }[]): void;
  /** Sends the remaining spans; does not throw. */
  stop(): Promise<void>;
}
