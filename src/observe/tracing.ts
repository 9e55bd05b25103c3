// Traces, as the layers see them: a leaf. What is behind the interface is loaded only when it is on (src/observe/traces/).
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * A traceparent of 55 characters, as https://www.w3.org/TR/trace-context/#traceparent-header has it: version, trace id, the
 * sender's span id, flags. Version ff and ids of zeros alone are invalid there.
 */
export const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** @param header as it came; one that is no traceparent counts as none */
export const traceparentOf = (header: unknown): string | undefined =>
  typeof header === 'string' && TRACEPARENT.test(header) ? header : undefined;

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Undefined where nobody traces. */
export interface Traces {
  /** The same listener, each request in a span of its own; its header traceparent is the parent. */
  serve(listener: Listener): Listener;
  /**
   * Carries out a request in a span of its own.
   * @param type for example MSG_SEND_REQ
   * @param fields valid ones; their traceparent, if there is one, is the parent instead of the HTTP request's span
   * @param carryOut gets the span's own traceparent
   */
  request<T>(
    type: string,
    fields: Readonly<Record<string, unknown>>,
    carryOut: (traceparent: string) => Promise<T>,
  ): Promise<T>;
  /** Tells the span that is under way which messages it has got, so that it links to those who sent them. */
  received(messages: readonly { id: number; traceparent?: string | undefined }[]): void;
  /** Sends what is left; does not throw. */
  stop(): Promise<void>;
}
