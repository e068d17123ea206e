"use strict";
// Where the boxes of the graph stand: in layers from left to right, what reads nothing first. Parts of the
// pipeline that have nothing to do with each other stand beside and below each other.

const BOX = { width: 212, height: 74, gapX: 76, gapY: 22 };

// What an edge takes up in a layer that it only passes.
const LANE = 12;

// Passing lanes beyond this number would cost more than they tell: such edges go straight.
const LANES_MAX = 1500;

// Takes [{name, reads}], gives {places: Map name -> {x, y}, lanes: Map "from\nto" -> [{x, y}], width, height}.
function layOut(entities) {
  const names = new Set(entities.map((entity) => entity.name));
  const reads = new Map(entities.map((entity) => [entity.name, entity.reads.filter((name) => names.has(name))]));
  const layers = layersOf(entities, reads);
  const parts = partsOf(entities, reads).map((part) => layOutPart(part, layers, reads));
  return pack(parts);
}

// The layer of each entity: one more than the greatest of what it reads. A stack instead of recursion, since
// chains may be long.
function layersOf(entities, reads) {
  const layers = new Map();
  for (const { name } of entities) {
    const stack = [name], under = new Set();
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      under.add(top);
      const open = reads.get(top).find((read) => !layers.has(read) && !under.has(read));
      if (open !== undefined) { stack.push(open); continue; }
      layers.set(top, Math.max(-1, ...reads.get(top).map((read) => layers.get(read) ?? -1)) + 1);
      stack.pop();
    }
  }
  return layers;
}

// The connected parts, each a list of names in the order they were written.
function partsOf(entities, reads) {
  const parent = new Map(entities.map(({ name }) => [name, name]));
  const root = (name) => {
    while (parent.get(name) !== name) { parent.set(name, parent.get(parent.get(name))); name = parent.get(name); }
    return name;
  };
  for (const { name } of entities) for (const read of reads.get(name)) parent.set(root(name), root(read));
  const parts = new Map();
  for (const { name } of entities) {
    const key = root(name);
    if (!parts.has(key)) parts.set(key, []);
    parts.get(key).push(name);
  }
  return [...parts.values()];
}

// Makes the items of each layer: boxes, and lanes of the edges that pass it.
function columnsOf(names, layers, reads) {
  const items = new Map(), columns = [], chains = new Map();
  const add = (item, layer) => { (columns[layer] ??= []).push(item); return item; };
  for (const name of names) items.set(name, add({ name, height: BOX.height, before: [], after: [] }, layers.get(name)));
  let lanes = 0;
  for (const name of names) {
    for (const read of reads.get(name)) {
      const from = items.get(read), to = items.get(name), chain = [];
      const passed = layers.get(name) - layers.get(read) - 1;
      let last = from;
      if (passed > 0 && lanes + passed <= LANES_MAX) {
        lanes += passed;
        for (let layer = layers.get(read) + 1; layer < layers.get(name); layer++) {
          const lane = add({ height: LANE, before: [last], after: [] }, layer);
          last.after.push(lane);
          chain.push(lane);
          last = lane;
        }
      }
      last.after.push(to); to.before.push(last);
      if (chain.length > 0) chains.set(`${read}\n${name}`, chain);
    }
  }
  for (let at = 0; at < columns.length; at++) columns[at] ??= [];
  return { items, columns, chains };
}

const heightOf = (column) => column.reduce((sum, item) => sum + item.height + BOX.gapY, -BOX.gapY);

function layOutPart(names, layers, reads) {
  const { items, columns, chains } = columnsOf(names, layers, reads);
  const stack = (column) => {
    let y = -heightOf(column) / 2;
    for (const item of column) { item.y = y; y += item.height + BOX.gapY; }
  };
  const middle = (item) => item.y + item.height / 2;
  const wishes = (column, near) => new Map(column.map((item) => {
    const others = item[near];
    return [item, others.length === 0 ? middle(item) : others.reduce((sum, other) => sum + middle(other), 0) / others.length];
  }));
  columns.forEach(stack);
  // Neighbours come to lie at the same height: a few sweeps from left to right and back.
  for (let sweep = 0; sweep < 8; sweep++) {
    const forth = sweep % 2 === 0;
    for (const column of forth ? columns : [...columns].reverse()) {
      const wish = wishes(column, forth ? "before" : "after");
      column.sort((a, b) => wish.get(a) - wish.get(b));
      stack(column);
    }
  }
  // A layer of very many is broken into columns, so that the whole stays about as wide as high.
  const tall = Math.max(12, Math.ceil(Math.sqrt(names.length) * 1.3));
  let x = 0;
  for (const column of columns) {
    const count = Math.max(1, Math.ceil(column.length / tall)), rows = Math.ceil(column.length / count);
    for (let at = 0; at < count; at++) {
      const slice = column.slice(at * rows, (at + 1) * rows);
      if (count > 1) stack(slice); else settle(slice, wishes(slice, "before"));
      for (const item of slice) item.x = x + at * (BOX.width + 18);
    }
    x += count * (BOX.width + 18) - 18 + BOX.gapX;
  }
  const all = columns.flat();
  const top = Math.min(...all.map((item) => item.y)), bottom = Math.max(...all.map((item) => item.y + item.height));
  const places = new Map([...items].map(([name, item]) => [name, { x: item.x, y: item.y - top }]));
  const lanes = new Map([...chains].map(([key, chain]) => [key, chain.map((lane) => ({ x: lane.x, y: middle(lane) - top }))]));
  return { places, lanes, width: x - BOX.gapX, height: bottom - top };
}

// Moves the items of a column, in their order, as near to their wishes as they do not overlap.
function settle(column, wish) {
  const groups = [];
  for (const item of column) {
    let group = { items: [item], height: item.height, wish: wish.get(item) - item.height / 2, weight: 1 };
    // A group that reaches into the one above becomes part of it, at the mean of what all wish.
    while (groups.length > 0) {
      const above = groups[groups.length - 1], offset = above.height + BOX.gapY;
      if (above.wish + offset <= group.wish) break;
      groups.pop();
      const weight = above.weight + group.weight;
      group = {
        items: [...above.items, ...group.items], height: offset + group.height, weight,
        wish: (above.wish * above.weight + (group.wish - offset) * group.weight) / weight,
      };
    }
    groups.push(group);
  }
  for (const group of groups) {
    let y = group.wish;
    for (const item of group.items) { item.y = y; y += item.height + BOX.gapY; }
  }
}

// Puts parts on shelves, the high ones first.
function pack(parts) {
  const gap = 46, aspect = 1.7;
  const area = parts.reduce((sum, part) => sum + (part.width + gap) * (part.height + gap), 0);
  const wide = Math.max(...parts.map((part) => part.width), Math.sqrt(area * aspect), 1);
  const places = new Map(), lanes = new Map();
  let x = 0, y = 0, shelf = 0, width = 0;
  for (const part of [...parts].sort((a, b) => b.height - a.height || b.width - a.width)) {
    if (x > 0 && x + part.width > wide) { x = 0; y += shelf + gap; shelf = 0; }
    const moved = (place) => ({ x: x + place.x, y: y + place.y });
    for (const [name, place] of part.places) places.set(name, moved(place));
    for (const [key, chain] of part.lanes) lanes.set(key, chain.map(moved));
    x += part.width + gap;
    shelf = Math.max(shelf, part.height);
    width = Math.max(width, x - gap);
  }
  return { places, lanes, width, height: y + shelf };
}
