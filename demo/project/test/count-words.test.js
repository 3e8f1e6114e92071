import assert from 'node:assert/strict';
import test from 'node:test';
import { countWords } from '../src/count-words.js';
import { renderPage } from '../src/render-page.js';

test('counts words without regard to case', () => {
  assert.deepEqual(countWords('A b a'), [
    ['a', 2],
    ['b', 1],
  ]);
});

test('knows letters beyond ASCII', () => {
  assert.deepEqual(countWords('Über über'), [['über', 2]]);
});

test('counts nothing in an empty text', () => {
  assert.deepEqual(countWords(''), []);
});

test('escapes what it renders', () => {
  assert.match(renderPage('<t>', [['a&b', 1]]), /&lt;t&gt;[\s\S]*a&amp;b/);
});
