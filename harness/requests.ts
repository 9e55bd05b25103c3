// The requests of docs/specification.md, as in its examples.
export const sendRequest = (daddr: number, id: number, payload: unknown = 'hello', saddr = 1): object => ({
  msg_type: 'MSG_SEND_REQ',
  saddr,
  daddr,
  id,
  payload,
});
export const recvRequest = (saddr: number): object => ({ msg_type: 'MSG_RECV_REQ', saddr, daddr: 5000 });
export const freeRequest = (saddr: number, id: number): object => ({
  msg_type: 'MSG_FREE_REQ',
  saddr,
  daddr: 5000,
  id,
});
export const heloRequest = (saddr: number): object => ({ msg_type: 'MSG_HELO_REQ', saddr, daddr: 5000 });
export const statRequest = (saddr: number): object => ({ msg_type: 'MSG_STAT_REQ', saddr, daddr: 5000 });
export const gbyeRequest = (saddr: number): object => ({ msg_type: 'MSG_GBYE_REQ', saddr, daddr: 5000 });

const FILLER = Array.from({ length: 4096 }, (_, i) => ((i * 7919) % 36).toString(36)).join('');

/** A text of `length` characters that is different for each message. */
export function payloadOf(id: number, length = 100): string {
  const from = id % 3989;
  return `${id} ${FILLER.slice(from, from + length)}`.padEnd(length, FILLER).slice(0, length);
}
