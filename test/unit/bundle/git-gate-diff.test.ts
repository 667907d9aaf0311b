import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addedByteCounter } from '../../../src/bundle/git-gate-diff.ts';

const LOG = `commit 1111 (from 2222)
Author: A <a@example.com>

    +a message that looks like a patch
    @@ -0,0 +1,9 @@

diff --git a/one b/one
index 1..2 100644
--- a/one
+++ b/one
@@ -1,2 +1 @@ context of a function
-old
-+old
+new
@@ -9,0 +9,3 @@
++++ b/not-a-header
+@@ -1 +1 @@
+last
\\ No newline at end of file
diff --git a/two b/two
deleted file mode 100644
--- a/two
+++ /dev/null
@@ -1 +0,0 @@
-gone
\\ No newline at end of file
diff --git a/three b/three
--- a/three
+++ b/three
@@ -1 +1 @@
-x
\\ No newline at end of file
+yy
diff --git a/four b/five
similarity index 100%
rename from four
rename to five
`;
const ADDED = 'new\n' + '+++ b/not-a-header\n' + '@@ -1 +1 @@\n' + 'last' + 'yy\n';

it('the bytes of added lines are counted: nothing else, and a line end only where there is one', () => {
  const counter = addedByteCounter();
  counter.add(Buffer.from(LOG));
  expect(counter.total()).toBe(ADDED.length);
});

it('it does not matter how the output arrives', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
      const counter = addedByteCounter();
      for (let at = 0, turn = 0; at < LOG.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1;
        counter.add(Buffer.from(LOG.slice(at, at + size)));
        at += size;
      }
      expect(counter.total()).toBe(ADDED.length);
    }),
  );
});

it('a line longer than any buffer and one that is no text are counted whole', () => {
  const counter = addedByteCounter();
  const line = Buffer.alloc(300_000, 0);
  counter.add(Buffer.from('@@ -0,0 +1,2 @@\n+'));
  counter.add(line);
  counter.add(Buffer.from('\n+\xff\xfe\n', 'latin1'));
  expect(counter.total()).toBe(300_001 + 3);
});
