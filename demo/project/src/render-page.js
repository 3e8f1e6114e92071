const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** Turns counted words into an HTML page. */
export function renderPage(title, counts) {
  const escape = (text) => text.replace(/[&<>]/g, (character) => ESCAPES[character]);
  const rows = counts.map(([word, count]) => `<tr><td>${escape(word)}<td>${count}`).join('\n');
  return `<!doctype html>\n<title>${escape(title)}</title>\n<table>\n${rows}\n</table>\n`;
}
