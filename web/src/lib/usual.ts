// What is usual for this hour of the day: the p10 to p90 of the same clock hour on the last seven days.

import { quantile } from './stats';
import type { Range } from './when';

export const DAYS = 7;

/** The usual, and on how many days it rests. */
export interface Usual {
  low: number;
  high: number;
  days: number;
}

/** The same clock hour on each of the last days, by the browser's clock. A day on which it did not exist is left out. */
export function sameHours(now: number): Range[] {
  const start = new Date(now);
  start.setMinutes(0, 0, 0);
  const hour = start.getHours();
  const ranges: Range[] = [];
  for (let days = 1; days <= DAYS; days += 1) {
    const from = new Date(start);
    from.setDate(from.getDate() - days);
    if (from.getHours() === hour) ranges.push({ from: from.getTime(), to: from.getTime() + 3_600_000 });
  }
  return ranges;
}

/** The least part of an hour, in minutes, that makes a day count. */
const ENOUGH = 10;

/** From the minutes of each day. Null while no day has enough of them. */
export function usual(days: readonly (readonly (number | null)[])[]): Usual | null {
  const counted = days.map((day) => day.filter((value) => value !== null)).filter((day) => day.length >= ENOUGH);
  const sorted = counted.flat().sort((a, b) => a - b);
  const [low, high] = [quantile(sorted, 0.1), quantile(sorted, 0.9)];
  return low === null || high === null ? null : { low, high, days: counted.length };
}

/** How a value stands to the usual, and since when without a pause of more than a few samples. */
export interface Standing {
  side: 'above' | 'below' | 'within';
  since: number | null;
}

/** Samples within the band that do not end an excursion. */
const PAUSE = 3;

/** What is that close to the band, of its height or of the value, is not outside. */
const MARGIN = 0.1;

export function standing(t: readonly number[], values: readonly (number | null)[], band: Usual): Standing {
  const margin = Math.max((band.high - band.low) * MARGIN, Math.abs(band.high) * MARGIN);
  const side = (value: number) => (value > band.high + margin ? 'above' : value < band.low - margin ? 'below' : 'within');
  let at = values.length - 1;
  while (at >= 0 && values[at] === null) at -= 1;
  const last = values[at];
  if (last === null || last === undefined) return { side: 'within', since: null };
  const now = side(last);
  if (now === 'within') return { side: now, since: null };
  let [since, pause] = [t[at] ?? null, 0];
  for (at -= 1; at >= 0 && pause <= PAUSE; at -= 1) {
    const value = values[at];
    if (value === null || value === undefined || side(value) !== now) pause += 1;
    else [since, pause] = [t[at] ?? since, 0];
  }
  return { side: now, since };
}
