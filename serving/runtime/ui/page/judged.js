// The judged queries as one table: how good the first ten of each are in every version that is picked.
const judgedBy = new Map();

async function judgedIn(target) {
  if (target.version === null) return json("ui/judged", {model: target.model});  // which is newest may change
  const key = JSON.stringify({model: target.model, version: target.version});
  if (!judgedBy.has(key)) judgedBy.set(key, json("ui/judged", JSON.parse(key)));
  try {
    return await judgedBy.get(key);
  } catch (error) {
    judgedBy.delete(key);
    throw error;
  }
}

function figures(rows, first) {
  return ["precision", "ndcg"].map(name => {
    const cell = make("td", "", rows[name].toFixed(3));
    if (first && Math.abs(rows[name] - first[name]) > 1e-9) cell.className = rows[name] < first[name] ? "lower" : "higher";
    return cell;
  });
}

function row(place, judged) {
  const [first] = judged, query = first.queries[place].query, open = make("button", "", query);
  open.type = "button";
  open.addEventListener("click", () => show(query));
  const line = make("tr", "", make("td", "", open));
  judged.forEach((one, number) => line.append(...figures(one.queries[place], number ? first.queries[place] : null)));
  if (query === at("query").value && !at("item").value) line.setAttribute("aria-current", "true");
  return line;
}

function show(query) {  // as it was judged: for nobody in particular, without conditions
  for (const id of [...FIELDS, ...Object.keys(LISTS)]) if (id !== "k") at(id).value = "";
  edited = false;
  at("query").value = query;
  search();
}

function worstFirst(judged) {
  const [first, second] = judged;
  const of = place => second ? second.queries[place].ndcg - first.queries[place].ndcg : first.queries[place].ndcg;
  return first.queries.map((_, place) => place).sort((one, other) => of(one) - of(other));
}

function headings(judged) {
  const names = judged.flatMap(one => ["P@10", "NDCG@10"].map(figure => {
    const cell = make("th", "", `${figure} · ${one.model} ${one.version}`);
    cell.scope = "col";
    return cell;
  }));
  return make("thead", "", make("tr", "", make("th", "", "Query"), ...names));
}

async function judge() {
  const box = at("set").querySelector(".table"), mine = asked;
  keep();
  try {
    const judged = await Promise.all(chosen().map(judgedIn));
    if (mine !== asked || !judged.length) return;
    const [first] = judged, mean = make("tr", "", make("th", "", `Mean of ${first.queries.length}`));
    judged.forEach((one, number) => mean.append(...figures(one.mean, number ? first.mean : null)));
    const lines = worstFirst(judged).map(place => row(place, judged));
    box.replaceChildren(make("table", "", headings(judged), make("tbody", "", ...lines), make("tfoot", "", mean)));
  } catch (error) {
    box.replaceChildren(make("p", "say bad", error.message));
  }
}

function step(event) {
  const by = {ArrowDown: 1, ArrowUp: -1}[event.key], buttons = [...at("set").querySelectorAll("td button")];
  const place = buttons.indexOf(document.activeElement);
  if (!by || place < 0) return;
  event.preventDefault();
  buttons[Math.min(Math.max(place + by, 0), buttons.length - 1)].focus();
}
