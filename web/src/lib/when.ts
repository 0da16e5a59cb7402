// Points in time as people write them: the same grammar as the server's and the command line's, by the browser's clock.
//
// now, now-6h, now/d, now-1d/d · today, yesterday, 03:12, yesterday 03:12 · 2026-11-23, 2026-11-23 03:12 · milliseconds

export type Edge = 'from' | 'to';

const UNITS = { s: 'Seconds', m: 'Minutes', h: 'Hours', d: 'Date', w: 'Week', M: 'Month', y: 'FullYear' } as const;
type Unit = keyof typeof UNITS;

/** The moment that a text names, in milliseconds; null for what is none. What names a whole day is its start or its end. */
export function instant(text: string, edge: Edge, now: number): number | null {
  const words = text.trim();
  if (words.startsWith('now')) return steps(words.slice(3), edge, now);
  if (words.startsWith('-')) return steps(words, edge, now);
  const named = /^(today|yesterday)(?:\s+(.*))?$/.exec(words);
  if (named) {
    const start = startOf(now, 'd');
    start.setDate(start.getDate() - (named[1] === 'yesterday' ? 1 : 0));
    return at(start, named[2], edge);
  }
  if (/^\d{2}:/.test(words)) {
    const today = at(startOf(now, 'd'), words, edge);
    if (today === null || today <= now) return today;
    const start = startOf(now, 'd');
    start.setDate(start.getDate() - 1);
    return at(start, words, edge);
  }
  if (/^\d{9,}$/.test(words)) return Number(words);
  const dated = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](.+))?$/.exec(words);
  if (!dated) return null;
  if (/(Z|[+-]\d{2}:?\d{2})$/.test(dated[4] ?? '')) {
    const exact = Date.parse(words.replace(' ', 'T'));
    return Number.isNaN(exact) ? null : exact;
  }
  const [year, month, date] = [Number(dated[1]), Number(dated[2]) - 1, Number(dated[3])];
  const start = new Date(year, month, date);
  if (start.getMonth() !== month || start.getDate() !== date) return null;
  return at(start, dated[4], edge);
}

/** A time of day on a day; the whole day without one. */
function at(day: Date, time: string | undefined, edge: Edge): number | null {
  if (time === undefined) {
    if (edge === 'to') day.setDate(day.getDate() + 1);
    return day.getTime();
  }
  const found = /^(\d{2}):(\d{2})(?::(\d{2})(\.\d+)?)?$/.exec(time);
  if (!found) return null;
  const [hours, minutes, seconds] = [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds > 59) return null;
  day.setHours(hours, minutes, seconds, Math.round(Number(found[4] ?? 0) * 1000));
  return day.getTime();
}

function steps(text: string, edge: Edge, now: number): number | null {
  const moment = new Date(now);
  let rest = text;
  while (rest !== '') {
    const found = /^(?:\/|([+-])(\d{1,7}))([smhdwMy])/.exec(rest);
    if (!found) return null;
    const unit = found[3] as Unit;
    if (found[1] === undefined) {
      moment.setTime(startOf(moment.getTime(), unit).getTime());
      if (edge === 'to') move(moment, unit, 1);
    } else move(moment, unit, Number(found[2]) * (found[1] === '-' ? -1 : 1));
    rest = rest.slice(found[0].length);
  }
  const ms = moment.getTime();
  return Number.isNaN(ms) ? null : ms;
}

function move(moment: Date, unit: Unit, amount: number): void {
  switch (unit) {
    case 's': moment.setTime(moment.getTime() + amount * 1000); break;
    case 'm': moment.setTime(moment.getTime() + amount * 60_000); break;
    case 'h': moment.setTime(moment.getTime() + amount * 3_600_000); break;
    case 'd': moment.setDate(moment.getDate() + amount); break;
    case 'w': moment.setDate(moment.getDate() + amount * 7); break;
    case 'M': moment.setMonth(moment.getMonth() + amount); break;
    case 'y': moment.setFullYear(moment.getFullYear() + amount); break;
  }
}

function startOf(ms: number, unit: Unit): Date {
  const moment = new Date(ms);
  if (unit === 's') moment.setMilliseconds(0);
  else if (unit === 'm') moment.setSeconds(0, 0);
  else if (unit === 'h') moment.setMinutes(0, 0, 0);
  else {
    moment.setHours(0, 0, 0, 0);
    if (unit === 'w') moment.setDate(moment.getDate() - ((moment.getDay() + 6) % 7));
    if (unit === 'M' || unit === 'y') moment.setDate(1);
    if (unit === 'y') moment.setMonth(0);
  }
  return moment;
}

/** A stretch of time in milliseconds. */
export interface Range {
  from: number;
  to: number;
}

/** A range as it is written, in the link. */
export interface Written {
  from: string;
  to: string;
}

/** The range between two points in time. A message when it is none. Two times of day are the latest such stretch. */
export function range(written: Written, now: number): Range | string {
  let from = instant(written.from, 'from', now);
  const to = instant(written.to, 'to', now);
  if (from === null) return `“${written.from}” is no point in time`;
  if (to === null) return `“${written.to}” is no point in time`;
  if (from > to && /^\s*\d{2}:/.test(written.from)) from = instant(written.from, 'from', to) ?? from;
  return from < to ? { from, to } : `nothing lies between “${written.from}” and “${written.to}”`;
}

/** What a single field means: `6h`, `now-6h`, `03:12`, `yesterday`, `A to B`. */
export function understand(text: string): Written | null {
  const words = text.trim();
  const both = /^(.+?)(?:\s+to\s+|\s*\.\.\s*|\s+–\s+)(.+)$/.exec(words);
  if (both) return { from: both[1] ?? '', to: both[2] ?? '' };
  if (/^\d+[smhdwMy]$/.test(words)) return { from: `now-${words}`, to: 'now' };
  if (/^(now)?[-/]/.test(words)) return { from: words, to: /\/[a-zM]$/.test(words) && words !== 'now' ? words : 'now' };
  if (/^(today|yesterday|\d{4}-\d{2}-\d{2})$/.test(words)) return { from: words, to: words };
  return words ? { from: words, to: '' } : null;
}

/** Whether a range ends now, and so goes on. */
export function isLive(written: Written): boolean {
  return written.to.trim() === 'now';
}

/** A moved, widened or narrowed range, never beyond now, never shorter than ten seconds. */
export function zoomed(range: Range, factor: number, now: number): Range {
  const [middle, half] = [(range.from + range.to) / 2, Math.max(5_000, ((range.to - range.from) * factor) / 2)];
  const to = Math.min(Math.round(middle + half), now);
  return { from: Math.round(to - half * 2), to };
}

export function panned(range: Range, share: number, now: number): Range {
  const length = range.to - range.from;
  const to = Math.min(Math.round(range.to + length * share), now);
  return { from: to - length, to };
}

/** The range in the link: milliseconds. */
export function write(range: Range): Written {
  return { from: String(Math.round(range.from)), to: String(Math.round(range.to)) };
}
