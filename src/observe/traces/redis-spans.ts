// A span per Redis round trip: ioredis publishes its commands on a diagnostics channel, which costs nothing without a subscriber.
import { tracingChannel } from 'node:diagnostics_channel';
import { SpanKind, SpanStatusCode, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Span, Tracer } from '@opentelemetry/api';

/** What ioredis publishes, as far as it is used here; the span goes with it. */
interface Command {
  command: string;
  serverAddress?: string;
  serverPort?: number;
  span?: Span;
}

/**
 * @param parent the span under way; a command outside of any, such as a ping, has no span
 * @returns how to end it
 */
export function traceRedis(tracer: Tracer, parent: () => Span | undefined): () => void {
  const channel = tracingChannel<string, Command>('ioredis:command');
  // no end(): that is when the command was queued
  const subscribers = {
    start(command: Command): void {
      const span = parent();
      if (span?.isRecording() !== true) return;
      const { command: name, serverAddress, serverPort } = command;
      const attributes = {
        'db.system.name': 'redis',
        'db.operation.name': name.toUpperCase(),
        ...(serverAddress !== undefined && { 'server.address': serverAddress }),
        ...(serverPort !== undefined && { 'server.port': serverPort }),
      };
      const context = trace.setSpan(ROOT_CONTEXT, span);
      command.span = tracer.startSpan(name.toUpperCase(), { kind: SpanKind.CLIENT, attributes }, context);
    },
    asyncStart: ignore,
    asyncEnd: (command: Command): void => command.span?.end(),
    end: ignore,
    error: (command: Command): void => void command.span?.setStatus({ code: SpanStatusCode.ERROR }),
  };
  channel.subscribe(subscribers);
  return () => channel.unsubscribe(subscribers);
}

const ignore = (): void => undefined;
