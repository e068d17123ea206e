// Asks each second what every entity is doing, and answers to keys and clicks.

const LOOK_EVERY_MS = 1000, DETAILS_EVERY_MS = 3000, REQUEST_MAX_MS = 40000, RATES_KEPT = 120;

// The share of the newest second in a rate, so that it does not flicker.
const SMOOTH = 0.5;

const by = (id) => document.getElementById(id);
const page = { graphNumber: null, statuses: new Map(), previous: new Map(), rates: new Map(), token: sessionStorage.getItem("token"), open: null, asked: 0 };

const graph = new Graph(by("graph"), openDetails);
const details = new Details(by("details"), { goTo: (name) => { graph.goTo(name, false); openDetails(name); }, close: closeDetails });

// Asks the pipeline; an answer that is no success is an error with what it says.
async function ask(path, options = {}) {
  const headers = { ...(page.token ? { Authorization: `Bearer ${page.token}` } : {}), ...options.headers };
  const response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(REQUEST_MAX_MS) });
  if (response.status === 401) { await askForToken(); return ask(path, options); }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

let tokenAsked = null;
function askForToken() {
  tokenAsked ??= new Promise((resolve) => {
    const dialog = by("token");
    dialog.addEventListener("close", () => {
      tokenAsked = null;
      page.token = by("token-value").value;
      by("token-value").value = "";
      sessionStorage.setItem("token", page.token);
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return tokenAsked;
}

function say(text) {
  by("banner").hidden = text === "";
  write(by("banner"), text);
}

async function look() {
  try {
    const status = await ask("api/entities");
    if (page.graphNumber !== status.graph) {
      const drawn = await ask("api/graph");
      page.graphNumber = drawn.graph;
      graph.draw(drawn.entities);
      by("nothing").hidden = drawn.entities.length > 0;
      filter();
    }
    take(status);
    say("");
  } catch (error) {
    say(`The pipeline does not answer: ${error.message}`);
  }
}

function take(status) {
  let total = 0, failing = 0, problems = 0;
  for (const entity of status.entities) {
    const count = entity.kind === "lookup" ? entity.requests : entity.rows_out;
    const before = page.previous.get(entity.name);
    const elapsed = before ? (status.time_ms - before.time) / 1000 : 0;
    const now = elapsed > 0 ? Math.max(0, count - before.count) / elapsed : 0;
    entity.rate = before ? before.rate + (now - before.rate) * (before.seen ? SMOOTH : 1) : 0;
    if (entity.rate < 0.02) entity.rate = 0;
    entity.problems = entity.errors + entity.rejected;
    page.previous.set(entity.name, { time: status.time_ms, count, rate: entity.rate, seen: elapsed > 0 });
    const rates = page.rates.get(entity.name) ?? [];
    if (before) rates.push(entity.rate);
    if (rates.length > RATES_KEPT) rates.shift();
    page.rates.set(entity.name, rates);
    page.statuses.set(entity.name, entity);
    if (entity.kind === "table" || entity.kind === "source") total += entity.rate;
    if (entity.failing) failing += 1;
    problems += entity.problems;
  }
  graph.update(status.entities);
  if (by("only-failing").getAttribute("aria-pressed") === "true") filter();
  summarize(status.entities.length, total, failing, problems);
  if (page.open) {
    details.update(page.statuses.get(page.open), page.rates.get(page.open) ?? []);
    if (performance.now() - page.asked > DETAILS_EVERY_MS) refreshDetails();
  }
}

function summarize(count, total, failing, problems) {
  const figure = (value, name, bad = false) => element("span", { className: bad ? "bad" : "" }, element("b", {}, value), ` ${name}`);
  by("summary").replaceChildren(
    figure(String(count), count === 1 ? "entity" : "entities"), figure(amount(total), "rows/s in"),
    figure(String(failing), "failing", failing > 0), figure(amount(problems), problems === 1 ? "error" : "errors", problems > 0));
  document.title = failing > 0 ? `(${failing} failing) omlsp` : "omlsp";
}

function openDetails(name) {
  const node = graph.nodes.get(name);
  if (!node) return;
  page.open = name;
  graph.select(name);
  details.show(node, page.statuses.get(name), page.rates.get(name) ?? []);
  // The panel has taken some of the room: after that the graph may have moved.
  requestAnimationFrame(() => { if (!graph.fitted) graph.show(node); });
  refreshDetails();
}

function closeDetails() {
  const { open } = page;
  page.open = null;
  by("details").hidden = true;
  graph.select(null);
  graph.goTo(open);
}

async function refreshDetails() {
  const name = page.open;
  page.asked = performance.now();
  try {
    const entity = await ask(`api/entities/${encodeURIComponent(name)}`);
    if (page.open === name) details.fill(entity);
  } catch (error) {
    if (page.open === name) details.rest.replaceChildren(quiet(error.message));
  }
}

function filter() {
  const words = by("search").value.trim().toLowerCase();
  const failing = by("only-failing").getAttribute("aria-pressed") === "true";
  graph.filter((node) => {
    const status = page.statuses.get(node.name);
    return node.name.toLowerCase().includes(words) && (!failing || (status && (status.failing || status.problems > 0)));
  });
}

function toggleFailing() {
  const button = by("only-failing");
  button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  filter();
}

async function runSql() {
  const sql = by("sql").value;
  if (sql.trim() === "") return;
  by("run").disabled = true;
  try {
    const answer = await ask("api/sql", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ sql }) });
    showResult(by("result"), answer);
  } catch (error) {
    showResult(by("result"), { results: [], messages: [], error: error.message });
  }
  by("clear").hidden = false;
  by("run").disabled = false;
}

function clearResult() {
  by("result").hidden = true;
  by("clear").hidden = true;
}

const wantsDark = matchMedia("(prefers-color-scheme: dark)");
function setTheme() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (wantsDark.matches ? "dark" : "light");
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  // What the system wants needs no memory.
  if ((next === "dark") === wantsDark.matches) localStorage.removeItem("theme"); else localStorage.setItem("theme", next);
  setTheme();
}

const KEYS = {
  "/": () => by("search").focus(), s: () => by("sql").focus(), e: toggleFailing, "?": () => by("keys").showModal(),
  "0": () => graph.fit(), "+": () => graph.zoom(1.25), "=": () => graph.zoom(1.25), "-": () => graph.zoom(0.8),
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (!by("result").hidden) clearResult();
    else if (page.open) closeDetails();
  } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});
by("sql").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); runSql(); }
});
by("sql-form").addEventListener("submit", (event) => { event.preventDefault(); runSql(); });
by("clear").addEventListener("click", clearResult);
by("search").addEventListener("input", filter);
by("search").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const first = [...graph.nodes.values()].find((node) => node.matches !== false);
  if (first) graph.goTo(first.name);
});
by("only-failing").addEventListener("click", toggleFailing);
by("fit").addEventListener("click", () => graph.fit());
by("theme").addEventListener("click", toggleTheme);
by("help").addEventListener("click", () => by("keys").showModal());
wantsDark.addEventListener("change", setTheme);
setTheme();

(async () => {
  for (;;) {
    // A page that nobody sees asks nothing.
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
})();
