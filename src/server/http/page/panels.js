// What is shown as text: one entity in full, and results of SQL. Everything that comes from the pipeline is
// put in as text, never as markup.

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const NUMBERS = /^(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|U\w+INT|FLOAT|DOUBLE|DECIMAL)/;

// A table of {columns: [{name, type}], rows: [[text or null]]}.
function tableOf({ columns, rows }) {
  const isNumber = columns.map((column) => NUMBERS.test(column.type));
  const head = columns.map((column, at) =>
    element("th", { scope: "col", className: isNumber[at] ? "number" : "" }, column.name, element("small", {}, column.type)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell, at) =>
    cell === null ? element("td", { className: "null" }, "NULL")
      : element("td", { className: isNumber[at] ? "number" : "", title: cell.length > 50 ? cell.slice(0, 2000) : "" }, cell.slice(0, 2000)))));
  return element("div", { className: "scroll", tabIndex: 0 },
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}

function quiet(text) {
  return element("p", { className: "quiet" }, text);
}

function seconds(bound) {
  if (bound == null) return "–";
  return bound < 1 ? `≤ ${Math.round(bound * 1e4) / 10} ms` : `≤ ${bound} s`;
}

// The way to the last rate, oldest first.
function spark(rates) {
  const top = Math.max(...rates, 1e-9), step = 200 / Math.max(1, rates.length - 1);
  const points = rates.map((rate, at) => `${(at * step).toFixed(1)} ${(40 - (rate / top) * 36).toFixed(1)}`);
  const svg = make("svg", { class: "spark", viewBox: "0 0 200 42", preserveAspectRatio: "none", role: "img",
    "aria-label": `rate of the last ${rates.length} seconds, at most ${amount(top)} per second` });
  if (rates.length > 1) {
    svg.append(make("path", { class: "area", d: `M0 42 L${points.join(" L")} L200 42 Z` }), make("path", { d: `M${points.join(" L")}` }));
  }
  return svg;
}

class Details {
  constructor(place, { goTo, close }) {
    this.place = place;
    this.goTo = goTo;
    this.close = close;
  }

  // Shows what is known already; the rest comes with `fill`.
  show(node, status, rates) {
    this.name = node.name;
    this.live = element("div");
    this.rest = element("div", {}, quiet("…"));
    const button = element("button", { type: "button", title: "Close (Esc)" }, "Close");
    button.addEventListener("click", this.close);
    this.place.replaceChildren(
      element("div", { className: "head" }, element("h2", {}, node.name), button),
      this.live, this.rest);
    this.node = node;
    this.place.hidden = false;
    this.update(status, rates);
  }

  // What changes each second.
  update(status, rates) {
    if (!status) { this.live.replaceChildren(quiet("It is gone.")); return; }
    const figure = (name, value, bad = false) =>
      element("div", { className: bad ? "bad" : "" }, element("dt", {}, name), element("dd", {}, value));
    this.live.replaceChildren(
      element("p", { className: "sub" }, element("span", { className: `pill state-${status.state}` }, status.state), this.node.entity.how ?? status.kind),
      element("dl", { className: "figures" },
        figure(status.kind === "lookup" ? "requests/s" : "rows/s", amount(status.rate)), figure("rows in", amount(status.rows_in)), figure("rows out", amount(status.rows_out)),
        figure("behind", amount(status.behind ?? 0)), figure("latency p99", seconds(status.latency_p99_s)), figure("batches", amount(status.batches)),
        figure("errors", amount(status.errors), status.errors > 0), figure("rejected", amount(status.rejected), status.rejected > 0), figure("retries", amount(status.retries))),
      rates.some((rate) => rate > 0) ? spark(rates) : "");
  }

  fill(entity) {
    const links = (title, nodes) => nodes.length === 0 ? null : element("div", {}, element("h3", {}, title),
      element("div", { className: "links" }, ...nodes.map((node) => {
        const button = element("button", { type: "button" }, node.name);
        button.addEventListener("click", () => this.goTo(node.name));
        return button;
      })));
    const latest = entity.latest.error
      ? element("pre", { className: "bad" }, entity.latest.error)
      : entity.latest.results.length > 0 && entity.latest.results[0].rows.length > 0
        ? tableOf(entity.latest.results[0])
        : quiet(entity.latest.messages[0] ?? "none yet");
    const errors = (entity.errors_kept ?? []).map(([time, stage, message, payload]) =>
      element("div", { className: "fault" }, element("time", {}, time), " ", element("span", { className: "stage" }, stage),
        element("p", {}, message), payload ? element("p", { className: "mono" }, payload.slice(0, 500)) : null));
    const scrolled = this.place.scrollTop;
    const rows = [element("h3", {}, "Latest rows"), latest];
    const wrong = [element("h3", {}, "Errors"), ...(errors.length > 0 ? errors : [quiet("none")])];
    this.rest.replaceChildren(
      ...[links("Reads", this.node.reads), links("Read by", this.node.readers)].filter(Boolean),
      // What is wrong comes first.
      ...(errors.length > 0 ? [...wrong, ...rows] : [...rows, ...wrong]),
      element("h3", {}, "Definition"), element("pre", {}, entity.definition ?? ""), quiet(`from ${entity.origin}`));
    this.place.scrollTop = scrolled;
  }
}

// Shows the answer to a script.
function showResult(place, answer) {
  const parts = [];
  for (const result of answer.results) {
    parts.push(result.rows.length > 0 ? tableOf(result) : quiet(`no rows (${result.columns.map((column) => column.name).join(", ")})`));
  }
  const rows = answer.results.reduce((sum, result) => sum + result.rows.length, 0);
  if (answer.truncated) parts.push(quiet(`The first ${rows} rows; omlsp sql gives all of them.`));
  else if (answer.results.length > 0) parts.push(quiet(`${rows} ${rows === 1 ? "row" : "rows"}`));
  for (const message of answer.messages) parts.push(quiet(message));
  if (answer.error) parts.push(element("pre", { className: "bad" }, answer.error));
  place.replaceChildren(...parts);
  place.hidden = false;
}
