import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { importsOf, readTree, violationsOf } from '../support/architecture.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function check(files: Readonly<Record<string, string>>): readonly string[] {
  return violationsOf(new Map(Object.entries(files)));
}

describe('architecture', () => {
  it('holds in src and cli', () => {
    const tree = readTree(ROOT, ['src', 'cli']);
    expect(tree.size).to.be.greaterThan(30);
    expect(violationsOf(tree)).to.deep.equal([]);
  });

  describe('the checker', () => {
    it('reads every form of import', () => {
      const source = [
        "import a from './a.js';",
        "import type { B } from '../model/b.js';",
        "import {\n  c,\n  type D,\n} from 'pkg';",
        "export { e } from './e.js';",
        "export * from './f.js';",
        "import './g.js';",
        "const h = await import('./h.js');",
        "// import './comment.js';",
        "/* import './block.js'; */",
      ].join('\n');
      const expected = [
        'src/hub/a.ts',
        'src/model/b.ts',
        'pkg',
        'src/hub/e.ts',
        'src/hub/f.ts',
        'src/hub/g.ts',
      ];
      expect(importsOf('src/hub/x.ts', source)).to.have.members([...expected, 'src/hub/h.ts']);
    });

    const forbidden: readonly (readonly [file: string, source: string, complaint: RegExp])[] = [
      [
        'src/base/a.ts',
        "import { t } from '../model/task.js';",
        /src\/base\/a.ts must not import src\/model/,
      ],
      ['src/model/a.ts', "import type { H } from '../hub/hub.js';", /must not import src\/hub/],
      ['src/hub/a.ts', "import { s } from '../store/sqlite/store.js';", /must not import src\/store/],
      [
        'src/hub/a.ts',
        "import { p } from '../vm/providers/local/local.js';",
        /must not import src\/vm\/prov/,
      ],
      ['src/vm/a.ts', "import { p } from './providers/local/local.js';", /must not import src\/vm\/prov/],
      [
        'src/store/a.ts',
        "import { h } from '../hub/task-service.js';",
        /must not import src\/hub\/task-service/,
      ],
      ['src/agent/a.ts', "import { l } from './link/link.js';", /must not import src\/agent\/link/],
      ['src/client/a.ts', "import { h } from '../hub/api.js';", /must not import src\/hub/],
      ['src/dashboard/a.ts', "import { h } from '../hub/api.js';", /must not import src\/hub/],
      ['src/rpc/a.ts', "const m = await import('../app/hub.js');", /must not import src\/app/],
      ['src/hub/a.ts', "import { Task } from '../../gen/vmagent/v1/task.js';", /must not import gen/],
      ['src/hub/a.ts', "import express from 'express';", /must not import express/],
      ['src/vm/a.ts', "import { spawn } from 'node:child_process';", /must not import node:child_process/],
      ['src/base/a.ts', "import { spawn } from 'node:child_process';", /only src\/base\/process.ts/],
      ['src/hub/a.ts', "import { env } from 'node:process';", /must not import node:process/],
      ['src/hub/a.ts', 'export const home = process.env.HOME;', /uses process.env/],
      ['src/hub/a.ts', 'export const home = process["env"].HOME;', /uses process/],
      ['src/hub/a.ts', 'console.log(1);', /uses console/],
      ['src/hub/a.ts', 'process.exit(1);', /uses process.exit/],
      ['src/hub/a.ts', 'export default 1;', /default export/],
      ['src/hub/a.ts', 'const a = 1;\nexport { a as default };', /default export/],
      ['src/other/a.ts', '', /belongs to no layer/],
    ];
    for (const [file, source, complaint] of forbidden) {
      it(`refuses ${JSON.stringify(source)} in ${file}`, () => {
        expect(check({ [file]: source }).join('\n')).to.match(complaint);
      });
    }

    it('finds a cycle, also of types', () => {
      const files = {
        'src/hub/a.ts': "import { b } from './b.js';",
        'src/hub/b.ts': "export { c } from './c.js';",
        'src/hub/c.ts': "import type { A } from './a.js';",
      };
      expect(check(files)).to.deep.equal([
        'import cycle: src/hub/a.ts -> src/hub/b.ts -> src/hub/c.ts -> src/hub/a.ts',
      ]);
    });

    it('allows what the map allows', () => {
      const files = {
        'src/vm/a.ts': "import type { ChildProcess } from 'node:child_process';",
        'src/base/process.ts': "import { spawn } from 'node:child_process';",
        'src/store/a.ts': "import type { Store } from '../hub/store.js';",
        'src/vm/providers/local/a.ts': "import type { VmProvider } from '../../provider.js';",
        'src/rpc/a.ts': "import { Task } from '../../gen/vmagent/v1/task.js';",
        'src/bridge/a.ts': "import { Router } from 'express';",
        'src/app/a.ts': "import { h } from '../hub/hub.js';\nprocess.exit(0);",
        'cli/a.ts': "import { runHub } from '../src/app/hub-main.js';\nconsole.log(process.env.HOME);",
        'src/hub/a.ts': '// process.env is for src/app\nexport const processExit = "console.log";',
      };
      expect(check(files)).to.deep.equal([]);
    });
  });
});
