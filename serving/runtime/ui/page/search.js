// A search in every version that is picked, one column each; the first is what the others are held against.
let asked = 0;

function chosen() {
  return [...at("versions").querySelectorAll("input:checked")].map(one => JSON.parse(one.value));
}

function listed(id, between) {
  return at(id).value.trim().split(between).filter(Boolean);
}

function pastLists() {
  const lists = Object.keys(LISTS).map(name => [name, listed(name, name === "history_queries" ? /\s*,\s*/ : /[\s,]+/)]);
  return Object.fromEntries(lists.filter(([, values]) => values.length));
}

function wanted(target) {
  return {
    query: at("query").value, model: target.model, version: target.version, k: Number(at("k").value),
    item: at("item").value.trim() || null, user: edited ? null : at("user").value || null, past: edited ? pastLists() : null,
    required_terms: listed("terms", /\s+/), excluded_items: listed("without", /\s+/),
    allowed_brands: listed("brands", /\s*,\s*/), allowed_leaves: listed("leaves", /\s*,\s*/),
    price_range: ["low", "high"].map(id => at(id).value === "" ? null : Number(at(id).value))};
}

async function ask(target) {
  const began = performance.now();
  try {
    return {...await json("ui/search", wanted(target)), trip_ms: performance.now() - began};
  } catch (error) {
    return {failed: error.message};
  }
}

function nothing(answer) {
  return answer.known === false ? "This version has no such item." : "Nothing found: no item meets what was asked.";
}

function column(target, answer, other) {
  const name = answer.failed ? target.name : `${answer.model}, version ${answer.version}`;
  const heading = make("header", "", make("h2", "", name)), section = make("section", "", heading);
  section.setAttribute("aria-label", name);
  if (answer.failed) {
    section.append(make("p", "say bad", answer.failed));
    return section;
  }
  heading.append(make("span", "took",
    `${answer.retrieve_ms.toFixed(1)} ms in the server, ${answer.trip_ms.toFixed(0)} ms with the reasons and the way here`));
  if (!answer.hits.length) {
    section.append(make("p", "say", nothing(answer)));
    return section;
  }
  const changes = answer.hits.flatMap(hit => Object.values(hit.changes || {}).map(Math.abs));
  const largest = Math.max(0, ...changes), ids = other && !other.failed ? other.hits.map(hit => hit.item_id) : null;
  section.append(make("ol", "", ...answer.hits.map((hit, place) => item(hit, place, largest, ids))));
  return section;
}

function showPast(answer) {
  if (!answer || edited) return;
  for (const name of Object.keys(LISTS))
    at(name).value = (answer.lists[name] || []).join(name === "history_queries" ? ", " : " ");
  const titles = Object.entries(answer.past).map(([name, values]) => `${LISTS[name]}: ${values.join(" · ")}`);
  at("past").title = titles.join("\n");
  at("past").querySelector("summary").textContent =
    `The user's past, newest first${titles.length ? ` — ${titles.join("; ").slice(0, 160)}` : ""}`;
}

function shared(answers) {
  const [first, ...others] = answers.map(answer => answer.failed ? [] : answer.hits.map(hit => hit.item_id));
  const said = others.filter(one => one.length && first.length).map(one =>
    `${first.filter(id => one.includes(id)).length} of ${Math.max(first.length, one.length)}`);
  const where = said.length > 1 ? "of the first list's items are in the others" : "items are in both";
  at("shared").textContent = said.length ? `${said.join(", ")} ${where}.` : "";
}

async function search() {
  const mine = ++asked, targets = chosen();
  keep();
  at("columns").dataset.busy = "";
  const answers = [];
  for (const target of targets) answers.push(await ask(target));  // in turn: neither slows the other
  if (mine !== asked) return;
  delete at("columns").dataset.busy;
  showPast(answers.find(answer => !answer.failed));
  shared(answers);
  const beside = place => place ? answers[0] : answers[1];
  at("columns").replaceChildren(...answers.map((answer, place) => column(targets[place], answer, beside(place))));
  at("notes").hidden = false;
  document.title = `${(at("item").value || at("query").value).slice(0, 60) || "multigrain"}`;
  if (at("set").open) await judge();
}
