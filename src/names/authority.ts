// Formats addresses for logs, metrics and URLs: host:port, with an IPv6 address in brackets.

export const authority = (host: string, port: number | string): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Formats a node's name, which Redis writes without brackets (::1:6379). */
export const formatNode = (name: string): string => {
  const colon = name.lastIndexOf(':');
  return colon < 0 ? name : authority(name.slice(0, colon), name.slice(colon + 1));
};

/** The message of a failed connection, with brackets; Node writes connect ECONNREFUSED ::1:6379. */
export function formatError({ message, address, port }: Error & { address?: string; port?: number }): string {
  return address === undefined || port === undefined
    ? message
    : message.replace(`${address}:${port}`, authority(address, port));
}
