// Accounts for every message of a run: sent = received + left, none lost, duplicated or changed. The definitions are those of
// chaos/checker.ts, for millions of messages: a byte of flags for each, not an object for each request (test/unit/ledger.test.ts
// compares the two).
import { payloadOf } from '../harness/requests.js';
import type { Answer } from '../harness/answer.js';

export interface Message {
  id: number;
  saddr: number;
  daddr: number;
  payload: string;
}

export interface Verdict {
  attempted: number;
  acknowledged: number;
  /** Neither acknowledged nor certainly refused. */
  unknown: number;
  /** Unknown ones that arrived. */
  arrived: number;
  /** Acknowledged, and unknown ones that arrived. */
  sent: number;
  /** Delivered, and gone at the end. */
  received: number;
  /** In the queues at the end. */
  left: number;
  /** Acknowledged and never delivered. */
  lost: number;
  /** Delivered, never freed, but gone at the end. */
  vanished: number;
  /** Delivered again after a FREE was acknowledged, or while a receiver held it. */
  doubled: number;
  /** Delivered with a payload, sender or receiver other than sent. */
  changed: number;
  /** Delivered but never sent, or although the SEND was answered "not done". */
  unexpected: number;
  /** Some of the faults, as text. */
  examples: string[];
}

export interface Ledger {
  /** A new, unique message to be sent to this address. */
  begin(daddr: number): Message;
  sent(id: number, answer: Answer): void;
  /** @param found the message in a reply to a RECV of `address` */
  received(address: number, found: { id: unknown; saddr: unknown; daddr: unknown; payload: unknown }): void;
  freed(id: number, answer: Answer): void;
  /** GBYE was sent for all addresses: no message is leased, and those delivered from now on count as left. */
  close(): void;
  /** @param counted messages in the queues, if they were counted and not drained */
  verdict(counted?: number): Verdict;
}

const SENT = { done: 1, refused: 2, unknown: 4 } as const;
const DELIVERED = 8;
const HELD = 16;
const FREED = 32;
const MAYBE_FREED = 64;
const LEFT = 128;
const EXAMPLES = 10;

/**
 * @param firstId of consecutive ids, one for each message
 * @param payloadLength in characters
 */
export function createLedger(
  firstId: number,
  payloadLength: number,
  senders: { first: number; count: number },
): Ledger {
  let attempted = 0;
  let flags = new Uint8Array(1 << 16);
  let addresses = new Uint32Array(1 << 16);
  let isClosed = false;
  const wrong = { doubled: 0, changed: 0, unexpected: 0 };
  const examples: string[] = [];
  const note = (what: string): void => {
    if (examples.length < EXAMPLES) examples.push(what);
  };
  const complain = (kind: keyof typeof wrong, what: string): void => {
    wrong[kind] += 1;
    note(`${kind}: ${what}`);
  };
  const messageOf = (id: number, daddr: number): Message => ({
    id,
    saddr: senders.first + (id % senders.count),
    daddr,
    payload: payloadOf(id, payloadLength),
  });

  return {
    begin(daddr) {
      if (attempted === flags.length) [flags, addresses] = [grown(flags), grown(addresses)];
      addresses[attempted] = daddr;
      return messageOf(firstId + attempted++, daddr);
    },
    sent(id, answer) {
      flags[id - firstId]! |= SENT[answer];
    },
    received(address, { id, saddr, daddr, payload }) {
      const i = Number(id) - firstId;
      const shown = `message ${String(id)} at ${address}`;
      if (!Number.isInteger(id) || i < 0 || i >= attempted) {
        complain('unexpected', shown);
        return;
      }
      const sent = messageOf(id as number, addresses[i]!);
      if (saddr !== sent.saddr || daddr !== sent.daddr || address !== sent.daddr || payload !== sent.payload)
        complain('changed', shown);
      const known = flags[i]!;
      if (known & SENT.refused) complain('unexpected', `${shown}, whose SEND was answered "not done"`);
      if (known & FREED) complain('doubled', `${shown} after it was freed`);
      else if (known & HELD) complain('doubled', `${shown} while it was held`);
      flags[i]! |= DELIVERED | HELD | (isClosed && !(known & FREED) ? LEFT : 0);
    },
    freed(id, answer) {
      const i = id - firstId;
      if (i < 0 || i >= attempted || answer === 'refused') return;
      // a FREE with unknown outcome: the message is gone or still leased, so no receiver may get it
      flags[i] = answer === 'done' ? (flags[i]! & ~HELD) | FREED : flags[i]! | MAYBE_FREED;
    },
    close() {
      isClosed = true;
      for (let i = 0; i < attempted; i++) flags[i]! &= ~HELD;
    },
    verdict(counted) {
      const of = {
        done: 0,
        unknown: 0,
        arrived: 0,
        received: 0,
        left: 0,
        lost: 0,
        vanished: 0,
        freed: 0,
        maybeFreed: 0,
      };
      for (let i = 0; i < attempted; i++) {
        const known = flags[i]!;
        const isDelivered = Boolean(known & DELIVERED);
        if (known & SENT.done) of.done += 1;
        else if (!(known & SENT.refused)) {
          of.unknown += 1;
          if (isDelivered) of.arrived += 1;
          else continue;
        }
        if (known & FREED && !(known & LEFT)) of.freed += 1;
        if (known & MAYBE_FREED && !(known & FREED)) of.maybeFreed += 1;
        if (known & LEFT) of.left += 1;
        else if (known & (FREED | MAYBE_FREED)) of.received += 1;
        else if (counted === undefined && (isDelivered || known & SENT.done)) {
          of[isDelivered ? 'vanished' : 'lost'] += 1;
          note(`${isDelivered ? 'vanished' : 'lost'}: message ${firstId + i} to ${addresses[i]!}`);
        }
      }
      const { done: acknowledged, unknown, arrived, received, left, lost, vanished } = of;
      const sent = acknowledged + arrived;
      const verdict = {
        attempted,
        acknowledged,
        unknown,
        arrived,
        sent,
        received,
        left,
        lost,
        vanished,
        ...wrong,
        examples,
      };
      return counted === undefined ? verdict : { ...verdict, ...balance(counted, verdict, of) };
    },
  };
}

/** The check by counting alone: the number must be between what must be left and what may be. */
function balance(
  counted: number,
  { sent, unknown, arrived, doubled }: Verdict,
  { freed, maybeFreed }: { freed: number; maybeFreed: number },
): Partial<Verdict> {
  const least = sent - freed - maybeFreed;
  const most = sent + (unknown - arrived) - freed;
  return {
    received: freed,
    left: counted,
    lost: Math.max(0, least - counted),
    doubled: doubled + Math.max(0, counted - most),
  };
}

function grown<T extends Uint8Array | Uint32Array>(from: T): T {
  const to = new (from.constructor as new (length: number) => T)(from.length * 2);
  to.set(from);
  return to;
}
