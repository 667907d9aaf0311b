/** Which of the changes that an agent pushes may go on to the upstream. Pure. */
import { linearPattern } from './route-pattern.ts';

export interface BranchRules {
  /** Globs of branch names: `*` within a segment, `**` across. Empty: every branch. Tags are not branches. */
  branches: readonly string[];
  /** Branches may lose commits and tags may move. */
  allowForce: boolean;
  allowDelete: boolean;
}

export interface RefChange {
  /** Full name, as the client sent it. */
  ref: string;
  /** `force`: a branch loses commits, or a tag that exists moves. */
  kind: 'create' | 'update' | 'force' | 'delete';
}

/**
 * What git-check-ref-format(1) forbids, and letters that cannot be seen; `:` and `*` would also mean something else in the
 * refspec we forward.
 */
const NOT_IN_A_NAME = /[\p{C}\p{Z}\ufffd~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|[/.]$/u;

/** No server keeps longer ones, as a file or a line of theirs. */
const LONGEST_NAME = 1000;

const BRANCH = 'refs/heads/';
const TAG = 'refs/tags/';

/** Why `change` may not be pushed, as the end of a sentence that begins with its name; undefined when it may. */
export function refusalOf(rules: BranchRules, { ref, kind }: RefChange): string | undefined {
  if (!ref.startsWith(BRANCH) && !ref.startsWith(TAG)) return 'is neither a branch nor a tag';
  if (ref.length > LONGEST_NAME) return `is longer than the ${LONGEST_NAME} characters that a name may have`;
  if (NOT_IN_A_NAME.test(ref)) return 'is not a name that git takes';
  if (ref.startsWith(BRANCH) && !isAllowedBranch(rules.branches, ref.slice(BRANCH.length))) {
    return `is not among the branches that may be pushed: ${rules.branches.join(', ')}`;
  }
  if (kind === 'delete' && !rules.allowDelete) return 'may not be deleted';
  if (kind === 'force' && !rules.allowForce) {
    return ref.startsWith(TAG)
      ? 'exists: a tag may not be moved'
      : 'may not lose commits: fetch, rebase and push again';
  }
  return undefined;
}

function isAllowedBranch(globs: readonly string[], branch: string): boolean {
  return globs.length === 0 || globs.some((glob) => globFits(glob, branch));
}

/** By RE2: with several stars, JavaScript's own engine tries every way to share out a name, and the agent chooses that. */
function globFits(glob: string, name: string): boolean {
  const source = glob.replace(/\*{2,}|\*|[^*]+/g, (part) => {
    if (part === '*') return '[^/]*';
    return part.startsWith('*') ? '.*' : part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&');
  });
  return linearPattern(source).fits(name);
}
