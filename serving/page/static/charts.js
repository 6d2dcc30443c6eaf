// Draws the charts whose figures a page carries as JSON; the table beside each has the same figures.
"use strict";
(() => {
  const HEIGHT = [180, 130];
  const TIMES = 50; // pixels below the last panel for its times
  const FIGURES = 20; // pixels between figures: with uPlot's 30 a panel may have a single one
  const made = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function shade(spans) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.fillStyle = colour("--shade");
      for (const [from, to] of spans) {
        const left = Math.max(plot.valToPos(from, "x", true), bbox.left);
        const right = Math.min(plot.valToPos(to, "x", true), bbox.left + bbox.width);
        if (right >= left) ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
      }
      ctx.restore();
    };
  }

  // Where lines end, in pixels; a value that one reading lacks ends only what was expected.
  function breaks(spans, whole) {
    return (plot, at, from, to, own) => {
      const found = spans.map((span) => span.map((time) => plot.valToPos(time, "x", true)));
      let end = -Infinity;
      return [...found, ...(whole ? [] : own)]
        .sort((a, b) => a[0] - b[0])
        .map(([left, right]) => [left, (end = Math.max(end, right))]);
    };
  }

  // The rows between two breaks: no line shows them.
  function alone(times, spans) {
    const begins = new Set(spans.map((span) => span[0])), ends = new Set(spans.map((span) => span[1]));
    const last = times.length - 1;
    return [...times.keys()].filter((at) => (at === 0 || ends.has(times[at])) && (at === last || begins.has(times[at])));
  }

  function figure(plot, value) {
    return value === null || value === undefined ? "–" : String(Number(value.toPrecision(4)));
  }

  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const exact = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
  const second = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

  // The day where it begins, else the time of day.
  function ticks(plot, splits, axis, space, step) {
    let before = "";
    return splits.map((at) => {
      const time = new Date(at * 1000);
      const date = day.format(time);
      const text = step >= 86400 ? date : (step < 60 ? exact : minute).format(time) + (date === before ? "" : `\n${date}`);
      before = date;
      return text;
    });
  }

  function draw(element) {
    const { names, rows, panels, shade: spans, gaps } = JSON.parse(element.dataset.chart);
    const columns = [0, ...names.map((_, at) => at + 1)].map((at) => rows.map((row) => row[at]));
    const lone = alone(columns[0], gaps);
    const filter = (plot, at, show) => (show ? null : lone);
    const sync = uPlot.sync("pages");
    element.textContent = "";
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "12px system-ui" };
    const plots = panels.map((panel, number) => {
      const styles = [
        { stroke: colour("--text"), width: 1.5, points: { filter } },
        { stroke: number ? colour("--link") : colour("--high"), width: 1.5, dash: [5, 4], points: { show: number > 0, size: 4 } },
      ];
      return new uPlot({
        width: Math.max(element.clientWidth, 200),
        height: number ? HEIGHT[1] + (number === panels.length - 1 ? TIMES : 0) : HEIGHT[0],
        padding: [10, 18, number && number < panels.length - 1 ? 8 : 0, 0], // room for half of the lowest label
        cursor: { sync: { key: sync.key }, drag: { x: true, y: false } },
        scales: { x: { time: true }, y: number ? {} : { range: [0, 1] } },
        axes: [{ ...axis, values: ticks, show: number === 0 || number === panels.length - 1 }, { ...axis, size: 60, ...(number ? { space: FIGURES } : {}) }],
        series: [{ label: "at", value: (_, at) => (at ? second.format(at * 1000) : "–") }, ...panel.map((at, place) => ({ label: names[at], gaps: breaks(gaps, place === 0), value: figure, ...styles[place % 2] }))],
        hooks: { drawClear: [shade(spans)] },
      }, [columns[0], ...panel.map((at) => columns[at + 1])], element);
    });
    made.set(element, plots);
  }

  function drawAll(root) {
    for (const element of root.querySelectorAll("[data-chart]")) if (!made.has(element)) draw(element);
    for (const element of made.keys()) if (!element.isConnected) made.delete(element);
  }

  document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", () => {
      for (const element of [...made.keys()]) draw(element);
    });
  }
  let width = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const [element, plots] of made) for (const plot of plots) plot.setSize({ width: element.clientWidth, height: plot.height });
  });
})();
