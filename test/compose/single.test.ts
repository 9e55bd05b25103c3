// The profile for laptops: one Redis, and the same workers and balancer.
import { expect } from 'chai';
import { post } from '../../harness/broker.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';
import { build, compose, container, docker, down, up, url } from './stack.js';

describe('docker-compose, profile single', function () {
  this.timeout(600_000);
  before(build);
  after(down);

  it('starts one Redis, which keeps its messages when it is killed', async () => {
    await up('--profile', 'single');
    expect((await compose('--profile', 'single', 'ps', '--services')).split('\n').sort()).to.deep.equal([
      'aizumi-single',
      'balancer',
      'redis',
    ]);
    expect((await post(url, sendRequest(100, 1))).status).to.equal(200);
    await docker('kill', await container('redis'));
    await docker('start', await container('redis'));
    const received = async (): Promise<object | false> => {
      const { status, json } = await post(url, recvRequest(100));
      return status === 200 && json;
    };
    expect(await until('Redis is back', received, 20_000)).to.include({ id: 1, payload: 'hello' });
  });
});
