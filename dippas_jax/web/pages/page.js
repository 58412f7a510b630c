// The page of `dippas web`: sends files, asks for a job, and shows what the server says of it.
// Nothing is kept here but what cannot be asked for again.
"use strict";

const get = (id) => document.getElementById(id);
const ours = { sending: 0, sends: 0, sent: 0, toSend: 0, shown: new Map(), ended: false, state: null, touched: false, changes: 0, held: null };

// ------------------------------------------------------------------------------------- the server

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    const error = new Error("The program does not answer; it was ended, or start it again.");
    error.gone = true;
    throw error;
  }
  if (!answer.ok) throw new Error(`Refused: ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

function post(path, value) {
  ours.changes += 1;
  return ask(path, { method: "POST", body: value === undefined ? null : JSON.stringify(value) });
}

// What the server says; an answer to a question from before something was changed is dropped.
async function look() {
  const changes = ours.changes;
  const state = await ask("state");
  if (changes === ours.changes) show(state);
}

async function attempt(work) {
  get("error").textContent = "";
  try {
    await work();
  } catch (error) {
    get("error").textContent = error.message;
    if (ours.state && !ours.ended) await look().catch(() => {}); // another tab may have done something
  }
}

// -------------------------------------------------------------------------------------- the files

// One after the other: the server writes them to the same disk.
async function send(kind, files, refused = []) {
  if (!files.length) {
    if (refused.length) get("error").textContent = ["Not added:", ...refused].join(" ");
    return;
  }
  if (!ours.state) {
    get("error").textContent = "Not added: the program has not answered yet. Add them again.";
    return;
  }
  if (ours.state.busy || ours.sending) {
    get("error").textContent = "Not added: a job is at work. Add them when it is done, or cancel it.";
    return;
  }
  const mine = (ours.sends += 1);
  ours.sending = mine; // 0 while nothing is sent
  show(ours.state); // nothing can be begun meanwhile
  [ours.sent, ours.toSend] = [0, files.length];
  get("error").textContent = "";
  for (const file of files) {
    showStatus();
    try {
      if (file.size > ours.state.file_bytes) throw new Error(`more than ${ours.state.file_bytes / 2 ** 20} MiB`);
      await ask(`files/${kind}?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    } catch (error) {
      refused.push(`${file.name}: ${error.message}`);
    }
    if (ours.sending !== mine) return; // all files were removed meanwhile, and others may be sent
    ours.sent += 1;
  }
  ours.sending = 0;
  await refresh();
  await estimate();
  if (refused.length) get("error").textContent = ["Not added:", ...refused].join(" "); // what was asked since has cleared it
}

// Folders that are dropped give their entries in portions, until none come.
async function inside(entry, lost) {
  const found = [];
  try {
    if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return found;
      for (const one of some) if (!one.name.startsWith(".")) found.push(...await inside(one, lost));
    }
  } catch (error) {
    lost.push(`${entry.name}: cannot be read (${error.message}).`);
    return found;
  }
}

async function dropped(transfer, lost) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map((entry) => inside(entry, lost)))).flat();
}

function wishes() {
  const form = get("form").elements;
  return { strength: form.strength.value, displace: form.displace.checked, report: form.report.checked };
}

// What was chosen is the server's to remember: for a page that is loaded again, and for other tabs.
function showWishes(chosen) {
  const form = get("form").elements;
  form.strength.value = chosen.strength;
  form.displace.checked = chosen.displace;
  form.report.checked = chosen.report;
}

function replaces() {
  const done = Object.values(ours.state.photos).some((photo) => "verdict" in photo);
  const made = ours.state.made;
  const same = made && Object.entries(wishes()).every(([name, value]) => made[name] === value);
  return done && !same;
}

async function estimate() {
  if (ours.state?.busy || !ours.state?.files.some((file) => file.kind === "photo")) return;
  await attempt(() => post("estimate", wishes()));
  await refresh();
}

// ---------------------------------------------------------------------------------------- showing

const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function timeText(seconds) {
  return seconds >= 60 ? `${(seconds / 60).toFixed(1)} minutes` : counted(Math.max(Math.round(seconds), 1), "second");
}

function element(tag, text, more = {}) {
  return Object.assign(document.createElement(tag), { textContent: text ?? "" }, more);
}

function progress(state) {
  const photos = state.files.filter((file) => file.kind === "photo");
  const over = (photo) => photo && ("verdict" in photo || "failed" in photo || "skipped" in photo);
  let [all, done] = [0, 0];
  for (const { number, minutes } of photos) {
    const share = over(state.photos[number]) ? 1 : state.photos[number]?.progress ?? 0;
    all += 60 * minutes;
    done += share * 60 * minutes;
  }
  return { share: all ? done / all : 0, left: all - done };
}

function statusText(state) {
  const photos = state.files.filter((file) => file.kind === "photo").length;
  const done = Object.values(state.photos).filter((photo) => "verdict" in photo).length;
  const refused = Object.values(state.photos).filter((photo) => "failed" in photo || "skipped" in photo).length;
  if (ours.sending) return `Copying file ${Math.min(ours.sent + 1, ours.toSend)} of ${ours.toSend} to the private folder.`;
  switch (state.state) {
    case "building": return "Building the fingerprint from the photos of the wall.";
    case "estimating": return `Looking at ${counted(photos, "photo")}.`;
    case "ready": {
      const time = state.ready.reduce((sum, photo) => sum + 60 * photo.minutes, 0);
      const memory = Math.max(0, ...state.ready.map((photo) => photo.memory_mib)) / 1024;
      if (!state.ready.length) return `${counted(done, "photo")} done, and nothing more to do.`;
      return `${counted(state.ready.length, "photo")} ready, about ${timeText(time)} and ${memory.toFixed(1)} GiB of memory.`;
    }
    case "working": return `${done} of ${counted(photos - refused, "photo")} done.`;
    case "done": return `Done: ${done} of ${counted(photos, "photo")}.`;
    case "cancelled": return done ? `Cancelled; ${counted(done, "photo")} done.` : "Cancelled.";
    case "failed": return done ? "Not all could be done; the reasons stand below, and what was done stays." : "Nothing could be done; the reasons stand below.";
    default: return photos ? `${counted(photos, "photo")} added.` : state.files.length ? "No photos to treat yet." : "No photos yet.";
  }
}

// A screen reader speaks the status when it changes; the time, which runs, stands beside it.
function showStatus() {
  const text = statusText(ours.state);
  if (get("status").textContent !== text) get("status").textContent = text;
  const { left } = progress(ours.state);
  get("time").textContent = ours.state.state === "working" && left ? `The rest in about ${timeText(left)}.` : "";
}

// A text whose options of the command line, such as --displace 2, are never broken in two.
function options(text) {
  return text.split(/(--[a-z][a-z-]*(?: [0-9]+| strong)?)/).map((part, at) => at % 2 ? element("code", part, { className: "option" }) : part);
}

function slider(number, index, part) {
  const figure = element("figure");
  const pair = element("div", "", { className: "pair" });
  pair.style.width = `${part.width + 2}px`;
  const view = element("div", "", { className: "view" });
  const both = element("div");
  both.style.width = `${part.width}px`;
  for (const which of ["before", "after"]) {
    both.append(element("img", "", {
      src: `parts/${number}/${index}/${which}?${ours.state.photos[number].sha256}`, width: part.width, height: part.height,
      alt: `${which === "before" ? "Before" : "After"}: ${part.title}`,
    }));
  }
  both.append(element("span", "", { className: "edge" }));
  view.append(both);
  const range = element("input", "", { type: "range", min: 0, max: 100, value: 50, ariaLabel: `Before and after: ${part.title}` });
  // The line stands above the thumb, also where a narrow window shows a part of the picture.
  const follow = () => view.style.setProperty("--at", `${view.scrollLeft + view.clientWidth * range.value / 100}px`);
  range.addEventListener("input", follow);
  view.addEventListener("scroll", follow);
  new ResizeObserver(follow).observe(view);
  const title = part.title[0].toUpperCase() + part.title.slice(1);
  const caption = `${title} (row ${part.top}, column ${part.left}), pixel by pixel. Left of the line before, right of it after.`;
  pair.append(view, range);
  figure.append(pair, element("figcaption", caption));
  return figure;
}

function card(file, photo) {
  const made = element("article");
  made.append(element("h3", file.name));
  if (!photo) made.append(element("p", "Waiting.", { className: "soft" }));
  else if ("failed" in photo) made.append(element("p", `Not done: ${photo.failed}`, { className: "bad" }));
  else if ("skipped" in photo) made.append(element("p", `Skipped: ${photo.skipped}`, { className: "bad" }));
  else if ("verdict" in photo) made.append(...result(file, photo));
  else if ("progress" in photo) made.append(element("p", "At work.", { className: "soft" }));
  else made.append(element("p", `${photo.width}×${photo.height} pixels, about ${timeText(60 * photo.minutes)}`, { className: "soft" }));
  return made;
}

function result(file, photo) {
  const rows = [element("p", photo.plain, { className: photo.traced ? "bad" : "good" }), element("p", `Verdict: ${photo.verdict}.`)];
  if (photo.found) rows.push(element("p", photo.found));
  rows.push(element("p", photo.change));
  for (const warning of photo.warnings) {
    const row = element("p", "Warning: ");
    row.append(...options(`${warning}.`));
    rows.push(row);
  }
  rows.push(element("p", photo.figures, { className: "soft" }));
  const row = element("p", "", { className: "row" });
  row.append(element("a", `Download ${photo.name}`, { className: "button", href: `results/${file.number}`, download: photo.name }));
  rows.push(row);
  const parts = element("div", "", { className: "parts" });
  photo.parts.forEach((part, index) => parts.append(slider(file.number, index, part)));
  if (photo.parts.length) {
    const details = element("details");
    details.open = ours.state.files.length <= 3;
    details.append(element("summary", `Before and after: ${file.name}`), parts);
    rows.push(details);
  }
  return rows;
}

function show(state) {
  if (state.busy || ours.state?.busy) ours.touched = false;
  const was = ours.state?.state;
  ours.state = state;
  if (!ours.touched) showWishes(state.chosen);
  showStatus();
  const working = state.state === "working";
  const photos = state.files.filter((file) => file.kind === "photo");
  const done = Object.values(state.photos).some((photo) => "verdict" in photo);
  document.body.classList.toggle("busy", state.busy);
  const held = document.activeElement; // loses the focus where it can no longer be used
  const held_back = state.busy || ours.sending > 0;
  if (held_back && held?.matches("#form input, #form button")) ours.held = held;
  for (const input of document.querySelectorAll("#form input")) input.disabled = held_back;
  get("progress").hidden = !state.busy;
  // A bar without a value moves: nothing can be said while programs are compiled.
  const share = working ? progress(state).share : 0;
  if (share) get("progress").value = share;
  else get("progress").removeAttribute("value");
  get("start").disabled = held_back || !photos.length;
  get("start").textContent = done ? "Start again" : "Start";
  get("cancel").hidden = !state.busy;
  get("clear").hidden = state.busy || !state.files.length;
  get("list").hidden = !photos.length && !state.notes.length;
  get("all").hidden = get("saved").hidden = get("caution").hidden = !done;
  get("caution").textContent = `${state.caution}.`;
  get("report").hidden = !state.report;
  get("built").hidden = !state.camera;
  get("said").hidden = !state.notes.length;
  if (state.state === "failed" && was !== "failed") get("said").open = true;
  if (ours.notes !== JSON.stringify(state.notes)) {
    ours.notes = JSON.stringify(state.notes);
    get("notes").replaceChildren(...state.notes.map((note) => element("li", note)));
  }
  const walls = state.files.filter((file) => file.kind === "wall").length;
  const file = state.files.find((one) => one.kind === "fingerprint");
  get("without").hidden = held_back || !(file || walls);
  get("camera").textContent = file ? `Fingerprint: ${file.name}${walls ? "; the photos of a wall are not used" : ""}` : walls ? counted(walls, "photo") + " of a wall" : "";
  const cards = get("cards");
  for (const old of [...ours.shown.keys()]) {
    if (!photos.some((photo) => photo.number === old)) {
      ours.shown.get(old).card.remove();
      ours.shown.delete(old);
    }
  }
  if (!held_back && ours.held) {
    if (document.activeElement === document.body) (ours.held.hidden || ours.held.disabled ? get("status") : ours.held).focus();
    ours.held = null;
  }
  if (state.state === "failed" && (file || walls)) get("without").closest("details").open = true;
  for (const one of photos) {
    const photo = state.photos[one.number];
    const { progress: _, ...steady } = photo ?? {};
    const text = JSON.stringify([photo && "progress" in photo, steady, !photo]);
    const old = ours.shown.get(one.number);
    if (old?.text === text) continue;
    const made = card(one, photo);
    if (old) old.card.replaceWith(made);
    else cards.append(made);
    ours.shown.set(one.number, { text, card: made });
  }
}

async function refresh() {
  if (ours.ended) return;
  await attempt(look);
}

// A page whose program is gone is closed: whoever answers there later is another program.
async function watch() {
  let lost = 0;
  while (!ours.ended) {
    const idle = ours.state && !ours.state.busy;
    await new Promise((done) => setTimeout(done, idle && !lost ? 3000 : 700));
    if (ours.ended) return;
    try {
      await (idle ? ask("state") : look());
      if (lost) get("error").textContent = "";
      lost = 0;
    } catch (error) {
      get("error").textContent = error.message;
      lost = error.gone ? lost + 1 : 1;
      if (ours.state && lost >= 4) end("Start it again, and open its new link; that also removes what may be left of its copies of your photos.");
    }
  }
}

// ---------------------------------------------------------------------------------- what people do

for (const [id, kind] of [["photo", "photo"], ["folder", "photo"], ["fingerprint", "fingerprint"], ["wall", "wall"]]) {
  get(id).addEventListener("change", async (event) => {
    const files = [...event.target.files].filter((file) => !file.name.startsWith("."));
    await send(kind, files);
    event.target.value = "";
  });
}
get("wishes").addEventListener("change", () => {
  ours.touched = true;
  if (ours.state?.state === "ready") estimate();
  else attempt(() => post("choose", wishes()));
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  get("drop").classList.add("over");
});
addEventListener("dragleave", () => get("drop").classList.remove("over"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  get("drop").classList.remove("over");
  const lost = [];
  await send("photo", await dropped(event.dataTransfer, lost), lost);
});
get("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (replaces() && !confirm("Photos that are done will be treated again in the way that is chosen now, and what was made of them is replaced. Go on?")) return;
  await attempt(async () => {
    show(await post("start", wishes()));
    get("cancel").focus(); // the button that was pressed can no longer be
  });
});
get("without").addEventListener("click", async () => {
  await attempt(async () => {
    show(await post("drop-camera"));
    get("fingerprint").focus();
  });
  await estimate();
});
// Another tab may have done something since.
addEventListener("focus", () => {
  if (ours.state && !ours.state.busy && !ours.sending && !ours.ended) look().catch(() => {});
});
for (const id of ["cancel", "clear"]) {
  get(id).addEventListener("click", () => attempt(async () => {
    if (id === "clear" && !mayLose("Remove all files, and what was made of them?")) return;
    if (id === "clear") ours.sending = 0;
    show(await post(id));
    get("status").focus();
  }));
}
get("end").addEventListener("click", () => attempt(async () => {
  if (!mayLose("End the program? Its copies of your photos, and what was made of them, are removed.")) return;
  await post("end");
  end("Its copies of your photos are removed. You can close this page.");
}));

// What is at work or was made is lost only by somebody who means it.
function mayLose(question) {
  const done = Object.values(ours.state?.photos ?? {}).some((photo) => "verdict" in photo);
  return !(done || ours.state?.busy || ours.sending) || confirm(question);
}

function end(then) {
  ours.ended = true;
  document.querySelector("main").replaceChildren(element("h1", "The program has ended"), element("p", then));
}

// While a job is at work or files are copied, leaving is asked about.
addEventListener("beforeunload", (event) => {
  if ((ours.state?.busy || ours.sending) && !ours.ended) event.preventDefault();
});

refresh();
watch();
