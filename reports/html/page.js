// SPDX-License-Identifier: MIT
//
// The charts and the filter of a report's page. Data: reports/html_data.c. Everything else is plain HTML.
//
// The three charts of a process have one axis of time: what is dragged over, or zoomed into by key, in the first is shown by all.
'use strict';
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const make = (tag, className, parent, text) => {
    const e = document.createElement(tag);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    parent.append(e);
    return e;
  };
  const count = (n) => n.toLocaleString('en');
  const duration = (us) => us < 1e3 ? us + ' µs' : us < 1e6 ? +(us / 1e3).toPrecision(3) + ' ms'
    : us < 6e7 ? +(us / 1e6).toPrecision(3) + ' s' : clock(us);
  const clock = (us) => {
    const s = Math.round(us / 1e6), two = (n) => String(n).padStart(2, '0');
    return s < 3600 ? Math.floor(s / 60) + 'm' + two(s % 60) + 's' : Math.floor(s / 3600) + 'h' + two(Math.floor(s / 60) % 60) + 'm';
  };
  // A time on the axis, as precise as the part of it that is shown asks for.
  const tick = (us, shown) => shown < 2e3 ? +us.toFixed(1) + ' µs' : shown < 2e6 ? +(us / 1e3).toFixed(3) + ' ms'
    : shown < 1.2e8 ? +(us / 1e6).toFixed(3) + ' s' : clock(us);
  const STEPS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((n) => [n, 2 * n, 5 * n])
    .concat([10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 2592000].map((s) => s * 1e6));

  const LEFT = 150, RIGHT = 24, LANE = 20;
  const barWidth = (width) => Math.max(1, width - LEFT - RIGHT);

  // ---- parts of charts ------------------------------------------------------------------------

  function canvasIn(parent, width, height) {
    const canvas = make('canvas', '', parent), ratio = Math.min(devicePixelRatio || 1, height > 12000 ? 1 : 2);
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = height + 'px';
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.textBaseline = 'middle';
    return {canvas, pen};
  }

  // What is under the pointer, in words.
  function hinted(chart, canvas, words) {
    const hint = make('div', 'hint', chart);
    hint.hidden = true;
    canvas.addEventListener('pointermove', (event) => {
      const at = canvas.getBoundingClientRect(), outer = chart.getBoundingClientRect();
      const text = words(event.clientX - at.left, event.clientY - at.top);
      hint.hidden = !text;
      hint.textContent = text || '';
      hint.style.left = Math.max(0, Math.min(event.clientX - outer.left + 12, outer.width - hint.offsetWidth)) + 'px';
      hint.style.top = event.clientY - outer.top + 14 + 'px';
    });
    canvas.addEventListener('pointerleave', () => { hint.hidden = true; });
  }

  function chartIn(box, className, title, parts) {
    const chart = make('div', 'chart ' + className, box);
    make('h3', '', chart, title);
    const line = make('div', 'legend', chart);
    for (const [name, text] of parts) {
      const part = make('span', '', line);
      make('i', name, part).style.background = color(name);
      part.append(text);
    }
    return {chart, note: (text) => make('span', '', line, text)};
  }

  // Bars between LEFT and RIGHT, whatever part of time is shown.
  function clipped(pen, width, height, draw) {
    pen.clearRect(0, 0, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, barWidth(width), height);
    pen.clip();
    draw();
    pen.restore();
  }

  // ---- threads over time ------------------------------------------------------------------

  function threadsOverTime(box, d, width, show) {
    const parts = [['ink', 'threads'], ['cpu', 'pinned or locked']];
    if (d.cap !== null) parts.push(['leak', 'cap: ' + count(d.cap)]);
    const {chart, note} = chartIn(box, 'time', 'Threads over time', parts);
    note('drag to zoom into all three charts, double-click for the whole run (keys: + − ← → 0)').className = 'how';
    const n = d.live.length, x = Array.from({length: n + 1}, (_, i) => i / n * d.end), last = (a) => a.concat(a[n - 1]);
    const stepped = {paths: uPlot.paths.stepped({align: 1}), points: {show: false}};
    const series = [{}, {...stepped, stroke: color('ink'), width: 1.5},
      {...stepped, stroke: color('cpu'), fill: color('cpu') + '30', width: 1.5}];
    const data = [x, last(d.live), last(d.pinned)];
    if (d.cap !== null) {
      series.push({...stepped, stroke: color('leak'), dash: [6, 4], width: 1.5});
      data.push(x.map(() => d.cap));
    }
    const axis = {stroke: color('soft'), grid: {stroke: color('line'), width: 1}, ticks: {stroke: color('line'), size: 5}, font: '12px system-ui, sans-serif'};
    const plot = new uPlot({width, height: 190, series, legend: {show: false}, padding: [8, RIGHT, 0, 0], cursor: {drag: {x: true, y: false}},
      scales: {x: {time: false}, y: {range: (u, lo, hi) => [0, Math.max(1, hi * 1.05)]}},
      axes: [{...axis, size: 30, space: 90, incrs: STEPS, values: (u, at) => at.map((v) => tick(v, u.scales.x.max - u.scales.x.min))},
        {...axis, size: LEFT, incrs: STEPS, values: (u, at) => at.map(count)}],
      hooks: {setScale: [(u, key) => key === 'x' && show(u.scales.x.min, u.scales.x.max)]}}, data, chart);
    hinted(chart, plot.over, (left) => {
      const i = Math.max(0, Math.min(n - 1, Math.floor(plot.posToVal(left, 'x') / d.end * n)));
      return duration(Math.round(x[i])) + '\n' + count(d.live[i]) + (d.live[i] === 1 ? ' thread, ' : ' threads, ') + count(d.pinned[i]) + ' pinned or locked';
    });
    steer(chart, plot, d.end);
  }

  // The same by key.
  function steer(chart, plot, end) {
    chart.tabIndex = 0;
    chart.setAttribute('role', 'group');
    chart.setAttribute('aria-label', 'Threads over time; plus and minus zoom, arrows move, 0 shows the whole run');
    chart.addEventListener('keydown', (event) => {
      let {min, max} = plot.scales.x;
      const part = max - min;
      if (event.key === '+' || event.key === '=') [min, max] = [min + part / 4, max - part / 4];
      else if (event.key === '-') [min, max] = [min - part / 2, max + part / 2];
      else if (event.key === 'ArrowLeft') min = Math.max(0, min - part / 4), max = min + part;
      else if (event.key === 'ArrowRight') max = Math.min(end, max + part / 4), min = max - part;
      else if (event.key === '0') [min, max] = [0, end];
      else return;
      event.preventDefault();
      plot.setScale('x', {min: Math.max(0, min), max: Math.min(end, max)});
    });
  }

  // ---- CPUs over time -------------------------------------------------------------------------

  // Returns what draws a part of time.
  function cpus(box, d, width) {
    if (!d.cpus.length) return () => {};
    const {chart, note} = chartIn(box, 'cpus', 'CPUs and the threads pinned to one alone', [['cpu', 'one thread'], ['leak', 'two or more at once: double booking']]);
    const doubled = d.cpus.filter(([, points]) => points.some((p) => p > 1)).map(([cpu]) => cpu);
    note(doubled.length ? 'doubly booked: CPU ' + doubled.join(', ') : 'none is doubly booked');
    const height = d.cpus.length * LANE, n = d.live.length, {canvas, pen} = canvasIn(chart, width, height);
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'CPUs over time' + (doubled.length ? '; doubly booked: CPU ' + doubled.join(', ') : ''));
    const one = color('cpu'), more = color('leak'), ink = color('ink'), on = color('on'), bed = color('band');
    let from = 0, scale = 1;
    hinted(chart, canvas, (x, y) => {
      const row = d.cpus[Math.floor(y / LANE)], us = from + (x - LEFT) / scale, point = Math.floor(us / d.end * n);
      if (!row || x < LEFT || point < 0 || point >= n) return '';
      return 'CPU ' + row[0] + ' at ' + duration(Math.round(us)) + '\n' + count(row[1][point]) + ' pinned to it alone';
    });
    return (begin, end) => {
      from = begin;
      scale = barWidth(width) / (end - begin);
      const at = (point) => LEFT + (point / n * d.end - from) * scale;
      pen.font = '11px system-ui, sans-serif';
      clipped(pen, width, height, () => d.cpus.forEach(([, points], i) => {
        pen.fillStyle = bed;
        pen.fillRect(LEFT, i * LANE + 2, width, LANE - 4);
        for (let first = 0, to; first < n; first = to) {
          for (to = first + 1; to < n && points[to] === points[first]; to++);
          if (!points[first]) continue;
          const x = at(first), w = Math.max(1, at(to) - x), label = '×' + points[first];
          pen.fillStyle = points[first] > 1 ? more : one;
          pen.fillRect(x, i * LANE + 2, w, LANE - 4);
          pen.fillStyle = on;
          if (points[first] > 1 && w > 24) pen.fillText(label, Math.max(x, LEFT) + 4, i * LANE + LANE / 2 + 1);
        }
      }));
      pen.fillStyle = ink;
      d.cpus.forEach(([cpu], i) => pen.fillText('CPU ' + cpu, 4, i * LANE + LANE / 2 + 1));
    };
  }

  // ---- a lane for each thread -----------------------------------------------------------------

  function laneFrame(box, d) {
    const {chart, note} = chartIn(box, d.lanes.length > 100 ? 'many' : '', 'Threads and their pins',
      [['life', 'alive'], ['cpu', 'pinned to CPUs'], ['go', 'locked by Go'], ['leak', 'never released'], ['mark', 'violation']]);
    if (d.left_out) note(count(d.left_out) + (d.left_out === 1 ? ' more thread has' : ' more threads have') + ' no lane here');
    if (d.apart) note('pins less than ' + duration(d.apart) + ' apart are drawn as one');
    const frame = make('div', 'lanes', chart);
    frame.tabIndex = 0;
    frame.setAttribute('role', 'img');
    frame.setAttribute('aria-label', count(d.lanes.length) + ' threads and their pins over time; the same is in the tables below');
    return {chart, frame};
  }

  // What is at a time on a lane.
  function laneWords(d, byLane, i, us, slack) {
    if (!d.lanes[i]) return '';
    const [id, name, begin, end] = d.lanes[i];
    const head = 'thread ' + id + ' ' + name;
    const mark = d.marks.find((m) => m[0] === i && Math.abs(m[1] - us) <= slack);
    if (mark) return head + '\n' + mark[2] + ' at ' + duration(mark[1]);
    const b = byLane[i].find((b) => us >= b[1] - slack && us <= b[2] + slack);
    if (!b) return head + '\nfrom ' + duration(begin) + ' to ' + duration(end);
    const what = b[4] > 1 ? count(b[4]) + (b[3] ? ' Go locks' : ' pins') : b[3] ? 'Go lock' : 'pin to CPUs ' + (d.masks[b[5]] || '?');
    return head + '\n' + what + ' for ' + duration(b[2] - b[1]) + (b[6] ? ', never released' : '');
  }

  // Returns what draws a part of time.
  function lanes(box, d, width) {
    if (!d.lanes.length) return () => {};
    const {chart, frame} = laneFrame(box, d), height = d.lanes.length * LANE;
    const {canvas, pen} = canvasIn(frame, width, height);
    const colors = Object.fromEntries(['ink', 'life', 'cpu', 'go', 'leak', 'mark', 'on'].map((name) => [name, color(name)]));
    const byLane = d.lanes.map(() => []);
    for (const b of d.blocks) byLane[b[0]].push(b);
    let from = 0, scale = 1, rows = [], rowOf = []; // threads that lived in the part of time, and where they are
    hinted(chart, canvas, (x, y) => laneWords(d, byLane, rows[Math.floor(y / LANE)], from + (Math.max(x, LEFT) - LEFT) / scale, 3 / scale));
    const at = (us) => LEFT + (us - from) * scale;
    const block = ([lane, begin, end, go, count, mask, leaked]) => {
      if (rowOf[lane] === undefined) return;
      const y = rowOf[lane] * LANE, x = at(begin), w = Math.max(1, (end - begin) * scale), label = go || count > 1 ? '' : d.masks[mask] || '';
      pen.fillStyle = go ? colors.go : colors.cpu;
      pen.fillRect(x, y + (go ? 14 : 2), w, go ? 4 : 12);
      if (label && w > 8 + 6 * label.length) {
        pen.fillStyle = colors.on;
        pen.fillText(label, Math.max(x, LEFT) + 4, y + 8.5, w - 6);
      }
      if (leaked) {
        pen.fillStyle = colors.leak;
        pen.fillRect(at(end) - 3, y + 1, 4, LANE - 2);
      }
    };
    return (begin, end) => {
      from = begin;
      scale = barWidth(width) / (end - begin);
      rows = d.lanes.map((_, i) => i).filter((i) => d.lanes[i][2] <= end && d.lanes[i][3] >= begin);
      rowOf = [];
      rows.forEach((lane, row) => { rowOf[lane] = row; });
      pen.font = '10px system-ui, sans-serif';
      clipped(pen, width, height, () => {
        pen.fillStyle = colors.life;
        rows.forEach((lane, row) => {
          const [, , born, died] = d.lanes[lane];
          pen.fillRect(at(born), row * LANE + 2, Math.max(1, (died - born) * scale), LANE - 4);
        });
        d.blocks.forEach(block);
        pen.fillStyle = colors.mark;
        for (const [lane, us] of d.marks) if (rowOf[lane] !== undefined) {
          const x = at(us), y = rowOf[lane] * LANE;
          pen.beginPath();
          pen.moveTo(x - 5, y);
          pen.lineTo(x + 5, y);
          pen.lineTo(x, y + 9);
          pen.fill();
        }
      });
      pen.font = '11px system-ui, sans-serif';
      pen.fillStyle = colors.ink;
      rows.forEach((lane, row) => pen.fillText(d.lanes[lane][0] + ' ' + d.lanes[lane][1], 4, row * LANE + LANE / 2, LEFT - 10));
    };
  }

  // ---- filter, unfolding, printing --------------------------------------------------------------

  function filter() {
    const input = document.getElementById('filter'), matches = document.getElementById('matches');
    const rows = [...document.querySelectorAll('.list tbody > tr')].map((row) => [row, row.textContent.toLowerCase()]);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((w) => text.includes(w));
        shown += !row.hidden;
      }
      for (const list of document.querySelectorAll('.list')) {
        list.hidden = !list.querySelector('tbody > tr:not([hidden])');
        const folded = list.closest('details.threads');
        if (folded) folded.open = words.length > 0 && !list.hidden;
      }
      matches.textContent = words.length ? count(shown) + ' of ' + count(rows.length) + ' rows' : '';
    };
    document.getElementById('filter-box').hidden = false;
    input.addEventListener('input', apply);
    addEventListener('keydown', (event) => {
      if (event.key === '/' && document.activeElement !== input) {
        event.preventDefault();
        input.focus();
      } else if (event.key === 'Escape' && document.activeElement === input) {
        input.value = '';
        apply();
      }
    });
    const stacks = [...document.querySelectorAll('details')];
    const unfold = (open) => { for (const s of stacks) s.open = open; };
    let open = false;
    document.getElementById('unfold').addEventListener('click', (event) => {
      unfold(open = !open);
      event.target.textContent = open ? 'Fold all stacks' : 'Unfold all stacks';
    });
    addEventListener('beforeprint', () => unfold(true));
  }

  function draw() {
    for (const section of document.querySelectorAll('section')) {
      const box = section.querySelector('.charts'), d = JSON.parse(section.querySelector('.data').textContent);
      box.textContent = '';
      const width = box.clientWidth - 2, drawn = [];
      d.end = Math.max(1, d.end);
      threadsOverTime(box, d, width, (from, to) => { for (const f of drawn) f(from, to); });
      drawn.push(cpus(box, d, width), lanes(box, d, width));
      for (const f of drawn) f(0, d.end);
    }
  }

  filter();
  performance.mark('draw');
  draw();
  performance.measure('drawn', 'draw');
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  matchMedia('print').addEventListener('change', draw);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth !== width) draw();
    width = innerWidth;
  });
})();
