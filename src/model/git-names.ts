/** Characters that git allows in no ref name, and control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const BAD_CHARACTERS = /[\u0000-\u0020\u007f~^:?*[\\]/;

/** Whether git accepts a text as a branch name, and it cannot be read as an option. Rules of git-check-ref-format. */
export function isBranchName(text: string): boolean {
  if (text.startsWith('-') || text === '@' || BAD_CHARACTERS.test(text)) return false;
  if (text.includes('..') || text.includes('@{') || text.endsWith('.')) return false;
  return text.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}
