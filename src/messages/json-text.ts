// Request text → its fields, and the payload's own text, so that the payload is stored exactly as it was sent.
// A batch is split into the texts of its elements first; each of them is parsed as if it had been sent alone.
import { MAX_DEPTH } from '../config/limits.js';
import { BrokerError } from '../errors.js';

/** Matches the field's name, or an escape that may stand for a part of it. */
const MAY_BE_PAYLOAD = ['payload', '\\'];

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
 * A number such as 12345678901234567890 or a repeated key inside the payload is thus delivered as it was sent.
 * @throws BrokerError invalid_json, invalid_request (not an object, or nested too deep)
 */
export function parseRequest(text: string): RequestText {
  if (text.startsWith('\uFEFF'))
    throw new BrokerError('invalid_json', 'the body starts with a byte order mark: send UTF-8 without it');
  const payload = isFlat(text) ? undefined : findPayload(text);
  const value = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BrokerError('invalid_request', 'a request must be one JSON object');
  return { fields: value as Record<string, unknown>, payload };
}

/** Whether the text is a JSON array, if it is JSON at all. */
export const isBatch = (text: string): boolean => OPENS_ARRAY.test(text);

const OPENS_ARRAY = /^[ \t\n\r]*\[/;
const BLANK = /^[ \t\n\r]*$/;

/**
 * Parses an array of requests.
 * @returns for each element what {@link parseRequest} returns, or the invalid_request that it throws
 * @throws BrokerError for the whole: invalid_json, invalid_request (an empty array), too_large (more than `most` elements)
 */
export function parseBatch(text: string, most: number): (RequestText | BrokerError)[] {
  const elements = splitArray(text, most);
  if (elements.length === 1 && BLANK.test(elements[0] as string))
    throw new BrokerError('invalid_request', 'the batch is empty: send an array of 1 request or more');
  return elements.map((element) => {
    try {
      return parseRequest(element);
    } catch (error) {
      if (error instanceof BrokerError && error.reason === 'invalid_request') return error;
      parse(text); // throws, with a message about the whole body
      throw error;
    }
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BrokerError('invalid_json', `the body is not valid JSON: ${(error as Error).message}`);
  }
}

/** @returns the texts between the commas of the outermost array: all of them are valid JSON if and only if the whole is */
function splitArray(text: string, most: number): string[] {
  const elements: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = endOfString(text, i);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth === 1) start = i + 1;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      if (--depth > 0) continue;
      elements.push(text.slice(start, i));
      if (code === CLOSE_BRACE || !BLANK.test(text.slice(i + 1))) parse(text); // throws
      return elements;
    } else if (code === COMMA && depth === 1) {
      elements.push(text.slice(start, i));
      if (elements.length === most) throw tooMany(most);
      start = i + 1;
    }
  }
  parse(text); // throws: the array is never closed
  return elements;
}

const tooMany = (most: number): BrokerError =>
  new BrokerError('too_large', `the batch has more than ${most} requests (AIZUMI_MAX_BATCH); nothing was done`);

/** Whether the text certainly has no payload and is not nested too deep: then the scan, as slow as JSON.parse, is skipped. */
function isFlat(text: string): boolean {
  if (MAY_BE_PAYLOAD.some((part) => text.includes(part))) return false;
  let left = MAX_DEPTH;
  for (const bracket of '[{')
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (--left < 0) return false;
  return true;
}

/** @returns the text of the outermost object's last field payload, as JSON.parse would choose; anything for invalid JSON */
function findPayload(text: string): string | undefined {
  let depth = 0;
  let valueStart = -1; // of a field named payload
  let lastString = ''; // the last string of the outermost object: a key if a colon follows
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
        if (depth === 1 && valueStart < 0) {
          if (isPayload(lastString)) valueStart = i + 1;
          lastString = ''; // tested once, however many colons follow it in invalid JSON
        }
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

/** @returns the index of the closing quote of the string that opens at `start`; the text's length without one */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** @param literal a string's JSON text, in which escapes such as \u0070 are decoded */
function isPayload(literal: string): boolean {
  if (literal === '"payload"') return true;
  if (!literal.includes('\\')) return false;
  try {
    return JSON.parse(literal) === 'payload';
  } catch {
    return false; // invalid JSON, which JSON.parse of the whole text reports
  }
}
