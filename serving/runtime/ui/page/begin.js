// What the page starts from: the choices of the server, and what the address says.
function keep() {
  const fields = FIELDS.map(id => [id, at(id).value]).filter(([, value]) => value !== "");
  const past = edited ? Object.keys(LISTS).map(name => [name, at(name).value]).filter(([, value]) => value) : [];
  const state = new URLSearchParams([...fields, ...past]);
  for (const one of chosen()) state.append("in", JSON.stringify([one.model, one.version]));
  if (edited) state.set("edited", "1");
  if (at("set").open) state.set("set", "1");
  history.replaceState(null, "", "#" + state);
}

function versions(models, kept) {
  const all = models.flatMap(({model, versions}) => [null, ...versions].map(version => ({model, version})));
  const picked = kept.map(one => JSON.parse(one)).map(([model, version]) => JSON.stringify([model, version]));
  all.forEach(({model, version}, place) => {
    const name = `${model}, ${version === null ? "newest" : `version ${version}`}`, box = make("input");
    box.type = "checkbox";
    box.value = JSON.stringify({model, version, name});
    box.checked = picked.includes(JSON.stringify([model, version])) || !picked.length && !place;
    box.addEventListener("change", again);
    at("versions").append(make("label", "", box, name));
  });
}

function again() {
  if (at("query").value || at("item").value) search();
  else if (at("set").open) judge();
}

function fields() {
  for (const [name, label] of Object.entries(LISTS)) {
    const field = make("input");
    field.id = name;
    field.autocomplete = "off";
    field.placeholder = name === "history_queries" ? "queries with commas" : "ids";
    field.addEventListener("change", () => { edited = true; at("user").value = ""; again(); });
    at("lists").append(make("label", "", label, field));
  }
  at("form").addEventListener("submit", event => { event.preventDefault(); search(); });
  at("user").addEventListener("change", () => { edited = false; again(); });
  for (const id of ["k", "without", "brands", "leaves", "low", "high", "item"]) at(id).addEventListener("change", again);
  at("set").addEventListener("toggle", () => at("set").open ? judge() : keep());
  at("set").addEventListener("keydown", step);
  document.addEventListener("keydown", event => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    at("query").focus();
  });
}

async function begin() {
  const choices = await json("ui/choices");
  if (!choices.models.length) throw new Error("No model is ready yet: load the page again in a moment.");
  const kept = new URLSearchParams(location.hash.slice(1));
  fields();
  versions(choices.models, kept.getAll("in"));
  at("users").append(...choices.users.map(name => { const one = make("option"); one.value = name; return one; }));
  if (!choices.all_users) at("user").placeholder = "needs --ui_users";
  at("set").hidden = !choices.judged;
  edited = kept.has("edited");
  for (const id of [...FIELDS, ...Object.keys(LISTS)]) if (kept.get(id)) at(id).value = kept.get(id);
  at("past").open = edited;
  at("set").open = kept.has("set");
  again();
}

begin().catch(error => at("columns").replaceChildren(make("p", "say bad", error.message)));
