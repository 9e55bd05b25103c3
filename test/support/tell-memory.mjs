// Loaded into a broker under test: on SIGUSR2 it runs the garbage collector and logs the memory in use.
import v8 from 'node:v8';
import vm from 'node:vm';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');
process.on('SIGUSR2', () => {
  collect();
  setImmediate(() => {
    collect();
    console.log(
      JSON.stringify({ level: 30, pid: process.pid, msg: 'memory', heapUsed: process.memoryUsage().heapUsed }),
    );
  });
});
