// What a queue may do otherwise than the broker does by itself, and how far: the operator's limits of length and bytes are ceilings.
import type { QueueSettings } from './queues.js';

/** What HELO sets for a queue, by its name on the wire; null: back to the broker's default. */
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

/** As they count: what was stored before the ceiling was lowered, or by a version without one, counts as the ceiling. */
export function underCeilings(own: Record<string, number>, settings: QueueSettings): Record<string, number> {
  const capped = { ...own };
  for (const { name, most } of ceilings(settings)) {
    const value = capped[name];
    if (value !== undefined && value > most) capped[name] = most;
  }
  return capped;
}
