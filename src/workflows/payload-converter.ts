/**
 * Payloads as always, but one that cannot be read becomes a value that says so. The SDK decodes a workflow's input and
 * memo outside the workflow's own code: an error there would fail the workflow task, over and over.
 */
import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { unreadable } from '../core/launch-input.ts';

export const payloadConverter: PayloadConverter = {
  toPayload: (value, ...rest) => defaultPayloadConverter.toPayload(value, ...rest),
  fromPayload: <T>(payload: Payload, ...rest: unknown[]): T => {
    try {
      return defaultPayloadConverter.fromPayload<T>(payload, ...(rest as []));
    } catch {
      return unreadable(encodingOf(payload)) as T;
    }
  },
};

function encodingOf({ metadata }: Payload): string {
  const bytes = metadata?.['encoding'];
  return bytes === undefined ? 'none' : new TextDecoder().decode(bytes);
}
