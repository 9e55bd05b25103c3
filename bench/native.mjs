// What Redis Streams cost by themselves: a floor-like server that answers the broker's requests with native
// commands. SEND → XADD, RECV → XREADGROUP, FREE → XACK + XDEL. The `id` of a RECV's answer is the entry's id,
// and FREE gives it back, as a client of plain streams would. JOIN_WRITES=1: writes to Redis joined as the worker does.
import http from 'node:http';
import { Redis } from 'ioredis';
import { joinWrites } from '../dist/redis/connect/join-writes.js'; // npm run build makes it

const GROUP = 'receivers';
const CONSUMER = 'c';
const redis = new Redis(process.env.REDIS_URL);
if (process.env.JOIN_WRITES === '1') redis.on('connect', () => joinWrites(redis.stream));
const keyOf = (address) => `native:{${address}}:queue`;

const operations = {
  async MSG_SEND_REQ({ saddr, daddr, id, payload }) {
    await redis.xadd(keyOf(daddr), '*', 'saddr', saddr, 'id', id, 'payload', JSON.stringify(payload));
    return '{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}';
  },
  async MSG_RECV_REQ({ saddr }) {
    const streams = await redis.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', 1, 'STREAMS', keyOf(saddr), '>');
    if (!streams) return '{"code":404,"status":"Not Found","msg_type":"MSG_RECV_ACK"}';
    const [entryId, fields] = streams[0][1][0];
    return `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":${fields[1]},"daddr":${saddr},"id":"${entryId}","payload":${fields[5]}}`;
  },
  async MSG_FREE_REQ({ saddr, id }) {
    const key = keyOf(saddr);
    await Promise.all([redis.xack(key, GROUP, id), redis.xdel(key, id)]);
    return '{"code":200,"status":"OK","msg_type":"MSG_FREE_ACK"}';
  },
};

async function answer(body, res) {
  try {
    const request = JSON.parse(body);
    const reply = await operations[request.msg_type](request);
    res.writeHead(200, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(reply),
    });
    res.end(reply);
  } catch (error) {
    res.writeHead(500).end(String(error));
  }
}

// The groups exist before anything is measured.
const first = Number(process.env.FIRST_ADDRESS);
for (let i = 0; i < Number(process.env.ADDRESSES); i++) {
  await redis.xgroup('CREATE', keyOf(first + i), GROUP, '0', 'MKSTREAM');
}

http
  .createServer((req, res) => {
    if (req.method === 'GET') return res.end(); // the benchmark asks whether we are up
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => answer(Buffer.concat(chunks).toString(), res));
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
