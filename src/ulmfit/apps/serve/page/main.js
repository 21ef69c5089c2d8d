// Starts the page: what is served, and the two tabs.

import { ask } from "./service.js";
import { element, number, showProblem } from "./draw.js";
import { startFile } from "./file.js";
import { startText } from "./text.js";

const TABS = ["text", "file"];

function show(name, focus) {
  for (const other of TABS) {
    const tab = element(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    element(`panel-${other}`).hidden = other !== name;
  }
  if (focus) element(`tab-${name}`).focus();
}

for (const name of TABS) {
  const tab = element(`tab-${name}`);
  tab.onclick = () => show(name);
  tab.onkeydown = (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") show(TABS.find((other) => other !== name), true);
  };
}

function facts(model) {
  const labels = model.labels.length;
  const parts = [labels > 6 ? `${number(labels)} labels` : model.labels.join(" · ")];
  const error = model.metrics.test_error;
  if (typeof error === "number") parts.push(`${(100 * error).toFixed(1)} % error on test texts`);
  return parts.join("  –  ");
}

try {
  const model = await ask("/model");
  element("model-name").textContent = model.name;
  document.title = `${model.name} – ulmfit`;
  element("model-facts").textContent = facts(model);
  startText(model);
  startFile(model, () => show("file"));
  document.body.dataset.ready = "";
} catch (error) {
  showProblem(error);
}
