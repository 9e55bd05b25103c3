// The seed's requests, as the examples in it.
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
