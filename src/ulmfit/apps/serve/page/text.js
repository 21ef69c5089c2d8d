// Labels and highlighted words as one types. Only the newest text counts: requests for older ones
// are cancelled, and an answer that comes late all the same is thrown away.

import { ask, isAborted, pause } from "./service.js";
import { bar, element, make, number, percent, say, showProblem } from "./draw.js";

const TYPING = 200; // milliseconds without a key before a text is sent
const EXPLAINING = 250; // more of them before it is explained, which costs more
const SPEAKING = 900; // more of them before a screen reader says the label
const SHOWN = 8; // bars at first

let model;
let turn = 0;
let stop = new AbortController();
let chosen = null; // label to explain; null for the one that was given
let all = false;
let last = null;

export function startText(found) {
  model = found;
  element("hint").hidden = !model.explains;
  const text = element("text");
  text.oninput = () => changed(TYPING);
  element("clear").onclick = () => { text.value = ""; text.focus(); changed(0); };
  element("more").onclick = () => { all = !all; drawBars(); };
  if (text.value) changed(0);
}

function changed(wait) {
  chosen = null;
  run(wait);
}

async function run(wait) {
  const mine = ++turn;
  stop.abort();
  stop = new AbortController();
  const text = element("text").value;
  showCount(text);
  element("clear").hidden = !text;
  if (!text.trim()) return empty();
  stale(true);
  try {
    await pause(wait, stop.signal);
    await answer(text, mine, stop.signal);
  } catch (error) {
    if (isAborted(error) || mine !== turn) return;
    if (error.status === 429) return run(1000 * error.seconds);
    showProblem(error);
    stale(false);
    element("why").hidden = true;
  }
}

async function answer(text, mine, signal) {
  const found = (await ask("/predict", { text }, signal)).predictions[0];
  if (mine !== turn) return;
  showProblem(null);
  last = found;
  drawAnswer();
  await explain(text, mine, signal);
  await pause(SPEAKING, signal);
  say(`${named(found)}, ${percent(found.confidence)}`);
}

async function explain(text, mine, signal) {
  const why = element("why");
  if (!model.explains) return;
  if (Array.from(text).length > model.limits.explain_chars) {
    why.hidden = false;
    why.classList.remove("stale");
    element("marked").replaceChildren();
    note(`Words are highlighted in texts of up to ${number(model.limits.explain_chars)} characters.`);
    return;
  }
  await pause(EXPLAINING, signal);
  const label = chosen ?? best(last);
  const found = await ask("/explain", { text, label }, signal);
  if (mine !== turn) return;
  why.hidden = false;
  why.classList.remove("stale");
  element("why-title").textContent = `Words that decided about ${found.label}`;
  note(found.note ?? "");
  mark(text, found.spans);
}

function note(text) {
  const place = element("why-note");
  place.hidden = !text;
  place.textContent = text;
}

// The service counts characters as Unicode does, this language in halves of some of them.
function mark(text, spans) {
  const characters = Array.from(text);
  const most = Math.max(...spans.map((span) => Math.abs(span.attribution)), 1e-9);
  const pieces = [];
  let end = 0;
  for (const span of spans) {
    if (span.start < end) continue;
    pieces.push(characters.slice(end, span.start).join(""));
    end = span.end;
    const strength = Math.abs(span.attribution) / most;
    const piece = characters.slice(span.start, span.end).join("");
    if (strength < 0.08) { pieces.push(piece); continue; }
    const kind = span.attribution > 0 ? "for" : "against";
    const shown = make("mark", { className: kind, textContent: piece, title: `${span.attribution > 0 ? "+" : "−"}${Math.abs(span.attribution).toPrecision(2)}` });
    shown.style.setProperty("--a", (0.15 + 0.85 * strength).toFixed(2));
    pieces.push(shown);
  }
  pieces.push(characters.slice(end).join(""));
  element("marked").replaceChildren(...pieces);
}

function drawAnswer() {
  element("answer-empty").hidden = true;
  element("answer-full").hidden = false;
  element("label").textContent = named(last);
  element("confidence").textContent = last.abstained
    ? `below the confidence of ${percent(model.min_confidence)} that is asked for` : percent(last.confidence);
  drawBars();
  stale(false);
  element("why").classList.add("stale");
}

function drawBars() {
  const ranked = Object.entries(last.probabilities).sort((one, other) => other[1] - one[1]);
  const shown = all ? ranked : ranked.slice(0, SHOWN);
  const explained = chosen ?? best(last);
  element("bars").replaceChildren(...shown.map(([name, share]) => bar(
    name, percent(share), share, last.labels.includes(name),
    model.explains ? () => choose(name) : null, name === explained,
  )));
  const more = element("more");
  more.hidden = ranked.length <= SHOWN;
  more.textContent = all ? "Show fewer" : `Show all ${number(ranked.length)} labels`;
}

async function choose(name) {
  chosen = name;
  drawBars();
  Array.from(element("bars").querySelectorAll("button")).find((button) => button.title === name)?.focus();
  const mine = ++turn;
  stop.abort();
  stop = new AbortController();
  element("why").classList.add("stale");
  try {
    await explain(element("text").value, mine, stop.signal);
  } catch (error) {
    if (!isAborted(error) && mine === turn) showProblem(error);
  }
}

function best(answer) {
  return Object.entries(answer.probabilities).reduce((one, other) => (other[1] > one[1] ? other : one))[0];
}

function named(answer) {
  if (answer.abstained) return "not sure";
  return answer.labels.join(", ") || "none of the labels";
}

function stale(is) {
  element("answer-full").classList.toggle("stale", is);
  element("answer").setAttribute("aria-busy", String(is));
  if (is) element("why").classList.add("stale");
}

function empty() {
  last = null;
  showProblem(null);
  say("");
  stale(false);
  element("answer-empty").hidden = false;
  element("answer-full").hidden = true;
  element("why").hidden = true;
}

function showCount(text) {
  element("count").textContent = text ? `${number(Array.from(text).length)} characters` : "";
}
