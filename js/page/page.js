// The page's own work: it opens the bundle beside it, tags what is typed, and keeps all files for when there is no network.

import { open } from "./dinku.js";

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const [text, find, save, file, said, found, about, ready] =
  ["text", "find", "save", "file", "said", "found", "about", "ready"].map(element);
/** @type {import("./dinku.js").Tagger | undefined} */
let tagger;
/** @type {{text: string, entities: import("./dinku.js").Entity[]}[]} */
let answers = [];
let latest = 0;

/** @param {string} message @param {boolean} [bad] */
function tell(message, bad = false) {
  said.textContent = message;
  said.className = bad ? "bad" : "";
}

/** A sentence with its entities marked; whatever is shown is set as text, never as HTML.
 * @param {{text: string, entities: import("./dinku.js").Entity[]}} answer */
function shown({ text, entities }) {
  const line = document.createElement("p");
  line.dir = "auto";
  let at = 0;
  for (const entity of entities) {
    const mark = document.createElement("mark");
    const label = document.createElement("b");
    mark.dataset.label = label.textContent = entity.label;
    mark.title = `score ${entity.score.toFixed(2)}`;
    mark.append(text.slice(...entity.units), label);
    line.append(text.slice(at, entity.units[0]), mark);
    at = entity.units[1];
  }
  line.append(text.slice(at));
  return line;
}

async function tag() {
  const lines = text.value.split("\n").filter((/** @type {string} */ line) => line.trim());
  const mine = ++latest;
  if (!tagger) return;
  save.disabled = true;
  if (!lines.length) {
    found.replaceChildren();
    return tell("Type a sentence.");
  }
  const now = [];
  let shownAt = performance.now();
  found.replaceChildren();
  try {
    for (const line of lines) {
      now.push({ text: line, entities: await tagger.find(line) });
      found.append(shown(now[now.length - 1]));
      if (performance.now() - shownAt > 50) { // let the browser draw, and see whether something else was typed
        tell(`${now.length} of ${lines.length} lines`);
        await new Promise((done) => setTimeout(done));
        shownAt = performance.now();
      }
      if (mine !== latest) return;
    }
  } catch (error) {
    return tell(String(/** @type {any} */ (error).message ?? error), true);
  }
  answers = now;
  const count = answers.reduce((sum, { entities }) => sum + entities.length, 0);
  tell(count === 1 ? "1 entity" : `${count || "no"} entities`);
  save.disabled = !count;
}

/** Entities as tab-separated values, in which a text begins no formula. @returns {string} */
function table() {
  const cell = (/** @type {string | number} */ value) => String(value).replace(/[\t\r\n]/g, " ").replace(/^(?=[=+\-@])/, "'");
  const rows = answers.flatMap(({ entities }, line) =>
    entities.map(({ label, text, start, end, score }) => [line + 1, label, cell(text), start, end, score.toFixed(4)].join("\t")),
  );
  return ["line\tlabel\ttext\tstart\tend\tscore", ...rows, ""].join("\n");
}

find.addEventListener("click", tag);
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
text.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(tag, 250);
});
text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    tag();
  }
});
file.addEventListener("change", async () => {
  if (!file.files[0]) return;
  text.value = (await file.files[0].text()).replace(/^\ufeff/, "");
  tag();
});
save.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/tab-separated-values" }));
  link.download = "entities.tsv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

async function start() {
  const page = await (await fetch("page.json")).json();
  let libraries = {};
  if (page.libraries) { // a transformer's
    const [ort, { Tokenizer }] = await Promise.all([import(page.libraries.ort), import(page.libraries.tokenizers)]);
    ort.env.wasm.wasmPaths = new URL("lib/", document.baseURI).href;
    ort.env.wasm.numThreads = 1; // more need headers that few servers send
    libraries = { ort, Tokenizer };
  }
  const progress = (/** @type {number} */ read, /** @type {number} */ all) =>
    tell(`Loading the tagger: ${(read / 1e6).toFixed(1)} of ${(all / 1e6).toFixed(1)} MB`);
  tagger = await open(new URL("model", document.baseURI), { ...libraries, progress });
  about.textContent = `${page.name} · ${[...new Set(tagger.tags.filter((/** @type {string} */ tag) => tag !== "O").map((tag) => tag.slice(2)))].join(", ")} · ${page.size}`;
  document.title = `${page.name}: find names in text`;
  tell("Ready.");
  if (text.value.trim()) await tag();
}

start().catch((error) => tell(`The tagger can't be opened: ${error.message ?? error}`, true));
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("sw.js").then(() => navigator.serviceWorker.ready).then(() => {
    ready.textContent = "The page works without a network from now on.";
  }, () => {});
}
