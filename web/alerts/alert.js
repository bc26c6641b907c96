// alert.js - from a row to an alert: what is shown, and how much of it. Pure.
//
// What a row holds is hostile until shown otherwise: it becomes text, a URL only where it is http(s),
// and an icon only of the page's own origin, so that no row makes the browser call elsewhere.

const TITLE_MAX = 200;        // characters
const BODY_MAX = 1000;

// The address if it may be followed, else ''. base: what a relative one is relative to.
export function safeUrl(url, base) {
  if (typeof url !== 'string' || url === '')
    return '';
  try {
    const parsed = new URL(url, base);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : '';
  } catch {
    return '';
  }
}

// An image of the page's own origin, or data: that is one, which calls no one and runs nothing.
function safeIcon(icon, base) {
  if (/^data:image\//.test(icon))
    return icon;
  const url = safeUrl(icon, base);
  return url !== '' && new URL(url).origin === new URL(base).origin ? url : '';
}

function shortText(value, max) {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

// What a page or a row gives, as text of bounded length and addresses that may be followed.
export function clean(alert, base) {
  return {
    title: shortText(alert.title, TITLE_MAX),
    body: shortText(alert.body, BODY_MAX),
    url: safeUrl(alert.url, base),
    icon: safeIcon(alert.icon, base),
    tag: shortText(alert.tag, TITLE_MAX),
    quiet: alert.quiet === true,
  };
}

// The object that a row's data is, if it is an alert; else null.
function alertIn(text) {
  try {
    const value = JSON.parse(text);
    const isAlert = value !== null && typeof value === 'object' && ('title' in value || 'body' in value);
    return isAlert ? value : null;
  } catch {
    return null;
  }
}

// The documented mapping: JSON with a title or a body is an alert; all else is text.
export function alertOf({ channel, type, data }) {
  const name = channel ?? 'default';
  const title = type === 'message' ? name : `${name} · ${type}`;
  const alert = alertIn(data);
  return alert === null ? { title, body: data } : { ...alert, title: alert.title ?? title };
}

// Lets `most` through in `ms`, so that a person who comes back to two thousand rows can still see.
export class Flood {
  #times = [];

  constructor({ most, ms }) {
    this.most = most;
    this.ms = ms;
  }

  lets(now) {
    this.#times = this.#times.filter((time) => now - time < this.ms);
    if (this.#times.length >= this.most)
      return false;
    this.#times.push(now);
    return true;
  }
}
