// Draws the graph once per change of the pipeline, and then only what has changed in it each second.

const SVG = "http://www.w3.org/2000/svg";

// Above so many edges a lasting animation would cost more than it tells.
const LIVELY_EDGES_MAX = 120;

// Below it there are no texts, only boxes.
const LEGIBLE_SCALE = 0.2;

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function short(text, length) {
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}

// Writes a text only where it differs: most of them do not, most of the time.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function kindClass(kind) {
  return "kind-" + (kind === "materialized view" ? "materialized" : kind);
}

class Graph {
  constructor(svg, open) {
    this.svg = svg;
    this.open = open;
    this.world = make("g");
    this.svg.append(this.world);
    this.view = { x: 0, y: 0, scale: 1 };
    this.size = { width: 1, height: 1 };
    this.nodes = new Map();
    this.edges = [];
    this.current = null;
    this.selected = null;
    this.listen();
  }

  draw(entities) {
    const { places, lanes, width, height } = layOut(entities);
    this.size = { width, height };
    this.nodes.clear();
    this.edges = [];
    const edges = make("g", { "aria-hidden": "true" }), nodes = make("g");
    for (const entity of entities) {
      const node = this.node(entity, places.get(entity.name));
      this.nodes.set(entity.name, node);
      nodes.append(node.element);
    }
    for (const entity of entities) {
      for (const read of entity.reads) {
        const from = this.nodes.get(read), to = this.nodes.get(entity.name);
        if (!from) continue;
        const element = make("path", { class: "edge", d: curve(from.place, lanes.get(`${read}\n${entity.name}`) ?? [], to.place) });
        const edge = { element, from, to };
        from.readers.push(to); to.reads.push(from);
        this.edges.push(edge);
        edges.append(element);
      }
    }
    this.world.replaceChildren(edges, nodes);
    this.svg.classList.toggle("lively", this.edges.length <= LIVELY_EDGES_MAX);
    this.makeCurrent(this.nodes.get(this.current?.name) ?? this.nodes.values().next().value ?? null);
    this.select(this.selected);
    this.fit();
  }

  node(entity, place) {
    const element = make("g", {
      class: `node ${kindClass(entity.kind)} state-idle`, transform: `translate(${place.x} ${place.y})`,
      role: "button", tabindex: "-1", "data-name": entity.name,
    }, make("title"), make("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 10 }),
      make("path", { class: "stripe", d: `M4 10 h5 v${BOX.height - 20} h-5 z` }),
      make("circle", { class: "dot", cx: 19.5, cy: 37, r: 3.6 }));
    element.firstChild.textContent = `${entity.name} (${entity.kind})`;
    return { name: entity.name, entity, place, element, parts: null, status: null, reads: [], readers: [], state: "idle", failing: false, label: "" };
  }

  // Takes what every entity is doing, with its rate.
  update(statuses) {
    for (const status of statuses) {
      const node = this.nodes.get(status.name);
      if (!node) continue;
      const { element } = node;
      // A view that does no work of its own has no rate of its own.
      node.passes = status.kind === "view" && status.state === "ready";
      node.status = status;
      if (node.parts) this.tell(node);
      if (node.state !== status.state) {
        element.classList.replace(`state-${node.state}`, `state-${status.state}`);
        node.state = status.state;
      }
      if (node.failing !== status.failing) {
        element.classList.toggle("failing", status.failing);
        node.failing = status.failing;
      }
      node.rate = status.rate;
      const label = `${status.name}, ${status.kind}, ${status.state}, ${amount(status.rate)} per second, ${status.problems} errors`;
      if (node.label !== label) { element.setAttribute("aria-label", label); node.label = label; }
    }
    const flows = (node) => node.rate >= 0.05 || (node.passes && node.reads.some(flows));
    for (const edge of this.edges) {
      const flowing = flows(edge.from);
      if (edge.flowing !== flowing) { edge.element.classList.toggle("flowing", flowing); edge.flowing = flowing; }
    }
  }

  // Gives a node its texts.
  letter(node) {
    const text = (name, x, y) => make("text", { class: name, x, y });
    node.parts = {
      name: text("name", 28, 23), what: text("what", 28, 41), rate: text("rate", 28, 61),
      lag: text("lag", BOX.width - 12, 61), errors: text("errors", BOX.width - 12, 23),
    };
    node.parts.name.textContent = short(node.name, 22);
    node.element.append(...Object.values(node.parts));
    if (node.status) this.tell(node);
  }

  // Writes into a node's texts what it is doing.
  tell({ parts, status, passes }) {
    write(parts.what, `${status.kind === "materialized view" ? "materialized" : status.kind} · ${status.state}`);
    write(parts.rate, passes ? "part of its readers" : `${amount(status.rate)} ${status.kind === "lookup" ? "requests" : "rows"}/s`);
    parts.rate.classList.toggle("still", passes || status.rate < 0.05);
    write(parts.lag, status.behind > 0 ? `${amount(status.behind)} behind` : "");
    write(parts.errors, status.problems > 0 ? `${amount(status.problems)} ⚠` : "");
  }

  // Dims what does not match.
  filter(matches) {
    for (const node of this.nodes.values()) {
      node.matches = matches(node);
      node.element.classList.toggle("dim", !node.matches);
    }
    for (const edge of this.edges) edge.element.classList.toggle("dim", !(edge.from.matches && edge.to.matches));
  }

  // Marks an entity and what it is connected with.
  select(name) {
    this.nodes.get(this.selected)?.element.classList.remove("selected");
    this.selected = name;
    const node = this.nodes.get(name);
    node?.element.classList.add("selected");
    for (const edge of this.edges) edge.element.classList.toggle("near", edge.from === node || edge.to === node);
  }

  makeCurrent(node) {
    this.current?.element.setAttribute("tabindex", "-1");
    this.current = node;
    node?.element.setAttribute("tabindex", "0");
  }

  goTo(name, focus = true) {
    const node = this.nodes.get(name);
    if (!node) return;
    this.makeCurrent(node);
    this.show(node);
    if (focus) node.element.focus({ preventScroll: true });
  }

  // Moves the view if a node is not in it, or too small to be read.
  show(node) {
    const { width, height } = this.svg.getBoundingClientRect(), margin = 24;
    const scale = this.view.scale < 0.5 ? 0.8 : this.view.scale;
    const left = node.place.x * scale + this.view.x, top = node.place.y * scale + this.view.y;
    const inside = left > margin && top > margin && left + BOX.width * scale < width - margin && top + BOX.height * scale < height - margin;
    if (inside && scale === this.view.scale) return;
    this.moveByHand({ scale, x: width / 2 - (node.place.x + BOX.width / 2) * scale, y: height / 2 - (node.place.y + BOX.height / 2) * scale });
  }

  fit() {
    const { width, height } = this.svg.getBoundingClientRect(), margin = 36;
    const scale = Math.min((width - 2 * margin) / this.size.width, (height - 2 * margin - 20) / this.size.height, 1.25);
    const scaled = Math.max(scale, 0.02);
    this.fitted = true;
    this.move({ scale: scaled, x: (width - this.size.width * scaled) / 2, y: (height - 20 - this.size.height * scaled) / 2 });
  }

  zoom(factor, center) {
    const { width, height } = this.svg.getBoundingClientRect();
    const at = center ?? { x: width / 2, y: height / 2 };
    const scale = Math.min(Math.max(this.view.scale * factor, 0.02), 2.5), ratio = scale / this.view.scale;
    this.moveByHand({ scale, x: at.x - (at.x - this.view.x) * ratio, y: at.y - (at.y - this.view.y) * ratio });
  }

  // Moves as the reader wants, who is then left alone.
  moveByHand(view) {
    this.fitted = false;
    this.move(view);
  }

  move(view) {
    this.view = view;
    if (this.moving) return;
    this.moving = requestAnimationFrame(() => {
      this.moving = null;
      const { x, y, scale } = this.view;
      this.world.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
      this.svg.classList.toggle("far", scale < 0.42);
      this.svg.classList.toggle("farther", scale < LEGIBLE_SCALE);
      if (scale >= LEGIBLE_SCALE) this.cull();
    });
  }

  // Keeps texts for the nodes in view only: of a thousand entities there would be five thousand to lay out.
  cull() {
    const { width, height } = this.svg.getBoundingClientRect(), { x, y, scale } = this.view;
    for (const node of this.nodes.values()) {
      const left = node.place.x * scale + x, top = node.place.y * scale + y;
      const away = left > width || top > height || left + BOX.width * scale < 0 || top + BOX.height * scale < 0;
      if (node.parts) node.element.classList.toggle("away", away);
      else if (!away) this.letter(node);
    }
  }

  listen() {
    const nodeOf = (event) => this.nodes.get(event.target.closest?.(".node")?.dataset.name);
    let drag = null;
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, y: event.clientY, view: this.view, moved: false };
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const x = event.clientX - drag.x, y = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(x, y) < 4) return;
      if (!drag.moved) this.svg.setPointerCapture(event.pointerId);
      drag.moved = true;
      this.svg.classList.add("dragging");
      this.moveByHand({ ...this.view, x: drag.view.x + x, y: drag.view.y + y });
    });
    // Fits it again, or letters what has come into view.
    new ResizeObserver(() => { if (this.fitted) this.fit(); else this.move(this.view); }).observe(this.svg);
    const drop = () => { this.svg.classList.remove("dragging"); setTimeout(() => { drag = null; }); };
    this.svg.addEventListener("pointerup", drop);
    this.svg.addEventListener("pointercancel", drop);
    this.svg.addEventListener("click", (event) => {
      const node = nodeOf(event);
      if (!node || drag?.moved) return;
      this.makeCurrent(node);
      this.open(node.name);
    });
    this.svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.svg.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * 0.0016), { x: event.clientX - box.left, y: event.clientY - box.top });
    }, { passive: false });
    this.svg.addEventListener("keydown", (event) => {
      const node = nodeOf(event);
      if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.open(node.name); return; }
      const next = this.neighbour(node, event.key);
      if (next) { event.preventDefault(); this.goTo(next.name); }
    });
    this.svg.addEventListener("focusin", (event) => { const node = nodeOf(event); if (node) { this.makeCurrent(node); this.show(node); } });
  }

  neighbour(node, key) {
    if (key === "ArrowLeft") return node.reads[0];
    if (key === "ArrowRight") return node.readers[0];
    if (key !== "ArrowUp" && key !== "ArrowDown") return null;
    const sign = key === "ArrowDown" ? 1 : -1;
    let best = null, least = Infinity;
    for (const other of this.nodes.values()) {
      const down = (other.place.y - node.place.y) * sign;
      if (down <= 0) continue;
      const distance = down + Math.abs(other.place.x - node.place.x) * 3;
      if (distance < least) { best = other; least = distance; }
    }
    return best;
  }
}

// A line from box to box, through the lanes of the layers it passes.
function curve(from, lanes, to) {
  let x = from.x + BOX.width, y = from.y + BOX.height / 2, path = `M${x} ${y}`;
  const bendTo = (nextX, nextY) => {
    const bend = Math.max(30, (nextX - x) / 2);
    path += ` C${x + bend} ${y} ${nextX - bend} ${nextY} ${nextX} ${nextY}`;
    x = nextX; y = nextY;
  };
  for (const lane of lanes) {
    bendTo(lane.x, lane.y);
    x = lane.x + BOX.width;
    path += ` H${x}`;
  }
  bendTo(to.x, to.y + BOX.height / 2);
  return path;
}

// A number in few characters: 950, 1.2k, 34k, 5.6M.
function amount(number) {
  if (number == null) return "–";
  if (number > 0 && number < 10 && !Number.isInteger(number)) return number < 0.05 ? "0" : number.toFixed(1);
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size) return (number / size < 10 ? (number / size).toFixed(1) : Math.round(number / size)) + unit;
  }
  return String(Math.round(number));
}
