// A CSV file: look at it, choose the column, label its rows, take the result home.

import { askPatiently, isAborted } from "./service.js";
import { decode, findDelimiter, parse, write } from "./csv.js";
import { bar, element, fillTable, make, number, percent, say, showProblem } from "./draw.js";

const LARGEST = 100e6; // bytes; the command line takes files of any size
const AT_A_TIME = 100; // texts of a request
const AT_ONCE = 2; // requests: one is computed while the other is on its way
const PREVIEW = 5;
const SHOWN = 200; // rows of the result
const LIKELY = ["text", "texts", "review", "body", "content", "comment", "message", "sentence", "question", "description", "title"];

let model;
let table = null; // { name, rows, delimiter, encoding }
let work = null; // { rows, header, column, answers, left, stop, begin }

export function startFile(found, show) {
  model = found;
  const input = element("file");
  input.onchange = () => { if (input.files[0]) open(input.files[0]); input.value = ""; };
  element("another").onclick = () => { reset(); input.click(); };
  element("column").onchange = drawTable;
  element("header").onchange = () => { fillColumns(); drawTable(); };
  element("start").onclick = start;
  element("stop").onclick = () => work?.stop.abort();
  element("resume").onclick = go;
  element("download").onclick = download;
  takeDrops((file) => { show(); open(file); });
}

function takeDrops(take) {
  const curtain = element("curtain");
  let depth = 0;
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  const draw = (change) => { depth = Math.max(0, depth + change); curtain.hidden = depth === 0; };
  window.addEventListener("dragenter", (event) => { if (hasFile(event)) { event.preventDefault(); draw(1); } });
  window.addEventListener("dragleave", (event) => { if (hasFile(event)) draw(-1); });
  window.addEventListener("dragover", (event) => { if (hasFile(event)) event.preventDefault(); });
  window.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    draw(-depth);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

function reset() {
  work?.stop.abort();
  table = work = null;
  showProblem(null);
  element("drop").hidden = false;
  element("table").hidden = element("work").hidden = true;
}

async function open(file) {
  reset();
  try {
    if (file.size > LARGEST) {
      throw new Error(`${file.name} has ${number(Math.round(file.size / 1e6))} MB; this page takes up to 100 MB. \`ulmfit predict\` takes files of any size.`);
    }
    const { text, encoding } = decode(await file.arrayBuffer());
    if (text.slice(0, 4000).includes("\0")) throw new Error(`${file.name} is not a CSV file.`);
    const delimiter = findDelimiter(text);
    const rows = parse(text, delimiter);
    if (!rows.length) throw new Error(`${file.name} has no rows.`);
    const width = rows.reduce((most, row) => Math.max(most, row.length), 0); // of all: a late row may be wider
    for (const row of rows) while (row.length < width) row.push("");
    table = { name: file.name, rows, delimiter, encoding, width };
  } catch (error) {
    showProblem(error);
    return;
  }
  element("header").checked = table.rows.length > 1;
  element("drop").hidden = true;
  element("table").hidden = false;
  fillColumns();
  drawTable();
  element("column").focus();
}

const header = () => (element("header").checked ? table.rows[0] : Array.from({ length: table.width }, (_, place) => String(place + 1)));
const body = () => (element("header").checked ? table.rows.slice(1) : table.rows);

function fillColumns() {
  const names = header();
  element("column").replaceChildren(...names.map((name, place) => make("option", { value: String(place), textContent: name || `column ${place + 1}` })));
  element("column").value = String(guess(names, body()));
}

// A column that is called so, else the one with the longest cells.
function guess(names, rows) {
  for (const likely of LIKELY) {
    const place = names.findIndex((name) => name.trim().toLowerCase() === likely);
    if (place >= 0) return place;
  }
  const sample = rows.slice(0, 100);
  const lengths = names.map((_, place) => sample.reduce((sum, row) => sum + (row[place] ?? "").length, 0));
  return lengths.indexOf(Math.max(...lengths));
}

function drawTable() {
  const rows = body();
  element("file-name").textContent = table.name;
  element("start").textContent = `Label ${number(rows.length)} row${rows.length === 1 ? "" : "s"}`;
  element("start").disabled = !rows.length;
  const notes = [];
  if (table.encoding !== "UTF-8") notes.push(`The file is not UTF-8; it was read as ${table.encoding}.`);
  if (rows.length > PREVIEW) notes.push(`The first ${PREVIEW} of ${number(rows.length)} rows:`);
  element("file-note").hidden = !notes.length;
  element("file-note").textContent = notes.join(" ");
  fillTable(element("preview"), header(), rows.slice(0, PREVIEW), Number(element("column").value));
}

function start() {
  work?.stop.abort();
  const rows = body();
  const column = Number(element("column").value);
  work = { name: table.name, delimiter: table.delimiter, rows, header: header(), column, answers: new Array(rows.length), slices: cut(rows, column) };
  work.total = work.slices.reduce((sum, slice) => sum + slice.length, 0);
  work.tooLong = rows.length - work.total;
  element("work").hidden = false;
  element("counts").replaceChildren();
  element("results").replaceChildren();
  element("work").scrollIntoView({ block: "nearest" });
  go();
}

// Places of the rows of each request: few enough, short enough, and none that the service refuses.
function cut(rows, column) {
  const most = Math.min(AT_A_TIME, model.limits.texts);
  const room = Math.min(500000, model.limits.body_bytes / 8); // characters; one takes up to 6 bytes
  const slices = [];
  let slice = [], size = 0;
  rows.forEach((row, place) => {
    const length = row[column].length;
    if (length > model.limits.chars || length > model.limits.body_bytes / 6 - 100) return;
    if (slice.length && (slice.length === most || size + length > room)) { slices.push(slice); slice = []; size = 0; }
    slice.push(place);
    size += length;
  });
  if (slice.length) slices.push(slice);
  return slices;
}

async function go() {
  const mine = work;
  mine.stop = new AbortController();
  mine.begin = performance.now();
  mine.before = done(mine);
  showProblem(null);
  buttons(true);
  progress(mine);
  const waiting = [...mine.slices];
  mine.slices = [];
  const worker = async () => {
    while (waiting.length) {
      const slice = waiting.shift();
      try {
        await label(mine, slice);
      } catch (error) {
        mine.slices.push(slice);
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  mine.slices.push(...waiting);
  if (mine !== work) return;
  const failed = ends.find((end) => end.status === "rejected" && !isAborted(end.reason));
  if (failed) { mine.stop.abort(); showProblem(failed.reason); }
  finish(mine);
}

async function label(mine, slice) {
  const texts = slice.map((place) => mine.rows[place][mine.column]);
  const { predictions } = await askPatiently("/predict", { texts }, mine.stop.signal);
  slice.forEach((place, index) => { mine.answers[place] = predictions[index]; });
  if (mine === work) progress(mine);
}

const done = (mine) => mine.answers.reduce((sum) => sum + 1, 0); // holes are not counted

function progress(mine) {
  const rows = done(mine);
  element("progress").hidden = false;
  element("progress").value = mine.total ? rows / mine.total : 1;
  const seconds = (performance.now() - mine.begin) / 1000;
  const left = rows > mine.before ? Math.ceil((seconds * (mine.total - rows)) / (rows - mine.before)) : null;
  element("work-title").textContent = "Labels";
  element("work-note").textContent = `${number(rows)} of ${number(mine.total)} rows${left === null ? "" : `, about ${time(left)} left`}`;
  drawResults(mine);
}

const time = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`);

function finish(mine) {
  const rows = done(mine);
  const whole = rows === mine.total;
  buttons(false, whole);
  element("progress").hidden = whole;
  const notes = [whole ? `All ${number(rows)} rows have their label.` : `Stopped after ${number(rows)} of ${number(mine.total)} rows.`];
  if (mine.tooLong) notes.push(`${number(mine.tooLong)} rows are too long for the service and have none.`);
  if (mine.rows.length > SHOWN) notes.push(`The first ${SHOWN} are shown; the download has all.`);
  element("work-note").textContent = notes.join(" ");
  drawResults(mine);
  say(notes[0]);
  if (whole) element("download").focus({ preventScroll: true });
}

function buttons(running, whole = false) {
  element("stop").hidden = !running;
  element("resume").hidden = running || whole;
  element("download").hidden = running;
}

function drawResults(mine) {
  const counts = new Map();
  mine.answers.forEach((answer) => {
    for (const name of answer.abstained ? ["not sure"] : answer.labels.length ? answer.labels : ["(none)"]) counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  const most = Math.max(...counts.values(), 1);
  const ranked = [...counts].sort((one, other) => other[1] - one[1]);
  element("counts").replaceChildren(...ranked.slice(0, 12).map(([name, count]) => bar(name, number(count), count / most, true, null)));
  const rows = [];
  for (let place = 0; place < Math.min(mine.rows.length, SHOWN); place += 1) {
    const answer = mine.answers[place];
    if (answer) rows.push([tag(answer), percent(answer.confidence), mine.rows[place][mine.column]]);
  }
  fillTable(element("results"), ["Label", "Confidence", mine.header[mine.column]], rows);
  for (const row of element("results").tBodies[0].rows) row.cells[1].className = "number";
}

function tag(answer) {
  const name = answer.abstained ? "not sure" : answer.labels.join(", ") || "(none)";
  return make("span", { className: answer.abstained ? "tag none" : "tag", textContent: name });
}

// The columns that `ulmfit predict` writes: where a name is taken, "_2" is added to ours.
function download() {
  const names = [...work.header];
  const add = (name) => {
    let free = name;
    for (let count = 2; names.includes(free); count += 1) free = `${name}_${count}`;
    names.push(free);
  };
  add("predicted_label");
  if (model.min_confidence !== null) add("abstained");
  for (const label of model.labels) add(`probability_${label}`);
  const rows = work.rows.map((row, place) => [...row, ...answerCells(work.answers[place])]);
  const link = make("a", {
    href: URL.createObjectURL(new Blob([write([names, ...rows], work.delimiter)], { type: "text/csv" })),
    download: work.name.replace(/(\.\w+)?$/, (suffix) => `-labelled${suffix || ".csv"}`),
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function answerCells(answer) {
  const abstained = model.min_confidence === null ? [] : [!answer ? "" : answer.abstained ? "True" : "False"];
  const chances = model.labels.map((label) => (answer ? String(answer.probabilities[label]) : ""));
  return [answer?.labels.join("|") ?? "", ...abstained, ...chances];
}
