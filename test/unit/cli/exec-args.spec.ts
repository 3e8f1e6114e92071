import { expect } from 'chai';
import { execTarget, splitExecArgs } from '../../../cli/exec-args.js';

const OPTIONS = [
  { names: ['--sudo'], arity: 0 },
  { names: ['--timeout'], arity: 1 },
  { names: ['-e', '--env'], arity: 1 },
];

function check(args: readonly string[], own: readonly string[], run: object): void {
  it(args.join(' ') || '(nothing)', () => {
    const split = splitExecArgs(args, OPTIONS);
    expect(split.own).deep.equal(own);
    expect(split.agent).equal('dev');
    expect(execTarget(split.command, split.dashes)).deep.equal(run);
  });
}

describe('arguments of exec', () => {
  check(['dev', 'ls -la'], [], { command: 'ls -la' });
  check(['dev', 'ls', '-la'], [], { argv: ['ls', '-la'] });
  check(['dev', 'ls'], [], { argv: ['ls'] });
  check(['dev', 'false;true'], [], { command: 'false;true' });
  check(['dev', '--', 'ls', '-la'], [], { argv: ['ls', '-la'] });
  check(['dev', '--', 'ls -la'], [], { argv: ['ls -la'] });
  check(['dev', '--sudo', '--', 'id', '-u'], ['--sudo'], { argv: ['id', '-u'] });
  check(['--sudo', 'dev', 'id', '-u'], ['--sudo'], { argv: ['id', '-u'] });
  check(['dev', '--sudo', 'id'], ['--sudo'], { argv: ['id'] });
  check(['dev', 'apt update', '--sudo'], ['--sudo'], { command: 'apt update' });
  check(['dev', 'apt update', '--timeout', '5m'], ['--timeout', '5m'], { command: 'apt update' });
  check(['--timeout=5s', 'dev', '-e', 'A=b c', 'env'], ['--timeout=5s', '-e', 'A=b c'], { argv: ['env'] });
  check(['dev', 'id', '--sudo'], [], { argv: ['id', '--sudo'] });
  check(['dev', 'echo', '$HOME', '|', 'cat'], [], { argv: ['echo', '$HOME', '|', 'cat'] });
  check(['dev', '--unknown', 'x'], [], { argv: ['--unknown', 'x'] });
  check(['dev', 'sh', '--', '-c'], [], { argv: ['sh', '--', '-c'] });
  check(['dev', 'a b', 'c'], [], { argv: ['a b', 'c'] });

  it('knows when the agent is missing', () => {
    expect(splitExecArgs(['--sudo'], OPTIONS).agent).equal(undefined);
    expect(splitExecArgs(['--', 'ls'], OPTIONS).agent).equal(undefined);
  });
});
