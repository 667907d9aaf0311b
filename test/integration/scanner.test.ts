import { imageScanner } from '../../src/host/images.ts';
import { type ScannerSubject, testScanner } from '../contract/scanner.testsuite.ts';
import { dockerSite } from '../support/docker-site.ts';
import { startWorld } from '../support/world.ts';

async function subject(): Promise<ScannerSubject> {
  const site = await dockerSite();
  try {
    return { site, world: await startWorld({ docker: site.docker, image: site.images.guest }) };
  } catch (error) {
    await site.dispose();
    throw error;
  }
}

testScanner('allow-list', subject);
if ((await imageScanner()) === 'pipelock') testScanner('pipelock', subject);
else
  console.warn('no pipelock here (BOTTLE_TOOLS, PATH, cache): only the allow-list proxy is held to what scanners do');
