// What all scripts lean on, then one item of an answer: what is known of it, and why it came.
const at = id => document.getElementById(id);
const FIELDS = ["query", "user", "terms", "item", "k", "without", "brands", "leaves", "low", "high"];
const LISTS = {history_queries: "queries", realtime_items: "today", short_items: "short-term",
  long_click_items: "long-term, clicked", long_order_items: "long-term, ordered", long_collect_items: "long-term, collected"};
let edited = false;  // whether the user's past is what stands in its fields

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

async function json(path, body) {
  const sent = body && {method: "POST", body: JSON.stringify(body)};
  const answer = await fetch(path, sent);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || answer.statusText);
  return content;
}

function marked(title, terms) {
  if (!terms.length) return [title];
  const words = terms.map(one => one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).sort((a, b) => b.length - a.length);
  const parts = title.split(new RegExp(`(?<![a-z0-9])(${words.join("|")})(?![a-z0-9])`, "gi"));
  const alone = title.split(new RegExp(`(${words.join("|")})`, "gi"));
  const chosen = /[^\x00-\x7f]/.test(words.join("")) ? alone : parts;
  return chosen.map((part, place) => place % 2 ? make("mark", "", part) : part);
}

function horizon(name, change, most, largest) {
  const size = largest ? Math.abs(change) / largest * 50 : 0;
  const fill = make("i");
  fill.style.cssText = `width:${size}%;${change < 0 ? "right" : "left"}:50%`;
  const bar = make("span", "bar", fill);
  bar.style.setProperty("--of", `var(--${name})`);
  const figure = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(3)}`;
  return make("span", `horizon${most ? " most" : ""}`, `${name} ${figure}`, bar);
}

function small(text, does) {
  const button = make("button", "small", text);
  button.type = "button";
  button.addEventListener("click", does);
  return button;
}

function why(hit, only) {
  const parts = [make("span", `chip${hit.fresh ? " fresh" : ""}`, hit.fresh ? "fresh" : "indexed")];
  parts.push(make("span", "chip", ["", "by vector", "by words", "by vector and words"][hit.channels]));
  if (hit.grade !== undefined) parts.push(make("span", "chip grade", `judged ${hit.grade}`));
  if (only) parts.push(make("span", "chip only", "only here"));
  parts.push(small("more like this", () => { at("item").value = hit.item_id; search(); }));
  parts.push(small("not this", () => { at("without").value = [...listed("without", /\s+/), hit.item_id].join(" "); search(); }));
  if (hit.terms.length) parts.push(make("span", "", `has “${hit.terms.join("”, “")}”`));
  return make("div", "why", ...parts);
}

function horizons(changes, largest) {
  const most = Math.max(...Object.values(changes).map(Math.abs));
  const parts = Object.entries(changes).map(([name, change]) =>
    horizon(name, change, most && Math.abs(change) === most, largest));
  return make("div", "horizons", ...parts);
}

function item(hit, place, largest, other) {
  const title = make("div", `title${hit.title ? "" : " unknown"}`, ...(hit.title ? marked(hit.title, hit.terms) : ["no title in the catalogue"]));
  const category = [hit.category_top, hit.category_leaf].filter(Boolean).join(" › ");
  const about = [hit.brand, category, hit.item_id].filter(Boolean).join("  ·  ");
  const score = make("div", "score", hit.score.toFixed(4));
  const before = other ? other.indexOf(hit.item_id) : place;
  if (other && before >= 0 && before !== place) score.append(make("span", "move", `rank ${before + 1} beside`));
  return make("li", "", make("div", "rank", String(place + 1)),
    make("div", "", title, make("div", "about", about), why(hit, before < 0)), score, horizons(hit.changes || {}, largest));
}
