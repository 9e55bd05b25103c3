// The first step of the process: turns the AIZUMI_* environment variables into one frozen Config, or reports every fault at once.
import Joi from 'joi';
import { contradictions } from './rules.js';
import { SETTINGS, schemaOf } from './settings.js';
import type { Settings } from './settings.js';

type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${Lowercase<First>}${Capitalize<CamelCase<Rest>>}`
  : Lowercase<Name>;

/** The settings (see {@link Settings}) in camel case: AIZUMI_MAX_BODY_BYTES is maxBodyBytes. */
export type Config = { readonly [Name in keyof Settings as CamelCase<Name>]: Settings[Name] };

const PREFIX = 'AIZUMI_';
/** The tests' and the development tools' own variables: not settings of the broker. */
const NOT_SETTINGS = /^AIZUMI_(TEST|TOOL)_/;

const NAMES = Object.keys(SETTINGS) as (keyof Settings)[];

const schema = Joi.object<Settings>(Object.fromEntries(NAMES.map((name) => [name, schemaOf(name)]))).prefs({
  abortEarly: false,
  errors: { wrap: { label: false } },
  messages: {
    'any.custom': '{{#label}} {{#error.message}}',
    'object.unknown': '{{#key}} is not a setting of aizumi',
  },
});

/** The variables of all settings, for checks of documents and manifests. */
export const SETTING_NAMES: readonly string[] = NAMES.map((name) => PREFIX + name);

/** Thrown by {@link loadConfig}; `message` has one line for each bad variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads AIZUMI_* from `env`. An empty variable counts as not set.
 * @throws ConfigError naming every bad and every unknown AIZUMI_* variable
 */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.entries(env)
    .filter(([name, value]) => name.startsWith(PREFIX) && !NOT_SETTINGS.test(name) && value !== '')
    .map(([name, value]) => [name.slice(PREFIX.length), value]);
  const result: Joi.ValidationResult<Settings> = schema.validate(Object.fromEntries(given));
  const settings = result.value as Settings;
  const faults = result.error ? result.error.details.map(({ message }) => message) : contradictions(settings);
  if (faults.length > 0) throw new ConfigError(faults.map((fault) => PREFIX + fault).join('\n'));
  const config = NAMES.map((name) => [camelCase(name), settings[name]]);
  return Object.freeze(Object.fromEntries(config)) as Config;
}

const camelCase = (name: string): string =>
  name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
