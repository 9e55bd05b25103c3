// One connection: autocannon's client, driven by a conversation. autocannon 9 itself sends the next request on each reply, cuts
// off requests in progress at the end, takes the next reply for that of a request whose connection broke, parses it as the end of
// the broken one, and reconnects without a pause. So the two methods that do this are replaced, on the instance only.
import type { Client } from 'autocannon';
import type { Conversation, Heard } from './conversation.js';
import type { Pacer } from '../harness/pace.js';

/** Members of lib/httpClient.js of autocannon 9 that its types omit. */
interface Internals {
  destroyed: boolean;
  parser: { reinitialize(type: 'RESPONSE'): void };
  pipelinedRequests: { clear(): void };
  on(event: 'connError', listener: (error: NodeJS.ErrnoException) => void): void;
  destroy(): void;
  _connect(): void;
  /** Called after each reply and on each connect. */
  _doRequest(): void;
}

export interface Leading {
  headers: Record<string, string>;
  /** A request without a reply for this long has failed. */
  timeoutMs: number;
  pacer?: Pacer | undefined;
  /** Called if the conversation throws. */
  onFailure: (error: unknown) => void;
}

const RECONNECT_MS = 100;
/** Timers may be early. */
const EARLY_MS = 20;
const NOTHING_YET: Heard = { kind: 'lost', reason: 'nothing was asked', refused: true, ms: 0 };

/** Leads a client that autocannon is making (its `setupClient`) through a conversation, and ends it there. */
export function lead(client: Client, conversation: Conversation, leading: Leading): void {
  const inner = client as unknown as Internals;
  const connect = inner._connect.bind(client);
  const request = inner._doRequest.bind(client);
  let heard = NOTHING_YET;
  let isAsking = false;
  let isOnline = false;
  /** The conversation is resumed by a timer or the pacer, not by the client. */
  let isIdle = false;
  let isConnecting = false;
  let wasConnected = false;
  let askedMs = 0;
  let trouble: NodeJS.ErrnoException | undefined;

  const goOn = (dueMs: number): void => {
    isIdle = false;
    if (!isOnline || inner.destroyed) return; // still connecting
    let step;
    try {
      step = conversation.next(heard);
    } catch (error) {
      leading.onFailure(error);
    }
    if (!step || step.done === true) {
      inner.destroy();
      return;
    }
    if ('pauseMs' in step.value) {
      isIdle = true;
      setTimeout(takeTurn, step.value.pauseMs);
      return;
    }
    askedMs = dueMs;
    isAsking = true;
    client.setBody(step.value.ask);
    request();
  };
  const takeTurn = (): void => {
    if (!leading.pacer) {
      goOn(performance.now());
      return;
    }
    isIdle = true;
    leading.pacer.enter(goOn);
  };
  const lose = (): void => {
    const ms = performance.now() - askedMs;
    const late = ms >= leading.timeoutMs - EARLY_MS;
    const reason = trouble?.code ?? (late ? `no answer within ${leading.timeoutMs / 1000} s` : 'connection closed');
    heard = { kind: 'lost', reason, refused: trouble?.code === 'ECONNREFUSED', ms };
    isAsking = false;
  };

  inner.on('connError', (error) => (trouble = error));
  inner._connect = () => {
    if (isConnecting) return; // a broken connection may be reported twice
    if (isAsking) lose();
    isOnline = false;
    isConnecting = true;
    const again = (): void => {
      isConnecting = false;
      if (inner.destroyed) return;
      trouble = undefined;
      inner.parser.reinitialize('RESPONSE');
      inner.pipelinedRequests.clear();
      connect();
    };
    if (wasConnected) setTimeout(again, RECONNECT_MS);
    else again();
    wasConnected = true;
  };
  inner._doRequest = () => {
    isOnline = true;
    if (!isIdle) takeTurn();
  };
  client.setRequests([
    {
      method: 'POST',
      headers: leading.headers,
      body: '{}',
      onResponse(status, text) {
        heard = { kind: 'answered', status, text, ms: performance.now() - askedMs };
        isAsking = false;
      },
    },
  ]);
}
