// What all parts share: the page's data, colours of the theme in force, and elements made of text, never of markup.

const data = JSON.parse(document.getElementById("data").textContent);
const redraws = [];

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

function chip(number) {
  const run = data.runs[number];
  return make("span", { class: `chip run-${number % 8}`, title: run.name }, run.key);
}

const probe = document.body.appendChild(make("span", { hidden: true }));

function colour(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

const theme = document.getElementById("theme");

function setTheme(value) {
  theme.value = value;
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
  for (const redraw of redraws) redraw();
}

theme.addEventListener("change", () => {
  try { localStorage.setItem("ilab-report-theme", theme.value); } catch { /* a browser may keep nothing for a file */ }
  setTheme(theme.value);
});
let remembered = "";
try { remembered = localStorage.getItem("ilab-report-theme") || ""; } catch { /* likewise */ }
if (remembered) setTheme(remembered);
for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", () => redraws.forEach((redraw) => redraw()));
}

const contents = document.getElementById("contents");
const narrow = matchMedia("(max-width: 62rem)");
const fold = () => { contents.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => { if (event.target.closest("a") && narrow.matches) contents.open = false; });
