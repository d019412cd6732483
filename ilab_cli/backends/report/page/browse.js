// Tables to browse: a page of rows at a time, of those that fit what is chosen and searched for.

const PAGE = 20;
const unpacked = new Map();

function table(name) {
  // The content of a packed table; null if the page has none of that name.
  if (!unpacked.has(name)) {
    const block = document.getElementById(`table-${name}`);
    unpacked.set(name, block ? unpack(block.textContent) : Promise.resolve(null));
  }
  return unpacked.get(name);
}

async function unpack(content) {
  const bytes = Uint8Array.from(atob(content.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function choice(label, options, changed) {
  const list = make("select", { onchange: () => changed(list.value) });
  for (const [value, text] of options) list.append(make("option", { value }, text));
  return make("label", {}, `${label} `, list);
}

function texts(value) {
  // All that stands in a row, for the search.
  if (Array.isArray(value)) return value.map(texts).join("\n");
  return typeof value === "string" ? value : "";
}

function words(label, value, kind) {
  return value ? make("div", { class: `said ${kind || ""}` }, make("span", { class: "label" }, label), make("p", {}, value)) : null;
}

// --- what a row looks like, and what can be chosen, by kind of table -------------------------------------------------

const kinds = {
  choices: {
    facet: "Task",
    facets: (content) => content.facets,
    facetOf: (row) => row[0],
    states: (content) => states(content, "wrong"),
    fits: (row, state) => compare(row[4].map((said) => (said ? Number(said[0] === row[3]) : null)), state, (value) => value === 0),
    show(row, content) {
      const [facet, question, options, right, answers] = row;
      const list = make("ol", { class: "choices" });
      options.forEach((option, at) => {
        const item = make("li", { class: at === right ? "right" : "" }, make("span", { class: "option" }, option));
        if (at === right) item.append(make("span", { class: "mark" }, "✓ right"));
        answers.forEach((said, column) => {
          if (said && said[0] === at) item.append(make("span", { class: `given ${at === right ? "improved" : "regressed"}` }, chip(content.runs[column]), at === right ? " ✓" : " ✗"));
        });
        list.append(item);
      });
      const odds = make("p", { class: "quiet" });
      answers.forEach((said, column) => { if (said && said[1] != null) odds.append(chip(content.runs[column]), ` p = ${said[1].toFixed(3)}  `); });
      const name = content.facets[facet];
      const before = content.before[name];
      return [
        make("p", { class: "where" }, name), words("", question, "question"), list, odds.childNodes.length ? odds : null,
        before ? make("details", {}, make("summary", {}, "What stands before every question of this task"), make("p", { class: "said" }, before)) : null,
      ];
    },
  },
  judgements: {
    facet: "Category",
    facets: (content) => content.facets,
    facetOf: (row) => row[0],
    states: (content) => [...states(content, "below 5"), ["error", "errors of the judge"]],
    fits: (row, state) => state === "error" ? row[5].some((said) => said && said[3]) : compare(row[5].map((said) => (said ? said[2] : null)), state, (value) => value < 5),
    sorts: [["", "in their order"], ["low", "lowest score first"], ["high", "highest score first"]],
    rank: (row) => { const found = row[5].filter((said) => said && said[2] != null).map((said) => said[2]); return found.length ? Math.min(...found) : 99; },
    show(row, content) {
      const [facet, name, turn, question, reference, answers] = row;
      const side = make("div", { class: "side" });
      answers.forEach((said, column) => {
        if (!said) return;
        const [answer, judgement, score, error] = said;
        const points = score == null ? make("span", { class: "points regressed" }, "no score") : make("span", { class: "points" }, `${score} of 10`);
        side.append(make("div", { class: `answer run-${content.runs[column] % 8}` }, make("p", { class: "who" }, chip(content.runs[column]), points), words("answer", answer), words("judgement", judgement, "judgement"), words("error", error, "error")));
      });
      return [
        make("p", { class: "where" }, `${content.facets[facet]} · question ${name} · turn ${turn}`), words("", question, "question"),
        reference ? make("details", {}, make("summary", {}, "Reference answer"), make("p", { class: "said" }, reference)) : null, side,
      ];
    },
  },
  pairs: {
    facet: "Leaf",
    facets: (content) => content.names,
    facetOf: (row) => row[0],
    states(content) {
      const reasons = [...new Set(content.rows.map((row) => row[5]))].filter((at) => content.names[at]);
      if (!reasons.length) return [["", "all pairs"]];
      return [["", "all"], ["kept", "kept"], ["lost", "rejected"], ...reasons.map((at) => [`${at}`, `rejected: ${content.names[at]}`])];
    },
    fits: (row, state, content) => state === "kept" ? !content.names[row[5]] : state === "lost" ? Boolean(content.names[row[5]]) : row[5] === Number(state),
    show(row, content, browser) {
      const [leaf, document_, question, answer, pipeline, reason] = row.map((value, at) => (at === 2 || at === 3 ? value : content.names[value]));
      const left = make("div", {}, reason ? make("p", { class: "regressed" }, `✗ rejected: ${reason}`) : null, words("question", question, "question"), words("answer", answer));
      const beside = document_ ? make("div", { class: "document" }) : null;
      if (beside) besideOf(beside, browser, row, document_, `${question} ${answer}`);
      return [make("p", { class: "where" }, [leaf, document_, pipeline].filter(Boolean).join(" · ")), make("div", { class: beside ? "side" : "" }, left, beside)];
    },
  },
};

function states(content, bad) {
  const key = (at) => data.runs[content.runs[at]].key;
  const each = content.runs.length > 1 ? content.runs.map((_, at) => [`bad:${at}`, `${bad} by ${key(at)}`]) : [];
  const changed = content.runs.slice(1).flatMap((_, at) => [
    [`up:${at + 1}`, `▲ improved, ${key(0)} → ${key(at + 1)}`], [`down:${at + 1}`, `▼ regressed, ${key(0)} → ${key(at + 1)}`],
  ]);
  return [["bad", content.runs.length > 1 ? `${bad} by any run` : bad], ["", "all"], ...each, ...changed];
}

function compare(values, state, isBad) {
  const [what, at] = state.split(":");
  if (what === "bad") return (at == null ? values : [values[at]]).some((value) => value != null && isBad(value));
  const [before, after] = [values[0], values[at]];
  return before != null && after != null && (what === "up" ? after > before : after < before);
}

// --- documents -------------------------------------------------------------------------------------------------------

async function besideOf(place, browser, row, name, asked) {
  const documents = await table(browser.dataset.documents);
  const found = documents?.rows.find((item) => item[0] === row[0] && item[1] === row[1]);
  place.append(make("span", { class: "label" }, name));
  if (!found) {
    place.append(make("p", { class: "quiet" }, documents ? "This document had no room on the page." : "The run folder does not hold the documents' text."));
    return;
  }
  const text = make("p", { class: "said", tabindex: "0", role: "region", "aria-label": `The document ${name}` });
  const sentences = found[2].split(/(?<=[.!?]\s)|(?<=\n)/);
  const nearest = closest(sentences, asked);
  sentences.forEach((sentence, at) => text.append(at === nearest ? make("mark", {}, sentence) : sentence));
  place.append(text);
  const mark = text.querySelector("mark");
  if (mark) text.scrollTop = Math.max(0, mark.offsetTop - text.offsetTop - 40);
}

function closest(sentences, asked) {
  // The sentence that shares most words with a pair, rare ones counting more; -1 if none shares two.
  const split = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]{2,}/gu) || []);
  const all = sentences.map(split), wanted = split(asked), held = new Map();
  for (const some of all) for (const word of some) held.set(word, (held.get(word) || 0) + 1);
  let best = -1, most = 0;
  all.forEach((some, at) => {
    const shared = [...some].filter((word) => wanted.has(word));
    const weight = shared.reduce((sum, word) => sum + Math.log(1 + all.length / held.get(word)), 0) / Math.sqrt(8 + some.size);
    if (shared.length > 1 && weight > most) [best, most] = [at, weight];
  });
  return best;
}

// --- a browser -------------------------------------------------------------------------------------------------------

async function browse(browser) {
  const kind = kinds[browser.dataset.browser];
  const waiting = browser.appendChild(make("p", { class: "quiet" }, "Unpacking …"));
  const content = await table(browser.dataset.table);
  waiting.remove();
  const used = [...new Set(content.rows.map(kind.facetOf))];
  const chosen = { state: kind.states(content)[0][0], facet: "", sort: "", search: "" };
  let found = [], page = 0;
  const count = make("p", { class: "quiet", "aria-live": "polite" });
  const list = make("ol", { class: "rows" });
  const at = make("span", {});
  const turn = (by) => () => { page += by; render(); browser.scrollIntoView({ block: "start" }); };
  const before = make("button", { type: "button", onclick: turn(-1) }, "← before");
  const next = make("button", { type: "button", onclick: turn(1) }, "next →");
  const pager = make("p", { class: "pager" }, before, at, next);

  function select() {
    const wanted = chosen.search.toLowerCase();
    found = content.rows.filter((row) =>
      (!chosen.state || kind.fits(row, chosen.state, content)) &&
      (chosen.facet === "" || kind.facetOf(row) === Number(chosen.facet)) &&
      (!wanted || texts(row).toLowerCase().includes(wanted)));
    if (chosen.sort) found.sort((one, other) => (chosen.sort === "low" ? 1 : -1) * (kind.rank(one) - kind.rank(other)));
    page = 0;
    render();
  }

  function render() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    count.textContent = `${found.length.toLocaleString("en")} of ${content.rows.length.toLocaleString("en")}`;
    at.textContent = `page ${(page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    before.disabled = page === 0;
    next.disabled = page >= pages - 1;
    pager.hidden = pages === 1;
    list.start = page * PAGE + 1;
    list.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((row) => make("li", { class: "row" }, ...kind.show(row, content, browser))));
  }

  const controls = make("div", { class: "controls" });
  const pick = (name) => (value) => { chosen[name] = value; select(); };
  const states_ = kind.states(content);
  if (states_.length > 1) controls.append(choice("Show", states_, pick("state")));
  if (used.length > 1) controls.append(choice(kind.facet, [["", "all"], ...used.map((place) => [`${place}`, kind.facets(content)[place] || "–"])], pick("facet")));
  if (kind.sorts) controls.append(choice("Sort", kind.sorts, pick("sort")));
  let pause = 0;
  const search = make("input", { type: "search", oninput: () => { clearTimeout(pause); pause = setTimeout(() => pick("search")(search.value), 150); } });
  controls.append(make("label", {}, "Search ", search));
  browser.append(controls, count, list, pager);
  select();
  if (!found.length && chosen.state) {
    controls.querySelector("select").value = chosen.state = "";
    select();
  }
}

const browsing = new IntersectionObserver((seen) => {
  for (const item of seen) {
    if (!item.isIntersecting) continue;
    browsing.unobserve(item.target);
    browse(item.target);
  }
}, { rootMargin: "400px" });
for (const browser of document.querySelectorAll("[data-browser]")) browsing.observe(browser);
