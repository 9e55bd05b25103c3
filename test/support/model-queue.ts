// A minimal model of a queue as designed. test/queue/model.test.ts compares it with the real one.
import type { State } from '../../src/queue/peek.js';

export const MAX_DELIVERIES = 3;
export const MAX_LENGTH = 8;

/** over: expires before the next RECV. */
export type Life = 'none' | 'long' | 'over';

/** A message that is held: by its id the one delivered first, or by the receipt of the n-th delivery of all. */
export type Which = { id: number } | { nth: number };

interface ModelMessage {
  id: number;
  /** Unique. */
  payload: string;
  /** sender:id of a message sent with dedup. */
  once: string | undefined;
  life: Life;
  deliveries: number;
  /** delayed and backed: due is its place in the order in which they fall due, once it is. */
  state: 'delayed' | 'new' | 'leased' | 'ended' | 'backed';
  due: number | undefined;
  /** Whether its receiver may still free it. */
  held: boolean;
  /** Place in the order of deliveries. */
  delivered: number;
  /** How often its lease was extended. */
  keeps: number;
}

interface Delivered {
  message: ModelMessage;
  delivered: number;
}

/** What a RECV with an attempt_id took, and how many were given it. */
interface Attempt {
  readonly taken: readonly Delivered[];
  asks: number;
}

/** The reply to a RECV. */
interface Told {
  readonly attempt: string | undefined;
  readonly deliveries: readonly (Delivered & { readonly keeps: number })[];
}

const isHeld = ({ message, delivered }: Delivered): boolean => message.held && message.delivered === delivered;

const toText = ({ id, payload, deliveries }: ModelMessage): string => `${id} ${payload} ${deliveries}`;

export class ModelQueue {
  /** In the stream, oldest first. */
  messages: ModelMessage[] = [];
  delayed: ModelMessage[] = [];
  dead: ModelMessage[] = [];
  expired = 0;
  /** Whether the queue's own ttl_ms is so short that all without one of their own are over. */
  shortLife = false;
  /** What was sent once only, sender:id → payload. */
  readonly seen = new Map<string, string>();
  readonly deliveries: Delivered[] = [];
  readonly #attempts = new Map<string, Attempt>();
  /** Not undone yet. */
  readonly told: Told[] = [];
  #sent = 0;
  #due = 0;

  send(id: number, later: boolean, life: Life): string {
    return this.#add(id, String(this.#sent), undefined, later, life);
  }

  sendOnce(saddr: number, id: number, text: string, later: boolean, life: Life): string {
    const once = `${saddr}:${id}`;
    const payload = `"${once} ${text}"`;
    const before = this.seen.get(once);
    if (before !== undefined) return before === payload ? 'sent' : 'conflict';
    return this.#add(id, payload, once, later, life);
  }

  #add(id: number, payload: string, once: string | undefined, later: boolean, life: Life): string {
    if (this.#room() === 0) this.#sweep();
    if (this.#room() === 0) return 'full';
    const state = later ? 'delayed' : 'new';
    const message = {
      id,
      payload,
      once,
      life,
      state,
      deliveries: 0,
      due: undefined,
      held: false,
      delivered: 0,
      keeps: 0,
    } as const;
    (later ? this.delayed : this.messages).push({ ...message });
    if (once !== undefined) this.seen.set(once, payload);
    else this.#sent++;
    return 'sent';
  }

  #room = (): number => Math.max(0, MAX_LENGTH - this.messages.length - this.delayed.length);

  /** Removes expired messages that are not leased. */
  #sweep(): void {
    const goes = (message: ModelMessage): boolean => this.#isOver(message) && message.state !== 'leased';
    this.#discard([...this.messages, ...this.delayed].filter(goes));
  }

  /** @returns how many of them had not expired */
  #discard(messages: readonly ModelMessage[]): number {
    const stays = (message: ModelMessage): boolean => !messages.includes(message);
    const over = messages.filter((message) => !this.dead.includes(message) && this.#isOver(message)).length;
    for (const message of messages) message.held = false;
    this.messages = this.messages.filter(stays);
    this.delayed = this.delayed.filter(stays);
    this.dead = this.dead.filter(stays);
    this.expired += over;
    return messages.length - over;
  }

  /** @returns the messages, or when to look again */
  recv(max: number, attempt: string | undefined): string {
    const before = attempt === undefined ? undefined : this.#attempts.get(attempt);
    const still = before?.taken.filter((one) => isHeld(one) && one.message.state === 'leased') ?? [];
    if (before && still.length > 0) {
      before.asks++;
      return this.#tell(attempt, still);
    }
    if (attempt !== undefined) this.#attempts.delete(attempt);

    const first = this.deliveries.length;
    const wrote = this.#takeWhatIsDue() || this.messages.some(({ state }) => state === 'ended');
    const candidates = [
      ...this.messages.filter(({ state }) => state === 'ended'),
      ...this.messages.filter(({ state }) => state === 'new'),
    ];
    let discarded = false;
    for (const message of candidates) {
      if (this.deliveries.length - first === max) break;
      discarded = this.#deliver(message) || discarded;
    }
    const taken = this.deliveries.slice(first);
    if (taken.length === 0) return this.#again(wrote || discarded);
    if (attempt !== undefined) this.#attempts.set(attempt, { taken, asks: 1 });
    return this.#tell(attempt, taken);
  }

  #tell(attempt: string | undefined, deliveries: readonly Delivered[]): string {
    this.told.push({ attempt, deliveries: deliveries.map((one) => ({ ...one, keeps: one.message.keeps })) });
    return deliveries.map(({ message }) => toText(message)).join(', ');
  }

  /** Undoes the n-th delivery that was not undone yet, as if its reply had not been sent. */
  undo(nth: number): void {
    const [{ attempt, deliveries }] = this.told.splice(nth, 1) as [Told];
    if (attempt !== undefined) {
      const known = this.#attempts.get(attempt);
      const isOf = known?.taken.some(
        (one) => isHeld(one) && deliveries.some(({ delivered }) => delivered === one.delivered),
      );
      if (!known || !isOf || --known.asks > 0) return;
      this.#attempts.delete(attempt);
    }
    for (const one of deliveries) {
      const { message } = one;
      if (!isHeld(one) || (message.state === 'leased' && message.keeps !== one.keeps)) continue;
      Object.assign(message, { held: false, state: 'ended', deliveries: message.deliveries - 1 });
    }
  }

  /** attempt_id → how many ask, and what is held of it. */
  attempts(): Record<string, { asks: number; payloads: string[] }> {
    const all: [string, Attempt][] = [...this.#attempts].filter(([, { taken }]) => taken.some(isHeld));
    return Object.fromEntries(
      all.map(([id, { asks, taken }]) => [
        id,
        { asks, payloads: taken.filter(isHeld).map(({ message }) => message.payload) },
      ]),
    );
  }

  #takeWhatIsDue(): boolean {
    const due = this.delayed.filter((message) => message.due !== undefined).sort((a, b) => a.due! - b.due!);
    this.delayed = this.delayed.filter((message) => message.due === undefined);
    this.messages.push(...due.map((message) => Object.assign(message, { state: 'new' as const })));
    const back = this.messages.filter(({ state, due }) => state === 'backed' && due !== undefined);
    for (const message of back) message.state = 'ended';
    return due.length + back.length > 0;
  }

  #isOver = ({ life }: ModelMessage): boolean => life === 'over' || (life === 'none' && this.shortLife);

  /** @returns whether it is gone instead */
  #deliver(message: ModelMessage): boolean {
    const isOver = this.#isOver(message);
    if (isOver || message.deliveries >= MAX_DELIVERIES) {
      this.#end(message);
      if (isOver) this.expired++;
      else this.dead.push(message);
      return true;
    }
    const delivered = this.deliveries.push({ message, delivered: this.deliveries.length }) - 1;
    Object.assign(message, { state: 'leased', held: true, deliveries: message.deliveries + 1, delivered });
    return false;
  }

  #again(changed: boolean): string {
    if (changed) return 'empty: look again';
    const waits =
      this.delayed.length > 0 || this.messages.some(({ state }) => state === 'leased' || state === 'backed');
    return waits ? 'empty: until something is due' : 'empty';
  }

  free(which: Which): string {
    const message = this.#find(which);
    if (typeof message === 'string') return message;
    this.#end(message);
    return 'done';
  }

  /** @returns the ids that are not held */
  freeMany(ids: readonly number[]): number[] {
    return ids.filter((id) => this.free({ id }) !== 'done');
  }

  #end(message: ModelMessage): void {
    this.messages.splice(this.messages.indexOf(message), 1);
    Object.assign(message, { held: false, state: 'ended' });
  }

  keep(which: Which): string {
    const message = this.#find(which);
    if (typeof message === 'string') return message;
    Object.assign(message, { state: 'leased', keeps: message.keeps + 1 });
    return 'done';
  }

  back(which: Which, later: boolean, counts: boolean): string {
    const message = this.#find(which);
    if (typeof message === 'string') return message;
    Object.assign(message, { held: false, state: later ? 'backed' : 'ended', due: undefined });
    if (!counts) message.deliveries--;
    return 'done';
  }

  #find(which: Which): ModelMessage | string {
    if ('id' in which) {
      const held = this.messages.filter((m) => m.held && m.id === which.id);
      return held.sort((a, b) => a.delivered - b.delivered)[0] ?? 'not held';
    }
    const found = this.deliveries[which.nth];
    return found?.message.held && found.message.delivered === found.delivered ? found.message : 'lease_lost';
  }

  #in(state: State): ModelMessage[] {
    if (state === 'dead') return this.dead;
    if (state === 'leased') return this.messages.filter((message) => message.state === 'leased');
    return [...this.messages, ...this.delayed].filter(
      (message) => message.state !== 'leased' && isLater(message) === (state === 'delayed'),
    );
  }

  /** @returns the messages in that state, in no order */
  peek(state: State): string[] {
    const isShown = (message: ModelMessage): boolean =>
      state === 'leased' || state === 'dead' || !this.#isOver(message);
    return this.#in(state).filter(isShown).map(toText).sort();
  }

  /** @returns how many */
  drop(state: Exclude<State, 'leased'>, ids: readonly number[] | undefined): number {
    return this.#discard(this.#in(state).filter(({ id }) => ids?.includes(id) ?? true));
  }

  /** @returns how many */
  move(ids: readonly number[] | undefined): number {
    const chosen = this.dead.filter(({ id }) => ids?.includes(id) ?? true);
    const moved = this.#moveFirst(chosen);
    if (moved === chosen.length) return moved;
    this.#sweep();
    return moved + this.#moveFirst(chosen.slice(moved));
  }

  #moveFirst(chosen: readonly ModelMessage[]): number {
    const moved = chosen.slice(0, this.#room());
    this.dead = this.dead.filter((message) => !moved.includes(message));
    // as one that was never delivered; of what its SEND asked for nothing is left
    const anew = { once: undefined, life: 'none', state: 'new', deliveries: 0, due: undefined } as const;
    this.messages.push(...moved.map((message) => ({ ...message, ...anew })));
    return moved.length;
  }

  /** The lease of the n-th leased message (modulo their number) ends. @returns its payload */
  end(nth: number): string | undefined {
    const message = pick(this.messages, nth, ({ state }) => state === 'leased');
    if (message) message.state = 'ended';
    return message?.payload;
  }

  /** The n-th message that is delayed, or was given back with a delay, falls due. @returns its payload and place in the order */
  fallDue(what: 'delayed' | 'backed', nth: number): { payload: string; due: number } | undefined {
    const among = what === 'delayed' ? this.delayed : this.messages;
    const message = pick(among, nth, ({ state, due }) => state === what && due === undefined);
    if (!message) return undefined;
    message.due = ++this.#due;
    return { payload: message.payload, due: message.due };
  }

  /** @returns whether nothing is left */
  gbye(): boolean {
    for (const message of this.messages) if (message.held) Object.assign(message, { held: false, state: 'ended' });
    return this.messages.length + this.delayed.length + this.dead.length === 0;
  }

  counts(): object {
    const leased = this.messages.filter(({ state }) => state === 'leased').length;
    // what is due waits, although nobody has asked yet
    const later = [...this.messages, ...this.delayed].filter(isLater).length;
    return {
      waiting: this.messages.length + this.delayed.length - leased - later,
      leased,
      delayed: later,
      dead: this.dead.length,
    };
  }
}

const isLater = ({ state, due }: ModelMessage): boolean =>
  (state === 'delayed' || state === 'backed') && due === undefined;

function pick<T>(all: readonly T[], nth: number, which: (each: T) => boolean): T | undefined {
  const found = all.filter(which);
  return found[nth % found.length];
}
