// Settings of one queue, made by HELO; the operator's limits of length and bytes are their ceilings.
import type { QueueSettings } from './queues.js';

/** Settings of a queue by their names on the wire; null resets one to the broker's default. */
export interface OwnSettings {
  visibility_timeout_ms?: number | null;
  max_deliveries?: number | null;
  max_queue_length?: number | null;
  max_queue_bytes?: number | null;
  ttl_ms?: number | null;
}

export interface Ceiling {
  name: keyof OwnSettings;
  most: number;
  /** The operator's setting. */
  setting: string;
}

export const ceilings = ({ maxQueueLength, maxQueueBytes }: QueueSettings): Ceiling[] => [
  { name: 'max_queue_length', most: maxQueueLength, setting: 'AIZUMI_MAX_QUEUE_LENGTH' },
  { name: 'max_queue_bytes', most: maxQueueBytes, setting: 'AIZUMI_MAX_QUEUE_BYTES' },
];

/** The effective settings: a value above the ceiling, stored before it was lowered, counts as the ceiling. */
export function underCeilings(own: Record<string, number>, settings: QueueSettings): Record<string, number> {
  const capped = { ...own };
  for (const { name, most } of ceilings(settings)) {
    const value = capped[name];
    if (value !== undefined && value > most) capped[name] = most;
  }
  return capped;
}
