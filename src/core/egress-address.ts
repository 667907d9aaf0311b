/** Where egress listens in the bundle of one run: an address of 127.0.0.0/8 that whoever is outside can only guess. */

/**
 * The loopback address of egress in the bundle of a run. The scanner reaches egress by name, while a name that an entry
 * ` private` lets through may lead to any address: were it always the same one, the owner of such a name could point it
 * there, and the agent had a tunnel to egress past the scanner. Of the 255 * 256 * 254 addresses none is of 127.0.0.0/24,
 * where other programs listen, and none ends in 0 or 255.
 * @param runId of the launch; a run that goes on after a death finds the same address again
 */
export function egressListenHost(runId: string): string {
  const at = fnv1a(runId) % (255 * 256 * 254);
  return `127.${1 + Math.floor(at / (256 * 254))}.${Math.floor(at / 254) % 256}.${1 + (at % 254)}`;
}

/** FNV-1a, 32 bits, of the text's UTF-16 units: http://www.isthe.com/chongo/tech/comp/fnv/. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
