// Examples that follow one another, beginning on a broker without queues: openapi.json shows them, and a test sends them all.
import { STATUS_CODES } from 'node:http';
import { REASONS } from '../errors.js';
import type { Fault, Reason } from '../errors.js';
import type { RequestName } from '../messages/message-type.js';

export interface Example {
  /** Also its name in the document. */
  name: string;
  summary: string;
  request: Readonly<{ msg_type: RequestName | number } & Record<string, unknown>>;
  /** Times, versions and receipts differ each time. */
  reply: Readonly<{ code: number } & Record<string, unknown>>;
}

const done = (msg_type: string, more: object = {}): Example['reply'] => ({
  code: 200,
  status: 'OK',
  msg_type,
  ...more,
});

const failed = (
  msg_type: string,
  reason: Reason,
  message: string,
  details: readonly Fault[] = [],
): Example['reply'] => ({
  code: REASONS[reason].status,
  status: STATUS_CODES[REASONS[reason].status],
  msg_type,
  error: { reason, message, details },
});

const own = { saddr: 100, daddr: 5000 };
const hello = { saddr: 1, daddr: 100, id: 12000, payload: 'hello' };
const second = { saddr: 1, daddr: 100, id: 12001, payload: { order: 7 } };
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

const STORY = [
  {
    name: 'helo',
    summary: 'Create the queue of address 100 before its first message',
    request: { msg_type: 'MSG_HELO_REQ', ...own },
    reply: done('MSG_HELO_ACK'),
  },
  {
    name: 'helo_settings',
    summary: 'Give the queue a limit of its own, and reset another setting',
    request: { msg_type: 'MSG_HELO_REQ', ...own, settings: { max_deliveries: 5, ttl_ms: null } },
    reply: done('MSG_HELO_ACK'),
  },
  {
    name: 'send',
    summary: 'Send a message from 1 to 100',
    request: { msg_type: 'MSG_SEND_REQ', ...hello },
    reply: done('MSG_SEND_ACK'),
  },
  {
    name: 'send_by_number',
    summary: 'Send another, with the number of the message type',
    request: { msg_type: 1, ...second },
    reply: done('MSG_SEND_ACK'),
  },
  {
    name: 'send_with_everything',
    summary: 'Send with every option: deduplicated, delayed by an hour, expiring after a day',
    request: {
      msg_type: 'MSG_SEND_REQ',
      saddr: 1,
      daddr: 100,
      id: 12002,
      payload: null,
      durability: 'primary',
      dedup: true,
      delay_ms: 3_600_000,
      ttl_ms: 86_400_000,
      traceparent: TRACEPARENT,
    },
    reply: done('MSG_SEND_ACK'),
  },
  {
    name: 'send_bad',
    summary: 'Every fault of a request is named',
    request: { msg_type: 'MSG_SEND_REQ', saddr: 1, daddr: 100, id: '12003' },
    reply: failed(
      'MSG_SEND_ACK',
      'invalid_request',
      'MSG_SEND_REQ is not valid: id must be an integer from 0 to 9007199254740991, a JSON number; payload is required',
      [
        { field: 'id', message: 'id must be an integer from 0 to 9007199254740991, a JSON number' },
        { field: 'payload', message: 'payload is required' },
      ],
    ),
  },
  {
    name: 'stat',
    summary: 'Get the state of the broker and the queue',
    request: { msg_type: 'MSG_STAT_REQ', ...own },
    reply: done('MSG_STAT_ACK', {
      payload: {
        broker: { id: 5000, version: '0.1.0', uptime_ms: 71, queues: 1 },
        queue: {
          address: 100,
          waiting: 2,
          leased: 0,
          delayed: 1,
          dead: 0,
          expired: 0,
          oldest_ms: 20,
          bytes: 5128,
          settings: { max_deliveries: 5 },
        },
      },
    }),
  },
  {
    name: 'peek',
    summary: 'Peek at delayed messages',
    request: { msg_type: 'MSG_PEEK_REQ', ...own, state: 'delayed', max: 10, cursor: null },
    reply: done('MSG_PEEK_ACK', {
      messages: [
        {
          saddr: 1,
          daddr: 100,
          id: 12002,
          payload: null,
          sent_at_ms: 1795624577690,
          attempts: 0,
          due_at_ms: 1795628177690,
        },
      ],
      cursor: null,
    }),
  },
  {
    name: 'recv',
    summary: 'Receive the next message',
    request: { msg_type: 'MSG_RECV_REQ', ...own },
    reply: done('MSG_RECV_ACK', hello),
  },
  {
    name: 'keep',
    summary: 'Extend its lease to a minute from now',
    request: { msg_type: 'MSG_KEEP_REQ', ...own, id: 12000, visibility_timeout_ms: 60_000 },
    reply: done('MSG_KEEP_ACK'),
  },
  {
    name: 'back',
    summary: 'Return it, to be redelivered at once, without counting this delivery',
    request: { msg_type: 'MSG_BACK_REQ', ...own, id: 12000, delay_ms: 0, count: false },
    reply: done('MSG_BACK_ACK'),
  },
  {
    name: 'recv_several',
    summary: 'Receive up to ten messages with their details, and wait if there is none',
    request: {
      msg_type: 'MSG_RECV_REQ',
      ...own,
      wait_ms: 1_000,
      max: 10,
      visibility_timeout_ms: 60_000,
      details: true,
      attempt_id: 'worker 7, 1',
    },
    reply: done('MSG_RECV_ACK', {
      messages: [
        { ...hello, delivery: delivery(1) },
        { ...second, delivery: delivery(1) },
      ],
    }),
  },
  {
    name: 'free',
    summary: 'Free the message: it is processed',
    request: { msg_type: 'MSG_FREE_REQ', ...own, id: 12000 },
    reply: done('MSG_FREE_ACK'),
  },
  {
    name: 'free_several',
    summary: 'Free several messages, one of which is not held',
    request: { msg_type: 'MSG_FREE_REQ', ...own, ids: [12001, 12009] },
    reply: done('MSG_FREE_ACK', { freed: 1, missing: [12009] }),
  },
  {
    name: 'free_again',
    summary: 'Free a message that is no longer held',
    request: { msg_type: 'MSG_FREE_REQ', ...own, id: 12000 },
    reply: failed(
      'MSG_FREE_ACK',
      'not_delivered',
      'you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended',
    ),
  },
  {
    name: 'recv_empty',
    summary: 'Receive from an empty queue',
    request: { msg_type: 'MSG_RECV_REQ', ...own },
    reply: failed('MSG_RECV_ACK', 'queue_empty', 'no message waits for you: ask again later'),
  },
  {
    name: 'move',
    summary: 'Move a dead message back; here there is none',
    request: { msg_type: 'MSG_MOVE_REQ', ...own, ids: [12000] },
    reply: done('MSG_MOVE_ACK', { count: 0 }),
  },
  {
    name: 'drop',
    summary: 'Delete a delayed message',
    request: { msg_type: 'MSG_DROP_REQ', ...own, state: 'delayed', ids: [12002] },
    reply: done('MSG_DROP_ACK', { count: 1 }),
  },
  {
    name: 'purge',
    summary: 'Delete all waiting messages; here there is none',
    request: { msg_type: 'MSG_DROP_REQ', ...own, state: 'waiting' },
    reply: done('MSG_DROP_ACK', { count: 0, more: false }),
  },
  {
    name: 'gbye',
    summary: 'Leave',
    request: { msg_type: 'MSG_GBYE_REQ', ...own },
    reply: done('MSG_GBYE_ACK'),
  },
  ...(['MSG_PUSH_REQ', 'MSG_PUSH_ACK'] as const).map((msg_type) => ({
    name: msg_type === 'MSG_PUSH_REQ' ? 'push' : 'push_ack',
    summary: 'Not supported',
    request: { msg_type, saddr: 5000, daddr: 100 },
    reply: failed('MSG_PUSH_ACK', 'not_supported', 'the broker does not push: ask for messages with MSG_RECV_REQ'),
  })),
] as const satisfies readonly Example[];

export const EXAMPLES: readonly Example[] = STORY;

type Shown = (typeof STORY)[number]['request']['msg_type'];
type Every<_Without extends 'has an example'> = _Without;
/** Does not compile while a request has no example: the compiler's message names it. */
type _EveryRequest = Every<Exclude<RequestName, Shown>>;

function delivery(attempt: number): object {
  const receipt = '1795624578845502:1795624578845-0000000000';
  return { receipt, attempt, sent_at_ms: 1795624577690, lease_until_ms: 1795624638845 };
}
