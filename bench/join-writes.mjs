// The worker's way of writing to Redis (src/redis/join-writes.ts), for the servers it is compared with: what is written
// in one turn of the event loop leaves with one system call.

/** @param {import('ioredis').Redis} redis */
export function joinWrites(redis) {
  redis.on('connect', () => {
    const socket = redis.stream;
    const write = socket.write.bind(socket);
    socket.write = (...args) => {
      if (socket.writableCorked === 0) {
        socket.cork();
        setImmediate(() => socket.uncork());
      }
      return write(...args);
    };
  });
}
