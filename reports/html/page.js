// SPDX-License-Identifier: MIT
//
// The charts and the filter of a report's page. Data: reports/html_data.c. Everything else is plain HTML.
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
  const duration = (us) => us < 1e3 ? us + ' µs' : us < 1e6 ? (us / 1e3).toPrecision(3) + ' ms'
    : us < 6e7 ? (us / 1e6).toPrecision(3) + ' s' : Math.floor(us / 6e7) + ' min ' + Math.round(us % 6e7 / 1e6) + ' s';

  // ---- threads over time ------------------------------------------------------------------

  function threadsOverTime(box, d) {
    const chart = make('div', 'chart time', box);
    make('h3', '', chart, 'Threads over time');
    const [unit, one] = d.end < 1e4 ? ['µs', 1] : d.end < 1e7 ? ['ms', 1e3] : ['s', 1e6];
    const n = d.live.length, x = d.live.map((_, i) => (i + 0.5) / n * d.end / one);
    const series = [{label: unit}, {label: 'threads', stroke: color('ink'), width: 1.5},
      {label: 'pinned or locked', stroke: color('leak'), width: 1.5}];
    const data = [x, d.live, d.pinned];
    if (d.cap !== null) {
      series.push({label: 'cap', stroke: color('mark'), dash: [6, 4], width: 1});
      data.push(d.live.map(() => d.cap));
    }
    for (const s of series.slice(1)) s.paths = uPlot.paths.stepped({align: 1});
    const axis = {stroke: color('soft'), grid: {stroke: color('line'), width: 1}, ticks: {stroke: color('line')}};
    const plot = new uPlot({width: chart.clientWidth, height: 180, series, scales: {x: {time: false}, y: {range: (u, lo, hi) => [0, Math.max(1, hi)]}},
      axes: [{...axis, values: (u, at) => at.map((v) => v + ' ' + unit)}, axis], cursor: {drag: {x: true, y: false}}}, data, chart);
    addEventListener('resize', () => plot.setSize({width: chart.clientWidth, height: 180}));
  }

  // ---- canvases -----------------------------------------------------------------------------

  function canvasIn(parent, height) {
    const canvas = make('canvas', '', parent), ratio = Math.min(devicePixelRatio || 1, height > 12000 ? 1 : 2);
    const width = parent.clientWidth;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = height + 'px';
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    pen.font = '11px system-ui, sans-serif';
    pen.textBaseline = 'middle';
    return {canvas, pen, width};
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
      hint.style.left = Math.min(event.clientX - outer.left + 12, outer.width - 220) + 'px';
      hint.style.top = event.clientY - outer.top + 14 + 'px';
    });
    canvas.addEventListener('pointerleave', () => { hint.hidden = true; });
  }

  function legend(chart, parts) {
    const line = make('div', 'legend', chart);
    for (const [name, text] of parts) {
      make('i', '', line).style.background = color(name);
      line.append(text);
    }
    return line;
  }

  // ---- a lane for each thread -----------------------------------------------------------------

  const LANE = 16, NAMES = 150;

  function lanes(box, d) {
    if (!d.lanes.length) return;
    const chart = make('div', 'chart', box);
    make('h3', '', chart, 'Threads and their pins');
    const note = legend(chart, [['life', 'alive'], ['cpu', 'pinned to CPUs'], ['go', 'locked by Go'], ['leak', 'never released'], ['mark', 'violation']]);
    if (d.left_out) note.append('  · ' + d.left_out + ' more threads have no lane here');
    if (d.apart) note.append('  · pins less than ' + duration(d.apart) + ' apart are drawn as one');
    const frame = make('div', 'lanes', chart);
    frame.tabIndex = 0;
    frame.setAttribute('role', 'img');
    frame.setAttribute('aria-label', d.lanes.length + ' threads and their pins over time; the same is in the tables below');
    const {canvas, pen, width} = canvasIn(frame, d.lanes.length * LANE + 4);
    const scale = (width - NAMES - 8) / d.end, at = (us) => NAMES + us * scale;
    const colors = {ink: color('ink'), life: color('life'), cpu: color('cpu'), go: color('go'), leak: color('leak'), mark: color('mark')};
    d.lanes.forEach(([id, name, begin, end], i) => {
      const y = i * LANE;
      pen.fillStyle = colors.ink;
      pen.fillText(id + ' ' + name, 4, y + LANE / 2, NAMES - 8);
      pen.fillStyle = colors.life;
      pen.fillRect(at(begin), y + 3, Math.max(1, (end - begin) * scale), LANE - 6);
    });
    for (const [lane, begin, end, go, count, mask, leaked] of d.blocks) {
      const y = lane * LANE, w = Math.max(1, (end - begin) * scale);
      pen.fillStyle = go ? colors.go : colors.cpu;
      pen.fillRect(at(begin), y + (go ? 9 : 3), w, go ? 4 : 6);
      if (leaked) {
        pen.fillStyle = colors.leak;
        pen.fillRect(at(end) - 2, y + 1, 3, LANE - 2);
      }
      const label = go || count > 1 ? '' : d.masks[mask] || '';
      if (label && w > 8 + 6 * label.length) {
        pen.fillStyle = '#fff';
        pen.fillText(label, at(begin) + 3, y + 6.5, w - 4);
      }
    }
    pen.fillStyle = colors.mark;
    for (const [lane, us] of d.marks) pen.fillRect(at(us) - 1, lane * LANE + 1, 3, LANE - 2);
    const byLane = d.lanes.map(() => []);
    for (const b of d.blocks) byLane[b[0]].push(b);
    hinted(chart, canvas, (x, y) => {
      const lane = Math.floor(y / LANE), us = (x - NAMES) / scale, slack = 2 / scale;
      if (!d.lanes[lane]) return '';
      const [id, name, begin, end] = d.lanes[lane];
      const head = 'thread ' + id + ' ' + name;
      const mark = d.marks.find((m) => m[0] === lane && Math.abs(m[1] - us) <= slack);
      if (mark) return head + '\n' + mark[2] + ' at ' + duration(mark[1]);
      const b = byLane[lane].find((b) => us >= b[1] - slack && us <= b[2] + slack);
      if (!b) return head + '\nfrom ' + duration(begin) + ' to ' + duration(end);
      const what = b[4] > 1 ? b[4] + (b[3] ? ' Go locks' : ' pins') : b[3] ? 'Go lock' : 'pin to CPUs ' + (d.masks[b[5]] || '?');
      return head + '\n' + what + ' for ' + duration(b[2] - b[1]) + (b[6] ? ', never released' : '');
    });
  }

  // ---- CPUs over time -------------------------------------------------------------------------

  function cpus(box, d) {
    if (!d.cpus.length) return;
    const chart = make('div', 'chart cpus', box);
    make('h3', '', chart, 'CPUs and the threads pinned to one alone');
    const doubled = d.cpus.filter(([, points]) => Math.max(...points) > 1).map(([cpu]) => cpu);
    const note = legend(chart, [['cpu', 'one thread'], ['leak', 'two or more at once: double booking']]);
    note.append(doubled.length ? '  · doubly booked: CPU ' + doubled.join(', ') : '  · none is doubly booked');
    const {canvas, pen, width} = canvasIn(chart, d.cpus.length * LANE + 4);
    const n = d.live.length, step = (width - NAMES - 8) / n;
    d.cpus.forEach(([cpu, points], i) => {
      pen.fillStyle = color('ink');
      pen.fillText('CPU ' + cpu, 4, i * LANE + LANE / 2);
      for (let from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && points[to] === points[from]; to++);
        if (!points[from]) continue;
        pen.fillStyle = color(points[from] > 1 ? 'leak' : 'cpu');
        pen.fillRect(NAMES + from * step, i * LANE + 2, Math.max(1, (to - from) * step), LANE - 4);
      }
    });
    hinted(chart, canvas, (x, y) => {
      const row = d.cpus[Math.floor(y / LANE)], point = Math.floor((x - NAMES) / step);
      if (!row || point < 0 || point >= n) return '';
      return 'CPU ' + row[0] + ' at ' + duration(Math.round(point / n * d.end)) + '\n' + row[1][point] + ' pinned to it alone';
    });
  }

  // ---- filter, unfolding, printing --------------------------------------------------------------

  function filter() {
    const input = document.getElementById('filter'), matches = document.getElementById('matches');
    const rows = [...document.querySelectorAll('section table:not(.u-legend) > tbody > tr')].map((row) => [row, row.textContent.toLowerCase()]);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((w) => text.includes(w));
        shown += !row.hidden;
      }
      matches.textContent = words.length ? shown + ' of ' + rows.length + ' rows' : '';
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
      threadsOverTime(box, d);
      cpus(box, d);
      lanes(box, d);
    }
  }

  filter();
  performance.mark('draw');
  draw();
  performance.measure('drawn', 'draw');
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
})();
