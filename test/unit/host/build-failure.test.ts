/** What is told of an image build that failed: the cause, which is seldom in the last line. */
import { describe, expect, test } from 'vitest';
import { errorLines } from '../../../src/client/report-error.ts';
import { failure } from '../../../src/host/image-progress.ts';

const CODE = "The command '/bin/sh -c apt-get install x' returned a non-zero code: 100";
const said = (...lines: string[]) => lines.map((line) => ({ stream: `${line}\n` }));

describe('a build that failed', () => {
  test('shows its last thirty lines whole, then the error', () => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`);
    const shown = errorLines(failure(CODE, said(...lines)).view());
    expect(shown).toEqual([...lines.slice(-30), `error[IMAGE_BUILD_FAILED]: ${CODE}`]);
  });

  test('of which one line is known has it in the message', () => {
    expect(failure(CODE, said('E: no')).message).toBe(`${CODE}: E: no`);
    expect(failure(CODE).message).toBe(CODE);
  });

  test('reads progress that is drawn over itself, in whatever pieces it comes', () => {
    const pieces = [{ stream: 'Get:1 10%\rGet:1 ' }, { status: 'x' }, { stream: '100%\r\n\nE: broken\n' }];
    expect(failure(CODE, pieces).problems).toEqual(['Get:1 10%', 'Get:1 100%', 'E: broken']);
    expect(failure(CODE, said('x'.repeat(5000), 'y')).problems[0]?.length).toBeLessThan(400);
  });

  test.each([
    [
      "update-alternatives: error: error creating symbolic link '/usr/share/man/man1/java.1.gz.dpkg-tmp'",
      'mkdir -p /usr/share/man/man1',
    ],
    ["Temporary failure resolving 'deb.example.org'", 'a name could not be resolved'],
    ['write /x: No space left on device', 'docker system df'],
  ])('of %s gives a hint', (line, hint) => {
    expect(failure(CODE, said(line, 'E: Sub-process /usr/bin/dpkg returned an error code (1)')).hint).toContain(hint);
  });
});
