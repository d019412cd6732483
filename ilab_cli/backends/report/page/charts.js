// Curves, drawn by uPlot: one chart for each figure of the page that names one.

const DASHES = [[], [9, 4], [2, 3], [12, 4, 2, 4]];
const UNITS = ["B", "kB", "MB", "GB", "TB"];

function told(value, form) {
  if (value == null) return "–";
  if (form === "bytes") {
    let unit = 0;
    while (Math.abs(value) >= 1000 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
    return `${+value.toPrecision(3)} ${UNITS[unit]}`;
  }
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-3) return value.toExponential(2).replace(/\.?0*e/, "e").replace("e+", "e");
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function bars(chart) {
  // Intervals, as bars through the points of a series that has them.
  return (plot) => {
    const { ctx } = plot;
    chart.series.forEach((series) => {
      if (!series.low) return;
      ctx.save();
      ctx.strokeStyle = colour(`--run-${series.run % 8}`);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.beginPath();
      series.x.forEach((x, at) => {
        if (series.low[at] == null || series.high[at] == null) return;
        const left = plot.valToPos(x, "x", true);
        const ends = [series.low[at], series.high[at]].map((y) => plot.valToPos(y, "y", true));
        ctx.moveTo(left, ends[0]);
        ctx.lineTo(left, ends[1]);
        for (const end of ends) { ctx.moveTo(left - 4 * devicePixelRatio, end); ctx.lineTo(left + 4 * devicePixelRatio, end); }
      });
      ctx.stroke();
      ctx.restore();
    });
  };
}

function marks(chart) {
  // Where phases begin.
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = ctx.strokeStyle = colour("--quiet");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.setLineDash([2, 4]);
    for (const mark of chart.marks) {
      const left = plot.valToPos(mark.x, "x", true);
      if (left < bbox.left - 1 || left > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(mark.label, left + 4 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
    }
    ctx.restore();
  };
}

function range(chart, log) {
  const values = chart.series.flatMap((series) => [series.y, series.low || [], series.high || []]).flat();
  const known = values.filter((value) => value != null && (!log || value > 0));
  let low = Infinity, high = -Infinity;
  for (const value of known) { if (value < low) low = value; if (value > high) high = value; }
  return [low, high];
}

function draw(place, chart, log) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const joined = uPlot.join(chart.series.map((series) => [series.x, log ? series.y.map((y) => (y > 0 ? y : null)) : series.y]));
  const [low, high] = range(chart, log);
  const within = (plot, from, to) => {
    if (from == null) { from = low; to = high; }
    if (chart.series.some((series) => series.low)) { from = Math.min(from, low); to = Math.max(to, high); }
    return log ? uPlot.rangeLog(from, to, 10, false) : uPlot.rangeNum(from, to, 0.08, true);
  };
  const shown = [...new Set(chart.series.map((series) => series.run))];
  const dashes = chart.series.map((series) => DASHES[shown.indexOf(series.run) % DASHES.length]);
  const options = {
    width: place.clientWidth,
    height: Math.round(Math.min(300, Math.max(200, place.clientWidth * 0.5))),
    scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: within } },
    axes: [
      { ...axis, size: 28, label: chart.x, labelSize: 18, labelGap: 0, labelFont: "12px system-ui, sans-serif", font: "11px system-ui, sans-serif", values: (_, splits) => splits.map((value) => told(value)) },
      { ...axis, size: 62, font: "11px system-ui, sans-serif", values: (_, splits) => splits.map((value) => (value == null ? "" : told(value, chart.form))) },
    ],
    cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
    legend: { live: true, markers: { width: 2, dash: (_, at) => (dashes[at - 1]?.length ? "dashed" : "solid") } },
    series: [
      { label: chart.x, value: (_, value) => told(value) },
      ...chart.series.map((series, at) => ({
        label: series.label,
        stroke: colour(`--run-${series.run % 8}`),
        width: series.dots ? 1.25 : 1.75,
        dash: dashes[at],
        spanGaps: true,
        points: { show: Boolean(series.dots) && series.x.length <= 200, size: 6, fill: colour("--paper") },
        value: (_, value) => told(value, chart.form),
      })),
    ],
    hooks: { draw: [bars(chart), marks(chart)] },
  };
  return new uPlot(options, joined, place);
}

function show(place, chart) {
  let log = false, plot = null;
  const caption = place.parentElement.querySelector("figcaption");
  const redraw = () => { plot?.destroy(); plot = draw(place, chart, log); };
  if (range(chart, false)[0] > 0) {
    const box = make("input", { type: "checkbox", onchange: (event) => { log = event.target.checked; redraw(); } });
    caption.append(make("label", { class: "tick" }, box, " logarithmic"));
  }
  place.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
    if (!step) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const now = plot.cursor.idx ?? (step > 0 ? -1 : last + 1);
    const at = Math.min(last, Math.max(0, now + step));
    plot.setCursor({ left: plot.valToPos(plot.data[0][at], "x"), top: 0 });
  });
  redraw();
  redraws.push(redraw);
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(place.clientWidth - width) < 2 || !place.clientWidth) return;
    width = place.clientWidth;
    redraw();
  }).observe(place);
}

const charts = new Map(data.charts.map((chart) => [chart.id, chart]));
const drawing = new IntersectionObserver((seen) => {
  for (const item of seen) {
    if (!item.isIntersecting) continue;
    drawing.unobserve(item.target);
    show(item.target, charts.get(item.target.dataset.chart));
  }
}, { rootMargin: "600px" });
const unseen = [...document.querySelectorAll("[data-chart]")];
for (const place of unseen) drawing.observe(place);
addEventListener("beforeprint", () => {
  for (const item of drawing.takeRecords()) drawing.unobserve(item.target);
  for (const place of unseen) if (!place.firstChild) { drawing.unobserve(place); show(place, charts.get(place.dataset.chart)); }
});
