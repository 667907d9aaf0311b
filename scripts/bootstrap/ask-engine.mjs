// Asks the Docker Engine where the product finds it, for the bootstrap, whose Node may be too old to read src: run with Node 24.
// Prints one JSON document: {version, images} or {error}, with `chosen`, true where DOCKER_HOST or a context names the Engine.
import { setTimeout } from 'node:timers';
import { dockerAt } from '../../src/host/docker-connection.ts';
import { dockerEndpoint } from '../../src/host/docker-endpoint.ts';
import { IMAGE_LABEL } from '../../src/host/image-tags.ts';

const ANSWER_WITHIN = 10_000;

let chosen = true;
// Without an answer, the calls would keep it waiting.
const told = (answer) => process.stdout.write(JSON.stringify({ chosen, ...answer }), () => process.exit());
const failed = ({ message, hint, cause }) => told({ error: { message, hint, code: cause?.code } });
setTimeout(() => failed({ message: 'the Docker Engine does not answer' }), ANSWER_WITHIN);

try {
  const endpoint = dockerEndpoint();
  chosen = endpoint.chosenBy.kind !== 'default';
  const docker = dockerAt(endpoint);
  const [{ Version }, images] = await Promise.all([
    docker.version(),
    docker.listImages({ filters: { label: [IMAGE_LABEL] } }),
  ]);
  told({ version: Version, images: images.flatMap(({ RepoTags }) => RepoTags ?? []) });
} catch (error) {
  failed(error);
}
