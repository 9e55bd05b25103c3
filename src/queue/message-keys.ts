// The keys that hold a queue's messages and what is known of them, in the order in which recv.lua and drop.lua take them.
import * as keys from './keys.js';

export type MessageKeys = [
  queue: string,
  leases: string,
  held: string,
  delayed: string,
  backed: string,
  dead: string,
  seen: string,
  settings: string,
  counts: string,
  attempts: string,
  ended0: string,
  ended1: string,
];

export const messageKeys = (prefix: string, address: number): MessageKeys => [
  keys.queueKey(prefix, address),
  keys.leasesKey(prefix, address),
  keys.heldKey(prefix, address),
  keys.delayedKey(prefix, address),
  keys.backedKey(prefix, address),
  keys.deadKey(prefix, address),
  keys.seenKey(prefix, address),
  keys.settingsKey(prefix, address),
  keys.countsKey(prefix, address),
  keys.attemptsKey(prefix, address),
  keys.ended0Key(prefix, address),
  keys.ended1Key(prefix, address),
];
