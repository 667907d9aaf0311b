/** What the scripts of a checkout use of the build. It is no part of the package. */
export { machineName } from './core/names.ts';
export { connectDocker } from './host/docker.ts';
export { IMAGE_KINDS, IMAGE_LABEL, imageTag } from './host/image-tags.ts';
export { ensureImages, imageTags } from './host/images.ts';
export { machineNames } from './host/machine/smolvm/records.ts';
export { machineDirectory, STATE_FOLDER } from './host/machine/smolvm/state-directory.ts';
export { TOOL_THINGS } from './host/setup/things.ts';
export { findSmolvm } from './host/smolvm-package.ts';
