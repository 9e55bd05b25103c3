// Finds, in the text of a Lua script, the keys that it gives to Redis and where their names come from. It knows the few ways
// in which the scripts of src/queue pass a key around, and takes anything else for a computed name.

/** A script without its comments, and the locals that are its KEYS. */
export interface LuaScript {
  body: string;
  keys: readonly string[];
}

/** @returns the expressions that stand for a key in some redis.call or redis.pcall and are not one of the script's KEYS */
export function computedKeys({ body, keys }: LuaScript): string[] {
  const isKey = (expression: string, path: readonly string[] = []): boolean => {
    // what is looked into already, as one that is passed on under its own name
    if (keys.includes(expression) || path.includes(expression)) return true;
    const from = origins(body, expression);
    return from.length > 0 && from.every((origin) => isKey(origin, [...path, expression]));
  };
  return [...new Set(callsOf(body, /redis\.p?call\(/g).flatMap(keysOf))].filter((expression) => !isKey(expression));
}

/** Which arguments of a command are keys. */
function keysOf([command = '', ...args]: string[]): string[] {
  switch (command) {
    case "'TIME'":
      return [];
    case "'EXISTS'":
    case "'DEL'":
    case "'UNLINK'":
      return args;
    case "'MEMORY'":
    case "'XGROUP'":
    case "'XINFO'":
      return [args[1] ?? ''];
    case "'XREADGROUP'":
      return [args[args.indexOf("'STREAMS'") + 1] ?? ''];
    default:
      return [args[0] ?? ''];
  }
}

/** The arguments of each call whose name and bracket `start` matches. */
function callsOf(body: string, start: RegExp): string[][] {
  return [...body.matchAll(start)].map((match) => listAt(body, match.index + match[0].length));
}

/** The expressions between commas from here to the end of the bracket or the line that they are in. */
function listAt(text: string, from: number): string[] {
  const list: string[] = [];
  let [depth, start, quoted] = [0, from, false];
  for (let i = from; ; i++) {
    const char = text[i] ?? '\n';
    if (char === "'") quoted = !quoted;
    if (quoted) continue;
    const ends = depth === 0 && /[)}\n]/.test(char);
    if (ends || (depth === 0 && char === ',')) {
      list.push(text.slice(start, i).trim());
      start = i + 1;
    }
    if (ends) return list;
    if (/[({[]/.test(char)) depth++;
    else if (/[)}\]]/.test(char)) depth--;
  }
}

/** The expressions that this one may get its value from; none where that cannot be told. */
function origins(body: string, expression: string): string[] {
  const choice = / and (\w+) or (\w+)$/.exec(expression);
  if (choice) return [choice[1]!, choice[2]!];
  const element = /^(\w+)\[\w+\]$/.exec(expression);
  if (element) {
    const table = new RegExp(`^ *local ${element[1]} = \\{`, 'm').exec(body);
    return table ? listAt(body, table.index + table[0].length).map((entry) => entry.replace(/^\w+ = /, '')) : [];
  }
  if (!/^\w+$/.test(expression)) return [];
  return [...loopOrigins(body, expression), ...assigned(body, expression), ...passed(body, expression)];
}

/** `for _, key in ipairs({ delayed, backed })` */
const loopOrigins = (body: string, name: string): string[] =>
  callsOf(body, new RegExp(`for _, ${name} in ipairs\\(\\{`, 'g')).flat();

/** `local key, value = seen, '1'`, `key = seen`; of `local key = f()` what f returns. */
function assigned(body: string, name: string): string[] {
  return [...body.matchAll(/^ *(?:local )?(\w+(?:, \w+)*) = /gm)].flatMap((match) => {
    const nth = match[1]!.split(', ').indexOf(name);
    if (nth === -1) return [];
    const values = listAt(body, match.index + match[0].length);
    const called = values.length === 1 ? /^(\w+)\(.*\)$/.exec(values[0]!) : null;
    return called ? returned(body, called[1]!, nth) : [values[nth] ?? 'nil'];
  });
}

function returned(body: string, name: string, nth: number): string[] {
  const text = new RegExp(`^local function ${name}\\([^]*?^end`, 'm').exec(body)?.[0] ?? '';
  return [...text.matchAll(/\breturn /g)].map((match) => listAt(text, match.index + match[0].length)[nth] ?? 'nil');
}

/** Of the parameter of a function: what it is called with. */
function passed(body: string, name: string): string[] {
  return [...body.matchAll(/^local function (\w+)\(([\w, ]+)\)/gm)].flatMap((match) => {
    const nth = match[2]!.split(', ').indexOf(name);
    return nth === -1
      ? []
      : callsOf(body, new RegExp(`(?<!function )\\b${match[1]}\\(`, 'g')).map((args) => args[nth] ?? 'nil');
  });
}
