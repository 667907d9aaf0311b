/**
 * What tells programs how much there is for them where the kernel shows the whole computer: a quota of CPU time changes
 * nothing that `/proc` says. Node, the JVM, .NET, Rust's standard library and Go since 1.25 read the quota themselves, the memory
 * limit as well. A cpuset would be seen by all, but pins every small bottle to a core that others may be using while the
 * next one idles; lxcfs shows the limits in `/proc`, but is a daemon with FUSE on the host, which Docker Desktop has not.
 */
import type { Resources } from '../../core/plan.ts';

/** Variables that a manifest may set otherwise. */
export function limitsEnvironment({ cpus }: Pick<Resources, 'cpus'>): Record<string, string> {
  const count = String(Math.max(1, Math.ceil(cpus)));
  return {
    OMP_NUM_THREADS: count, // nproc, and with it `make -j$(nproc)`; OpenMP, OpenBLAS, MKL
    GOMAXPROCS: count, // Go before 1.25
    PYTHON_CPU_COUNT: count, // os.cpu_count() of Python since 3.13
  };
}
