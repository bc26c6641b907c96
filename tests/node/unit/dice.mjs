// dice.mjs - numbers that look random and are the same in each run.

// roll(sides): 0 up to sides - 1.
export function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * sides);
  };
}
