import { cpus } from 'node:os';
import { cycles } from './cycles.js';
import { latency } from './latency.js';
import { machines } from './machines.js';
import { memory } from './memory.js';
import { output } from './output.js';
import { reconnect } from './reconnect.js';
import { rest } from './rest.js';
import { restStream } from './rest-stream.js';
import { start } from './start.js';
import { store } from './store-figures.js';
import { submit } from './submit.js';
import { type Bench, type Figure, isMet, table } from './support/figures.js';

const BENCHES: readonly Bench[] = [
  submit,
  cycles,
  latency,
  rest,
  restStream,
  output,
  memory,
  reconnect,
  start,
  store,
  machines,
];

/** `ONLY=name[,name]` runs some; `QUICK=1` makes fewer, smaller rounds. */
async function main(env: NodeJS.ProcessEnv): Promise<number> {
  const asked = (env.ONLY ?? '').split(',').filter((name) => name !== '');
  const known = BENCHES.map((bench) => bench.name);
  const wrong = asked.filter((name) => !known.includes(name));
  if (wrong.length > 0) {
    console.error(`unknown bench ${wrong.join(', ')}; there are ${known.join(', ')}`);
    return 2;
  }
  const quick = (env.QUICK ?? '') !== '' && env.QUICK !== '0';
  const rounds = Number(env.ROUNDS || (quick ? 2 : 5));
  const figures: Figure[] = [];
  let crashed = 0;
  for (const bench of BENCHES.filter(({ name }) => asked.length === 0 || asked.includes(name))) {
    const begin = performance.now();
    try {
      figures.push(...(await bench.run({ rounds, quick })));
    } catch (err) {
      crashed += 1;
      console.error(`${bench.name} failed:`, err);
    }
    console.error(`${bench.name}: ${bench.about}; ${((performance.now() - begin) / 1000).toFixed(0)} s`);
  }
  console.log(`\nNode ${process.version}, ${cpus().length} cores, medians of ${rounds} rounds\n`);
  console.log(table(figures));
  const goals = figures.map(isMet).filter((met) => met !== undefined);
  console.log(`\n${goals.filter((met) => met).length} of ${goals.length} goals met`);
  return crashed === 0 ? 0 : 1;
}

process.exitCode = await main(process.env);
