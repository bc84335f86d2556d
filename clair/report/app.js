"use strict";
// The browser of pairs and rejects. Every text becomes a text node: nothing here ever parses markup.
(() => {
  const at = (id) => document.getElementById(id);
  const rows = JSON.parse(at("rows").textContent);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const filters = at("filters");
  const list = at("list");
  const detail = at("detail");
  const BATCH = 100; // list entries that are made at a time
  const narrow = matchMedia("(max-width: 800px)");

  let found = []; // rows that pass the filters, in order
  let current = -1; // index of the selected one
  let beside = false; // both answers side by side, in place of one text with its changes
  const searched = new Map();

  function node(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function link(id, text) {
    const made = node("a", "", text);
    made.href = "#" + encodeURIComponent(id);
    return made;
  }

  // ---- which rows

  function textsOf(row) {
    if (!searched.has(row)) {
      const diff = (row.diff || []).flat().filter((piece) => typeof piece === "string");
      const texts = [row.id, row.prompt.map((turn) => turn[1]), diff.join(""), row.text, row.why, row.reason,
        row.metadata, row.source];
      searched.set(row, texts.flat().filter(Boolean).join("\n").toLowerCase());
    }
    return searched.get(row);
  }

  function passes(row, wanted) {
    if (wanted.kind !== "all" && row.kind !== wanted.kind) return false;
    if (wanted.reason && row.reason !== wanted.reason) return false;
    if (wanted.low > 0 || wanted.high < 100) {
      const percent = row.similarity === null ? NaN : 100 * row.similarity;
      if (!(percent >= wanted.low - 1e-6 && percent <= wanted.high + 1e-6)) return false;
    }
    return wanted.words.every((word) => textsOf(row).includes(word));
  }

  function bound(id, otherwise) {
    const value = at(id).valueAsNumber;
    return Number.isNaN(value) ? otherwise : value;
  }

  function apply(keep) {
    const wanted = {
      kind: at("kind").value,
      reason: at("reason").value,
      low: bound("low", 0),
      high: bound("high", 100),
      words: at("search").value.toLowerCase().split(/\s+/).filter(Boolean),
    };
    found = rows.filter((row) => passes(row, wanted));
    const order = at("order").value;
    const rank = (row) => (row.similarity === null ? 2 : row.similarity);
    if (order === "most") found.sort((one, other) => rank(one) - rank(other));
    if (order === "least") found.sort((one, other) => (rank(other) % 2) - (rank(one) % 2));
    at("count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    list.replaceChildren();
    list.scrollTop = 0;
    extend(BATCH);
    current = -1;
    select(Math.max(0, found.indexOf(keep)), { quiet: true });
  }

  function reset() {
    filters.reset();
    apply(found[current]);
  }

  // ---- the list

  function extend(upTo) {
    const from = list.children.length;
    list.append(...found.slice(from, upTo).map((row, place) => entry(row, from + place)));
  }

  function entry(row, index) {
    const last = row.prompt.length ? row.prompt[row.prompt.length - 1][1] : "(no prompt)";
    const made = node("li", row.kind, node("span", "title", last.slice(0, 160)), node("span", "badge", badge(row)));
    made.id = `entry-${index}`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", "false");
    made.addEventListener("click", () => select(index, { follow: true }));
    return made;
  }

  function badge(row) {
    if (row.kind === "reject") return row.reason;
    const changed = 100 * (1 - row.similarity);
    const step = row.step ? `step ${row.step} · ` : "";
    return `${step}${changed < 10 ? changed.toFixed(1) : changed.toFixed(0)} % changed`;
  }

  function select(index, { quiet = false, follow = false } = {}) {
    const before = list.children[current];
    if (before) before.setAttribute("aria-selected", "false");
    current = found.length ? Math.min(Math.max(index, 0), found.length - 1) : -1;
    if (current < 0) {
      list.removeAttribute("aria-activedescendant");
      detail.replaceChildren(node("p", "empty", "No row passes these filters."));
      return;
    }
    extend(current + BATCH > list.children.length ? current + BATCH : 0);
    const now = list.children[current];
    now.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", now.id);
    reveal(now);
    show(found[current]);
    if (!quiet) {
      history.replaceState(null, "", "#" + encodeURIComponent(found[current].id));
      const pane = follow && narrow.matches ? detail : at("browse");
      const top = pane.getBoundingClientRect().top;
      if (pane === detail || top > innerHeight * 0.6 || at("browse").getBoundingClientRect().bottom < 120) {
        pane.scrollIntoView({ block: "start" });
      }
    }
  }

  function reveal(item) {
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop) list.scrollTop = top;
    const bottom = top + item.offsetHeight;
    if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  }

  // ---- one row

  function show(row) {
    const name = row.kind === "pair" ? `Pair ${row.number.toLocaleString("en")}` : `Reject ${row.number.toLocaleString("en")}`;
    const permanent = link(row.id, "#" + row.id);
    permanent.className = "permanent";
    permanent.title = "link to this row";
    const parts = [
      node("header", "", node("div", "", node("h3", "", name), permanent), buttons(row)),
      ...family(row),
      block("Prompt", node("div", "prompt", ...prompt(row))),
      ...answer(row),
    ];
    if (row.why) parts.push(block(row.kind === "pair" ? "Rationale" : "Why it was rejected", node("p", "text", row.why)));
    parts.push(facts(row));
    detail.replaceChildren(...parts);
    detail.scrollTop = 0;
  }

  function buttons(row) {
    const made = node("div", "buttons");
    const add = (text, label, action, pressed) => {
      const button = node("button", "", text);
      button.type = "button";
      button.title = button.ariaLabel = label;
      if (pressed !== undefined) button.ariaPressed = String(pressed);
      button.addEventListener("click", action);
      made.append(button);
    };
    if (row.diff) add("side by side", "Both answers side by side (d)", turn, beside);
    add("←", "Previous row (k)", () => select(current - 1));
    add("→", "Next row (j)", () => select(current + 1));
    return made;
  }

  function turn() {
    beside = !beside;
    if (current >= 0) show(found[current]);
  }

  function family(row) {
    if (row.parent) return [node("p", "family", `Step ${row.step} of the pair `, link(row.parent, "#" + row.parent))];
    const steps = rows.filter((other) => other.parent === row.id);
    if (!steps.length) return [];
    const links = steps.flatMap((step) => [" ", link(step.id, `step ${step.step}`)]);
    return [node("p", "family", "Made in steps:", ...links)];
  }

  function block(title, content) {
    return node("section", "block", node("h4", "", title), content);
  }

  function prompt(row) {
    const turns = row.prompt.map(([role, text]) => node("div", "turn", node("span", "role", role), node("div", "text", text)));
    if (row.earlier) turns.unshift(node("p", "cut", `${row.earlier} earlier turns are not shown`));
    return turns.length ? turns : [node("p", "empty", "The input row had no prompt that could be read.")];
  }

  function answer(row) {
    if (row.diff && beside) {
      const sides = [["Rejected", 0], ["Chosen", 1]].map(([title, side]) => block(title, pieces(row.diff, side)));
      return [node("div", "beside", ...sides)];
    }
    if (row.diff) {
      const legend = node("span", "legend", node("del", "", row.kind === "pair" ? "rejected" : "response"), " ",
        node("ins", "", row.kind === "pair" ? "chosen" : "revision"));
      const made = block("Answer ", pieces(row.diff));
      made.firstChild.append(legend);
      return [made];
    }
    return row.text === undefined ? [] : [block("Response", node("div", "text diff", row.text))];
  }

  function pieces(diff, side) {
    const made = node("div", "text diff");
    for (const piece of diff) {
      if (typeof piece === "string") made.append(piece);
      else if (typeof piece === "number") {
        made.append(node("span", "cut", `… ${piece.toLocaleString("en")} characters not shown …`));
      } else {
        if (piece[0] && side !== 1) made.append(node("del", "", piece[0]));
        if (piece[1] && side !== 0) made.append(node("ins", "", piece[1]));
      }
    }
    return made;
  }

  function facts(row) {
    const made = node("dl", "facts");
    for (const [name, value] of row.facts) made.append(node("div", "", node("dt", "", name), node("dd", "", value)));
    made.append(node("div", "", node("dt", "", "source"), node("dd", "", row.source)));
    if (!row.metadata) return made;
    return node("div", "", made, node("details", "", node("summary", "", "metadata"), node("p", "text", row.metadata)));
  }

  // ---- links, keys, filters

  function follow() {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return false;
    }
    const row = byId.get(id);
    if (!row) {
      if (/^[0-9a-f]{32}$/.test(id)) {
        at("browse").scrollIntoView();
        detail.replaceChildren(node("p", "empty", `${id} is not in this page's sample. In a terminal: clair show RUN ${id}`));
      }
      return false;
    }
    if (!found.includes(row)) {
      filters.reset();
      apply(row);
    }
    select(found.indexOf(row), { quiet: true });
    (narrow.matches ? detail : at("browse")).scrollIntoView();
    return true;
  }

  function show_only(kind, reason = "") {
    at("kind").value = kind;
    at("reason").value = reason;
    apply(found[current]);
    at("browse").scrollIntoView();
  }

  const KEYS = {
    j: () => select(current + 1),
    k: () => select(current - 1),
    "/": () => at("search").focus(),
    p: () => show_only("pair"),
    r: () => show_only("reject"),
    a: () => show_only("all"),
    d: turn,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      reset();
    } else if (event.key === "Enter" && event.target === at("search")) {
      list.focus();
    } else if (!typing && Object.hasOwn(KEYS, event.key)) {
      KEYS[event.key]();
    } else return;
    event.preventDefault();
  });

  list.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: found.length - 1 };
    if (!Object.hasOwn(moves, event.key)) return;
    select(moves[event.key]);
    event.preventDefault();
  });
  list.addEventListener("scroll", () => {
    if (list.scrollTop + 2 * list.clientHeight > list.scrollHeight) extend(list.children.length + BATCH);
  });
  filters.addEventListener("input", (event) => {
    if (event.target === at("reason") && at("reason").value) at("kind").value = "reject";
    if (event.target === at("kind") && at("kind").value === "pair") at("reason").value = "";
    apply(found[current]);
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(() => apply(found[current])));
  for (const button of document.querySelectorAll("[data-reason]")) {
    button.addEventListener("click", () => {
      show_only("reject", button.dataset.reason);
      list.focus({ preventScroll: true });
    });
  }
  addEventListener("hashchange", follow);

  filters.reset(); // a browser may have kept the fields of an earlier visit
  apply();
  follow();
})();
