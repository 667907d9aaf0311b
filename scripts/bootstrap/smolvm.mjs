// smolvm, for machines of their own kernel: on PATH, else our cache, else taken out of its Python package by pip. Without
// it there is just no driver smolvm, so what hinders it is said and everything else goes on.
const load = (file) => import(`../../dist/host/${file}.js`);

export const smolvm = {
  name: 'smolvm',
  look: async () => {
    const found = await (await load('smolvm-package')).findSmolvm();
    if (found) return found.source === 'path' ? found.path : `${found.version}, in our cache`;
    return (await (await load('python-package')).hasPip()) ? undefined : without('no pip to get it with');
  },
  plan: '44 MB by pip, some seconds, once',
  provide: async (say) => {
    try {
      await (await load('smolvm-package')).obtainSmolvm(say);
    } catch (error) {
      return without(error.message);
    }
  },
};

const without = (why) => `not found (${why}): no driver smolvm`;
