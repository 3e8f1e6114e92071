// Puts data into the page. Everything that an agent or a task says is hostile: it goes in as text only.

/** Sets a text when it has changed, so that a selection in the page survives. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes an element with a class. */
export function element(tag, className = '') {
  const node = document.createElement(tag);
  if (className !== '') node.className = className;
  return node;
}

/** Keeps one row per item, in the order of the items; rows of items that are gone go too. */
export function syncRows(body, items, keyOf, create, update) {
  const rows = new Map([...body.children].map((row) => [row.dataset.key, row]));
  items.forEach((item, index) => {
    const key = keyOf(item);
    const row = rows.get(key) ?? create();
    rows.delete(key);
    row.dataset.key = key;
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
    update(row, item);
  });
  for (const row of rows.values()) row.remove();
}

/** A row with one cell per label; the first is its heading. */
export function createRow(labels) {
  const row = element('tr');
  labels.forEach((label, index) => {
    const cell = element(index === 0 ? 'th' : 'td');
    if (index === 0) cell.scope = 'row';
    cell.dataset.label = label;
    cell.append(element('span'));
    row.append(cell);
  });
  return row;
}

/** The part of a cell that holds its content. */
export function cellOf(row, index) {
  return row.children[index].firstElementChild;
}

/** Shows a state as icon, word and colour, with its reason below. */
export function showState(node, { icon, word, tone }, reason = '') {
  if (node.children.length === 0) node.append(element('span'), element('span', 'reason'));
  const [state, below] = node.children;
  state.className = `state ${tone}`;
  setText(state, `${icon} ${word}`);
  setText(below, reason);
}

/** Shows a share as a bar with its number, or that it is not known. */
export function showMeter(node, name, value) {
  if (node.children.length === 0) {
    node.className = 'meter';
    const track = element('span', 'track');
    track.append(element('span', 'fill'));
    node.append(element('span', 'number'), track);
  }
  const [number, track] = node.children;
  const fill = track.firstElementChild;
  setText(number, value === undefined ? '–' : `${value}%`);
  track.hidden = value === undefined;
  track.setAttribute('role', 'meter');
  track.setAttribute('aria-label', name);
  track.setAttribute('aria-valuenow', String(value ?? 0));
  fill.className = `fill${value >= 95 ? ' bad' : value >= 80 ? ' warn' : ''}`;
  fill.style.setProperty('--used', `${value ?? 0}%`);
}
