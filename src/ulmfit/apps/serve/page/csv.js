// Delimited text to rows of cells and back, as RFC 4180 has it.

const DELIMITERS = [",", ";", "\t", "|"];

// Rows of cells; blank lines are left out. Quotes may enclose delimiters, line ends and, doubled, quotes.
export function parse(text, delimiter) {
  const rows = [];
  let row = [], cell = "", quoted = false, place = 0;
  const finish = () => { row.push(cell); cell = ""; if (row.length > 1 || row[0] !== "") rows.push(row); row = []; };
  while (place < text.length) {
    const sign = text[place];
    if (quoted) {
      const end = text.indexOf('"', place);
      if (end < 0) { cell += text.slice(place); break; }
      cell += text.slice(place, end);
      place = end + 1;
      if (text[place] === '"') { cell += '"'; place += 1; } else quoted = false;
    } else if (sign === '"' && cell === "") { quoted = true; place += 1;
    } else if (sign === delimiter) { row.push(cell); cell = ""; place += 1;
    } else if (sign === "\n" || sign === "\r") { finish(); place += sign === "\r" && text[place + 1] === "\n" ? 2 : 1;
    } else { cell += sign; place += 1; }
  }
  if (cell !== "" || row.length) finish();
  return rows;
}

// The delimiter that cuts the first rows into most columns, alike in number.
export function findDelimiter(text) {
  const start = text.slice(0, 20000);
  let best = ",", most = 0;
  for (const delimiter of DELIMITERS) {
    const rows = parse(start, delimiter).slice(0, 20);
    if (rows.length > 1 && start.length < text.length) rows.pop(); // may be cut
    const width = rows[0]?.length ?? 0;
    const score = width > 1 && rows.every((row) => row.length === width) ? width : 0;
    if (score > most) { best = delimiter; most = score; }
  }
  return best;
}

export function write(rows, delimiter = ",") {
  const special = new RegExp(`["\\r\\n${delimiter === "|" ? "\\|" : delimiter}]`);
  const written = (cell) => (special.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows.map((row) => row.map(written).join(delimiter) + "\n").join("");
}

// UTF-8, or where it is not, what Windows wrote in Western Europe; says which.
export function decode(bytes) {
  const start = new Uint8Array(bytes.slice(0, 2));
  if (start[0] === 0xff && start[1] === 0xfe) return { text: new TextDecoder("utf-16le").decode(bytes), encoding: "UTF-16" };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), encoding: "UTF-8" };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "Windows-1252" };
  }
}
