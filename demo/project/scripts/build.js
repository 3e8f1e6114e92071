// Builds dist/index.html from text.txt.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { countWords } from '../src/count-words.js';
import { renderPage } from '../src/render-page.js';

const counts = countWords(readFileSync('text.txt', 'utf8'));
mkdirSync('dist', { recursive: true });
writeFileSync('dist/index.html', renderPage('Words', counts));
console.log(`dist/index.html: ${counts.length} words`);
