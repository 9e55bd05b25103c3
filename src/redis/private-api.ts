// Everything that aizumi uses of ioredis and that ioredis does not document. The exact version is pinned in package.json, and
// test/unit/private-api.test.ts has a test for each entry, which fails if a new version no longer has it.
//
// Four classes override methods of ioredis. They cannot be wrapped here, so this is their list:
// - SteadyPrimary (connect/steady-primary.ts) overrides Redis.sendCommand(), through which every command passes, and
//   Redis.handleReconnection(), through which every error reply passes before its command is rejected.
// - RoutedCluster (connect/cluster.ts) overrides Cluster.sendCommand(), through which every command passes; and it replaces
//   `resolve` and `reject` of a command, which ioredis calls by these names.
// - NamedConnector and PrimaryConnector (connect/) extend AbstractConnector: `connecting` is false once disconnect() was called,
//   ioredis reports `firstError` as the reason for a failed connection, and calls check() with the fields of INFO or ROLE.
import { Command } from 'ioredis';
import type { AbstractConnector, Cluster, Redis, RedisOptions } from 'ioredis';

/** The socket, from the event `connect` on; undefined before the first connection, although its type does not allow that. */
export const socketOf = (redis: Redis): Redis['stream'] => redis.stream;

/** Commands that were written to the socket and have no reply yet. */
export const unansweredOn = (redis: Redis): number => redis.commandQueue.length;

/** How the error of a command begins that cannot be sent, where there is no offline queue. */
export const NOT_SENT = "Stream isn't writeable";
/** The same in a Cluster. */
export const CLUSTER_NOT_SENT = "Cluster isn't ready";
/** How the error of a command begins that every node of a Cluster redirected. */
export const TOO_MANY_REDIRECTIONS = 'Too many Cluster redirections';
/** After disconnect() ioredis emits no `error` when its connector fails with this message. */
export const CLOSED = 'Connection is closed.';

/** The second parameter of handleReconnection(). */
export type CommandItem = Parameters<Redis['handleReconnection']>[1];

/** Whether `command` calls a registered script: then it is an instance of a class that ioredis makes for each script. */
export const isOfScript = (command: Command): boolean => command.constructor !== Command;

/** One value per kind of command: the class of a script, the name of any other command. */
export const kindOf = (command: Command): unknown => (isOfScript(command) ? command.constructor : command.name);

interface Sender {
  sendCommand(command: Command, ...how: unknown[]): unknown;
}

/** Calls `watch` with every command before it is sent: an own property hides sendCommand() of the prototype. */
export function watchSending(redis: Redis | Cluster, watch: (command: Command) => void): void {
  const sender = redis as unknown as Sender;
  const send = sender.sendCommand.bind(redis);
  sender.sendCommand = (command, ...how) => {
    watch(command);
    return send(command, ...how);
  };
}

/** ioredis calls the option `Connector` with `new` for each client; a function that returns an object then yields that object. */
export const connectorOption = (connector: AbstractConnector): NonNullable<RedisOptions['Connector']> =>
  function takeConnector() {
    return connector;
  } as unknown as NonNullable<RedisOptions['Connector']>;

/** ioredis reads user, password and certificates from its options at each attempt to connect. */
export const changeLogin = (redis: Redis, login: Pick<RedisOptions, 'username' | 'password' | 'tls'>): void =>
  void Object.assign(redis.options, login);

/** ioredis reads the option `socketTimeout` with each command. */
export function removeSocketTimeout(redis: Redis): void {
  delete redis.options.socketTimeout;
}

/** host:port of the primary that has a slot, if known: the first of the nodes that ioredis keeps for each slot. */
export const primaryOfSlot = (cluster: Cluster, slot: number): string | undefined => cluster.slots[slot]?.[0];

export function setPrimaryOfSlot(cluster: Cluster, slot: number, node: string): void {
  cluster.slots[slot] = [node];
}

/** Fetches the map of slots from the nodes. */
export const refreshSlots = (cluster: Cluster, done: () => void): void => cluster.refreshSlotsCache(done);

/** The Cluster slot of a key. */
export const slotOfKey = (key: string): number => new Command('exists', [key]).getSlot();
