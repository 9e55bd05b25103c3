// Addresses in logs, metrics and URLs: host:port, an IPv6 address in brackets.

export const authority = (host: string, port: number | string): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** A node's name in Redis's own words (::1:6379) as people and URLs write it. */
export const nodeInWords = (name: string): string => {
  const colon = name.lastIndexOf(':');
  return colon < 0 ? name : authority(name.slice(0, colon), name.slice(colon + 1));
};

/** The message of a connection that failed: Node writes connect ECONNREFUSED ::1:6379. */
export function inWords({ message, address, port }: Error & { address?: string; port?: number }): string {
  return address === undefined || port === undefined
    ? message
    : message.replace(`${address}:${port}`, authority(address, port));
}
