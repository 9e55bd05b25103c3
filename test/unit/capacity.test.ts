// The capacity model: derives the needs of a deployment from measurements.
import { expect } from 'chai';
import { ASSUMED, NEEDED, bytesPerMessage, measured, plan } from '../../bench/capacity.js';
import type { Demand, Measured } from '../../bench/capacity.js';
import { inventedResults } from '../support/bench-results.js';

const one = { worker: 1, redis: 1 };
const costs: Measured = {
  cycle: { worker: 80, redis: 40 },
  perKb: { worker: 10, redis: 5 },
  manyWorkers: { worker: 1.5, redis: 1 },
  cluster: { worker: 2, redis: 3 },
  manyQueues: { worker: 1.25, redis: 1.5 },
  backlog: one,
  memoryPoints: [
    { payloadBytes: 100, bytes: 140 },
    { payloadBytes: 1_000, bytes: 1_220 },
    { payloadBytes: 10_000, bytes: 10_220 },
  ],
  bytesPerQueue: 4_000,
};
const demand: Demand = { perSecond: 1_000, payloadBytes: 0, backlog: 0, queues: 100 };

describe('the capacity model', () => {
  it('takes its costs from measurements', () => {
    const found = measured(inventedResults())!;
    expect(found.cycle).to.deep.equal({ worker: 82, redis: 36 });
    expect(found.perKb.worker).to.be.closeTo(82 / 9.9, 0.01); // twice the cost at 10,000 bytes as at 100
    expect(found.manyWorkers.worker).to.be.closeTo(1.08, 0.001);
    expect(found.cluster.redis).to.be.closeTo(1.12, 0.001);
    expect(found.manyQueues.redis).to.be.closeTo(1.31 / 1.01, 0.001);
    expect(found.bytesPerQueue).to.be.closeTo(0.045 * 100_000, 1);
    expect(found.memoryPoints[0]!.bytes).to.be.closeTo(140, 0.1);
  });

  it('predicts nothing while a measurement is missing', () => {
    for (const name of NEEDED) {
      const { [name]: _, ...rest } = inventedResults();
      expect(measured(rest), name).to.equal(undefined);
    }
  });

  it('never assumes that growth makes anything cheaper', () => {
    const results = inventedResults();
    for (const row of results.scaling.rows.filter(({ ratio }) => ratio.both !== 1)) row.workerMicros /= 3;
    expect(measured(results)).to.nested.include({ 'cluster.worker': 1, 'manyWorkers.worker': 1, 'backlog.worker': 1 });
  });

  it('assigns one worker and one Redis to a load that they can handle', () => {
    expect(plan(costs, demand)).to.deep.include({ workerCores: 0.08, workers: 1, redisCores: 0.04, shards: 1 });
  });

  it('counts a core as full at the allowed utilization', () => {
    const busy = { ...ASSUMED, busyShare: 0.08 };
    expect(plan(costs, demand, busy).workers).to.equal(1);
    expect(plan(costs, { ...demand, perSecond: 1_001 }, busy).workers).to.equal(2);
  });

  it('adds the costs of payloads, many workers, queues and a Cluster', () => {
    expect(plan(costs, { ...demand, payloadBytes: 2_000 }).workerCores).to.be.closeTo(0.1, 1e-9);
    expect(plan(costs, { ...demand, queues: 10_000 }).redisCores).to.be.closeTo(0.06, 1e-9);
    const many = plan(costs, { ...demand, perSecond: 10_000 });
    expect(many.workerCores).to.be.closeTo(0.8 * 1.5, 1e-9);
    expect(many.shards).to.equal(1);
    const cluster = plan(costs, { ...demand, perSecond: 20_000 });
    expect(cluster.redisCores).to.be.closeTo(0.8 * 3, 1e-9);
    expect(cluster).to.include({ shards: 4, workers: 8 }); // 2.4 and 4.8 cores, 60 % busy
  });

  it('interpolates and extrapolates memory from the measured sizes', () => {
    expect(bytesPerMessage(costs, 100)).to.equal(140);
    expect(bytesPerMessage(costs, 550)).to.equal(680);
    expect(bytesPerMessage(costs, 20_000)).to.equal(20_220);
    const { redisBytes } = plan(costs, { ...demand, payloadBytes: 1_000, backlog: 1_000_000, queues: 1_000 });
    expect(redisBytes).to.equal(2 * (1_220e6 + 4e6));
  });

  it('adds shards if only memory requires them', () => {
    const plenty = plan(costs, { ...demand, payloadBytes: 1_000, backlog: 20_000_000 });
    expect(plenty.redisBytes).to.be.greaterThan(3 * ASSUMED.nodeBytes);
    expect(plenty.shards).to.equal(4);
  });

  it('counts every payload on the network in both directions', () => {
    const { clientMbits } = plan(costs, { ...demand, payloadBytes: 1_000 });
    expect(clientMbits).to.be.closeTo((1_000 * (2_000 + ASSUMED.clientOverheadBytes) * 8) / 1e6, 1e-9);
  });
});
