// Where a line ends and begins again. The interval may have been changed, and what costs much may be sampled less often, so
// a distance is a gap only where it is long beside those around it.

/** So many times as long as is usual there. */
const LONG = 2.5;

/** Distances on each side that say what is usual: the middle one of so many, so that a lone sample between two gaps is no rule. */
const AROUND = 3;

/** For each moment, whether there is a gap before it. A distance up to `leastMs` is usual everywhere. */
export function gapsBefore(t: ArrayLike<number>, leastMs: number): boolean[] {
  const distance = (at: number) => (t[at] ?? NaN) - (t[at - 1] ?? NaN);
  const middle = (first: number, end: number) => {
    const all: number[] = [];
    for (let at = Math.max(first, 1); at < Math.min(end, t.length); at += 1) all.push(distance(at));
    return all.sort((a, b) => a - b)[(all.length - 1) >> 1] ?? 0;
  };
  return Array.from(t, (_, at) => {
    const here = distance(at);
    // Most are not, and need no look around.
    if (!(here > leastMs * LONG)) return false;
    return here > Math.max(leastMs, middle(at - AROUND, at), middle(at + 1, at + 1 + AROUND)) * LONG;
  });
}

/** The places of the rows that have a value, and for each whether there is a gap before it. */
export function known(t: readonly number[], has: (at: number) => boolean, leastMs: number): { at: number; gap: boolean }[] {
  const places = t.map((_, at) => at).filter(has);
  const gaps = gapsBefore(places.map((at) => t[at] ?? 0), leastMs);
  return places.map((at, place) => ({ at, gap: gaps[place] ?? false }));
}

/** For a chart that breaks a line at null and draws on over undefined: nulls between two values without a gap are undefined. */
export function joined(t: readonly number[], values: readonly (number | null)[], leastMs: number): (number | null | undefined)[] {
  const drawn: (number | null | undefined)[] = [...values];
  let last = -1;
  for (const { at, gap } of known(t, (place) => values[place] !== null, leastMs)) {
    if (last >= 0 && !gap) drawn.fill(undefined, last + 1, at);
    last = at;
  }
  return drawn;
}
