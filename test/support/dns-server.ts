// A DNS server on loopback that knows a few addresses and can fall silent, lose packets, refuse and be slow.
import { createSocket } from 'node:dgram';
import type { RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';

/** https://www.rfc-editor.org/rfc/rfc1035#section-4.1.1 */
const CODES = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3 };
const HEADER_BYTES = 12;
const TYPE_A = 1;
const TTL_S = 60;

export interface DnsServer {
  /** 127.x.y.z:port, for c-ares. */
  readonly address: string;
  /** IPv4 addresses by name, lower case. What is not here is NXDOMAIN; of another type than A there is nothing. */
  readonly names: Map<string, string[]>;
  /** The names that were asked for, of type A only, in their order; those that were lost included. */
  readonly asked: string[];
  /** What it does with the questions from now on. */
  behaviour: 'answers' | 'is silent' | 'refuses';
  /** Each `lose`th packet is lost, the first one first; 0: none. */
  lose: number;
  delayMs: number;
  stop(): void;
}

export async function startDnsServer(host = '127.0.0.1', port = 0): Promise<DnsServer> {
  const socket = createSocket('udp4');
  let packets = 0;
  let isOpen = true;

  function answer(question: Buffer, from: RemoteInfo): void {
    const { name, type, end } = parse(question);
    if (type === TYPE_A) server.asked.push(name);
    const isLost = server.lose > 0 && packets++ % server.lose === 0;
    if (isLost || server.behaviour === 'is silent') return;
    const found = server.names.get(name);
    const addresses = type === TYPE_A && server.behaviour === 'answers' ? (found ?? []) : [];
    const code = server.behaviour === 'refuses' ? CODES.SERVFAIL : found ? CODES.NOERROR : CODES.NXDOMAIN;
    const header = Buffer.from(question.subarray(0, HEADER_BYTES));
    header.writeUInt16BE(0x8180 + code, 2); // an answer, recursion desired and available
    [1, addresses.length, 0, 0].forEach((count, i) => header.writeUInt16BE(count, 4 + 2 * i));
    const reply = Buffer.concat([header, question.subarray(HEADER_BYTES, end), ...addresses.map(record)]);
    setTimeout(() => isOpen && socket.send(reply, from.port, from.address, () => undefined), server.delayMs);
  }

  socket.on('message', answer);
  socket.bind(port, host);
  await once(socket, 'listening');
  const server: DnsServer = {
    address: `${host}:${socket.address().port}`,
    names: new Map(),
    asked: [],
    behaviour: 'answers',
    lose: 0,
    delayMs: 0,
    stop() {
      isOpen = false;
      socket.close();
    },
  };
  return server;
}

/** @returns the first question, and where it ends */
function parse(packet: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = packet[at]!; length > 0; length = packet[at]!) {
    labels.push(packet.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  return { name: labels.join('.'), type: packet.readUInt16BE(at + 1), end: at + 5 };
}

/** An A record of the name in the question. */
function record(address: string): Buffer {
  if (isIP(address) !== 4) throw new Error(`not an IPv4 address: ${address}`);
  const bytes = Buffer.alloc(16);
  [0xc00c, TYPE_A, 1].forEach((field, i) => bytes.writeUInt16BE(field, 2 * i));
  bytes.writeUInt32BE(TTL_S, 6);
  bytes.writeUInt16BE(4, 10);
  address.split('.').forEach((part, i) => bytes.writeUInt8(Number(part), 12 + i));
  return bytes;
}
