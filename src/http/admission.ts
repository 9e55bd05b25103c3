// Before a request's body is read: whether the worker is overloaded, who the client is, and whether it is over its rate.
import type { IncomingMessage } from 'node:http';
import type { Admission } from '../access/credentials.js';
import type { Gate } from '../access/gate.js';
import type { Access } from '../access/permissions.js';
import { clientOf, nameOf } from './limits/limits.js';
import type { Limits } from './limits/limits.js';

/** @throws BrokerError overloaded, unauthenticated, rate_limited, unavailable */
export type Admit = (req: IncomingMessage) => Admission;

export function createAdmit(gate: Gate, limits: Limits | undefined): Admit {
  if (limits === undefined) return (req) => gate.admit(req.headers.authorization);
  return (req) => {
    limits.checkPressure();
    const admitted = (access: Access): Access => {
      limits.count(nameOf(access, req.socket));
      return access;
    };
    // failed attempts to guess a key count for the machine that they come from
    const refused = (error: unknown): never => {
      limits.count(clientOf(req.socket));
      throw error;
    };
    let admission: Admission;
    try {
      admission = gate.admit(req.headers.authorization);
    } catch (error) {
      return refused(error);
    }
    return admission instanceof Promise ? admission.then(admitted, refused) : admitted(admission);
  };
}
