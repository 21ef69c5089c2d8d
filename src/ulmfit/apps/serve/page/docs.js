// Draws the description of the interface, which the service itself gives in /openapi.json.

import { element, make } from "./draw.js";

const description = await (await fetch("/openapi.json")).json();

const resolved = (schema) => (schema.$ref ? description.components.schemas[schema.$ref.split("/").pop()] : schema);

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.additionalProperties) return `object of ${schema.additionalProperties === true ? "anything" : kind(schema.additionalProperties)}`;
  return schema.type ?? "anything";
}

// Words in backticks are code.
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", { textContent: part }) : part));
}

function fields(schema, inner = true) {
  const rows = Object.entries(resolved(schema).properties ?? {}).map(([name, field]) => make(
    "tr", {}, make("td", {}, make("code", { textContent: name })),
    make("td", { textContent: kind(field) }), make("td", {}, ...prose(field.description ?? "")),
  ));
  const tables = [make("div", { className: "scroll" }, make("table", {}, make("tbody", {}, ...rows)))];
  if (!inner) return tables;
  for (const field of Object.values(resolved(schema).properties ?? {})) {
    const item = field.items ?? field;
    if (item.$ref) tables.push(make("h3", { textContent: `each ${kind(item)}` }), ...fields(item));
  }
  return tables;
}

function example(path, method, call) {
  const body = call.requestBody && resolved(call.requestBody.content["application/json"].schema).examples?.[0];
  const parts = [`curl ${location.origin}${path}`];
  if (body) parts.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body)}'`);
  return parts.join(" \\\n  ");
}

function section(path, method, call) {
  const made = make(
    "section", { className: "call" },
    make("h2", {}, make("span", { className: "method", textContent: method.toUpperCase() }), make("code", { textContent: path }), ` ${call.summary}`),
    make("p", { className: "quiet", textContent: call.description ?? "" }),
    make("pre", { tabIndex: 0, textContent: example(path, method, call) }),
  );
  const request = call.requestBody?.content["application/json"].schema;
  if (request) made.append(make("h3", { textContent: "You send" }), ...fields(request));
  const answer = call.responses["200"]?.content?.["application/json"]?.schema;
  if (answer) made.append(make("h3", { textContent: "You get" }), ...fields(answer));
  const refusals = Object.entries(call.responses).filter(([status]) => status !== "200");
  if (refusals.length) {
    const rows = refusals.map(([status, why]) => make("tr", {}, make("td", {}, make("code", { textContent: status })), make("td", {}, ...prose(why.description))));
    made.append(make("h3", { textContent: "Or" }), make("div", { className: "scroll" }, make("table", {}, make("tbody", {}, ...rows))));
  }
  return made;
}

element("about").textContent = description.info.description;
element("calls").replaceChildren(...Object.entries(description.paths).flatMap(
  ([path, calls]) => Object.entries(calls).map(([method, call]) => section(path, method, call)),
));
document.body.dataset.ready = "";
