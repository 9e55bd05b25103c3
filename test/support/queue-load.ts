// A load on one queue, from one sender in bodies of several SENDs and one receiver, that remembers what became of each message.
import { post } from '../../harness/broker.js';

/** SENDs in a body. */
const IN_A_BODY = 5;
/** A message leased by a RECV whose reply was lost is redelivered within this time. */
const LEASE_MS = 3_000;
const END_MS = 30_000;

export interface Verdict {
  sent: number;
  received: number;
  /** Acknowledged, and never received. */
  lost: number[];
  /** Received although `not_done`, or again after it was freed, or twice without a redelivery. */
  doubled: number[];
  /** First delivered after a later message. */
  reordered: number[];
  /** Replies other than done, not done and unknown, such as 500. */
  unexpected: Record<string, number>;
  /** How many were answered 503, by type, reason and outcome. */
  refused: Record<string, number>;
  slowestMs: number;
}

interface Answer {
  code: number;
  id?: number;
  messages?: { id: number; payload: number; delivery: { receipt: string; attempt: number } }[];
  error?: { reason: string; outcome?: string };
}

export class QueueLoad {
  /** Bodies answered, of the sender and the receiver. */
  answered = 0;
  readonly #acknowledged = new Set<number>();
  readonly #notDone = new Set<number>();
  readonly #received = new Set<number>();
  readonly #freed = new Set<number>();
  readonly #verdict: Verdict = {
    sent: 0,
    received: 0,
    lost: [],
    doubled: [],
    reordered: [],
    unexpected: {},
    refused: {},
    slowestMs: 0,
  };
  #isOver = false;
  #sender: Promise<void> | undefined;
  #receiver: Promise<void> | undefined;
  #latest = 0;

  /** @param way more fields of its SENDs; with `dedup` a SEND is repeated until it is answered 200 */
  constructor(
    private readonly url: string,
    private readonly address: number,
    private readonly way: { dedup?: boolean; durability?: string; ttl_ms?: number },
  ) {}

  start(): void {
    this.#sender = this.#send();
    this.#receiver = this.#receive();
  }

  /** Stops sending, and waits until everything that was acknowledged is delivered. */
  async end(): Promise<Verdict> {
    this.#isOver = true;
    await this.#sender;
    const deadline = performance.now() + END_MS;
    this.#deadline = deadline;
    await this.#receiver;
    return { ...this.#verdict, received: this.#received.size, lost: this.#missing() };
  }

  #deadline = Infinity;
  /** Consecutive empty replies since the sender ended. */
  #empty = 0;

  #missing(): number[] {
    return [...this.#acknowledged].filter((id) => !this.#received.has(id));
  }

  async #send(): Promise<void> {
    let next = 1;
    let again: number[] = [];
    while (!this.#isOver || again.length > 0) {
      // those whose outcome is not 200 first: with dedup they are repeated, and nothing new is sent before they are in
      const ids = again.length > 0 ? again : Array.from({ length: IN_A_BODY }, () => next++);
      again = [];
      const body = ids.map((id) => ({
        msg_type: 'MSG_SEND_REQ',
        saddr: this.address,
        daddr: this.address,
        id,
        payload: id,
        ...this.way,
      }));
      const answers = await this.#post('SEND', body);
      ids.forEach((id, i) => {
        const { code, error } = answers[i] as Answer;
        this.#verdict.sent++;
        if (code === 200) this.#acknowledged.add(id);
        else if (this.way.dedup === true) again.push(id);
        else if (error?.outcome === 'not_done') this.#notDone.add(id);
      });
    }
  }

  async #receive(): Promise<void> {
    while (!this.#sender || !this.#isDrained()) {
      const [answer] = await this.#post('RECV', [
        {
          msg_type: 'MSG_RECV_REQ',
          saddr: this.address,
          daddr: 0,
          max: 20,
          wait_ms: 500,
          details: true,
          visibility_timeout_ms: LEASE_MS,
        },
      ]);
      const messages = answer?.messages ?? [];
      if (this.#isOver) this.#empty = answer?.code === 404 ? this.#empty + 1 : 0;
      for (const { id, delivery } of messages) this.#take(id, delivery.attempt);
      if (messages.length > 0) await this.#free(messages.map(({ id, delivery }) => [id, delivery.receipt]));
    }
  }

  #isDrained(): boolean {
    if (!this.#isOver || this.#deadline === Infinity) return false;
    return (this.#missing().length === 0 && this.#empty * 500 > LEASE_MS) || performance.now() > this.#deadline;
  }

  #take(id: number, attempt: number): void {
    const { doubled, reordered } = this.#verdict;
    if (this.#notDone.has(id) || this.#freed.has(id) || (attempt === 1 && this.#received.has(id))) doubled.push(id);
    // the first body's repetition with dedup may come behind later ones of that body that were not refused
    if (attempt === 1 && id < this.#latest && this.way.dedup !== true) reordered.push(id);
    if (attempt === 1) this.#latest = Math.max(this.#latest, id);
    this.#received.add(id);
  }

  /** With receipts, in one body. */
  async #free(held: [id: number, receipt: string][]): Promise<void> {
    const body = held.map(([id, receipt]) => ({
      msg_type: 'MSG_FREE_REQ',
      saddr: this.address,
      daddr: 0,
      id,
      receipt,
    }));
    const answers = await this.#post('FREE', body);
    held.forEach(([id], i) => {
      if (answers[i]?.code === 200) this.#freed.add(id);
    });
  }

  async #post(type: string, body: object[]): Promise<Answer[]> {
    const startedMs = performance.now();
    const { text } = await post(this.url, body);
    const answers = JSON.parse(text) as Answer[];
    const waitMs = type === 'RECV' ? 500 : 0;
    this.#verdict.slowestMs = Math.max(this.#verdict.slowestMs, Math.round(performance.now() - startedMs - waitMs));
    for (const { code, error } of answers) {
      const name = `${type} ${code} ${error?.reason ?? ''} ${error?.outcome ?? ''}`;
      const counts = code === 503 ? this.#verdict.refused : this.#verdict.unexpected;
      // an empty queue; FREE of what a FREE of unknown outcome has freed, or whose lease has ended
      if (code !== 200 && code !== 404 && code !== 409) counts[name] = (counts[name] ?? 0) + 1;
    }
    this.answered++;
    return answers;
  }
}
