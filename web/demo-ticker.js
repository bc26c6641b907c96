// demo-ticker.js - prices that change faster than anybody reads, as a moving chart.
//
// Rows: channel demo.ticker, event tick, collapse_key the symbol,
// data {"symbol":"Apples","price":101.25,"n":17}; n counts the rows of the symbol. The stream is
// throttled: the server writes once in the time chosen, and leaves out a price for which a newer one of
// the same collapse_key is there. n shows how many.
import { $, element, objectOf } from './demo-page.js';

const WINDOW_MS = 60000;
const WINDOW_MIN_MS = 15000;   // what is shown at first grows from here
const SYMBOLS_MAX = 3;         // as many as there are kinds of lines
const WIDTH = 600;
const HEIGHT = 180;
const SVG = 'http://www.w3.org/2000/svg';

const series = new Map();      // symbol → { points: [[ms, price]], first, last, parts }
let received = 0;

export function setUpTicker(streams, url) {
  const open = () => {
    const throttle = Number($('throttle').querySelector('input:checked').value);
    for (const one of series.values())
      one.first = null;
    received = 0;
    streams.open('ticker', url, { channels: ['demo.ticker'], storage: null, last: 300,
      ...(throttle > 0 ? { throttle } : {}) }, (rows) => { rows.on('tick', take); });
  };
  $('throttle').addEventListener('change', open);
  open();
}

function take(row) {
  const { symbol, price, n } = objectOf(row);
  if (typeof symbol !== 'string' || !Number.isFinite(price) || !Number.isFinite(n))
    return;
  const one = series.get(symbol) ?? begin(symbol);
  if (one === null)
    return;
  if (one.first === null || n <= one.last)   // the first, or the writer began again
    one.first = n;
  one.last = n;
  one.points.push([row.createdAt, price]);
  received += 1;
  draw(row.createdAt);
}

function begin(symbol) {
  if (series.size === SYMBOLS_MAX)
    return null;
  const line = document.createElementNS(SVG, 'polyline');
  line.setAttribute('class', `line line-${series.size + 1}`);
  $('chart-lines').append(line);
  const item = element('li', `line-${series.size + 1}`);
  const parts = { line, price: element('span', 'price', ''), change: element('span', 'change', '') };
  const key = document.createElementNS(SVG, 'svg');
  key.setAttribute('viewBox', '0 0 28 6');
  key.setAttribute('aria-hidden', 'true');
  const stroke = document.createElementNS(SVG, 'path');
  stroke.setAttribute('d', 'M1 3h26');
  key.append(stroke);
  item.append(key, element('b', '', symbol), parts.price, parts.change);
  $('legend').append(item);
  $('ticker-empty').hidden = true;
  $('ticker').hidden = false;
  const one = { points: [], first: null, last: 0, parts };
  series.set(symbol, one);
  return one;
}

// Once a frame, however many ticks came in it.
let frame = 0;
let newest = 0;
function draw(at) {
  newest = Math.max(newest, at);
  if (frame === 0)
    frame = requestAnimationFrame(() => { frame = 0; drawNow(); });
}

function drawNow() {
  for (const one of series.values()) {
    while (one.points.length > 2 && one.points[1][0] < newest - WINDOW_MS)
      one.points.shift();
  }
  const oldest = Math.min(...[...series.values()].map((one) => one.points[0][0]));
  const span = Math.min(WINDOW_MS, Math.max(WINDOW_MIN_MS, newest - oldest));
  const from = newest - span;
  const prices = [...series.values()].flatMap((one) => one.points.map(([, price]) => price));
  const low = Math.floor(Math.min(...prices) - 0.5);
  const high = Math.ceil(Math.max(...prices) + 0.5);
  const x = (ms) => ((ms - from) / span * WIDTH).toFixed(1);
  const y = (price) => ((high - price) / (high - low) * HEIGHT).toFixed(1);
  for (const { points, parts } of series.values()) {
    parts.line.setAttribute('points', points.map(([ms, price]) => `${x(ms)},${y(price)}`).join(' '));
    showPrice(points, parts);
  }
  $('chart-high').textContent = high;
  $('chart-low').textContent = low;
  showLeftOut();
}

function showPrice(points, parts) {
  const [first, last] = [points[0][1], points.at(-1)[1]];
  const percent = (last / first - 1) * 100;
  parts.price.textContent = last.toFixed(2);
  const text = Math.abs(percent).toFixed(1);
  parts.change.textContent = `${text === '0.0' ? '=' : percent < 0 ? '▼' : '▲'} ${text} %`;
  parts.change.dataset.down = percent < 0 && text !== '0.0';
}

function showLeftOut() {
  const inserted = [...series.values()].filter((one) => one.first !== null)
    .reduce((sum, one) => sum + one.last - one.first + 1, 0);
  $('ticks-count').textContent = `${inserted.toLocaleString()} prices inserted, ${received.toLocaleString()} received, `
    + `${Math.max(0, inserted - received).toLocaleString()} left out, as a newer price was there.`;
}
