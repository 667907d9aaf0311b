/** `bottle ui`: where the Temporal UI shows the open bottles, or one of them. */
import { BottleError } from '../../core/errors.ts';
import { assertBottleId } from '../../core/names.ts';
import { temporalTarget } from '../../host/temporal-target.ts';
import type { Context } from '../context.ts';

/** Held and running: a held launch is an open one. */
const OPEN_BOTTLES = "`WorkflowType`='BottleLaunch' AND `ExecutionStatus`='Running'";

export async function run(context: Context, id: string | undefined): Promise<number> {
  const { output, settings } = context;
  if (id !== undefined) assertBottleId(id);
  const target = await temporalTarget(settings);
  const url = id === undefined ? target.uiListUrl(OPEN_BOTTLES) : target.uiUrl(id);
  if (url === null) {
    throw new BottleError('USAGE', `nothing says where the UI of ${target.address} is`, {
      hint: 'set temporal.ui in config.yaml',
    });
  }
  output.result({ url }, url);
  if (output.stdout.isTTY === true && !output.flags.json) {
    const { openUrl } = await import('../open-url.ts');
    openUrl(url);
  }
  return 0;
}
