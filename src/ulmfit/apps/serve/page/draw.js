// Small pieces of the page.

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function percent(share) {
  const value = 100 * share;
  if (value > 99.9 && value < 100) return "> 99.9 %";
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value >= 10 ? Math.round(value * 10) / 10 : value.toFixed(1)} %`;
}

export const number = (value) => value.toLocaleString("en-US");

// One line of a list of bars; a button where something can be done with it.
export function bar(name, value, share, given, choose, pressed) {
  const fill = make("span", { className: "fill" });
  fill.style.width = `${100 * share}%`;
  const line = make(
    choose ? "button" : "div", { className: "bar", title: name },
    make("span", { className: "name", textContent: name }),
    make("span", { className: "value", textContent: value }),
    make("span", { className: "track" }, fill),
  );
  if (given) line.dataset.given = "";
  if (choose) {
    line.type = "button";
    line.setAttribute("aria-pressed", String(pressed));
    line.onclick = choose;
  }
  return make("li", {}, line);
}

export function showProblem(error) {
  const place = element("problem");
  place.hidden = error === null;
  place.textContent = error === null ? "" : error.message;
}

export function say(text) {
  element("spoken").textContent = text;
}

// Tables of cells; `chosen` is a column to set apart.
export function fillTable(table, header, rows, chosen = -1) {
  const head = make("tr", {}, ...header.map((name, place) => cell("th", name, place === chosen)));
  const body = rows.map((row) => make("tr", {}, ...row.map((value, place) => cell("td", value, place === chosen))));
  for (const th of head.children) th.scope = "col";
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

function cell(tag, value, chosen) {
  const inner = value instanceof Node ? value : make("div", { className: "cell", textContent: value });
  return make(tag, { className: chosen ? "chosen" : "" }, inner);
}
