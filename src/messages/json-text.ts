// Request text → what its JSON says, plus where the payload's own text stands, so that it is kept to the last digit.
import { BrokerError } from '../errors.js';

/** Brackets open at once; deeper documents are refused before anything looks at them. */
const MAX_DEPTH = 64;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export interface RequestText {
  /** The request's fields. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The text of the field `payload` as the sender wrote it; undefined without one. */
  readonly payload: string | undefined;
}

/**
 * Parses one request. JSON.parse decides what is valid; the scan only finds the payload and measures the depth.
 * A number such as 12345678901234567890 or a repeated key inside the payload thus comes out as it went in.
 * @throws BrokerError invalid_json, invalid_request (not an object, or nested too deep)
 */
export function parseRequest(text: string): RequestText {
  if (text.startsWith('\uFEFF'))
    throw new BrokerError('invalid_json', 'the body starts with a byte order mark: send UTF-8 without it');
  const payload = findPayload(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BrokerError('invalid_json', `the body is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BrokerError('invalid_request', 'the body must be one JSON object');
  return { fields: value as Record<string, unknown>, payload };
}

/** @returns the text of the outermost object's last field named payload, as JSON.parse would pick it; garbage for invalid JSON */
function findPayload(text: string): string | undefined {
  let depth = 0;
  let valueStart = -1; // of a field named payload
  let lastString = ''; // the outermost string last seen: a key, if a colon follows
  let payload: string | undefined;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const end = endOfString(text, i);
        if (depth === 1 && valueStart < 0) lastString = text.slice(i, end + 1);
        i = end;
        break;
      }
      case COLON:
        if (depth === 1 && valueStart < 0 && isPayload(lastString)) valueStart = i + 1;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++depth > MAX_DEPTH)
          throw new BrokerError('invalid_request', `the body is nested deeper than ${MAX_DEPTH} levels`);
        break;
      case CLOSE_BRACKET:
        depth--;
        break;
      case COMMA:
      case CLOSE_BRACE:
        if (depth === 1 && valueStart >= 0) {
          payload = text.slice(valueStart, i).trim();
          valueStart = -1;
        }
        if (text.charCodeAt(i) === CLOSE_BRACE) depth--;
        break;
    }
  }
  return payload;
}

/** @returns where the closing quote of the string that opens at `start` stands; the text's end without one */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** `literal` is a string's JSON text; escapes such as \u0070 count as what they stand for. */
function isPayload(literal: string): boolean {
  if (literal === '"payload"') return true;
  if (!literal.includes('\\')) return false;
  try {
    return JSON.parse(literal) === 'payload';
  } catch {
    return false; // invalid JSON: JSON.parse of the whole will say so
  }
}
