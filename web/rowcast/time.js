// time.js - durations, in milliseconds, by a clock that no one sets (performance.now).

// Ends early when the signal is aborted.
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener('abort', end);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
  });
}

// The nth delay in a row: doubles from first to max, and is spread by a quarter either way.
export function backoff(n, first, max, random = Math.random) {
  return Math.min(first * 2 ** Math.max(0, n - 1), max) * (0.75 + random() / 2);
}
