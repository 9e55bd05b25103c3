// The part of the Gateway API's HTTPRoute that k8s/components/gateway uses, as a model like those of the generated packages: no package
// of the Gateway API is installed. Written after the CRD of v1.6.1, standard channel; the document was validated against that, too.
import { Ajv } from 'ajv';

const text = { type: 'string', minLength: 1, maxLength: 253 };
const port = { type: 'integer', minimum: 1, maximum: 65_535 };
const duration = { type: 'string', pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' };

const isRoute = new Ajv({ allErrors: true }).compile({
  type: 'object',
  required: ['apiVersion', 'kind', 'metadata', 'spec'],
  properties: {
    apiVersion: { const: 'gateway.networking.k8s.io/v1' },
    kind: { const: 'HTTPRoute' },
    metadata: { type: 'object' },
    spec: {
      type: 'object',
      additionalProperties: false,
      properties: {
        parentRefs: {
          type: 'array',
          maxItems: 32,
          items: {
            type: 'object',
            required: ['name'],
            additionalProperties: false,
            properties: { name: text, namespace: text, sectionName: text, port },
          },
        },
        hostnames: { type: 'array', maxItems: 16, items: text },
        rules: {
          type: 'array',
          minItems: 1,
          maxItems: 16,
          items: {
            type: 'object',
            additionalProperties: false,
            properties: {
              matches: {
                type: 'array',
                items: {
                  type: 'object',
                  additionalProperties: false,
                  properties: {
                    path: {
                      type: 'object',
                      additionalProperties: false,
                      properties: { type: { enum: ['Exact', 'PathPrefix', 'RegularExpression'] }, value: text },
                    },
                  },
                },
              },
              timeouts: {
                type: 'object',
                additionalProperties: false,
                properties: { request: duration, backendRequest: duration },
              },
              backendRefs: {
                type: 'array',
                items: {
                  type: 'object',
                  required: ['name'],
                  additionalProperties: false,
                  properties: { name: text, port },
                },
              },
            },
          },
        },
      },
    },
  },
});

export class HttpRoute {
  static readonly apiVersion = 'gateway.networking.k8s.io/v1';
  static readonly kind = 'HTTPRoute';

  /** Called on the document itself. @throws Error that names every fault */
  validate(): void {
    const plain: unknown = JSON.parse(JSON.stringify(this));
    if (!isRoute(plain))
      throw new Error((isRoute.errors ?? []).map((fault) => `${fault.instancePath} ${fault.message}`).join('; '));
  }
}
