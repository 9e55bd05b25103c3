// The floor: the least that a Node broker can do for a SEND. Bare node:http, the body read and parsed,
// one plain ioredis XADD of the fields that the worker stores, a constant answer. No checks at all.
// JOIN_WRITES=1 joins its writes to Redis as the worker does, which makes it cheaper still.
import http from 'node:http';
import { Redis } from 'ioredis';
import { joinWrites } from '../dist/redis/connect/join-writes.js'; // npm run build makes it

const redis = new Redis(process.env.REDIS_URL);
if (process.env.JOIN_WRITES === '1') redis.on('connect', () => joinWrites(redis.stream));

const ACK = '{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}';
const HEADERS = { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': ACK.length };

function send(body, res) {
  const { saddr, daddr, id, payload } = JSON.parse(body);
  redis.xadd(`floor:{${daddr}}:queue`, '*', 'saddr', saddr, 'id', id, 'payload', JSON.stringify(payload)).then(
    () => res.writeHead(200, HEADERS).end(ACK),
    (error) => res.writeHead(500).end(String(error)),
  );
}

http
  .createServer((req, res) => {
    if (req.method === 'GET') return res.end(); // the benchmark asks whether we are up
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => send(chunks.length === 1 ? chunks[0].toString() : Buffer.concat(chunks).toString(), res));
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
