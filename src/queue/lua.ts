// Loads the Lua scripts, each with the functions of shared/*.lua that it names.
import { readFileSync } from 'node:fs';

/** `--@include members: entry_of, read_lease`, on a line of its own. */
const INCLUDE = /^ *--@include ([\w-]+): (.+)$/gm;

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8');

/**
 * The text of a script; in place of each include line stand the functions that it names, with the comments above them.
 * @throws Error when a function does not exist, or would stand in the script twice
 */
export function loadLua(file: string): string {
  const included = new Set<string>();
  return read(file).replace(INCLUDE, (_, shared: string, names: string) => {
    const lua = read(`./shared/${shared}.lua`);
    return names
      .split(', ')
      .map((name) => {
        const [text] = new RegExp(`(?:^--.*\\n)*^local function ${name}\\([^]*?^end$`, 'm').exec(lua) ?? [];
        if (text === undefined) throw new Error(`${file}: shared/${shared}.lua has no function ${name}`);
        if (included.has(name)) throw new Error(`${file} includes ${name} twice`);
        included.add(name);
        return text;
      })
      .join('\n');
  });
}
