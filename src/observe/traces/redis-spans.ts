// Makes a span per Redis round trip, from ioredis's diagnostics channel, which costs nothing while traces are off.
import { tracingChannel } from 'node:diagnostics_channel';
import { SpanKind, SpanStatusCode, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Span, Tracer } from '@opentelemetry/api';

/** The fields of ioredis's event that are used here, and the span, which is attached to it. */
interface Command {
  command: string;
  serverAddress?: string;
  serverPort?: number;
  span?: Span;
}

/**
 * @param parent returns the current span; a command outside any span, such as a ping, gets none
 * @returns a function that stops the tracing
 */
export function traceRedis(tracer: Tracer, parent: () => Span | undefined): () => void {
  const channel = tracingChannel<string, Command>('ioredis:command');
  // end() is ignored: it only reports that the command was queued
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
