// One request and its reply: sent, checked exactly, counted in the tally and entered in the ledger.
import { answerOfReply } from '../harness/answer.js';
import type { Answer } from '../harness/answer.js';
import { freeRequest, recvRequest, sendRequest } from '../harness/requests.js';
import { ask } from './conversation.js';
import type { Conversation, Heard } from './conversation.js';
import type { Ledger, Message } from './ledger.js';
import { count } from './tally.js';
import type { Tally } from './tally.js';

export interface Run {
  ledger: Ledger;
  tally: Tally;
  /** Consecutive addresses of this run. */
  addresses: { first: number; count: number };
  /** Whether there is time left. */
  goesOn(): boolean;
}

export interface Delivered {
  id: number;
  daddr: number;
}

/** Reasons for which a broker under load may refuse, or report an unknown outcome. */
const EXPECTED = ['queue_full', 'rate_limited', 'unavailable', 'not_durable', 'overloaded', 'draining'];
/** Statuses with which a balancer reports the same. */
const GATEWAY = [502, 503, 504];
const SEND_REPLY = { code: 200, status: 'OK', msg_type: 'MSG_SEND_ACK' };
const FREE_REPLY = { code: 200, status: 'OK', msg_type: 'MSG_FREE_ACK' };

export const addressAt = ({ addresses }: Run, i: number): number => addresses.first + (i % addresses.count);

/** @param fields more fields of the request */
export function* send(run: Run, daddr: number, fields: object = {}): Conversation<Answer> {
  const message = run.ledger.begin(daddr);
  const heard = yield* ask({ ...requestOf(message), ...fields });
  const { answer, json } = judge(run, 'SEND', heard);
  run.ledger.sent(message.id, answer);
  if (answer === 'done' && expectReply(run, 'SEND', json, SEND_REPLY)) run.tally.done('SEND', heard.ms);
  return answer;
}

/** @returns undefined if there was no message */
export function* receive(run: Run, address: number, fields: object = {}): Conversation<Delivered | undefined> {
  const heard = yield* ask({ ...recvRequest(address), ...fields });
  const { answer, json } = judge(run, 'RECV', heard);
  if (answer !== 'done') return undefined;
  const { id, saddr, daddr, payload, ...rest } = json;
  run.ledger.received(address, { id, saddr, daddr, payload });
  if (!expectReply(run, 'RECV', rest, { code: 200, status: 'OK', msg_type: 'MSG_RECV_ACK' })) return undefined;
  run.tally.done('RECV', heard.ms);
  return { id, daddr: address };
}

export function* free(run: Run, { id, daddr }: Delivered): Conversation<Answer> {
  const heard = yield* ask(freeRequest(daddr, id));
  const { answer, json } = judge(run, 'FREE', heard);
  run.ledger.freed(id, answer);
  if (answer === 'done' && expectReply(run, 'FREE', json, FREE_REPLY)) run.tally.done('FREE', heard.ms);
  return answer;
}

/** Several SENDs in one body. */
export function* sendMany(run: Run, daddr: number, messages: number): Conversation {
  const type = `SEND × ${messages}`;
  const batch = Array.from({ length: messages }, () => run.ledger.begin(daddr));
  const heard = yield* ask(batch.map(requestOf));
  const { answer, json } = judge(run, type, heard);
  if (answer !== 'done') {
    batch.forEach(({ id }) => run.ledger.sent(id, answer));
    return;
  }
  if (!Array.isArray(json) || json.length !== messages) {
    strange(run, type, 'a list of another length');
    return;
  }
  for (const [i, reply] of json.entries()) {
    const one = reply?.code === 200 ? 'done' : answerOfReply(reply?.code, reply?.error);
    run.ledger.sent(batch[i]!.id, one);
    if (one !== 'done') run.tally.failed(type, reasonOf(reply));
    else if (!expectReply(run, type, reply, SEND_REPLY)) return;
  }
  run.tally.done(type, heard.ms, messages);
}

/** @returns undefined if the outcome is unknown, [] if the queue is empty */
export function* receiveMany(run: Run, address: number, max: number): Conversation<Delivered[] | undefined> {
  const type = `RECV max ${max}`;
  const heard = yield* ask({ ...recvRequest(address), max });
  const { answer, json, reason } = judge(run, type, heard);
  if (reason === 'queue_empty') return [];
  if (answer !== 'done') return undefined;
  const { messages, ...rest } = json;
  if (!expectReply(run, type, rest, { code: 200, status: 'OK', msg_type: 'MSG_RECV_ACK' })) return undefined;
  if (!Array.isArray(messages) || messages.length === 0) return (strange(run, type, 'no messages'), undefined);
  for (const message of messages) run.ledger.received(address, message);
  run.tally.done(type, heard.ms, messages.length);
  return messages.map(({ id }) => ({ id, daddr: address }));
}

/** Frees several messages of one address with one FREE. */
export function* freeMany(run: Run, address: number, held: Delivered[]): Conversation {
  const ids = held.map(({ id }) => id);
  const heard = yield* ask({ ...freeRequest(address, 0), id: undefined, ids });
  const { answer, json } = judge(run, 'FREE ids', heard);
  for (const id of ids) run.ledger.freed(id, answer);
  if (answer === 'done' && expectReply(run, 'FREE ids', json, { ...FREE_REPLY, freed: ids.length, missing: [] }))
    run.tally.done('FREE ids', heard.ms, ids.length);
}

const requestOf = ({ id, saddr, daddr, payload }: Message): object => sendRequest(daddr, id, payload, saddr);

/** The outcome, in the terms that chaos uses too; counts failures and empty queues. */
function judge(run: Run, type: string, heard: Heard): { answer: Answer; json: any; reason: string } {
  if (heard.kind === 'lost') {
    run.tally.failed(type, heard.reason);
    return { answer: heard.refused ? 'refused' : 'unknown', json: undefined, reason: heard.reason };
  }
  const { status, text } = heard;
  const json = parsed(text);
  if (status === 200 || status === 207) return { answer: 'done', json, reason: '' };
  const reason = reasonOf(json) || `HTTP ${status}`;
  if (status === 404 && reason === 'queue_empty') run.tally.empty(type);
  else {
    run.tally.failed(type, reason);
    if (!EXPECTED.includes(reason) && !GATEWAY.includes(status))
      count(run.tally.strange, `${type}: ${status} ${reason}`);
  }
  return { answer: answerOfReply(status, json?.error?.reason ? json.error : undefined), json, reason };
}

function expectReply(run: Run, type: string, got: unknown, expected: object): boolean {
  if (JSON.stringify(got) === JSON.stringify(expected)) return true;
  strange(run, type, `a reply 200 with ${JSON.stringify(got).slice(0, 200)}`);
  return false;
}

function strange(run: Run, type: string, what: string): void {
  run.tally.failed(type, 'wrong answer');
  count(run.tally.strange, `${type}: ${what}`);
}

function parsed(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const reasonOf = (json: any): string => (typeof json?.error?.reason === 'string' ? json.error.reason : '');
