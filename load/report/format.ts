// Figures as people read them.

const plain = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** 1,234,567 */
export const whole = (value: number): string => plain(value, 0);

/** 27.0 */
export const micros = (value: number): string => plain(value, value < 1_000 ? 1 : 0);

/** 0.42, 4.2, 42 */
export const millis = (value: number): string => plain(value, value < 1 ? 2 : value < 20 ? 1 : 0);

/** 1.21 × */
export const times = (value: number): string => `${plain(value, 2)}\u00a0×`;

/** 1, 100, 10k, 1M: ticks. */
export function short(value: number): string {
  if (value >= 1_000_000) return `${value / 1_000_000}M`;
  return value >= 1_000 ? `${value / 1_000}k` : String(value);
}

/** 100 B, 1 KB, 10 KB; decimal */
export function bytes(value: number): string {
  if (value >= 1e9) return `${plain(value / 1e9, value < 1e10 ? 1 : 0)} GB`;
  if (value >= 1e6) return `${plain(value / 1e6, value < 1e7 ? 1 : 0)} MB`;
  return value >= 1_000 ? `${plain(value / 1_000, value % 1_000 === 0 ? 0 : 1)} KB` : `${whole(value)} B`;
}

/** a, b and c */
export function list(words: string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)!}`;
}

/** Of texts in HTML and XML. */
export function escape(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (char) => entities[char]!);
}
